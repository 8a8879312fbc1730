"""The sums of ℓp adder layers in vector registers. `plain_power_tiles.py` says what each computes.

Registers have the powers of ordinary differences only (`simd_powers.py`). Sums that met another one are thrown away,
and the plain loops compute them. The tables take 7 registers, so that fewer sums are held at once than in
`vector_tiles.py`. A vector of powers takes so long that the last places are taken a vector at a time, not a whole tile.
"""

from __future__ import annotations

from typing import Any

from minadder.autograd import Array
from minadder.jit import kernel
from minadder.kernels import plain_power_tiles
from minadder.kernels.plain_tiles import AT_ONCE as MOST_AT_ONCE
from minadder.kernels.simd import VECTORS, add_at, add_lane_sums, add_to, keep, load, load_at, store, zeros
from minadder.kernels.simd_powers import (
    add_input_powers,
    add_weight_powers,
    extraordinary,
    subtract_powers,
    with_notes,
    without_notes,
)
from minadder.kernels.vector_tiles import BLOCK, ENTRIES

AT_ONCE = 64
"""Entries that are summed before a look at the notes: so many, at most, are summed again by the plain loops."""


def forward_powers(vectors: int) -> Any:
    """Return `forward_power_tile`'s sums for so many vectors of places at a time, `step` places together."""
    two_filters = 2 * vectors

    @kernel(inline=True)
    def subtract(
        u: Array,
        offsets: Array,
        entries: int,
        w: Array,
        first: int,
        length: int,
        filters: int,
        begin_place: int,
        end_place: int,
        step: int,
        table: Array,
        out: Array,
        pitch: int,
        fresh: bool,
    ) -> None:
        for p in range(begin_place, end_place, step):
            for begin in range(0, entries, AT_ONCE):
                end = min(entries, begin + AT_ONCE)
                for t in range(0, filters, 2):
                    at, place = t * length + first, t * pitch + p
                    sums = with_notes(zeros(u, two_filters))
                    for k in range(begin, end):
                        sums = subtract_powers(sums, load(u, offsets[k] + p, 0, 1, vectors), w, at + k, length, table)
                    if extraordinary(sums):
                        plain_power_tiles.forward_power_tile(
                            u[p:],
                            offsets[begin:],
                            end - begin,
                            w[t * length :],
                            first + begin,
                            length,
                            2,
                            step,
                            step,
                            table,
                            out[place:],
                            pitch,
                            fresh and begin == 0,
                        )
                    elif fresh and begin == 0:
                        store(without_notes(sums), out, place, pitch, vectors)
                    else:
                        add_to(without_notes(sums), out, place, pitch, vectors)

    return subtract


def input_powers(vectors: int) -> Any:
    """Return `input_power_tile`'s sums for so many vectors of places at a time, `step` places together."""

    @kernel(inline=True)
    def add(
        u: Array,
        offsets: Array,
        entries: int,
        w: Array,
        first: int,
        g: Array,
        filters: int,
        begin_place: int,
        end_place: int,
        step: int,
        table: Array,
        du: Array,
        pitch: int,
    ) -> None:
        for p in range(begin_place, end_place, step):
            for k in range(entries):
                xs = load_at(u, offsets, k, p, 1, vectors)
                for low in range(0, filters, MOST_AT_ONCE):
                    noted = with_notes(zeros(u, vectors))
                    for t in range(low, min(filters, low + MOST_AT_ONCE)):
                        gs = load(g, t * pitch + p, 0, 1, vectors)
                        noted = add_input_powers(noted, xs, gs, w, (first + k) * filters + t, table)
                    if extraordinary(noted):
                        plain_power_tiles.input_power_tile(
                            u[p:],
                            offsets[k:],
                            1,
                            w[(first + k) * filters + low :],
                            0,
                            g[low * pitch + p :],
                            min(filters - low, MOST_AT_ONCE),
                            step,
                            step,
                            table,
                            du[p:],
                            pitch,
                        )
                    else:
                        add_at(without_notes(noted), du, offsets, k, p, vectors)

    return add


subtract_forward, subtract_last = forward_powers(VECTORS), forward_powers(1)
add_input, add_last_input = input_powers(VECTORS), input_powers(1)


@kernel
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
    """Subtract Σ_k |u − w|^q from out; `first` and `fresh` are as in `plain_tiles.forward_tile`.

    For an odd number of filters w has a row more.
    """
    whole, vector = places // group * group, group // VECTORS
    subtract_forward(u, offsets, entries, w, first, length, filters, 0, whole, group, table, out, pitch, fresh)
    subtract_last(u, offsets, entries, w, first, length, filters, whole, places, vector, table, out, pitch, fresh)


@kernel
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
    """Add Σ_t g · sgn(w − u)·|w − u|^q to du, for each entry and place; w holds the filters side by side.

    Behind the last place g holds zeros.
    """
    whole, vector = places // group * group, group // VECTORS
    add_input(u, offsets, entries, w, first, g, filters, 0, whole, group, table, du, pitch)
    add_last_input(u, offsets, entries, w, first, g, filters, whole, places, vector, table, du, pitch)


@kernel
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
    rest = places % vector
    for k in range(0, entries, ENTRIES):
        for t in range(0, filters, 4):
            block = (t // 4 * ((entries + ENTRIES - 1) // ENTRIES) + k // ENTRIES) * BLOCK
            last_g = keep(load(g, t * pitch + places - rest, pitch, 4, 1), 1, rest)
            last_x = keep(load_at(u, offsets, k, places - rest, ENTRIES, 1), 1, rest)
            noted = add_weight_powers(with_notes(zeros(u, BLOCK)), last_g, last_x, w, block, table)
            for p in range(0, places - rest, vector):
                gs = load(g, t * pitch + p, pitch, 4, 1)
                xs = load_at(u, offsets, k, p, ENTRIES, 1)
                noted = add_weight_powers(noted, gs, xs, w, block, table)
            if extraordinary(noted):
                plain_power_tiles.weight_power_tile(
                    u, offsets[k:], ENTRIES, w[block:], g[t * pitch :], 4, places, vector, table, dw[block:], pitch
                )
            else:
                add_lane_sums(without_notes(noted), dw, block)
