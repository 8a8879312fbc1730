"""Functions of each element straight from their definitions."""

from __future__ import annotations

import numpy as np

from minadder.autograd import Array


def relu_forward(x: Array) -> Array:
    """Return max(x, 0); NaN stays NaN."""
    return np.asarray(np.maximum(x, 0))


def relu_backward(grad: Array, y: Array) -> Array:
    """Return G, but 0 where the output y is 0. Where y is NaN G passes."""
    return np.where(y <= 0, grad.dtype.type(0), grad)
