"""Sums over axes that keep their digits, along any axis and of any number of values."""

from __future__ import annotations

import numpy as np

from minadder.autograd import Array


def sum_over(x: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
    """Return the sum of x over axes, in the precision of x.

    Added up in float64: `x.sum()` adds pairwise along the last axis alone. Along the others it runs on, and behind a
    million numbers of float32 the sum's steps are as large as the numbers.
    """
    return np.asarray(x.sum(axis=axes, keepdims=keepdims, dtype=np.float64)).astype(x.dtype, copy=False)
