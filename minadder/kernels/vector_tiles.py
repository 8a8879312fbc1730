"""The sums of the windowed layers in vector registers, a tile at a time. `plain_tiles.py` says what each computes.

A vector holds neighbouring places of one entry, and each number loaded is used several times before the next: x for
4 filters, w for all places of the tile, and the sums stay in registers while the loop goes over all entries.
"""

from __future__ import annotations

from minadder.autograd import Array
from minadder.jit import kernel
from minadder.kernels import plain_tiles
from minadder.kernels.plain_tiles import AT_ONCE
from minadder.kernels.simd import (
    FULL_PRECISION,
    HARDTANH,
    PRODUCT,
    SIGN,
    VECTORS,
    add_at,
    add_input_slopes,
    add_lane_sums,
    add_products,
    add_to,
    add_weight_slopes,
    keep,
    load,
    load_at,
    store,
    subtract_distances,
    subtract_squares,
    zeros,
)
from minadder.kernels.simd_planes import move_planes

ENTRIES = VECTORS
"""Entries of a block of filter gradients: 4 filters × 4 entries on machines of 32 registers."""

FOUR_FILTERS, TWO_FILTERS, TWO_ENTRIES, FOUR_ENTRIES = 4 * VECTORS, 2 * VECTORS, 2 * VECTORS, 4 * VECTORS
BLOCK = 4 * ENTRIES


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
    if spacing == 1 and count > 0:
        move_planes(target, to, to_plane, to_row, source, begin, plane_step, row_step, planes, rows, count, 1, False)
    elif spacing == 2 and count > 0:
        move_planes(target, to, to_plane, to_row, source, begin, plane_step, row_step, planes, rows, count, 2, False)
    else:
        plain_tiles.copy_planes(
            target, to, to_plane, to_row, source, begin, plane_step, row_step, planes, rows, count, spacing
        )


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
    if spacing == 1 and count > 0:
        move_planes(target, to, to_plane, to_row, source, begin, plane_step, row_step, planes, rows, count, 1, True)
    elif spacing == 2 and count > 0:
        move_planes(target, to, to_plane, to_row, source, begin, plane_step, row_step, planes, rows, count, 2, True)
    else:
        plain_tiles.add_planes(
            target, to, to_plane, to_row, source, begin, plane_step, row_step, planes, rows, count, spacing
        )


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

    `first` is the block's first entry in w. What `out` held before counts as 0 where it is `fresh`. For an odd number
    of filters w has a row more.
    """
    for p in range(0, places, group):
        for low in range(0, entries, AT_ONCE):
            high = min(entries, low + AT_ONCE)
            for t in range(0, filters, 4):
                at, place = t * length + first, t * pitch + p
                if filters - t > 2:
                    sums = zeros(u, FOUR_FILTERS)
                    if exponent == 1:
                        for k in range(low, high):
                            xs = load(u, offsets[k] + p, 0, 1, VECTORS)
                            sums = subtract_distances(sums, xs, w, at + k, length, one)
                    elif exponent == 2:
                        for k in range(low, high):
                            xs = load(u, offsets[k] + p, 0, 1, VECTORS)
                            sums = subtract_squares(sums, xs, w, at + k, length, one)
                    else:
                        for k in range(low, high):
                            xs = load(u, offsets[k] + p, 0, 1, VECTORS)
                            sums = add_products(sums, xs, w, at + k, length, one)
                    if fresh and low == 0:
                        store(sums, out, place, pitch, VECTORS)
                    else:
                        add_to(sums, out, place, pitch, VECTORS)
                else:
                    pair = zeros(u, TWO_FILTERS)
                    if exponent == 1:
                        for k in range(low, high):
                            xs = load(u, offsets[k] + p, 0, 1, VECTORS)
                            pair = subtract_distances(pair, xs, w, at + k, length, one)
                    elif exponent == 2:
                        for k in range(low, high):
                            xs = load(u, offsets[k] + p, 0, 1, VECTORS)
                            pair = subtract_squares(pair, xs, w, at + k, length, one)
                    else:
                        for k in range(low, high):
                            xs = load(u, offsets[k] + p, 0, 1, VECTORS)
                            pair = add_products(pair, xs, w, at + k, length, one)
                    if fresh and low == 0:
                        store(pair, out, place, pitch, VECTORS)
                    else:
                        add_to(pair, out, place, pitch, VECTORS)


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
    for p in range(0, places, group):
        for low in range(0, filters, AT_ONCE):
            high = min(filters, low + AT_ONCE)
            if rule == PRODUCT:
                for k in range(0, entries, 4):
                    products = zeros(u, FOUR_ENTRIES)
                    for t in range(low, high):
                        gs = load(g, t * pitch + p, 0, 1, VECTORS)
                        products = add_products(products, gs, w, t * length + first + k, 1, one)
                    if p + group > places:
                        products = keep(products, VECTORS, places - p)
                    add_at(products, du, offsets, k, p, VECTORS)
                continue
            for k in range(0, entries, 2):
                xs = load_at(u, offsets, k, p, 2, VECTORS)
                sums = zeros(u, TWO_ENTRIES)
                at = first + k
                if rule == HARDTANH:
                    for t in range(low, high):
                        gs = load(g, t * pitch + p, 0, 1, VECTORS)
                        sums = add_input_slopes(sums, xs, gs, w, t * length + at, 1, one, HARDTANH)
                elif rule == FULL_PRECISION:
                    for t in range(low, high):
                        gs = load(g, t * pitch + p, 0, 1, VECTORS)
                        sums = add_input_slopes(sums, xs, gs, w, t * length + at, 1, one, FULL_PRECISION)
                else:
                    for t in range(low, high):
                        gs = load(g, t * pitch + p, 0, 1, VECTORS)
                        sums = add_input_slopes(sums, xs, gs, w, t * length + at, 1, one, SIGN)
                if p + group > places:
                    sums = keep(sums, VECTORS, places - p)
                add_at(sums, du, offsets, k, p, VECTORS)


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
    for p in range(0, places, group):
        for low in range(0, entries, AT_ONCE):
            high = min(entries, low + AT_ONCE)
            for c in range(0, channels, 2):
                xs = load(x, c * pitch + p, pitch, 2, VECTORS)
                sums = zeros(u, TWO_FILTERS)
                at = c * length + first
                if rule == HARDTANH:
                    for k in range(low, high):
                        gs = load(u, offsets[k] + p, 0, 1, VECTORS)
                        sums = add_input_slopes(sums, xs, gs, w, at + k, length, one, HARDTANH)
                elif rule == FULL_PRECISION:
                    for k in range(low, high):
                        gs = load(u, offsets[k] + p, 0, 1, VECTORS)
                        sums = add_input_slopes(sums, xs, gs, w, at + k, length, one, FULL_PRECISION)
                else:
                    for k in range(low, high):
                        gs = load(u, offsets[k] + p, 0, 1, VECTORS)
                        sums = add_input_slopes(sums, xs, gs, w, at + k, length, one, SIGN)
                if fresh and low == 0:
                    store(sums, out, c * pitch + p, pitch, VECTORS)
                else:
                    add_to(sums, out, c * pitch + p, pitch, VECTORS)


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
    rest = places % vector
    for k in range(0, entries, ENTRIES):
        for t in range(0, filters, 4):
            block = (t // 4 * ((entries + ENTRIES - 1) // ENTRIES) + k // ENTRIES) * BLOCK
            sums = zeros(u, BLOCK)
            last_g = keep(load(g, t * pitch + places - rest, pitch, 4, 1), 1, rest)
            last_x = keep(load_at(u, offsets, k, places - rest, ENTRIES, 1), 1, rest)
            if rule == PRODUCT:
                sums = add_weight_slopes(sums, last_g, last_x, w, block, one, PRODUCT)
                for p in range(0, places - rest, vector):
                    gs = load(g, t * pitch + p, pitch, 4, 1)
                    xs = load_at(u, offsets, k, p, ENTRIES, 1)
                    sums = add_weight_slopes(sums, gs, xs, w, block, one, PRODUCT)
            elif rule == HARDTANH:
                sums = add_weight_slopes(sums, last_g, last_x, w, block, one, HARDTANH)
                for p in range(0, places - rest, vector):
                    gs = load(g, t * pitch + p, pitch, 4, 1)
                    xs = load_at(u, offsets, k, p, ENTRIES, 1)
                    sums = add_weight_slopes(sums, gs, xs, w, block, one, HARDTANH)
            else:
                sums = add_weight_slopes(sums, last_g, last_x, w, block, one, SIGN)
                for p in range(0, places - rest, vector):
                    gs = load(g, t * pitch + p, pitch, 4, 1)
                    xs = load_at(u, offsets, k, p, ENTRIES, 1)
                    sums = add_weight_slopes(sums, gs, xs, w, block, one, SIGN)
            add_lane_sums(sums, dw, block)
