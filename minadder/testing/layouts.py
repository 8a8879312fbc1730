"""Ways for equal values to lie in memory, and whether two arrays are equal in every bit."""

from __future__ import annotations

from typing import Any

import numpy as np

from minadder.autograd import Array


def fortran(array: Array) -> Array:
    """Return a copy whose first axis runs fastest in memory."""
    return np.array(array, order="F")


def transposed(array: Array) -> Array:
    """Return a copy with the last two axes swapped in memory."""
    if array.ndim < 2:
        return array.copy()
    return np.array(array.swapaxes(-1, -2), order="C").swapaxes(-1, -2)


def strided(array: Array) -> Array:
    """Return every second element of an array that has NaN in between."""
    spread = np.full((*array.shape, 2), np.nan, array.dtype)
    spread[..., 0] = array
    return spread[..., 0]


def negative_strides(array: Array) -> Array:
    """Return a copy that runs backwards in memory along every axis."""
    backwards: Any = (*[slice(None, None, -1)] * array.ndim, ...)
    return array[backwards].copy()[backwards]


def read_only(array: Array) -> Array:
    """Return a copy that cannot be written to."""
    copy = array.copy()
    copy.flags.writeable = False
    return copy


LAYOUTS = {
    "fortran": fortran,
    "transposed": transposed,
    "strided": strided,
    "negative strides": negative_strides,
    "read-only": read_only,
}
"""Ways for equal values to lie in memory, other than one after the other in memory of their own: each makes a copy."""


def same_bits(one: Array, other: Array) -> bool:
    """Return whether two arrays agree in dtype, shape and every value; NaN equals NaN, and −0 equals 0.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder.testing import LAYOUTS, same_bits
    >>> x = np.array([[0.25, 0.75], [1.25, np.nan]])
    >>> same_bits(x, LAYOUTS["strided"](x)), same_bits(x, x.astype("float32"))
    (True, False)
    """
    return one.dtype == other.dtype and one.shape == other.shape and np.array_equal(one, other, equal_nan=True)
