"""What adder layers and convolutions share: each output is a sum over a window, of |x − f| or of x·f.

A thread gathers a tile of patches into the columns of a buffer that its cache holds and runs the loops of `rows.py` on
it. So no (K × patches) array exists and never a (filters × K × patches) one. Every sum is cut into parts by the shapes
alone, so the bits do not depend on the number of threads.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from minadder.autograd import Array
from minadder.jit import kernel
from minadder.kernels.geometry import Pair
from minadder.kernels.patches import (
    filter_rows,
    gather,
    gather_outputs,
    rounded_up,
    scatter,
    scatter_outputs,
    windows,
)
from minadder.kernels.rows import (
    PRODUCT,
    add_input_slopes,
    add_products,
    add_weight_products,
    add_weight_slopes,
    subtract_distances,
)

TILE_PATCHES = 512
"""Patches of a tile: rows long enough for vector loops, and four of them (8 KiB) short enough for the first cache."""

LEAST_TASKS = 4
"""Cut smaller layers finer than by whole tiles, so that there is work for this many threads."""

PARTIAL_ELEMENTS = 1 << 20
"""Bound on the partial sums of a filter gradient, in elements, beyond two parts."""

FILTER_BLOCK = 64
"""Filters whose gradient one task sums, so that gathering the patches anew for each block is small beside it."""


def tile_patches(total: int) -> int:
    """Return the patches of a tile, of `total` altogether: a multiple of 16, whole vectors of float32."""
    return min(TILE_PATCHES, rounded_up(max(1, -(-total // LEAST_TASKS)), 16))


@kernel
def forward_tile(
    begin: int,
    end: int,
    x: Array,
    first_channel: int,
    w: Array,
    win: Any,
    distance: bool,
    first_filter: int,
    filters: int,
    y: Array,
) -> None:
    """Write the outputs of the patches `begin` to `end` to y (N, T, places)."""
    columns = np.zeros((w.shape[1], end - begin), x.dtype)
    gather(x, first_channel, begin, end, win, columns)
    sums = np.zeros((filters, end - begin), x.dtype)
    for k in range(0, w.shape[1], 4):
        for t in range(filters):
            if distance:
                subtract_distances(sums, t, columns, k, w)
            else:
                add_products(sums, t, columns, k, w)
    scatter_outputs(sums, filters, begin, end, first_filter, y)


@kernel(parallel=True)
def forward_group(
    patches: int,
    x: Array,
    first_channel: int,
    w: Array,
    win: Any,
    distance: bool,
    first_filter: int,
    filters: int,
    y: Array,
) -> None:
    """Write the outputs of one group of filters. A tile of `patches` belongs to one thread."""
    total = y.shape[0] * y.shape[2]
    for tile in numba.prange((total + patches - 1) // patches):
        begin = tile * patches
        forward_tile(begin, min(begin + patches, total), x, first_channel, w, win, distance, first_filter, filters, y)


@kernel
def input_grad_tile(
    begin: int,
    end: int,
    grad: Array,
    first_filter: int,
    filters: int,
    x: Array,
    first_channel: int,
    w: Array,
    win: Any,
    rule: int,
    x_grad: Array,
) -> None:
    """Add to x_grad what comes from the patches `begin` to `end`."""
    columns = np.zeros((w.shape[1], end - begin), x.dtype)
    if rule != PRODUCT:
        gather(x, first_channel, begin, end, win, columns)
    g = np.zeros((w.shape[0], end - begin), x.dtype)
    gather_outputs(grad, first_filter, filters, begin, end, g)
    column_grads = np.zeros((w.shape[1], end - begin), x.dtype)
    for t in range(0, w.shape[0], 4):
        for k in range(win[0].length):
            add_input_slopes(column_grads, columns, k, w, t, g, rule)
    scatter(column_grads, begin, end, first_channel, win, x_grad)


@kernel(parallel=True)
def input_grad_group(
    images: int,
    patches: int,
    grad: Array,
    first_filter: int,
    filters: int,
    x: Array,
    first_channel: int,
    w: Array,
    win: Any,
    rule: int,
    x_grad: Array,
) -> None:
    """Add what one group of filters gives to x_grad. Patches overlap, so that `images` belong to one thread."""
    total = grad.shape[0] * grad.shape[2]
    stretch = images * grad.shape[2]
    for task in numba.prange((grad.shape[0] + images - 1) // images):
        end = min((task + 1) * stretch, total)
        for begin in range(task * stretch, end, patches):
            input_grad_tile(
                begin,
                min(begin + patches, end),
                grad,
                first_filter,
                filters,
                x,
                first_channel,
                w,
                win,
                rule,
                x_grad,
            )


@kernel
def weight_grad_tile(
    begin: int,
    end: int,
    low: int,
    high: int,
    grad: Array,
    first_filter: int,
    x: Array,
    first_channel: int,
    w: Array,
    win: Any,
    rule: int,
    w_grad: Array,
) -> None:
    """Add to w_grad (filters, K) what the patches `begin` to `end` give the filters `low` to `high` of a group."""
    columns = np.zeros((w.shape[1], end - begin), x.dtype)
    gather(x, first_channel, begin, end, win, columns)
    g = np.zeros((rounded_up_4(high - low), end - begin), x.dtype)
    gather_outputs(grad, first_filter + low, high - low, begin, end, g)
    for k in range(0, w.shape[1], 4):
        if rule == PRODUCT:
            for t in range(0, high - low, 4):
                add_weight_products(w_grad, low, columns, k, t, g)
        else:
            for t in range(high - low):
                add_weight_slopes(w_grad, low, columns, k, w, t, g, rule)


@kernel
def rounded_up_4(number: int) -> int:
    """Return the smallest multiple of 4 that is not below `number`."""
    return (number + 3) // 4 * 4


@kernel(parallel=True)
def weight_grad_group(
    patches: int,
    grad: Array,
    first_filter: int,
    filters: int,
    x: Array,
    first_channel: int,
    w: Array,
    win: Any,
    rule: int,
    partial: Array,
) -> None:
    """Sum one group's filter gradient in parts (parts, filters, K), each over its own stretch of patches.

    A part for a block of filters belongs to one thread.
    """
    total = grad.shape[0] * grad.shape[2]
    parts = partial.shape[0]
    stretch = (total + parts - 1) // parts
    blocks = (filters + FILTER_BLOCK - 1) // FILTER_BLOCK
    for task in numba.prange(parts * blocks):
        part = task // blocks
        low = task % blocks * FILTER_BLOCK
        high = min(low + FILTER_BLOCK, filters)
        end = min((part + 1) * stretch, total)
        for begin in range(part * stretch, end, patches):
            weight_grad_tile(
                begin,
                min(begin + patches, end),
                low,
                high,
                grad,
                first_filter,
                x,
                first_channel,
                w,
                win,
                rule,
                partial[part],
            )


def forward(x: Array, w: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int, distance: bool) -> Array:
    """Return −Σ |X − F| over each window where `distance`, else Σ X·F."""
    x = np.ascontiguousarray(x)
    win = windows(x, w, stride, padding, dilation)
    geo = win[0]
    y = np.empty((x.shape[0], w.shape[0], geo.per_image), x.dtype)
    patches = tile_patches(x.shape[0] * geo.per_image)
    filters = w.shape[0] // groups
    for first in range(0, w.shape[0], filters):
        rows = filter_rows(w[first : first + filters], geo.length)
        forward_group(patches, x, first // filters * geo.channels, rows, win, distance, first, filters, y)
    return y.reshape(x.shape[0], w.shape[0], geo.out_height, geo.out_width)


def input_grad(
    grad: Array, x: Array, w: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int, rule: int
) -> Array:
    """Return Σ G · slope(F, X) over the windows that see each entry of X."""
    x = np.ascontiguousarray(x)
    win = windows(x, w, stride, padding, dilation)
    geo = win[0]
    grad = np.ascontiguousarray(grad).reshape(x.shape[0], w.shape[0], geo.per_image)
    x_grad = np.zeros_like(x)
    patches = tile_patches(x.shape[0] * geo.per_image)
    images = max(1, patches // geo.per_image)
    filters = w.shape[0] // groups
    for first in range(0, w.shape[0], filters):
        rows = filter_rows(w[first : first + filters], geo.length)
        channel = first // filters * geo.channels
        input_grad_group(images, patches, grad, first, filters, x, channel, rows, win, rule, x_grad)
    return x_grad


def weight_grad(
    grad: Array, x: Array, w: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int, rule: int
) -> Array:
    """Return Σ G · slope(X, F) over all windows, in the shape of w."""
    x = np.ascontiguousarray(x)
    win = windows(x, w, stride, padding, dilation)
    geo = win[0]
    grad = np.ascontiguousarray(grad).reshape(x.shape[0], w.shape[0], geo.per_image)
    total = x.shape[0] * geo.per_image
    patches = tile_patches(total)
    w_grad = np.empty((w.shape[0], geo.length), x.dtype)
    filters = w.shape[0] // groups
    for first in range(0, w.shape[0], filters):
        rows = filter_rows(w[first : first + filters], geo.length)
        parts = max(2, min(16, PARTIAL_ELEMENTS // rows.size, total // patches))
        partial = np.zeros((parts, *rows.shape), x.dtype)
        channel = first // filters * geo.channels
        weight_grad_group(patches, grad, first, filters, x, channel, rows, win, rule, partial)
        w_grad[first : first + filters] = partial.sum(axis=0)[:filters, : geo.length]
    return w_grad.reshape(w.shape)
