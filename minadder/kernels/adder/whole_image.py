"""Adder layers whose window is the whole image, as a fully-connected layer's is: what of it is a matrix product.

With the images as rows of X and the filters as rows of F, the ℓ2 distances are 2·X·Fᵀ − Σ X² − Σ F², and the gradients
under the full-precision rule G·F − X·Σ G and Gᵀ·X − F·Σ G.
"""

from __future__ import annotations

import math

import numpy as np

from minadder.autograd import Array
from minadder.kernels.geometry import Pair
from minadder.kernels.windowed import products_to_distances, square_sums


def is_whole(x: Array, w: Array, padding: Pair) -> bool:
    """Return whether filters w see all of an image of x at once, and nothing else."""
    return padding == (0, 0) and x.shape[1:] == w.shape[1:]


def as_rows(array: Array) -> Array:
    """Return an array with one row for each entry of its first axis."""
    return array.reshape(array.shape[0], math.prod(array.shape[1:]))


def product(a: Array, b: Array) -> Array:
    """Return the matrix product; infinite and missing numbers are no reason to warn, as nowhere in the kernels."""
    with np.errstate(over="ignore", invalid="ignore"):
        result: Array = a @ b
    return result


def forward(x: Array, w: Array) -> Array:
    """Return −Σ (X − F)², (N, T, 1, 1)."""
    points, filters = as_rows(x), as_rows(w)
    y = product(points, filters.T)
    count = filters.shape[0]
    # a place for each filter here, and a row for each point
    products_to_distances(y.reshape(-1), count, count, square_sums(filters), square_sums(points))
    return y.reshape(*y.shape, 1, 1)


def input_grad(grad: Array, x: Array, w: Array) -> Array:
    """Return Σ G · (F − X) over the filters, in the shape of x."""
    return differences(as_rows(grad), as_rows(w), as_rows(x)).reshape(x.shape)


def weight_grad(grad: Array, x: Array, w: Array) -> Array:
    """Return Σ G · (X − F) over the images, in the shape of w."""
    return differences(as_rows(grad).T, as_rows(x), as_rows(w)).reshape(w.shape)


def differences(slopes: Array, others: Array, own: Array) -> Array:
    """Return slopes·others less each of its own rows as often as its slopes say in all."""
    with np.errstate(over="ignore", invalid="ignore"):
        found = product(slopes, others)
        found -= own * slopes.sum(axis=1, dtype=np.float64).astype(own.dtype)[:, None]
    return found
