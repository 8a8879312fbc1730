"""The sums of the windowed layers as plain loops: what `vector_tiles.py` computes, for machines without vectors.

`u` is a layout of `unfold.py`, entry k of every place the stretch from offsets[k] on; `g` and `out` hold a stretch of
places for each filter, `pitch` apart. Loops along places run in whatever vectors LLVM finds; their indices are
unsigned, since Numba lets a signed one count from the end, and that test would keep the loop out of vectors.
"""

from __future__ import annotations

import numpy as np

from minadder.autograd import Array
from minadder.jit import kernel
from minadder.kernels.simd import FULL_PRECISION, HARDTANH, PRODUCT

ENTRIES = 4
"""Entries of a block of filter gradients."""

AT_ONCE = 128
"""Numbers that are added one by one. Then these sums are added: a long running sum would lose the digits of the new."""


@kernel
def copy_planes(
    target: Array,
    to: int,
    to_plane: int,
    to_row: int,
    source: Array,
    begin: int,
    plane_step: int,
    row_step: int,
    planes: int,
    rows: int,
    count: int,
    spacing: int,
) -> None:
    """Copy planes of `rows` rows of `count` numbers to planes `to_plane` apart, their rows `to_row` apart.

    In the source they are `plane_step` and `row_step` apart. Within a row the source's numbers are `spacing` apart.
    """
    for plane in range(planes):
        for row in range(rows):
            place = np.uintp(to + plane * to_plane + row * to_row)
            at = np.uintp(begin + plane * plane_step + row * row_step)
            if spacing == 1:  # a known spacing lets LLVM use vectors
                for q in range(np.uintp(max(0, count))):
                    target[place + q] = source[at + q]
            else:
                for q in range(np.uintp(max(0, count))):
                    target[place + q] = source[at + q * np.uintp(spacing)]


@kernel
def add_planes(
    target: Array,
    to: int,
    to_plane: int,
    to_row: int,
    source: Array,
    begin: int,
    plane_step: int,
    row_step: int,
    planes: int,
    rows: int,
    count: int,
    spacing: int,
) -> None:
    """Add planes of `rows` rows of `count` numbers to planes `to_plane` apart, their rows `to_row` apart.

    In the source they are `plane_step` and `row_step` apart. Within a row the target's numbers are `spacing` apart.
    """
    for plane in range(planes):
        for row in range(rows):
            place = np.uintp(to + plane * to_plane + row * to_row)
            at = np.uintp(begin + plane * plane_step + row * row_step)
            if spacing == 1:
                for q in range(np.uintp(max(0, count))):
                    target[place + q] += source[at + q]
            else:
                for q in range(np.uintp(max(0, count))):
                    target[place + q * np.uintp(spacing)] += source[at + q]


@kernel
def hardtanh(d: float, one: float) -> float:
    """Return d clipped to [−1, 1] (Chen et al. 2020, Eq. 7), NaN for NaN."""
    upper = one if d > one else d
    return -one if upper < -one else upper


@kernel
def forward_tile(
    u: Array,
    offsets: Array,
    entries: int,
    w: Array,
    first: int,
    length: int,
    filters: int,
    places: int,
    group: int,
    exponent: int,
    out: Array,
    pitch: int,
    fresh: bool,
    one: float,
) -> None:
    """Subtract Σ_k |u − w|^exponent from out; for an exponent of 0 add Σ_k u·w, the product, to it.

    `first` is the block's first entry in w. What `out` held before counts as 0 where it is `fresh`.
    """
    sums = np.empty(places, out.dtype)
    for t in range(filters):
        begin = np.uintp(t * pitch)
        if fresh:
            for p in range(np.uintp(places)):
                out[begin + p] = 0
        for low in range(0, entries, AT_ONCE):
            sums[:] = 0
            for k in range(low, min(entries, low + AT_ONCE)):
                value = w[t * length + first + k]
                source = np.uintp(offsets[k])
                if exponent == 1:
                    for p in range(np.uintp(places)):
                        sums[p] -= abs(u[source + p] - value)
                elif exponent == 2:
                    for p in range(np.uintp(places)):
                        sums[p] -= (u[source + p] - value) * (u[source + p] - value)
                else:
                    for p in range(np.uintp(places)):
                        sums[p] += u[source + p] * value
            for p in range(np.uintp(places)):
                out[begin + p] += sums[p]


