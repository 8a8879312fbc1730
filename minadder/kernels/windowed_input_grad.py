"""The input gradient of adder layers and convolutions: Σ G · slope(F, X) over the windows that see each entry of X.

There are two ways. Pushing: for each window, its gradients are added to all entries that it sees (`unfold`, then
`fold`). Pulling: for each entry of X, the gradients of all windows that see it are collected. That is a convolution of
G with the filters turned round, nothing is written twice, but it visits every place where a window could be: so it
serves for stride 1 where the output is about as large as the input.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minadder.autograd import Array
from minadder.jit import kernel
from minadder.kernels.geometry import Pair
from minadder.kernels.simd import PRODUCT
from minadder.kernels.tasks import on_threads
from minadder.kernels.tiles import input_grad_tile, pulled_grad_tile
from minadder.kernels.unfold import aligned, fold, gather_outputs, scatter_outputs, unfold
from minadder.kernels.windowed import MOST_SUMMED, as_rows, bands, forward, group_and_rest, laid_out, move, run

PULL_SHARE = 0.8
"""Least size of an output, as a share of the input's, for which pulling is faster."""


@kernel
def pushed_grad_task(
    task: int,
    grad: Array,
    filters: int,
    x: Array,
    w: Array,
    rule: int,
    offsets: Array,
    phases: Array,
    geometry: Any,
    x_grad: Array,
    one: float,
) -> None:
    """Write x_grad, for some images and the channels of one group. Windows overlap: a task takes whole images."""
    geo = geometry[0]
    group, task = group_and_rest(task, x, geometry)
    first_channel, first_filter = group * geo.channels, group * filters
    image = task * geo.images
    images = min(geo.images, x_grad.shape[0] - image)
    x_grad[image : image + images, first_channel : first_channel + geo.channels] = 0
    u, du = aligned(geo.elements, grad), aligned(geo.elements, grad)
    g = aligned(filters * geo.pitch, grad)
    window = geo.kernel_height * geo.kernel_width
    for row in range(0, geo.out_height, geo.rows):
        rows = min(geo.rows, geo.out_height - row)
        g[:] = 0
        gather_outputs(grad, image, images, first_filter, filters, row, rows, geometry, g, geo.pitch)
        for c in range(0, geo.channels, geo.block):
            channels = min(geo.block, geo.channels - c)
            if rule != PRODUCT:
                unfold(x, image, images, first_channel + c, channels, row, rows, phases, geometry, u)
            du[:] = 0
            input_grad_tile(
                u,
                offsets,
                channels * window,
                w[first_filter * geo.length :],
                c * window,
                geo.length,
                g,
                filters,
                rows * geo.images * geo.out_width,
                geo.group,
                rule,
                du,
                geo.pitch,
                one,
            )
            fold(du, image, images, first_channel + c, channels, row, rows, phases, geometry, x_grad)


pushed_grad_tasks = on_threads(pushed_grad_task)


@kernel
def pulled_grad_task(
    task: int,
    grad: Array,
    x: Array,
    channels: int,
    part: int,
    w: Array,
    rule: int,
    offsets: Array,
    phases: Array,
    geometry: Any,
    x_grad: Array,
    one: float,
) -> None:
    """Write a band of rows of x_grad, for some images and `part` channels of a group; the layout is of grad."""
    geo = geometry[0]
    group, task = group_and_rest(task, grad, geometry)
    parts = (channels + part - 1) // part
    begin = task % parts * part
    count = min(part, channels - begin)
    first = group * channels + begin
    image, row = task // parts // bands(geometry) * geo.images, task // parts % bands(geometry) * geo.rows
    images, rows = min(geo.images, x.shape[0] - image), min(geo.rows, geo.out_height - row)
    u = aligned(geo.elements, x)
    size = (count + 1) // 2 * 2 * geo.pitch
    values, out = aligned(size, x), aligned(size, x)
    values[:] = 0
    gather_outputs(x, image, images, first, count, row, rows, geometry, values, geo.pitch)
    totals = np.zeros(size if geo.length > MOST_SUMMED else 0)
    window, summed = geo.kernel_height * geo.kernel_width, 0
    for t in range(0, geo.channels, geo.block):
        block = min(geo.block, geo.channels - t)
        unfold(grad, image, images, group * geo.channels + t, block, row, rows, phases, geometry, u)
        for low in range(0, block * window, MOST_SUMMED):
            entries = min(MOST_SUMMED, block * window - low)
            if summed + entries > MOST_SUMMED:
                move(out, totals)
                summed = 0
            pulled_grad_tile(
                u,
                offsets[low:],
                entries,
                w[first * geo.length :],
                t * window + low,
                geo.length,
                values,
                count,
                rows * geo.images * geo.out_width,
                geo.group,
                rule,
                out,
                geo.pitch,
                summed == 0,
                one,
            )
            summed += entries
    if totals.size:
        move(out, totals)
        out[:] = totals
    scatter_outputs(out, geo.pitch, image, images, first, count, row, rows, geometry, x_grad)


