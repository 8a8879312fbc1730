"""The innermost loops of the windowed layers. Each runs along rows of patches, in vector lanes, four rows at a time.

Rows are of `columns` (K, P): entry k of every patch; of `g` (T, P): the incoming gradient of every patch for filter t.
"""

from __future__ import annotations

import numpy as np

from minadder.autograd import Array
from minadder.jit import kernel

SIGN, FULL_PRECISION, HARDTANH, PRODUCT = 0, 1, 2, 3
"""Slopes of a pair (a, b): sgn(a − b), a − b, a − b clipped to [−1, 1], and for the convolution just a."""


@kernel
def subtract_distances(out: Array, t: int, columns: Array, k: int, w: Array) -> None:
    """Subtract |columns[k + i] − w[t, k + i]|, i < 4, from out[t]."""
    w0, w1, w2, w3 = w[t, k], w[t, k + 1], w[t, k + 2], w[t, k + 3]
    for p in range(out.shape[1]):
        s01 = abs(columns[k, p] - w0) + abs(columns[k + 1, p] - w1)
        s23 = abs(columns[k + 2, p] - w2) + abs(columns[k + 3, p] - w3)
        out[t, p] -= s01 + s23


@kernel
def add_products(out: Array, t: int, columns: Array, k: int, w: Array) -> None:
    """Add columns[k + i] · w[t, k + i], i < 4, to out[t]."""
    w0, w1, w2, w3 = w[t, k], w[t, k + 1], w[t, k + 2], w[t, k + 3]
    for p in range(out.shape[1]):
        s01 = columns[k, p] * w0 + columns[k + 1, p] * w1
        s23 = columns[k + 2, p] * w2 + columns[k + 3, p] * w3
        out[t, p] += s01 + s23


@kernel
def hardtanh(d: float, one: float) -> float:
    """Return d clipped to [−1, 1] (Chen et al. 2020, Eq. 7), NaN for NaN."""
    upper = one if d > one else d
    return -one if upper < -one else upper


@kernel
def add_input_slopes(out: Array, columns: Array, k: int, w: Array, t: int, g: Array, rule: int) -> None:
    """Add Σ_i g[t + i] · slope(w[t + i, k], columns[k]), i < 4, to out[k]: the input gradient of entry k."""
    w0, w1, w2, w3 = w[t, k], w[t + 1, k], w[t + 2, k], w[t + 3, k]
    one = out.dtype.type(1)
    if rule == HARDTANH:
        for p in range(out.shape[1]):
            x = columns[k, p]
            s01 = g[t, p] * hardtanh(w0 - x, one) + g[t + 1, p] * hardtanh(w1 - x, one)
            s23 = g[t + 2, p] * hardtanh(w2 - x, one) + g[t + 3, p] * hardtanh(w3 - x, one)
            out[k, p] += s01 + s23
    elif rule == PRODUCT:
        for p in range(out.shape[1]):
            out[k, p] += (g[t, p] * w0 + g[t + 1, p] * w1) + (g[t + 2, p] * w2 + g[t + 3, p] * w3)
    elif rule == FULL_PRECISION:
        for p in range(out.shape[1]):
            x = columns[k, p]
            s01 = g[t, p] * (w0 - x) + g[t + 1, p] * (w1 - x)
            s23 = g[t + 2, p] * (w2 - x) + g[t + 3, p] * (w3 - x)
            out[k, p] += s01 + s23
    else:
        for p in range(out.shape[1]):
            x = columns[k, p]
            s01 = g[t, p] * np.sign(w0 - x) + g[t + 1, p] * np.sign(w1 - x)
            s23 = g[t + 2, p] * np.sign(w2 - x) + g[t + 3, p] * np.sign(w3 - x)
            out[k, p] += s01 + s23


@kernel
def add_weight_slopes(out: Array, first: int, columns: Array, k: int, w: Array, t: int, g: Array, rule: int) -> None:
    """Add Σ_p g[t, p] · slope(columns[k + i, p], w[first + t, k + i]), i < 4, to out[first + t, k + i]."""
    f = first + t
    w0, w1, w2, w3 = w[f, k], w[f, k + 1], w[f, k + 2], w[f, k + 3]
    one = out.dtype.type(1)
    s0 = s1 = s2 = s3 = out.dtype.type(0)
    if rule == HARDTANH:
        for p in range(g.shape[1]):
            s0 += g[t, p] * hardtanh(columns[k, p] - w0, one)
            s1 += g[t, p] * hardtanh(columns[k + 1, p] - w1, one)
            s2 += g[t, p] * hardtanh(columns[k + 2, p] - w2, one)
            s3 += g[t, p] * hardtanh(columns[k + 3, p] - w3, one)
    else:
        for p in range(g.shape[1]):
            s0 += g[t, p] * np.sign(columns[k, p] - w0)
            s1 += g[t, p] * np.sign(columns[k + 1, p] - w1)
            s2 += g[t, p] * np.sign(columns[k + 2, p] - w2)
            s3 += g[t, p] * np.sign(columns[k + 3, p] - w3)
    out[f, k] += s0
    out[f, k + 1] += s1
    out[f, k + 2] += s2
    out[f, k + 3] += s3


@kernel
def add_weight_products(out: Array, first: int, columns: Array, k: int, t: int, g: Array) -> None:
    """Add Σ_p g[t + i, p] · columns[k + j, p] to out[first + t + i, k + j], i, j < 4: 16 sums kept in registers."""
    s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = out.dtype.type(0)
    s20 = s21 = s22 = s23 = s30 = s31 = s32 = s33 = out.dtype.type(0)
    for p in range(g.shape[1]):
        a0, a1, a2, a3 = g[t, p], g[t + 1, p], g[t + 2, p], g[t + 3, p]
        b0, b1, b2, b3 = columns[k, p], columns[k + 1, p], columns[k + 2, p], columns[k + 3, p]
        s00 += a0 * b0
        s01 += a0 * b1
        s02 += a0 * b2
        s03 += a0 * b3
        s10 += a1 * b0
        s11 += a1 * b1
        s12 += a1 * b2
        s13 += a1 * b3
        s20 += a2 * b0
        s21 += a2 * b1
        s22 += a2 * b2
        s23 += a2 * b3
        s30 += a3 * b0
        s31 += a3 * b1
        s32 += a3 * b2
        s33 += a3 * b3
    sums = ((s00, s01, s02, s03), (s10, s11, s12, s13), (s20, s21, s22, s23), (s30, s31, s32, s33))
    for i in range(4):
        for j in range(4):
            out[first + t + i, k + j] += sums[i][j]
