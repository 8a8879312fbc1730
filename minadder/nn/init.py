"""How weights start: PyTorch's Kaiming-uniform for products, N(0, 1) for adder filters."""

from __future__ import annotations

import math

import numpy as np

from minadder.autograd import Array
from minadder.checks import fits_memory
from minadder.random import generator


def kaiming_uniform(shape: tuple[int, ...], fan_in: int) -> Array:
    """Return float32 weights from U(−1/√fan_in, 1/√fan_in), as PyTorch starts Linear and Conv2d, their biases too."""
    fits_memory(shape, 12, "weights")  # 8 bytes as they are drawn, and 4 as they are kept
    bound = 1 / math.sqrt(fan_in)
    return generator().uniform(-bound, bound, shape).astype(np.float32)


def normal(shape: tuple[int, ...]) -> Array:
    """Return float32 weights from N(0, 1), as the authors of AdderNet start adder filters."""
    fits_memory(shape, 4, "weights")
    return generator().standard_normal(shape, np.float32)
