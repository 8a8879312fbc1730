"""What adder layers and convolutions share: each output is a sum over a window, of |x − f| or of x·f.

ℓ2 distances are products mostly: −Σ (x − f)² = 2·Σ x·f − Σ x² − Σ f² (Universal AdderNets, Eq. 19), where Σ x² is the
same for all filters. The sums cancel where x is close to f: the error is a few roundings of Σ x² + Σ f², not of the
result.

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


@kernel
def bands(geometry: Any) -> int:
    """Return how many bands of rows an output is."""
    return (geometry[0].out_height + geometry[0].rows - 1) // geometry[0].rows


@kernel
def group_and_rest(task: int, x: Array, geometry: Any) -> tuple[int, int]:
    """Return the group of channels of x that a task is of, and the number of the task among the group's."""
    groups = x.shape[1] // geometry[0].channels
    return task % groups, task // groups


@kernel(inline=True)
def add_squares(u: Array, offsets: Array, entries: int, first: int, places: int, squares: Array) -> None:
    """Add Σ_k u² to the squares, one for each place. `first` is the block's first entry; at 0 they hold nothing yet."""
    if first == 0:
        squares[:] = 0
    for k in range(entries):
        source = np.uintp(offsets[k])
        for p in range(np.uintp(places)):
            squares[p] += u[source + p] * u[source + p]


@kernel(inline=True)
def products_to_distances(out: Array, pitch: int, places: int, squares: Array, filter_squares: Array) -> None:
    """Replace Σ x·f in out, for each filter and place, by 2·Σ x·f − Σ x² − Σ f²."""
    two = out.dtype.type(2)
    for t in range(filter_squares.size):
        begin, of_filter = np.uintp(t * pitch), filter_squares[t]
        for p in range(np.uintp(places)):
            out[begin + p] = two * out[begin + p] - squares[p] - of_filter


@kernel
def forward_task(
    task: int,
    x: Array,
    w: Array,
    distance: bool,
    filter_squares: Array,
    filters: int,
    part: int,
    offsets: Array,
    phases: Array,
    geometry: Any,
    y: Array,
    one: float,
) -> None:
    """Write a band of rows of some images, for `part` of a group's `filters` filters, to y (N, T, H', W').

    Where there are any `filter_squares`, Σ f² of each filter, the products become ℓ2 distances.
    """
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
    window, places = geo.kernel_height * geo.kernel_width, rows * geo.images * geo.out_width
    squared = filter_squares.size > 0
    squares = np.empty(places if squared else 0, x.dtype)
    for c in range(0, geo.channels, geo.block):
        channels = min(geo.block, geo.channels - c)
        unfold(x, image, images, group * geo.channels + c, channels, row, rows, phases, geometry, u)
        forward_tile(
            u,
            offsets,
            channels * window,
            w[first * geo.length :],
            c * window,
            geo.length,
            count,
            places,
            geo.group,
            distance,
            out,
            geo.pitch,
            one,
        )
        if squared:
            add_squares(u, offsets, channels * window, c, places, squares)
    if squared:
        products_to_distances(out, geo.pitch, places, squares, filter_squares[first : first + count])
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


def forward(
    x: Array, w: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int, p: int | None = None
) -> Array:
    """Return −Σ |X − F|^p over each window for a p of 1 or 2, without one Σ X·F."""
    x = np.ascontiguousarray(x)
    filter_squares = np.einsum("tcij,tcij->t", w, w) if p == 2 else np.empty(0, w.dtype)
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
        p == 1,
        filter_squares,
        filters,
        part,
        plan.offsets,
        plan.phases,
        plan.geometry,
        y,
        x.dtype.type(1),
    )
    return y
