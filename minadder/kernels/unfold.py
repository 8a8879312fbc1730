"""What sliding windows see, laid out so that each entry of the window is a contiguous stretch.

With a column for each place of the window and a row for each entry k = (channel, i, j) in it, a convolution is a matrix
product and an adder layer a matrix of ℓ1 distances. That matrix (im2col) holds the input kh·kw times. But rows of the
same channel and the same j, for different i, are nearly the same numbers, shifted: so one stretch u[channel, j] with
all rows of the padded image serves them all, and row k of the matrix is the slice u[offsets[k] :]. With stride s, the
padded rows are sorted by their remainder modulo s first.

Only a block of channels, a band of output rows and a few images are laid out at a time: small enough for a cache.
Places are numbered p = (row · images + image) · out_width + column, so that several small images fill a vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from minadder.autograd import Array
from minadder.jit import kernel
from minadder.kernels.geometry import Pair, output_size
from minadder.kernels.tiles import add_planes, copy_planes

GEOMETRY = np.dtype(
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
            "length",  # entries of a window
            "images",  # laid out together
            "rows",  # of output, laid out together
            "block",  # channels laid out together
            "slots",  # padded rows kept of each channel, for each j
            "pitch",  # from one filter's places to the next's, see `layout`
            "group",  # places in a tile of registers
            "vector",  # places in a vector
            "elements",  # of the layout
        )
    ]
)
"""One layer over one input, as a record: what Numba can hand to its threads."""

BLOCK_BYTES = 256 * 1024
"""Of a layout: with as much again for its gradient it fits the second-level cache of most machines."""

BAND_PLACES, MOST_PLACES = 1024, 4096
"""Of a layout, at most: of a part of an image, and of several images."""

ENOUGH_PLACES = 256
"""Of a layout of several images: what is done once for a layout, such as to add up lanes, is small then."""

LEAST_TASKS = 4
"""How many threads small batches should feed."""

LINE = 64
"""Bytes that a cache takes up at once, on x86 and most others."""

FEW_FILTERS = 16
"""Fewer are not worth to lay out the input once more."""


@dataclass(frozen=True)
class Layout:
    """How the windows of a layer over an input are laid out."""

    geometry: np.recarray[Any, Any]
    """An array of one `GEOMETRY` record."""
    offsets: Array
    """Where the stretch of each entry of a block begins; rounded up to a multiple of 4 entries that point nowhere."""
    phases: Array
    """For each remainder of padded rows: the remainder, the first slot, and the slots."""
    output: Pair
    """Height and width of the output."""
    block: int
    """Channels laid out together."""
    image_groups: int
    """Layouts that the images of a batch make."""
    bands: int
    """Layouts that the rows of an output make."""

    def filters_per_task(self, filters: int) -> int:
        """Return how many filters a task takes: all, unless there are few layouts; a multiple of 4."""
        layouts = max(1, self.image_groups * self.bands)
        parts = max(1, min(-(-LEAST_TASKS // layouts), filters // FEW_FILTERS))
        return -(-filters // (4 * parts)) * 4


@lru_cache(maxsize=256)
def layout(
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    itemsize: int,
    vector: int,
    group: int,
) -> Layout:
    """Return the layout for filters (T, C / groups, kh, kw) over an input (N, C, H, W).

    `vector` and `group` are the places in a vector and in a tile of vectors.
    """
    (count, _, height, width), (_, channels, kernel_height, kernel_width) = x_shape, w_shape
    out_height, out_width = output_size((height, width), (kernel_height, kernel_width), stride, padding, dilation)
    rows, images = band(count, out_height, out_width, group)
    starts = [i * dilation[0] for i in range(kernel_height)]
    phases, slot_of, slots = [], {}, 0
    for phase in sorted({start % stride[0] for start in starts}):
        depth = max(start // stride[0] for start in starts if start % stride[0] == phase) + rows
        phases.append((phase, slots, depth))
        slot_of.update({start: slots + start // stride[0] for start in starts if start % stride[0] == phase})
        slots += depth
    pitch = images * out_width
    stretch = kernel_width * slots * pitch
    blocks = -(-channels // max(1, BLOCK_BYTES // (itemsize * stretch)))
    block = -(-channels // blocks)
    base = block * stretch
    offsets = [
        (c * kernel_width + j) * slots * pitch + slot_of[start] * pitch
        for c in range(block)
        for start in starts
        for j in range(kernel_width)
    ]
    offsets += [base] * (-len(offsets) % 4)
    places = -(-rows * pitch // group) * group
    length = channels * kernel_height * kernel_width
    layer = (channels, height, width, kernel_height, kernel_width, *stride, *padding, *dilation, out_height, out_width)
    apart = places + vector  # or stretches of 4 KB would all lie in the same few places of the first-level cache
    values = (*layer, length, images, rows, block, slots, apart, group, vector, base + places + group)
    geometry = np.rec.array([values], dtype=GEOMETRY)
    tables = np.array(offsets, np.int64), np.array(phases, np.int64)
    return Layout(geometry, *tables, (out_height, out_width), block, -(-count // images), -(-out_height // rows))


def band(count: int, out_height: int, out_width: int, group: int) -> tuple[int, int]:
    """Return how many output rows of how many images to lay out together: few enough, and filling whole tiles."""

    def waste(parts: int, whole: int, size: int) -> int:  # in steps of 2 %, so that less is not always more
        computed = -(-whole // parts) * (parts * size + -parts * size % group)
        return 50 * (computed - whole * size) // max(1, whole * size)

    if out_height * out_width > BAND_PLACES:
        choices = range(max(1, BAND_PLACES // out_width // 2), max(1, BAND_PLACES // out_width) + 1)
        return min(choices, key=lambda rows: (waste(rows, out_height, out_width), -rows)), 1
    per_image = max(1, out_height * out_width)
    share = -(-count // LEAST_TASKS)
    least = max(1, min(share, -(-ENOUGH_PLACES // per_image)))
    most = max(least, min(MOST_PLACES // per_image, max(share, min(count, 2 * ENOUGH_PLACES // per_image))))
    choices = range(least, most + 1)
    return max(1, out_height), min(choices, key=lambda images: (waste(images, count, per_image), images))


@kernel
def aligned(count: int, like: Array) -> Array:
    """Return memory for `count` numbers that begins with a line of the cache, as then its vectors do."""
    memory = np.empty(count + LINE // like.itemsize, like.dtype)
    start = (LINE - memory.ctypes.data % LINE) % LINE // like.itemsize
    return memory[start : start + count]


@kernel
def inside(first: int, length: int, step: int, width: int) -> tuple[int, int]:
    """Return the part [low, high) of the places first + q·step, q < length, that lie in [0, width)."""
    low = min(length, max(0, (-first + step - 1) // step))
    high = max(low, min(length, (width - 1 - first) // step + 1))
    return low, high


SHORT_ROW = 4
"""Rows of fewer places are laid out image by image instead, in one loop over the images."""


@kernel
def unfold(
    x: Array,
    image: int,
    images: int,
    channel: int,
    channels: int,
    row: int,
    rows: int,
    phases: Array,
    geometry: Any,
    u: Array,
) -> None:
    """Lay out `channels` channels of some images of x (N, C, H, W) for `rows` output rows; padding becomes zeros."""
    geo = geometry[0]
    width, pitch, step = geo.out_width, geo.images * geo.out_width, geo.stride_x
    flat = x.reshape(-1)
    plane = geo.height * geo.width
    image_step, row_step = x.shape[1] * plane, geo.stride_y * geo.width
    to_channel = geo.kernel_width * geo.slots * pitch
    for j in range(geo.kernel_width):
        left = j * geo.dilation_x - geo.padding_x
        low, high = inside(left, width, step, geo.width)
        count = high - low
        for f in range(phases.shape[0]):
            slots = phases[f, 2] - (geo.rows - rows)
            top = row * geo.stride_y + phases[f, 0] - geo.padding_y
            first, last = inside(top, slots, geo.stride_y, geo.height)
            depth = last - first
            to = (j * geo.slots + phases[f, 1]) * pitch
            for c in range(channels):
                for s in range(slots):
                    if s < first or s >= last:
                        clear(u, to + c * to_channel + s * pitch, 1, pitch)
                for q in range(width):
                    if q < low or q >= high:
                        clear(u, to + c * to_channel + q, width, slots * geo.images)
            begin = (image * x.shape[1] + channel) * plane + (top + first * geo.stride_y) * geo.width + left
            if width < SHORT_ROW:
                for c in range(channels):
                    for s in range(depth):
                        for q in range(low, high):
                            place = to + c * to_channel + (first + s) * pitch + q
                            at = begin + c * plane + s * row_step + q * step
                            copy_column(u, place, width, flat, at, image_step, images)
                continue
            for b in range(images):
                place, at = to + first * pitch + b * width + low, begin + b * image_step + low * step
                copy_planes(u, place, to_channel, pitch, flat, at, plane, row_step, channels, depth, count, step)


@kernel
def fold(
    u: Array,
    image: int,
    images: int,
    channel: int,
    channels: int,
    row: int,
    rows: int,
    phases: Array,
    geometry: Any,
    x: Array,
) -> None:
    """Add a layout's entries back to the places in x (N, C, H, W) that `unfold` took them from."""
    geo = geometry[0]
    width, pitch, step = geo.out_width, geo.images * geo.out_width, geo.stride_x
    flat = x.reshape(-1)
    plane = geo.height * geo.width
    image_step, row_step = x.shape[1] * plane, geo.stride_y * geo.width
    channel_step = geo.kernel_width * geo.slots * pitch
    for j in range(geo.kernel_width):
        left = j * geo.dilation_x - geo.padding_x
        low, high = inside(left, width, step, geo.width)
        count = high - low
        for f in range(phases.shape[0]):
            top = row * geo.stride_y + phases[f, 0] - geo.padding_y
            first, last = inside(top, phases[f, 2] - (geo.rows - rows), geo.stride_y, geo.height)
            depth = last - first
            begin = (j * geo.slots + phases[f, 1] + first) * pitch
            to = (image * x.shape[1] + channel) * plane + (top + first * geo.stride_y) * geo.width + left
            if width < SHORT_ROW:
                for c in range(channels):
                    for s in range(depth):
                        for q in range(low, high):
                            place = to + c * plane + s * row_step + q * step
                            at = begin + c * channel_step + s * pitch + q
                            add_column(flat, place, image_step, u, at, width, images)
                continue
            for b in range(images):
                place, at = to + b * image_step + low * step, begin + b * width + low
                add_planes(flat, place, plane, row_step, u, at, channel_step, pitch, channels, depth, count, step)


