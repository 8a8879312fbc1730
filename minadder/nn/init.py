"""How weights start: PyTorch's Kaiming-uniform for products, N(0, 1) for adder filters."""

from __future__ import annotations

import math

import numpy as np

from minadder.autograd import Array
from minadder.random import generator


def kaiming_uniform(shape: tuple[int, ...], fan_in: int) -> Array:
    """Return float32 weights from U(−1/√fan_in, 1/√fan_in), as PyTorch starts Linear and Conv2d, their biases too."""
    bound = 1 / math.sqrt(fan_in)
    return generator().uniform(-bound, bound, shape).astype(np.float32)


def normal(shape: tuple[int, ...]) -> Array:
    """Return float32 weights from N(0, 1), as the authors of AdderNet start adder filters."""
    return generator().standard_normal(shape, np.float32)


def positive(value: int, name: str) -> int:
    """Return a size that is an int of at least 1; TypeError or ValueError names another."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an int, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")
    return int(value)
