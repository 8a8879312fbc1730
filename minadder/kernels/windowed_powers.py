"""Adder layers that measure ℓp distances, 1 < p < 2: the tasks of the windowed layers around powers.

They differ from those of `windowed.py` and its companions in the tiles that they call and in the table that these take
the powers from (`powers.py`). Numba would compile the larger tiles with every other task if these shared their code.
"""

from __future__ import annotations

import numpy as np

from minadder.autograd import Array
from minadder.jit import kernel
from minadder.kernels import powers
from minadder.kernels.geometry import Pair
from minadder.kernels.tasks import on_threads
from minadder.kernels.tiles import forward_power_tile, input_power_tile, weight_power_tile
from minadder.kernels.unfold import aligned, fold, gather_outputs, scatter_outputs, unfold
from minadder.kernels.windowed import MOST_SUMMED, as_rows, bands, group_and_rest, laid_out, move, run
from minadder.kernels.windowed_weight_grad import blocks_shape, by_blocks, from_blocks, parts_of_batch

POWER_COST = 4
"""A power costs about as much as so many distances: for when threads are worth to be woken."""

SCALE = 2.0**-7
"""What inputs and filters are multiplied by, so that 2^-24 ≤ |x − w| < 256 are ordinary (`powers.py`).

What the tables take for 0 is |x − w| < 2^-104 in float32 then."""

FAR_INPUT, FAR_FILTER = 64.0, 1024.0
"""Inputs and filters that are not below a limit are set to so many times the limit.

Then the power of every difference from them is infinite, and none has the bits that tell ordinary ones
(`simd_powers.py`)."""

INPUT_TASKS = 8
"""Into so many tasks, at least, the input's gradient is cut where there are few images but many channels."""

UNLIKELY = 0.7310586
"""What filters are filled up with: differences from it are hardly ever 0, which takes longer (`simd_powers.py`)."""


@kernel
def scale_down(u: Array, limit: float) -> None:
    """Multiply u by `SCALE`, and set what is not below the limit then to `FAR_INPUT` limits."""
    factor, far = u.dtype.type(SCALE), u.dtype.type(FAR_INPUT * limit)
    for i in range(np.uintp(u.size)):
        value = u[i] * factor
        u[i] = value if abs(value) < limit else far


