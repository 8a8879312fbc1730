"""Optimiser steps straight from the equations: the specification that the fast kernels are checked against.

Arrays are changed in place. A gradient is first multiplied by `scale` and weight_decay · w is added to it.
"""

from __future__ import annotations

import math

import numpy as np

from minadder.autograd import Array


def sgd(
    w: Array,
    grad: Array,
    buffer: Array | None,
    first: bool,
    scale: float,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    """Do a step of gradient descent; the buffer, None without momentum, is the gradient itself at the first step."""
    g = scale * grad + weight_decay * w
    if buffer is None:
        w -= lr * g
        return
    buffer[...] = g if first else momentum * buffer + (1 - dampening) * g
    w -= lr * (g + momentum * buffer if nesterov else buffer)


def adam(
    w: Array,
    grad: Array,
    mean: Array,
    mean_square: Array,
    step: int,
    scale: float,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> None:
    """Do step number `step`, counted from 1, of Adam (Kingma and Ba 2015, Algorithm 1)."""
    g = scale * grad + weight_decay * w
    mean[...] = betas[0] * mean + (1 - betas[0]) * g
    mean_square[...] = betas[1] * mean_square + (1 - betas[1]) * g**2
    size = np.sqrt(mean_square) / math.sqrt(1 - betas[1] ** step) + eps
    w -= lr / (1 - betas[0] ** step) * mean / size


def square_sum(array: Array) -> float:
    """Return the sum of squares, in float64."""
    return float(np.square(array.astype(np.float64)).sum())
