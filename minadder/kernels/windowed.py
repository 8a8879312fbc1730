"""What adder layers and convolutions share: each output is a sum over a window, of |x − f| or of x·f.

A task lays out what some windows see (`unfold.py`) in a buffer that its core's cache holds, and runs the inner loops of
`tiles.py` on it. So no (K × places) array exists and never a (filters × K × places) one. Every sum is cut into parts by
the shapes alone, so the bits do not depend on the number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minadder.autograd import Array
from minadder.jit import kernel
from minadder.kernels.geometry import Pair
from minadder.kernels.simd import VECTORS, lanes
from minadder.kernels.tasks import on_threads
from minadder.kernels.tiles import forward_tile
from minadder.kernels.unfold import Layout, aligned, layout, scatter_outputs, unfold

SERIAL_ELEMENTS = 1 << 20
"""Below so many pairs (x, f) one thread is done before a second has woken up."""

MOST_SUMMED = 2048
"""Entries of a window whose sum is held in the precision of x. Sums of more are added up in float64."""


@kernel
def bands(geometry: Any) -> int:
    """Return how many bands of rows an output is."""
    return (geometry[0].out_height + geometry[0].rows - 1) // geometry[0].rows


@kernel
def group_and_rest(task: int, x: Array, geometry: Any) -> tuple[int, int]:
    """Return the group of channels of x that a task is of, and the number of the task among the group's."""
    groups = x.shape[1] // geometry[0].channels
    return task % groups, task // groups


@kernel
def move(sums: Array, totals: Array) -> None:
    """Add sums to totals."""
    for i in range(np.uintp(totals.size)):
        totals[i] += sums[i]


@kernel
def forward_task(
    task: int,
    x: Array,
    w: Array,
    exponent: int,
    filters: int,
    part: int,
    offsets: Array,
    phases: Array,
    geometry: Any,
    y: Array,
    one: float,
) -> None:
    """Write a band of rows of some images, for `part` of a group's `filters` filters, to y (N, T, H', W')."""
    geo = geometry[0]
    group, task = group_and_rest(task, x, geometry)
    parts = (filters + part - 1) // part
    begin = task % parts * part
    count = min(part, filters - begin)
    first = group * filters + begin
    image, row = task // parts // bands(geometry) * geo.images, task // parts % bands(geometry) * geo.rows
    images, rows = min(geo.images, x.shape[0] - image), min(geo.rows, geo.out_height - row)
    u = aligned(geo.elements, x)
    out = aligned((count + 1) // 2 * 2 * geo.pitch, x)
    totals = np.zeros(out.size if geo.length > MOST_SUMMED else 0)
    window, summed = geo.kernel_height * geo.kernel_width, 0
    for c in range(0, geo.channels, geo.block):
        channels = min(geo.block, geo.channels - c)
        unfold(x, image, images, group * geo.channels + c, channels, row, rows, phases, geometry, u)
        for low in range(0, channels * window, MOST_SUMMED):
            entries = min(MOST_SUMMED, channels * window - low)
            if summed + entries > MOST_SUMMED:
                move(out, totals)
                summed = 0
            forward_tile(
                u,
                offsets[low:],
                entries,
                w[first * geo.length :],
                c * window + low,
                geo.length,
                count,
                rows * geo.images * geo.out_width,
                geo.group,
                exponent,
                out,
                geo.pitch,
                summed == 0,
                one,
            )
            summed += entries
    if totals.size:
        move(out, totals)
        out[:] = totals
    scatter_outputs(out, geo.pitch, image, images, first, count, row, rows, geometry, y)


forward_tasks = on_threads(forward_task)


def laid_out(x: Array, w: Array, stride: Pair, padding: Pair, dilation: Pair) -> Layout:
    """Return the layout of filters w over an input x."""
    vector = max(1, lanes(x.itemsize))
    return layout(x.shape, w.shape, stride, padding, dilation, x.itemsize, vector, vector * VECTORS)


def run(one_task: Any, all_tasks: Any, tasks: int, elements: int, *arguments: Any) -> None:
    """Run tasks on all threads, or small ones here: to wake threads takes longer than a million sums."""
    if tasks == 1:
        one_task(0, *arguments)
    else:
        all_tasks(tasks, *arguments, threads=elements >= SERIAL_ELEMENTS)


def as_rows(w: Array, groups: int, fill: float = 0) -> Array:
    """Return filters (T, C, kh, kw) one after the other in one row.

    Tiles take two filters of a group at a time: behind an odd number of them there is one of `fill`, after the last.
    """
    flat = np.ascontiguousarray(w).reshape(-1)
    return flat if w.shape[0] // groups % 2 == 0 else np.append(flat, np.full(w[0].size, fill, w.dtype))


def forward(x: Array, w: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int, exponent: int) -> Array:
    """Return −Σ |X − F|^exponent over each window for an exponent of 1 or 2, for one of 0 Σ X·F."""
    x = np.ascontiguousarray(x)
    plan = laid_out(x, w, stride, padding, dilation)
    y = np.empty((x.shape[0], w.shape[0], *plan.output), x.dtype)
    filters = w.shape[0] // groups
    part = plan.filters_per_task(filters)
    run(
        forward_task,
        forward_tasks,
        groups * plan.image_groups * plan.bands * -(-filters // part),
        y.size * w[0].size,
        x,
        as_rows(w, groups),
        exponent,
        filters,
        part,
        plan.offsets,
        plan.phases,
        plan.geometry,
        y,
        x.dtype.type(1),
    )
    return y
