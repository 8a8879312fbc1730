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
from minadder.kernels.unfold import Layout, aligned, gather_outputs, unfold
from minadder.kernels.windowed import bands, group_and_rest, laid_out, run

PARTIAL_ELEMENTS = 1 << 21
"""Bound on the partial sums of a filter gradient, in elements, beyond two parts."""


@kernel(inline=True)
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
    filters: int,
    x: Array,
    w: Array,
    rule: int,
    offsets: Array,
    phases: Array,
    geometry: Any,
    partial: Array,
    totals: Array,
    one: float,
) -> None:
    """Add to partial (parts, groups, channel blocks, ·) what a part of all bands gives one block of channels.

    Add to totals (parts, T) the sums of grad, if it is the first block.
    """
    geo = geometry[0]
    group, task = group_and_rest(task, x, geometry)
    first_channel, first_filter = group * geo.channels, group * filters
    blocks = partial.shape[2]
    layouts = (x.shape[0] + geo.images - 1) // geo.images * bands(geometry)
    part, block = task // blocks, task % blocks
    c = block * geo.block
    channels = min(geo.block, geo.channels - c)
    u, g = aligned(geo.elements, x), aligned((filters + 3) // 4 * 4 * geo.pitch + geo.group, x)
    u[:] = 0
    g[:] = 0
    dw, wb = partial[part, group, block], w[group, block]
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
                totals[part, first_filter + t] += stretch_sum(g, t * geo.pitch, places)
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


def blocks_shape(w_shape: tuple[int, ...], groups: int, block: int) -> tuple[int, int, int]:
    """Return (groups, channel blocks, numbers in one) of `by_blocks`."""
    filters, channels, *window = w_shape
    entries = -(-block * window[0] * window[1] // ENTRIES) * ENTRIES
    return groups, -(-channels // block), -(-filters // groups // 4) * 4 * entries


def by_blocks(w: Array, groups: int, block: int, fill: float = 0) -> Array:
    """Return filters (T, C, kh, kw) as (groups, channel blocks, blocks of 4 filters × `ENTRIES` entries in one row).

    What is missing of whole blocks is `fill`.
    """
    _, channels, *window = w.shape
    filters, entries = w.shape[0] // groups, block * window[0] * window[1]
    _, count, size = blocks_shape(w.shape, groups, block)
    full = np.full((w.shape[0], count * block, *window), fill, w.dtype)
    full[:, :channels] = w
    rows = -(-filters // 4) * 4
    padded = np.full((groups, rows, count, size // rows), fill, w.dtype)
    padded[:, :filters, :, :entries] = full.reshape(groups, filters, count, entries)
    tiles = padded.reshape(groups, rows // 4, 4, count, -1, ENTRIES).transpose(0, 3, 1, 4, 2, 5)
    return np.ascontiguousarray(tiles).reshape(groups, count, size)


def from_blocks(blocks: Array, w_shape: tuple[int, ...], block: int) -> Array:
    """Return what `by_blocks` made of filters of a shape, as filters."""
    _, channels, *window = w_shape
    groups, count, _ = blocks.shape
    filters = w_shape[0] // groups
    rows = -(-filters // 4) * 4
    tiles = blocks.reshape(groups, count, rows // 4, -1, 4, ENTRIES).transpose(0, 2, 4, 1, 3, 5)
    padded = tiles.reshape(groups, rows, count, -1)[:, :filters, :, : block * window[0] * window[1]]
    return np.ascontiguousarray(padded.reshape(-1, count * block, *window)[:, :channels])


def weight_grad(
    grad: Array, x: Array, w: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int, rule: int
) -> Array:
    """Return Σ G · slope(X, F) over all windows, in the shape of w.

    Under the full-precision rule it is a matrix product and a sum, Σ G·X − F·Σ G.
    """
    x, grad = np.ascontiguousarray(x), np.ascontiguousarray(grad)
    plan = laid_out(x, w, stride, padding, dilation)
    parts = parts_of_batch(plan, w)
    partial = np.zeros((parts, *blocks_shape(w.shape, groups, plan.block)), x.dtype)
    totals = np.zeros((parts, w.shape[0]))
    is_product = rule in (PRODUCT, FULL_PRECISION)
    run(
        weight_grad_task,
        weight_grad_tasks,
        partial[..., 0].size,
        grad.size * w[0].size,
        parts,
        grad,
        w.shape[0] // groups,
        x,
        partial[0] if is_product else by_blocks(w, groups, plan.block),  # a product does not look at it
        PRODUCT if is_product else rule,
        plan.offsets,
        plan.phases,
        plan.geometry,
        partial,
        totals,
        x.dtype.type(1),
    )
    sums = from_blocks(partial.sum(axis=0), w.shape, plan.block)
    if rule == FULL_PRECISION:
        sums -= w * totals.sum(axis=0).astype(x.dtype)[:, None, None, None]
    return sums


def parts_of_batch(plan: Layout, w: Array) -> int:
    """Return into how many parts to cut the batch, each with a filter gradient of its own."""
    return max(1, min(plan.image_groups * plan.bands, 16, max(2, PARTIAL_ELEMENTS // w.size)))
