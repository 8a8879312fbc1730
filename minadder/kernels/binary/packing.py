"""Signs packed into words of 64 bits, one row of words for each window of a layer.

Entry (i, j, c) of a window is bit number (i · kw + j) · channels + c of its row: 1 where the number is not negative. So
the channels of a pixel lie side by side, and what a window sees is a few words put one behind the other. Bits of
padding, and those behind the last entry, are 0.

Words lie as u[word, place], so that neighbouring places of the output fill a vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from minadder.autograd import Array
from minadder.jit import kernel
from minadder.kernels.geometry import Pair, output_size
from minadder.kernels.unfold import inside

BITS = 64

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
            "images",  # packed together
            "rows",  # of output, packed together
            "words",  # of a window
        )
    ]
)
"""One layer over one input, as a record: what Numba can hand to its threads."""

LAYOUT_WORDS = 2048
"""Of the windows packed together: 16 KB, so that they and as much of the mask stay in the first-level cache."""

LEAST_PLACES = 256
"""Of the windows packed together: fewer would not pay for the loops over filters."""

FEW_PIXELS = 16
"""Images of fewer are packed along their channels, not along their rows."""

LEAST_TASKS = 4
"""How many threads small batches should feed."""


@dataclass(frozen=True)
class Packing:
    """How the windows of a layer over an input are packed."""

    geometry: np.recarray[Any, Any]
    """An array of one `GEOMETRY` record."""
    mask: Array
    """Words (words, places): a 1 for each entry of a window that is no padding, for all places of `images` images."""
    entries: Array
    """How many those are, for each place of an image."""
    output: Pair
    """Height and width of the output."""
    image_groups: int
    """Tasks that the images of a batch make."""
    bands: int
    """Tasks that the rows of an output make."""


@lru_cache(maxsize=64)
def packing(x_shape: tuple[int, ...], w_shape: tuple[int, ...], stride: Pair, padding: Pair, dilation: Pair) -> Packing:
    """Return the packing for filters (T, C / groups, kh, kw) over an input (N, C, H, W)."""
    (count, _, height, width), (_, channels, *kernel_size) = x_shape, w_shape
    out_height, out_width = output = output_size((height, width), (w_shape[2], w_shape[3]), stride, padding, dilation)
    words = -(-channels * kernel_size[0] * kernel_size[1] // BITS)
    places = max(LEAST_PLACES, LAYOUT_WORDS // words)
    share = -(-count * out_height // LEAST_TASKS)  # rows of outputs for each of the least tasks
    rows = max(1, min(out_height, share, places // out_width))
    images = max(1, min(places // (out_height * out_width), share // out_height)) if rows == out_height else 1
    layer = (channels, height, width, *kernel_size, *stride, *padding, *dilation, *output)
    one_image = np.rec.array([(*layer, 1, out_height, words)], dtype=GEOMETRY)
    mask = np.zeros((words, out_height * out_width), np.uint64)
    pack_windows(np.ones((1, channels, height, width), np.float32), 0, 1, 0, 0, out_height, one_image, mask)
    entries = np.unpackbits(mask.view(np.uint8).reshape(words, -1, BITS // 8), axis=2).sum(axis=(0, 2), dtype=np.int64)
    geometry = np.rec.array([(*layer, images, rows, words)], dtype=GEOMETRY)
    return Packing(geometry, np.tile(mask, (1, images)), entries, output, -(-count // images), -(-out_height // rows))


@lru_cache(maxsize=64)
def filter_geometry(w_shape: tuple[int, ...]) -> np.recarray[Any, Any]:
    """Return the geometry under which each filter of (T, C, kh, kw) is an image with a single window."""
    _, channels, height, width = w_shape
    words = -(-channels * height * width // BITS)
    layer = (channels, height, width, height, width, 1, 1, 0, 0, 1, 1, 1, 1)
    return np.rec.array([(*layer, w_shape[0], 1, words)], dtype=GEOMETRY)


@kernel
def pack_windows(x: Array, image: int, images: int, channel: int, row: int, rows: int, geometry: Any, u: Array) -> bool:
    """Set the bits of some images of x (N, C, H, W) for `rows` rows of output in u, zeros before; tell of NaN."""
    geo = geometry[0]
    first = row * geo.stride_y - geo.padding_y
    depth = (rows - 1) * geo.stride_y + (geo.kernel_height - 1) * geo.dilation_y + 1
    bits = np.empty(((geo.channels + BITS - 1) // BITS, depth * geo.width), np.uint64)
    nan = False
    for b in range(images):
        bits[:] = 0
        nan |= pack_rows(x, image + b, channel, first, depth, geometry, bits)
        lay_out(bits, rows, geometry, u, b * rows * geo.out_width)
    return nan


@kernel
def pack_rows(x: Array, image: int, channel: int, first: int, depth: int, geometry: Any, bits: Array) -> bool:
    """Set bit c of each pixel of `depth` rows from row `first` on; rows outside of the image are left alone."""
    geo = geometry[0]
    top, bottom = max(0, first), min(geo.height, first + depth)
    count, plane = max(0, bottom - top) * geo.width, geo.height * geo.width
    begin = (image * x.shape[1] + channel) * plane + top * geo.width
    values, to = x.reshape(-1)[begin:], (top - first) * geo.width
    if plane < FEW_PIXELS:
        return pack_few(values, plane, count, geo.channels, bits, to)
    zero, none, nan = x.dtype.type(0), np.uint64(0), False
    for c in range(geo.channels):
        source, target = values[c * plane :], bits[c // BITS, to:]
        bit = np.uint64(1) << np.uint64(c % BITS)
        for q in range(np.uintp(count)):
            value = source[q]
            target[q] |= bit if value >= zero else none
            nan |= value != value
    return nan


@kernel
def pack_few(values: Array, plane: int, count: int, channels: int, bits: Array, to: int) -> bool:
    """Do the same for an image of few pixels, as filters are: a word after the other, along its channels."""
    zero, nan, step = values.dtype.type(0), False, np.uintp(plane)
    for q in range(count):
        for chunk in range(bits.shape[0]):
            word, source = np.uint64(0), values[chunk * BITS * plane + q :]
            for c in range(np.uintp(min(BITS, channels - chunk * BITS))):
                value = source[c * step]
                word |= np.uint64(value >= zero) << np.uint64(c)
                nan |= value != value
            bits[chunk, to + q] = word
    return nan


@kernel
def lay_out(bits: Array, rows: int, geometry: Any, u: Array, place: int) -> None:
    """Put what the windows of `rows` rows of output see of an image's bits into u, from a place on."""
    geo = geometry[0]
    step = np.uintp(geo.stride_x)
    for cell in range(geo.kernel_height * geo.kernel_width):
        i, j = cell // geo.kernel_width, cell % geo.kernel_width
        left = j * geo.dilation_x - geo.padding_x
        low, high = inside(left, geo.out_width, geo.stride_x, geo.width)
        for chunk in range(bits.shape[0] if low < high else 0):
            begin = cell * geo.channels + chunk * BITS
            last = begin + min(BITS, geo.channels - chunk * BITS) - 1
            word, shift = begin // BITS, np.uint64(begin % BITS)
            for r in range(rows):
                source = bits[chunk, (r * geo.stride_y + i * geo.dilation_y) * geo.width + left + low * geo.stride_x :]
                to = place + r * geo.out_width + low
                target = u[word, to : to + high - low]
                for q in range(np.uintp(high - low)):
                    target[q] |= source[q * step] << shift
                if last // BITS > word:
                    target, rest = u[word + 1, to : to + high - low], np.uint64(BITS) - shift
                    for q in range(np.uintp(high - low)):
                        target[q] |= source[q * step] >> rest
