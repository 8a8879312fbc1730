"""Pooling on the CPU. What the kernels compute is, in plain loops over the i and j of a window that lie in the image,

    for row, column in places:
        y[row, column] = max or mean of x[row·stride − padding + i·dilation, column·stride − padding + j·dilation]

A plane (one channel of one image) belongs to one thread. The usual windows, 2×2 that move by 2, have loops of their
own, which become vectors. In the loops all arrays are flat, and in those that become vectors what counts places is
unsigned: the compiler would provide for signed places below 0.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from minadder.autograd import Array
from minadder.jit import kernel
from minadder.kernels.geometry import Pair, output_size
from minadder.kernels.tasks import on_threads

PARALLEL = 1 << 17
"""From so many values on threads share the planes: to wake them takes as long as a good part of that work."""

WINDOW = np.dtype(
    [
        (name, np.int64)
        for name in (
            "height",
            "width",
            "rows",
            "columns",
            "kernel_height",
            "kernel_width",
            "stride_y",
            "stride_x",
            "pad_y",
            "pad_x",
            "dilation_y",
            "dilation_x",
        )
    ]
)
"""The sizes of a plane of the input and of the output, and how the window slides: a record, for Numba's threads."""


@lru_cache(maxsize=256)
def window(size: Pair, output: Pair, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Any:
    """Return an array of one `WINDOW`."""
    return np.rec.array([(*size, *output, *kernel_size, *stride, *padding, *dilation)], dtype=WINDOW)


@kernel
def in_pairs(windows: Any) -> bool:
    """Return whether windows are 2×2, move by 2 and see no padding."""
    win = windows[0]
    return (
        win.kernel_height == 2
        and win.kernel_width == 2
        and win.stride_y == 2
        and win.stride_x == 2
        and win.pad_y == 0
        and win.pad_x == 0
        and win.dilation_y == 1
        and win.dilation_x == 1
    )


@kernel
def overlap(start: int, count: int, step: int, size: int) -> tuple[int, int]:
    """Return the first and the last-plus-one of the places start + i·step, i < count, that lie in [0, size)."""
    low = 0 if start >= 0 else (-start + step - 1) // step
    high = min(count, (size - 1 - start) // step + 1)
    return low, high


@kernel
def larger(value: float, place: int, best: float, best_place: int) -> tuple[float, int]:
    """Return the larger of two values and its place: the first of equals, and the first NaN before all."""
    wins = not value <= best and best == best
    return (value if wins else best), (place if wins else best_place)


@kernel
def max_plane(x: Array, plane: int, windows: Any, y: Array, argmax: Array) -> None:
    """Write the maximum of each window of a plane, and its place row·W + column."""
    win = windows[0]
    first, out = plane * win.height * win.width, plane * win.rows * win.columns
    for row in range(win.rows):
        top = row * win.stride_y - win.pad_y
        i_low, i_high = overlap(top, win.kernel_height, win.dilation_y, win.height)
        for column in range(win.columns):
            left = column * win.stride_x - win.pad_x
            j_low, j_high = overlap(left, win.kernel_width, win.dilation_x, win.width)
            place = (top + i_low * win.dilation_y) * win.width + left + j_low * win.dilation_x
            best = x[first + place]
            for i in range(i_low, i_high):
                for j in range(j_low, j_high):
                    other = (top + i * win.dilation_y) * win.width + left + j * win.dilation_x
                    best, place = larger(x[first + other], other, best, place)
            y[out + row * win.columns + column] = best
            argmax[out + row * win.columns + column] = place


@kernel
def max_pairs(x: Array, start: int, place: int, width: int, y: Array, argmax: Array, out: int, columns: int) -> None:
    """Write a row of maxima of 2×2 windows, and their places; x[start] has the given place."""
    one = np.uintp(1)
    for c in range(columns):
        k, p = start + c + c, place + c + c
        best, found = larger(x[k + one], p + one, x[k], p)
        best, found = larger(x[k + width], p + width, best, found)
        best, found = larger(x[k + width + one], p + width + one, best, found)
        y[out + c] = best
        argmax[out + c] = found


@kernel
def max_planes(task: int, x: Array, planes: int, windows: Any, argmax: Array, y: Array) -> None:
    """Write the maximum of each window of `planes` planes, and its place."""
    win = windows[0]
    height, width = np.uintp(win.height), np.uintp(win.width)
    rows, columns = np.uintp(win.rows), np.uintp(win.columns)
    for plane in range(task * planes, (task + 1) * planes):
        if in_pairs(windows):
            for row in range(rows):
                place = (row + row) * width
                start, out = np.uintp(plane) * height * width + place, (np.uintp(plane) * rows + row) * columns
                max_pairs(x, start, place, width, y, argmax, out, columns)
        else:
            max_plane(x, plane, windows, y, argmax)


max_planes_on_threads = on_threads(max_planes)


@kernel
def max_planes_grad(task: int, grad: Array, argmax: Array, planes: int, places: int, size: int, x_grad: Array) -> None:
    """Write planes of x_grad, `size` cells each: G of `places` windows each, added up where the maxima are, else 0."""
    for plane in range(task * planes, (task + 1) * planes):
        start, out = np.uintp(plane * size), np.uintp(plane * places)
        for i in range(np.uintp(size)):
            x_grad[start + i] = 0
        for i in range(np.uintp(places)):
            x_grad[start + np.uintp(argmax[out + i])] += grad[out + i]


max_planes_grad_on_threads = on_threads(max_planes_grad)


@kernel
def avg_plane(x: Array, plane: int, windows: Any, include: bool, y: Array) -> None:
    """Write the mean of each window of a plane."""
    win = windows[0]
    for row in range(win.rows):
        top = row * win.stride_y - win.pad_y
        i_low, i_high = overlap(top, win.kernel_height, 1, win.height)
        for column in range(win.columns):
            left = column * win.stride_x - win.pad_x
            j_low, j_high = overlap(left, win.kernel_width, 1, win.width)
            total = 0.0  # a float64, for windows may be large
            for i in range(i_low, i_high):
                start = np.uintp((plane * win.height + top + i) * win.width + left + j_low)
                for j in range(np.uintp(j_high - j_low)):
                    total += x[start + j]
            number = win.kernel_height * win.kernel_width if include else (i_high - i_low) * (j_high - j_low)
            y[(plane * win.rows + row) * win.columns + column] = total / number


@kernel
def avg_pairs(x: Array, start: int, width: int, y: Array, out: int, columns: int) -> None:
    """Write a row of means of 2×2 windows."""
    quarter, one = x.dtype.type(0.25), np.uintp(1)
    for c in range(columns):
        k = start + c + c
        y[out + c] = quarter * (x[k] + x[k + one] + x[k + width] + x[k + width + one])


@kernel
def avg_planes(task: int, x: Array, planes: int, windows: Any, include: bool, y: Array) -> None:
    """Write the mean of each window of `planes` planes."""
    win = windows[0]
    height, width = np.uintp(win.height), np.uintp(win.width)
    rows, columns = np.uintp(win.rows), np.uintp(win.columns)
    for plane in range(task * planes, (task + 1) * planes):
        if in_pairs(windows):
            for row in range(rows):
                start, out = (np.uintp(plane) * height + row + row) * width, (np.uintp(plane) * rows + row) * columns
                avg_pairs(x, start, width, y, out, columns)
        else:
            avg_plane(x, plane, windows, include, y)


avg_planes_on_threads = on_threads(avg_planes)


@kernel
def avg_plane_grad(grad: Array, plane: int, windows: Any, include: bool, x_grad: Array) -> None:
    """Add G spread evenly over the windows to a plane of x_grad."""
    win = windows[0]
    for row in range(win.rows):
        top = row * win.stride_y - win.pad_y
        i_low, i_high = overlap(top, win.kernel_height, 1, win.height)
        for column in range(win.columns):
            left = column * win.stride_x - win.pad_x
            j_low, j_high = overlap(left, win.kernel_width, 1, win.width)
            number = win.kernel_height * win.kernel_width if include else (i_high - i_low) * (j_high - j_low)
            share = grad[(plane * win.rows + row) * win.columns + column] / number
            for i in range(i_low, i_high):
                start = np.uintp((plane * win.height + top + i) * win.width + left + j_low)
                for j in range(np.uintp(j_high - j_low)):
                    x_grad[start + j] += share


@kernel
def avg_pairs_grad(grad: Array, out: int, columns: int, x_grad: Array, start: int, width: int) -> None:
    """Write a row of G spread evenly over 2×2 windows."""
    quarter, one = grad.dtype.type(0.25), np.uintp(1)
    for c in range(columns):
        k, share = start + c + c, quarter * grad[out + c]
        x_grad[k] = share
        x_grad[k + one] = share
        x_grad[k + width] = share
        x_grad[k + width + one] = share


@kernel
def avg_planes_grad(task: int, grad: Array, planes: int, windows: Any, include: bool, x_grad: Array) -> None:
    """Write `planes` planes of x_grad: G spread evenly over the windows, 0 where there is none."""
    win = windows[0]
    height, width = np.uintp(win.height), np.uintp(win.width)
    rows, columns = np.uintp(win.rows), np.uintp(win.columns)
    for plane in range(task * planes, (task + 1) * planes):
        if not in_pairs(windows) or height % np.uintp(2) or width % np.uintp(2):
            for i in range(height * width):
                x_grad[np.uintp(plane) * height * width + i] = 0
        if in_pairs(windows):
            for row in range(rows):
                start, out = (np.uintp(plane) * height + row + row) * width, (np.uintp(plane) * rows + row) * columns
                avg_pairs_grad(grad, out, columns, x_grad, start, width)
        else:
            avg_plane_grad(grad, plane, windows, include, x_grad)


avg_planes_grad_on_threads = on_threads(avg_planes_grad)


def flat(x: Array) -> Array:
    """Return x as one contiguous row, without a copy where x is contiguous."""
    return np.ascontiguousarray(x).reshape(-1)


def share(x_shape: tuple[int, ...]) -> tuple[int, int]:
    """Return how many tasks an input (N, C, H, W) makes, and how many planes each takes: one task where it is small."""
    planes = x_shape[0] * x_shape[1]
    return (planes, 1) if math.prod(x_shape) >= PARALLEL else (1, planes)


def run(one_task: Any, all_tasks: Any, tasks: int, *arguments: Any) -> None:
    """Run a single task here, several on all threads."""
    if tasks == 1:
        one_task(0, *arguments)
    else:
        all_tasks(tasks, *arguments)


def max_pool_forward(x: Array, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair) -> tuple[Array, Array]:
    """Return the maximum of each window, and its place row·W + column: the first of equals, NaN before all."""
    output = output_size((x.shape[2], x.shape[3]), kernel_size, stride, padding, dilation)
    y = np.empty((x.shape[0], x.shape[1], *output), x.dtype)
    argmax = np.empty(y.shape, np.int32)
    windows = window((x.shape[2], x.shape[3]), output, kernel_size, stride, padding, dilation)
    tasks, planes = share(x.shape)
    run(max_planes, max_planes_on_threads, tasks, flat(x), planes, windows, argmax.reshape(-1), y.reshape(-1))
    return y, argmax


def max_pool_backward(grad: Array, argmax: Array, input_shape: tuple[int, ...]) -> Array:
    """Return G added up at the places of the maxima."""
    x_grad = np.empty(input_shape, grad.dtype)
    places, size = grad.shape[2] * grad.shape[3], input_shape[2] * input_shape[3]
    tasks, planes = share(input_shape)
    arguments = flat(grad), flat(argmax), planes, places, size, x_grad.reshape(-1)
    run(max_planes_grad, max_planes_grad_on_threads, tasks, *arguments)
    return x_grad


def avg_pool_forward(x: Array, kernel_size: Pair, stride: Pair, padding: Pair, count_include_pad: bool) -> Array:
    """Return the mean of each window."""
    output = output_size((x.shape[2], x.shape[3]), kernel_size, stride, padding, (1, 1))
    y = np.empty((x.shape[0], x.shape[1], *output), x.dtype)
    windows = window((x.shape[2], x.shape[3]), output, kernel_size, stride, padding, (1, 1))
    tasks, planes = share(x.shape)
    run(avg_planes, avg_planes_on_threads, tasks, flat(x), planes, windows, bool(count_include_pad), y.reshape(-1))
    return y


def avg_pool_backward(
    grad: Array, input_shape: tuple[int, ...], kernel_size: Pair, stride: Pair, padding: Pair, count_include_pad: bool
) -> Array:
    """Return G spread evenly over each window."""
    x_grad = np.empty(input_shape, grad.dtype)
    size, output = (input_shape[2], input_shape[3]), (grad.shape[2], grad.shape[3])
    windows = window(size, output, kernel_size, stride, padding, (1, 1))
    tasks, planes = share(input_shape)
    arguments = flat(grad), planes, windows, bool(count_include_pad), x_grad.reshape(-1)
    run(avg_planes_grad, avg_planes_grad_on_threads, tasks, *arguments)
    return x_grad
