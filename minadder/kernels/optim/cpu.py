"""Optimiser steps on the CPU, each in one pass: every number is read once and written once.

`reference.py` says what they compute. Numbers are rounded to the dtype of the weights after each operation.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minadder.autograd import Array
from minadder.jit import kernel


@kernel
def sgd_pass(
    w: Array,
    grad: Array,
    buffer: Array,
    first: bool,
    nesterov: bool,
    scale: float,
    lr: float,
    momentum: float,
    undampened: float,
    weight_decay: float,
) -> None:
    """Change weights and buffer, given in one row; without momentum the buffer is left alone."""
    for i in range(w.shape[0]):
        g = grad[i] * scale + weight_decay * w[i]
        step = g
        if momentum != 0:
            step = g if first else buffer[i] * momentum + g * undampened
            buffer[i] = step
            if nesterov:
                step = g + step * momentum
        w[i] -= lr * step


@kernel
def adam_pass(
    w: Array,
    grad: Array,
    mean: Array,
    mean_square: Array,
    scale: float,
    lr: float,
    kept: float,
    added: float,
    kept_square: float,
    added_square: float,
    root: float,
    eps: float,
    weight_decay: float,
) -> None:
    """Change weights and averages, given in one row."""
    for i in range(w.shape[0]):
        g = grad[i] * scale + weight_decay * w[i]
        mean[i] = mean[i] * kept + g * added
        mean_square[i] = mean_square[i] * kept_square + g * g * added_square
        w[i] -= lr * (mean[i] / (np.sqrt(mean_square[i]) / root + eps))


@kernel
def square_sum_pass(row: Array) -> float:
    """Return the sum of squares in float64."""
    total = np.float64(0)
    for i in range(row.shape[0]):
        value = np.float64(row[i])
        total += value * value
    return total


def in_a_row(array: Array) -> Array:
    """Return an array as one row, a view where its elements lie in order."""
    return array.reshape(-1) if array.flags.c_contiguous else np.ascontiguousarray(array).reshape(-1)


def write_back(w: Array, row: Array) -> None:
    """Copy a row to the weights it was made from, unless it is a view of them."""
    if not w.flags.c_contiguous:
        np.copyto(w, row.reshape(w.shape))


def rounded(w: Array, *numbers: float) -> tuple[Any, ...]:
    """Return numbers in the dtype of the weights."""
    return tuple(map(w.dtype.type, numbers))


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
    """Do a step of gradient descent in place; the buffer, C-contiguous, may be None without momentum."""
    row, gradient = in_a_row(w), in_a_row(grad)
    own = gradient if buffer is None else buffer.reshape(-1)
    numbers = rounded(w, scale, lr, 0.0 if buffer is None else momentum, 1 - dampening, weight_decay)
    sgd_pass(row, gradient, own, first, nesterov, *numbers)
    write_back(w, row)


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
    """Do step number `step`, counted from 1, of Adam in place; the averages are C-contiguous."""
    row = in_a_row(w)
    numbers = rounded(
        w,
        scale,
        lr / (1 - betas[0] ** step),
        betas[0],
        1 - betas[0],
        betas[1],
        1 - betas[1],
        math.sqrt(1 - betas[1] ** step),
        eps,
        weight_decay,
    )
    adam_pass(row, in_a_row(grad), mean.reshape(-1), mean_square.reshape(-1), *numbers)
    write_back(w, row)


def square_sum(array: Array) -> float:
    """Return the sum of squares, in float64."""
    return float(square_sum_pass(in_a_row(array)))