@kernel
def input_grad_tile(
    u: Array,
    offsets: Array,
    entries: int,
    w: Array,
    first: int,
    length: int,
    g: Array,
    filters: int,
    places: int,
    group: int,
    rule: int,
    du: Array,
    pitch: int,
    one: float,
) -> None:
    """Add Σ_t g · slope(w, u) to du, for each entry and place."""
    sums = np.empty(places, du.dtype)
    for k in range(entries):
        source = np.uintp(offsets[k])
        for low in range(0, filters, AT_ONCE):
            sums[:] = 0
            for t in range(low, min(filters, low + AT_ONCE)):
                begin, value = np.uintp(t * pitch), w[t * length + first + k]
                if rule == HARDTANH:
                    for p in range(np.uintp(places)):
                        sums[p] += g[begin + p] * hardtanh(value - u[source + p], one)
                elif rule == PRODUCT:
                    for p in range(np.uintp(places)):
                        sums[p] += g[begin + p] * value
                elif rule == FULL_PRECISION:
                    for p in range(np.uintp(places)):
                        sums[p] += g[begin + p] * (value - u[source + p])
                else:
                    for p in range(np.uintp(places)):
                        sums[p] += g[begin + p] * np.sign(value - u[source + p])
            for p in range(np.uintp(places)):
                du[source + p] += sums[p]


@kernel
def pulled_grad_tile(
    u: Array,
    offsets: Array,
    entries: int,
    w: Array,
    first: int,
    length: int,
    x: Array,
    channels: int,
    places: int,
    group: int,
    rule: int,
    out: Array,
    pitch: int,
    fresh: bool,
    one: float,
) -> None:
    """Add Σ_k u · slope(w, x) to out, for each channel and place of x; `first` and `fresh` are as in `forward_tile`."""
    sums = np.empty(places, out.dtype)
    for c in range(channels):
        begin = np.uintp(c * pitch)
        if fresh:
            for p in range(np.uintp(places)):
                out[begin + p] = 0
        for low in range(0, entries, AT_ONCE):
            sums[:] = 0
            for k in range(low, min(entries, low + AT_ONCE)):
                source, value = np.uintp(offsets[k]), w[c * length + first + k]
                if rule == HARDTANH:
                    for p in range(np.uintp(places)):
                        sums[p] += u[source + p] * hardtanh(value - x[begin + p], one)
                elif rule == FULL_PRECISION:
                    for p in range(np.uintp(places)):
                        sums[p] += u[source + p] * (value - x[begin + p])
                else:
                    for p in range(np.uintp(places)):
                        sums[p] += u[source + p] * np.sign(value - x[begin + p])
            for p in range(np.uintp(places)):
                out[begin + p] += sums[p]


@kernel
def weight_grad_tile(
    u: Array,
    offsets: Array,
    entries: int,
    w: Array,
    g: Array,
    filters: int,
    places: int,
    vector: int,
    rule: int,
    dw: Array,
    pitch: int,
    one: float,
) -> None:
    """Add Σ_p g · slope(u, w) to dw, which holds blocks of 4 filters × `ENTRIES` entries, as w does."""
    blocks = (entries + ENTRIES - 1) // ENTRIES
    for t in range(filters):
        for k in range(entries):
            place = (((t // 4) * blocks + k // ENTRIES) * 4 + t % 4) * ENTRIES + k % ENTRIES
            begin, source = np.uintp(t * pitch), np.uintp(offsets[k])
            total = value = w.dtype.type(0)
            if rule == PRODUCT:
                for p in range(np.uintp(places)):
                    total += g[begin + p] * u[source + p]
            else:
                value = w[place]
                if rule == HARDTANH:
                    for p in range(np.uintp(places)):
                        total += g[begin + p] * hardtanh(u[source + p] - value, one)
                else:
                    for p in range(np.uintp(places)):
                        total += g[begin + p] * np.sign(u[source + p] - value)
            dw[place] += total