@kernel
def gather_outputs(
    y: Array,
    image: int,
    images: int,
    filter: int,
    filters: int,
    row: int,
    rows: int,
    geometry: Any,
    g: Array,
    pitch: int,
) -> None:
    """Copy `rows` output rows of some images of y (N, T, H', W') to g, one stretch of places a filter."""
    geo = geometry[0]
    width, plane = geo.out_width, geo.out_height * geo.out_width
    flat = y.reshape(-1)
    image_step = y.shape[1] * plane
    begin = (image * y.shape[1] + filter) * plane + row * width
    if width < SHORT_ROW and geo.images > 1:
        for t in range(filters):
            for r in range(rows):
                for q in range(width):
                    place = t * pitch + r * geo.images * width + q
                    copy_column(g, place, width, flat, begin + t * plane + r * width + q, image_step, images)
    else:  # the rows of a single image lie one behind the other
        count, depth = (width, rows) if geo.images > 1 else (rows * width, 1)
        for b in range(images):
            at, row_step = begin + b * image_step, geo.images * width
            copy_planes(g, b * width, pitch, row_step, flat, at, plane, width, filters, depth, count, 1)


@kernel
def scatter_outputs(
    out: Array,
    pitch: int,
    image: int,
    images: int,
    filter: int,
    filters: int,
    row: int,
    rows: int,
    geometry: Any,
    y: Array,
) -> None:
    """Copy stretches of places, one a filter, to `rows` output rows of some images of y (N, T, H', W')."""
    geo = geometry[0]
    width, plane = geo.out_width, geo.out_height * geo.out_width
    flat = y.reshape(-1)
    image_step = y.shape[1] * plane
    to = (image * y.shape[1] + filter) * plane + row * width
    if width < SHORT_ROW and geo.images > 1:
        for t in range(filters):
            for r in range(rows):
                for q in range(width):
                    place = t * pitch + r * geo.images * width + q
                    copy_column(flat, to + t * plane + r * width + q, image_step, out, place, width, images)
    else:  # the rows of a single image lie one behind the other
        count, depth = (width, rows) if geo.images > 1 else (rows * width, 1)
        for b in range(images):
            place, row_step = to + b * image_step, geo.images * width
            copy_planes(flat, place, plane, width, out, b * width, pitch, row_step, filters, depth, count, 1)


@kernel
def clear(target: Array, to: int, step: int, count: int) -> None:
    """Set `count` numbers that are `step` apart to zero."""
    for q in range(np.uintp(count)):
        target[np.uintp(to) + q * np.uintp(step)] = 0


@kernel
def copy_column(target: Array, to: int, to_step: int, source: Array, begin: int, step: int, count: int) -> None:
    """Copy `count` numbers that are `step` apart to places `to_step` apart."""
    for q in range(np.uintp(count)):
        target[np.uintp(to) + q * np.uintp(to_step)] = source[np.uintp(begin) + q * np.uintp(step)]


@kernel
def add_column(target: Array, to: int, to_step: int, source: Array, begin: int, step: int, count: int) -> None:
    """Add `count` numbers that are `step` apart to places `to_step` apart."""
    for q in range(np.uintp(count)):
        target[np.uintp(to) + q * np.uintp(to_step)] += source[np.uintp(begin) + q * np.uintp(step)]