pulled_grad_tasks = on_threads(pulled_grad_task)


def input_grad(
    grad: Array, x: Array, w: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int, rule: int
) -> Array:
    """Return Σ G · slope(F, X) over the windows that see each entry of X."""
    x, grad = np.ascontiguousarray(x), np.ascontiguousarray(grad)
    around = tuple(d * (size - 1) - p for d, size, p in zip(dilation, w.shape[2:], padding, strict=True))
    overlapping = w.shape[2] * w.shape[3] > 1
    as_large = grad.shape[2] * grad.shape[3] >= PULL_SHARE * x.shape[2] * x.shape[3]
    if overlapping and as_large and stride == (1, 1) and np.isfinite(w).all():  # NaN · 0 would show at the border
        turned = turned_round(w, groups)
        if rule == PRODUCT:
            return forward(grad, turned, stride, around, dilation, groups, exponent=0)
        return pulled(grad, x, turned, around, dilation, groups, rule)
    return pushed(grad, x, w, stride, padding, dilation, groups, rule)


def turned_round(w: Array, groups: int) -> Array:
    """Return filters (T, C / groups, kh, kw) as those of the way back (C, T / groups, kh, kw), turned by 180°."""
    filters, channels, *window = w.shape
    parts = w.reshape(groups, filters // groups, channels, *window).swapaxes(1, 2)[..., ::-1, ::-1]
    return np.ascontiguousarray(parts).reshape(groups * channels, filters // groups, *window)


def pulled(grad: Array, x: Array, turned: Array, padding: Pair, dilation: Pair, groups: int, rule: int) -> Array:
    """Return the gradient by collecting, for each entry of X, from all windows that see it; for stride 1."""
    plan = laid_out(grad, turned, (1, 1), padding, dilation)
    x_grad = np.empty(x.shape, x.dtype)
    channels = turned.shape[0] // groups
    part = plan.filters_per_task(channels)
    run(
        pulled_grad_task,
        pulled_grad_tasks,
        groups * plan.image_groups * plan.bands * -(-channels // part),
        x.size * turned[0].size,
        grad,
        x,
        channels,
        part,
        as_rows(turned, groups),
        rule,
        plan.offsets,
        plan.phases,
        plan.geometry,
        x_grad,
        x.dtype.type(1),
    )
    return x_grad


def pushed(
    grad: Array, x: Array, w: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int, rule: int
) -> Array:
    """Return the gradient by adding what each window gives to all entries that it sees."""
    plan = laid_out(x, w, stride, padding, dilation)
    x_grad = np.empty(x.shape, x.dtype)
    rows = np.zeros(w.size + 4, w.dtype)  # a tile may read a little beyond the end
    rows[:-4] = w.reshape(-1)
    run(
        pushed_grad_task,
        pushed_grad_tasks,
        groups * plan.image_groups,
        grad.size * w[0].size,
        grad,
        w.shape[0] // groups,
        x,
        rows,
        rule,
        plan.offsets,
        plan.phases,
        plan.geometry,
        x_grad,
        x.dtype.type(1),
    )
    return x_grad
