"""The binary layer on the CPU: a XOR and a count of ones for 64 products. What it computes is this plain loop:

    for p in places:
        for t in filters:
            Y[p, t] = α[t] · (ones(mask[p]) − 2 · ones((X[p] ^ F[t]) & mask[p]))

over words of bits that `packing.py` makes of the signs. Entries of a window whose signs agree count +1, the others −1,
and those that the mask leaves out, the padding, 0. Counts are integers: the result has the bits of a convolution of the
signs, whatever the order of its sums, as long as a window has fewer than 2²⁴ entries.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core import extending, types

from minadder.autograd import Array
from minadder.jit import kernel
from minadder.kernels.binary.packing import filter_geometry, pack_windows, packing
from minadder.kernels.binary.reference import signs
from minadder.kernels.conv import cpu as conv
from minadder.kernels.geometry import Pair
from minadder.kernels.tasks import intrinsic, on_threads
from minadder.kernels.windowed import run

overload: Callable[[Any], Callable[[Any], Any]] = extending.overload

SERIAL_SHARE = 16
"""How many times as fast a pair of signs is counted as a product is added up: for when to start threads."""


@intrinsic
def population_count(typing: Any, word: Any) -> Any:
    """Return LLVM's count of ones: one instruction for eight words where the processor has it."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), emit


def count_ones(word: Any) -> int:
    """Return how many bits of a word are 1."""
    return int(word).bit_count()


@overload(count_ones)
def compiled_count_ones(word: Any) -> Any:
    """Return what `count_ones` is in a compiled kernel."""

    def compiled(word: Any) -> Any:
        return population_count(word)

    return compiled


@kernel
def count_four(u: Array, mask: Array, begin: int, word: int, bits: Array, t: int, count: int, ones: Array) -> None:
    """Add to `ones`, for each place, in how many unmasked bits four words differ from those of filter t."""
    u0, u1, u2, u3 = u[word], u[word + 1], u[word + 2], u[word + 3]
    m0, m1, m2, m3 = mask[word, begin:], mask[word + 1, begin:], mask[word + 2, begin:], mask[word + 3, begin:]
    w0, w1, w2, w3 = bits[word, t], bits[word + 1, t], bits[word + 2, t], bits[word + 3, t]
    for p in range(np.uintp(count)):
        one = count_ones((u0[p] ^ w0) & m0[p]) + count_ones((u1[p] ^ w1) & m1[p])
        other = count_ones((u2[p] ^ w2) & m2[p]) + count_ones((u3[p] ^ w3) & m3[p])
        ones[p] += one + other


@kernel
def count_one(u: Array, mask: Array, begin: int, word: int, bits: Array, t: int, count: int, ones: Array) -> None:
    """Do the same for one word."""
    u0, m0, w0 = u[word], mask[word, begin:], bits[word, t]
    for p in range(np.uintp(count)):
        ones[p] += count_ones((u0[p] ^ w0) & m0[p])


@kernel
def count_differences(u: Array, mask: Array, begin: int, bits: Array, t: int, count: int, ones: Array) -> None:
    """Write to `ones` in how many unmasked bits the first `count` places of u differ from filter t."""
    ones[:count] = 0
    words = u.shape[0]
    for word in range(0, words - 3, 4):
        count_four(u, mask, begin, word, bits, t, count, ones)
    for word in range(words // 4 * 4, words):
        count_one(u, mask, begin, word, bits, t, count, ones)


@kernel
def forward_task(
    task: int,
    x: Array,
    first_channel: int,
    bits: Array,
    mask: Array,
    entries: Array,
    first_filter: int,
    geometry: Any,
    nan: Array,
    scale: Array,
    y: Array,
) -> None:
    """Write a band of rows of some images to y (N, T, H', W') for the filters of a group, given as bits."""
    geo = geometry[0]
    bands = (geo.out_height + geo.rows - 1) // geo.rows
    image, row = task // bands * geo.images, task % bands * geo.rows
    images, rows = min(geo.images, x.shape[0] - image), min(geo.rows, geo.out_height - row)
    begin, size, plane = row * geo.out_width, rows * geo.out_width, geo.out_height * geo.out_width
    u = np.zeros((geo.words, images * size), np.uint64)
    if pack_windows(x, image, images, first_channel, row, rows, geometry, u):
        nan[task] = 1
    ones, here = np.empty(images * size, np.int64), entries[begin:]
    flat = y.reshape(-1)
    for t in range(bits.shape[1]):
        count_differences(u, mask, begin, bits, t, images * size, ones)
        factor = scale[first_filter + t]
        for b in range(images):
            to = ((image + b) * y.shape[1] + first_filter + t) * plane + begin
            target, differences = flat[to : to + size], ones[b * size :]
            for p in range(np.uintp(size)):
                target[p] = factor * y.dtype.type(here[p] - 2 * differences[p])


forward_tasks = on_threads(forward_task)


def pack_filters(w: Array) -> tuple[Array, bool]:
    """Return filters (T, C, kh, kw) as bits (words, T), and whether there is a NaN in them."""
    geometry = filter_geometry(w.shape)
    bits = np.zeros((int(geometry.words[0]), len(w)), np.uint64)
    return bits, bool(pack_windows(w, 0, len(w), 0, 0, 1, geometry, bits))


def forward(x: Array, w: Array, scale: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Array:
    """Return Y = α·Σ sign(X)·sign(F) over each window (Rastegari et al. 2016, Eq. 11 without K).

    A padded cell counts 0. NaN has no bit, so that where there is one the signs are convolved as floats.
    """
    x, w, scale = (np.ascontiguousarray(array) for array in (x, w, scale))
    plan = packing(x.shape, w.shape, stride, padding, dilation)
    y = np.empty((x.shape[0], w.shape[0], *plan.output), x.dtype)
    filters, tasks = w.shape[0] // groups, plan.image_groups * plan.bands
    nan = np.zeros(tasks + 1, np.uint8)
    for first in range(0, w.shape[0], filters):
        bits, nan[tasks] = pack_filters(w[first : first + filters])
        channel = first // filters * w.shape[1]
        elements = y.size * w[0].size // (groups * SERIAL_SHARE) + x.size // groups
        arguments = x, channel, bits, plan.mask, plan.entries, first, plan.geometry, nan, scale, y
        run(forward_task, forward_tasks, tasks, elements, *arguments)
        if nan.any():
            return conv.forward(signs(x), signs(w), stride, padding, dilation, groups) * scale[:, None, None]
    return y
