"""Patches: the parts of an input under a sliding window, copied a tile at a time into the columns of a small matrix.

With a column for each patch and a row for each entry k of the window (channel, row, column), a convolution is a matrix
product and an adder layer a matrix of ℓ1 distances. A row is then a stretch of the image, contiguous for stride 1, and
loops along it run in vector lanes whatever the number of filters. Only a tile ever exists: the whole matrix (im2col)
can be 25 times the size of the input.

Innermost loops index with unsigned numbers: Numba lets a signed index count from the end, and that test would keep the
loop out of the vector lanes.

The patches of a batch are numbered in the order (image, output row, output column).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minadder.autograd import Array
from minadder.jit import kernel
from minadder.kernels.geometry import Pair, output_size

WINDOWS = np.dtype(
    [
        (name, np.int64)
        for name in (
            "channels",  # of one group
            "height",
            "width",
            "kernel_height",
            "kernel_width",
            "stride_y",
            "stride_x",
            "padding_y",
            "padding_x",
            "dilation_y",
            "dilation_x",
            "out_height",
            "out_width",
            "length",  # entries of a patch
            "per_image",  # patches of an image
        )
    ]
)
"""The sliding windows of one layer over one input, as a record: what Numba can hand to its threads."""


def windows(x: Array, w: Array, stride: Pair, padding: Pair, dilation: Pair) -> np.recarray[Any, Any]:
    """Return the windows of filters w (T, C / groups, kh, kw) over x (N, C, H, W), an array of one `WINDOWS` record."""
    size, kernel_size = x.shape[2:], w.shape[2:]
    output = output_size(size, kernel_size, stride, padding, dilation)
    length = w.shape[1] * w.shape[2] * w.shape[3]
    values = (w.shape[1], *size, *kernel_size, *stride, *padding, *dilation, *output, length, output[0] * output[1])
    return np.rec.array([values], dtype=WINDOWS)


@kernel
def run_at(index: int, end: int, geo: Any) -> tuple[int, int, int, int]:
    """Return the patches from `index` on in one output row, before `end`, as (image, row, column, length)."""
    image, place = divmod(index, geo.per_image)
    row, column = divmod(place, geo.out_width)
    return image, row, column, min(geo.out_width - column, end - index)


@kernel
def inside(first: int, length: int, step: int, width: int) -> tuple[int, int]:
    """Return the part [low, high) of the places first + q·step, q < length, that lie in [0, width)."""
    low = min(length, max(0, (-first + step - 1) // step))
    high = max(low, min(length, (width - 1 - first) // step + 1))
    return low, high


@kernel
def gather(x: Array, first_channel: int, begin: int, end: int, win: Any, columns: Array) -> None:
    """Copy the patches `begin` to `end` of the batch x (N, C, H, W) into the columns (K, P), padding as zeros."""
    geo = win[0]
    p = 0
    while begin + p < end:
        image, out_row, out_column, length = run_at(begin + p, end, geo)
        for j in range(geo.kernel_width):
            left = out_column * geo.stride_x - geo.padding_x + j * geo.dilation_x
            low, high = inside(left, length, geo.stride_x, geo.width)
            for c in range(geo.channels):
                for i in range(geo.kernel_height):
                    y = out_row * geo.stride_y - geo.padding_y + i * geo.dilation_y
                    k = (c * geo.kernel_height + i) * geo.kernel_width + j
                    if y < 0 or y >= geo.height:
                        for q in range(length):
                            columns[k, p + q] = 0
                        continue
                    for q in range(low):
                        columns[k, p + q] = 0
                    for q in range(high, length):
                        columns[k, p + q] = 0
                    if geo.stride_x == 1:
                        target, source = np.uintp(p + low), np.uintp(left + low)
                        for q in range(np.uintp(high - low)):
                            columns[k, target + q] = x[image, first_channel + c, y, source + q]
                    else:
                        for q in range(low, high):
                            columns[k, p + q] = x[image, first_channel + c, y, left + q * geo.stride_x]
        p += length


@kernel
def scatter(columns: Array, begin: int, end: int, first_channel: int, win: Any, x: Array) -> None:
    """Add the columns (K, P) back to the places in x (N, C, H, W) that `gather` copied them from."""
    geo = win[0]
    p = 0
    while begin + p < end:
        image, out_row, out_column, length = run_at(begin + p, end, geo)
        for j in range(geo.kernel_width):
            left = out_column * geo.stride_x - geo.padding_x + j * geo.dilation_x
            low, high = inside(left, length, geo.stride_x, geo.width)
            for c in range(geo.channels):
                for i in range(geo.kernel_height):
                    y = out_row * geo.stride_y - geo.padding_y + i * geo.dilation_y
                    k = (c * geo.kernel_height + i) * geo.kernel_width + j
                    if y < 0 or y >= geo.height:
                        continue
                    if geo.stride_x == 1:
                        source, target = np.uintp(p + low), np.uintp(left + low)
                        for q in range(np.uintp(high - low)):
                            x[image, first_channel + c, y, target + q] += columns[k, source + q]
                    else:
                        for q in range(low, high):
                            x[image, first_channel + c, y, left + q * geo.stride_x] += columns[k, p + q]
        p += length


@kernel
def gather_outputs(y: Array, first_filter: int, filters: int, begin: int, end: int, rows: Array) -> None:
    """Copy y (N, T, places) at the patches `begin` to `end` into the rows (filters, P)."""
    p = 0
    while begin + p < end:
        image, place = divmod(begin + p, y.shape[2])
        length = min(y.shape[2] - place, end - begin - p)
        for t in range(filters):
            for q in range(length):
                rows[t, p + q] = y[image, first_filter + t, place + q]
        p += length


@kernel
def scatter_outputs(rows: Array, filters: int, begin: int, end: int, first_filter: int, y: Array) -> None:
    """Copy the rows (filters, P) to y (N, T, places) at the patches `begin` to `end`."""
    p = 0
    while begin + p < end:
        image, place = divmod(begin + p, y.shape[2])
        length = min(y.shape[2] - place, end - begin - p)
        for t in range(filters):
            for q in range(length):
                y[image, first_filter + t, place + q] = rows[t, p + q]
        p += length


def filter_rows(w: Array, length: int) -> Array:
    """Return filters (T, C, kh, kw) as rows (T, K), with zeros added up to a multiple of 4 rows and of 4 entries."""
    rows = np.zeros((rounded_up(w.shape[0], 4), rounded_up(length, 4)), w.dtype)
    rows[: w.shape[0], :length] = w.reshape(w.shape[0], length)
    return rows


def rounded_up(number: int, multiple: int) -> int:
    """Return the smallest multiple of `multiple` that is not below `number`."""
    return -(-number // multiple) * multiple