@kernel
def forward_task(
    task: int,
    x: Array,
    w: Array,
    table: Array,
    limit: float,
    filters: int,
    part: int,
    offsets: Array,
    phases: Array,
    geometry: Array,
    y: Array,
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
    u[:] = 0
    out = aligned((count + 1) // 2 * 2 * geo.pitch, x)
    totals = np.zeros(out.size if geo.length > MOST_SUMMED else 0)
    window, summed = geo.kernel_height * geo.kernel_width, 0
    for c in range(0, geo.channels, geo.block):
        channels = min(geo.block, geo.channels - c)
        unfold(x, image, images, group * geo.channels + c, channels, row, rows, phases, geometry, u)
        scale_down(u, limit)
        for low in range(0, channels * window, MOST_SUMMED):
            entries = min(MOST_SUMMED, channels * window - low)
            if summed + entries > MOST_SUMMED:
                move(out, totals)
                summed = 0
            forward_power_tile(
                u,
                offsets[low:],
                entries,
                w[first * geo.length :],
                c * window + low,
                geo.length,
                count,
                rows * geo.images * geo.out_width,
                geo.group,
                table,
                out,
                geo.pitch,
                summed == 0,
            )
            summed += entries
    if totals.size:
        move(out, totals)
        out[:] = totals
    scatter_outputs(out, geo.pitch, image, images, first, count, row, rows, geometry, y)


forward_tasks = on_threads(forward_task)


@kernel
def input_grad_task(
    task: int,
    parts: int,
    grad: Array,
    filters: int,
    x: Array,
    w: Array,
    table: Array,
    limit: float,
    offsets: Array,
    phases: Array,
    geometry: Array,
    x_grad: Array,
) -> None:
    """Write x_grad, for some images and a part of a group's channels. Windows overlap: a task takes whole images."""
    geo = geometry[0]
    group, task = group_and_rest(task, x, geometry)
    first_channel, first_filter = group * geo.channels, group * filters
    image, part = task // parts * geo.images, task % parts
    images = min(geo.images, x_grad.shape[0] - image)
    blocks = (geo.channels + geo.block - 1) // geo.block
    begin, end = part * blocks // parts * geo.block, min(geo.channels, (part + 1) * blocks // parts * geo.block)
    x_grad[image : image + images, first_channel + begin : first_channel + end] = 0
    u, du = aligned(geo.elements, grad), aligned(geo.elements, grad)
    u[:] = 0
    g = aligned(filters * geo.pitch, grad)
    window = geo.kernel_height * geo.kernel_width
    for row in range(0, geo.out_height, geo.rows):
        rows = min(geo.rows, geo.out_height - row)
        g[:] = 0
        gather_outputs(grad, image, images, first_filter, filters, row, rows, geometry, g, geo.pitch)
        for c in range(begin, end, geo.block):
            channels = min(geo.block, end - c)
            unfold(x, image, images, first_channel + c, channels, row, rows, phases, geometry, u)
            scale_down(u, limit)
            du[:] = 0
            input_power_tile(
                u,
                offsets,
                channels * window,
                w[first_filter * geo.length :],
                c * window,
                g,
                filters,
                rows * geo.images * geo.out_width,
                geo.group,
                table,
                du,
                geo.pitch,
            )
            fold(du, image, images, first_channel + c, channels, row, rows, phases, geometry, x_grad)


input_grad_tasks = on_threads(input_grad_task)


@kernel
def weight_grad_task(
    task: int,
    parts: int,
    grad: Array,
    filters: int,
    x: Array,
    w: Array,
    table: Array,
    limit: float,
    offsets: Array,
    phases: Array,
    geometry: Array,
    partial: Array,
) -> None:
    """Add to partial (parts, groups, channel blocks, ·) what a part of all bands gives one block of channels."""
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
        if images < geo.images:
            u[:] = 0
            g[:] = 0
        unfold(x, image, images, first_channel + c, channels, row, rows, phases, geometry, u)
        scale_down(u, limit)
        gather_outputs(grad, image, images, first_filter, filters, row, rows, geometry, g, geo.pitch)
        weight_power_tile(
            u,
            offsets,
            geo.block * geo.kernel_height * geo.kernel_width,  # where the last block is smaller, zeros behind it
            wb,
            g,
            filters,
            rows * geo.images * geo.out_width,
            geo.vector,
            table,
            dw,
            geo.pitch,
        )


weight_grad_tasks = on_threads(weight_grad_task)


def scaled(w: Array, exponent: float, factor: float) -> tuple[Array, Array, float]:
    """Return filters as `scale_down` makes the input, the table of factor · |d|^exponent for it, and the limit."""
    limit = w.dtype.type(powers.FORMATS[w.dtype].largest / 2)
    smaller = w * w.dtype.type(SCALE)
    table = powers.tables(exponent, w.dtype, factor * SCALE**-exponent)
    return np.where(np.abs(smaller) < limit, smaller, limit * w.dtype.type(FAR_FILTER)), table, limit


def forward(x: Array, w: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int, exponent: float) -> Array:
    """Return −Σ |X − F|^q over each window, 1 < q < 2."""
    x = np.ascontiguousarray(x)
    w, table, limit = scaled(w, exponent, 1.0)
    plan = laid_out(x, w, stride, padding, dilation)
    y = np.empty((x.shape[0], w.shape[0], *plan.output), x.dtype)
    filters = w.shape[0] // groups
    part = plan.filters_per_task(filters)
    run(
        forward_task,
        forward_tasks,
        groups * plan.image_groups * plan.bands * -(-filters // part),
        POWER_COST * y.size * w[0].size,
        x,
        as_rows(w, groups, UNLIKELY),
        table,
        limit,
        filters,
        part,
        plan.offsets,
        plan.phases,
        plan.geometry,
        y,
    )
    return y


def input_grad(
    grad: Array,
    x: Array,
    w: Array,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    exponent: float,
    factor: float,
) -> Array:
    """Return Σ G · factor·sgn(F − X)·|F − X|^q over the windows that see each entry of X, 0 < q < 1."""
    x, grad = np.ascontiguousarray(x), np.ascontiguousarray(grad)
    w, table, limit = scaled(w, exponent, factor)
    plan = laid_out(x, w, stride, padding, dilation)
    x_grad = np.empty(x.shape, x.dtype)
    filters = w.shape[0] // groups
    parts = max(1, min(-(-w.shape[1] // plan.block), -(-INPUT_TASKS // max(1, plan.image_groups))))
    run(
        input_grad_task,
        input_grad_tasks,
        groups * plan.image_groups * parts,
        POWER_COST * grad.size * w[0].size,
        parts,
        grad,
        filters,
        x,
        np.ascontiguousarray(w.reshape(groups, filters, -1).swapaxes(1, 2)).reshape(-1),
        table,
        limit,
        plan.offsets,
        plan.phases,
        plan.geometry,
        x_grad,
    )
    return x_grad


def weight_grad(
    grad: Array,
    x: Array,
    w: Array,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    exponent: float,
    factor: float,
) -> Array:
    """Return Σ G · factor·sgn(X − F)·|X − F|^q over all windows, in the shape of w, 0 < q < 1."""
    x, grad = np.ascontiguousarray(x), np.ascontiguousarray(grad)
    w, table, limit = scaled(w, exponent, factor)
    plan = laid_out(x, w, stride, padding, dilation)
    parts = parts_of_batch(plan, w)
    partial = np.zeros((parts, *blocks_shape(w.shape, groups, plan.block)), x.dtype)
    run(
        weight_grad_task,
        weight_grad_tasks,
        partial[..., 0].size,
        POWER_COST * grad.size * w[0].size,
        parts,
        grad,
        w.shape[0] // groups,
        x,
        by_blocks(w, groups, plan.block, UNLIKELY),
        table,
        limit,
        plan.offsets,
        plan.phases,
        plan.geometry,
        partial,
    )
    return from_blocks(partial.sum(axis=0), w.shape, plan.block)
