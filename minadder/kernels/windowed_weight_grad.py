"""The filter gradient of adder layers and convolutions: Σ G · slope(X, F) over all windows.

A task sums a part of the batch for a block of channels; the parts are added up at the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minadder.autograd import Array
from minadder.jit import kernel
from minadder.kernels.geometry import Pair
from minadder.kernels.simd import FULL_PRECISION, PRODUCT
from minadder.kernels.tasks import on_threads
from minadder.kernels.tiles import ENTRIES, weight_grad_tile
from minadder.kernels.unfold import aligned, gather_outputs, unfold
from minadder.kernels.windowed import bands, laid_out, run

PARTIAL_ELEMENTS = 1 << 21
"""Bound on the partial sums of a filter gradient, in elements, beyond two parts."""


@kernel
def stretch_sum(g: Array, begin: int, count: int) -> float:
    """Return the sum of neighbouring numbers."""
    total = g.dtype.type(0)
    for p in range(np.uintp(count)):
        total += g[np.uintp(begin) + p]
    return total


@kernel
def weight_grad_task(
    task: int,
    parts: int,
    grad: Array,
    first_filter: int,
    filters: int,
    x: Array,
    first_channel: int,
    w: Array,
    rule: int,
    offsets: Array,
    phases: Array,
    geometry: Any,
    partial: Array,
    totals: Array,
    one: float,
) -> None:
    """Add to partial (parts, channel blocks, ·) what a part of all bands gives one block of channels.

    Add to totals (parts, T) the sums of grad, if it is the first block.
    """
    geo = geometry[0]
    blocks = partial.shape[1]
    layouts = (x.shape[0] + geo.images - 1) // geo.images * bands(geometry)
    part, block = task // blocks, task % blocks
    c = block * geo.block
    channels = min(geo.block, geo.channels - c)
    u, g = aligned(geo.elements, x), aligned((filters + 3) // 4 * 4 * geo.pitch + geo.group, x)
    u[:] = 0
    g[:] = 0
    dw, wb = partial[part, block], w[block]
    for index in range(part * layouts // parts, (part + 1) * layouts // parts):
        image, row = index // bands(geometry) * geo.images, index % bands(geometry) * geo.rows
        images, rows = min(geo.images, x.shape[0] - image), min(geo.rows, geo.out_height - row)
        places = rows * geo.images * geo.out_width
        if images < geo.images:
            u[:] = 0
            g[:] = 0
        unfold(x, image, images, first_channel + c, channels, row, rows, phases, geometry, u)
        gather_outputs(grad, image, images, first_filter, filters, row, rows, geometry, g, geo.pitch)
        if block == 0:
            for t in range(filters):
                totals[part, t] += stretch_sum(g, t * geo.pitch, places)
        weight_grad_tile(
            u,
            offsets,
            geo.block * geo.kernel_height * geo.kernel_width,  # where the last block is smaller, zeros behind it
            wb,
            g,
            filters,
            places,
            geo.vector,
            rule,
            dw,
            geo.pitch,
            one,
        )


weight_grad_tasks = on_threads(weight_grad_task)


def blocks_shape(w_shape: tuple[int, ...], block: int) -> tuple[int, int]:
    """Return (channel blocks, numbers in one) of `by_blocks`."""
    filters, channels, *window = w_shape
    return -(-channels // block), -(-filters // 4) * 4 * -(-block * window[0] * window[1] // ENTRIES) * ENTRIES


def by_blocks(w: Array, block: int, fill: float = 0) -> Array:
    """Return filters (T, C, kh, kw) as (channel blocks, blocks of 4 filters × `ENTRIES` entries in one row).

    What is missing of whole blocks is `fill`.
    """
    filters, channels, *window = w.shape
    count, size = blocks_shape(w.shape, block)
    entries = block * window[0] * window[1]
    full = np.full((filters, count * block, *window), fill, w.dtype)
    full[:, :channels] = w
    rows = -(-filters // 4) * 4
    padded = np.full((rows, count, size // rows), fill, w.dtype)
    padded[:filters, :, :entries] = full.reshape(filters, count, entries)
    tiles = padded.reshape(rows // 4, 4, count, -1, ENTRIES).transpose(2, 0, 3, 1, 4)
    return np.ascontiguousarray(tiles).reshape(count, size)


def from_blocks(blocks: Array, w_shape: tuple[int, ...], block: int) -> Array:
    """Return what `by_blocks` made of filters of a shape, as filters."""
    filters, channels, *window = w_shape
    count, rows = len(blocks), -(-filters // 4) * 4
    tiles = blocks.reshape(count, rows // 4, -1, 4, ENTRIES).transpose(1, 3, 0, 2, 4)
    padded = tiles.reshape(rows, count, -1)[:filters, :, : block * window[0] * window[1]]
    return np.ascontiguousarray(padded.reshape(filters, count * block, *window)[:, :channels])


def weight_grad(
    grad: Array, x: Array, w: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int, rule: int
) -> Array:
    """Return Σ G · slope(X, F) over all windows, in the shape of w.

    Under the full-precision rule it is a matrix product and a sum, Σ G·X − F·Σ G.
    """
    x, grad = np.ascontiguousarray(x), np.ascontiguousarray(grad)
    plan = laid_out(x, w, stride, padding, dilation)
    w_grad = np.empty(w.shape, x.dtype)
    filters = w.shape[0] // groups
    layouts = plan.image_groups * plan.bands
    parts = max(1, min(layouts, 16, max(2, PARTIAL_ELEMENTS * groups // w.size)))
    for first in range(0, w.shape[0], filters):
        own = w[first : first + filters]
        partial = np.zeros((parts, *blocks_shape(own.shape, plan.block)), x.dtype)
        totals = np.zeros((parts, filters))
        is_product = rule in (PRODUCT, FULL_PRECISION)
        run(
            weight_grad_task,
            weight_grad_tasks,
            parts * partial.shape[1],
            grad.size * w[0].size // groups,
            parts,
            grad,
            first,
            filters,
            x,
            first // filters * w.shape[1],
            partial[0] if is_product else by_blocks(own, plan.block),  # a product does not look at it
            PRODUCT if is_product else rule,
            plan.offsets,
            plan.phases,
            plan.geometry,
            partial,
            totals,
            x.dtype.type(1),
        )
        sums = from_blocks(partial.sum(axis=0), own.shape, plan.block)
        if rule == FULL_PRECISION:
            sums -= own * totals.sum(axis=0).astype(x.dtype)[:, None, None, None]
        w_grad[first : first + filters] = sums
    return w_grad
