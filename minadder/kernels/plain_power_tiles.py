"""The sums of ℓp adder layers as plain loops: what `vector_power_tiles.py` computes, for machines without vectors.

As in `plain_tiles.py`, u is a layout of `unfold.py`, and g and out hold a stretch of places for each filter.
"""

from __future__ import annotations

import numpy as np

from minadder.autograd import Array
from minadder.jit import kernel
from minadder.kernels import plain_tiles, simd, vector_tiles
from minadder.kernels.plain_tiles import AT_ONCE
from minadder.kernels.powers import power, signed_power

ENTRIES = vector_tiles.ENTRIES if simd.VECTOR_BITS else plain_tiles.ENTRIES
"""Entries of a block of filter gradients, which this machine's other tiles have too."""


@kernel(inline=True)
def forward_power_tile(
    u: Array,
    offsets: Array,
    entries: int,
    w: Array,
    first: int,
    length: int,
    filters: int,
    places: int,
    group: int,
    table: Array,
    out: Array,
    pitch: int,
    fresh: bool,
) -> None:
    """Subtract Σ_k |u − w|^q from out; `first` and `fresh` are as in `plain_tiles.forward_tile`."""
    sums = np.empty(places, out.dtype)
    for t in range(filters):
        begin = np.uintp(t * pitch)
        if fresh:
            for p in range(np.uintp(places)):
                out[begin + p] = 0
        for low in range(0, entries, AT_ONCE):
            sums[:] = 0
            for k in range(low, min(entries, low + AT_ONCE)):
                source, value = np.uintp(offsets[k]), w[t * length + first + k]
                for p in range(np.uintp(places)):
                    sums[p] -= power(u[source + p] - value, table)
            for p in range(np.uintp(places)):
                out[begin + p] += sums[p]


@kernel(inline=True)
def input_power_tile(
    u: Array,
    offsets: Array,
    entries: int,
    w: Array,
    first: int,
    g: Array,
    filters: int,
    places: int,
    group: int,
    table: Array,
    du: Array,
    pitch: int,
) -> None:
    """Add Σ_t g · sgn(w − u)·|w − u|^q to du, for each entry and place; w holds the filters side by side."""
    sums = np.empty(places, du.dtype)
    for k in range(entries):
        source = np.uintp(offsets[k])
        for low in range(0, filters, AT_ONCE):
            sums[:] = 0
            for t in range(low, min(filters, low + AT_ONCE)):
                begin, value = np.uintp(t * pitch), w[(first + k) * filters + t]
                for p in range(np.uintp(places)):
                    sums[p] += g[begin + p] * signed_power(value - u[source + p], table)
            for p in range(np.uintp(places)):
                du[source + p] += sums[p]


@kernel(inline=True)
def weight_power_tile(
    u: Array,
    offsets: Array,
    entries: int,
    w: Array,
    g: Array,
    filters: int,
    places: int,
    vector: int,
    table: Array,
    dw: Array,
    pitch: int,
) -> None:
    """Add Σ_p g · sgn(u − w)·|u − w|^q to dw, which holds blocks of 4 filters × `ENTRIES` entries, as w does."""
    blocks = (entries + ENTRIES - 1) // ENTRIES
    for t in range(filters):
        for k in range(entries):
            place = (((t // 4) * blocks + k // ENTRIES) * 4 + t % 4) * ENTRIES + k % ENTRIES
            begin, source = np.uintp(t * pitch), np.uintp(offsets[k])
            total, value = w.dtype.type(0), w[place]
            for p in range(np.uintp(places)):
                total += g[begin + p] * signed_power(u[source + p] - value, table)
            dw[place] += total
