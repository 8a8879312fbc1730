"""What the tests of operations and kernels draw: arguments from the registry's strategies, and memory layouts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numba
import numpy as np
from hypothesis import strategies as st
from numba.core import config

from minadder.autograd import Array
from minadder.kernels.geometry import Pair, output_size
from minadder.ops.registry import Operation
from minadder.ops.samples import Draw, Sample

seeds = st.integers(0, 2**32 - 1)
"""Seeds of generators for values; shapes and options are drawn one by one so that a failure shrinks to small ones."""


class DrawByHypothesis(Draw):
    """A source of choices that Hypothesis makes and shrinks.

    Parameters
    ----------
    draw
        What a composite strategy or `st.data()` draws with.
    """

    def __init__(self, draw: Callable[..., Any]) -> None:
        super().__init__(np.random.default_rng(draw(seeds)))
        self._draw = draw

    def integer(self, low: int, high: int) -> int:
        """Return an integer from low to high, both included."""
        return int(self._draw(st.integers(low, high)))


@st.composite
def samples_of(draw: Callable[..., Any], source: Operation | Callable[[Draw], Sample]) -> Sample:
    """Draw arguments of an operation, or from a strategy of `minadder.ops.samples`."""
    strategy = source.sample if isinstance(source, Operation) else source
    return strategy(DrawByHypothesis(draw))


def cotangent(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return weights for outputs from ¼ℤ, never all equal where there are several; float64."""
    weights = np.asarray(rng.integers(-8, 9, shape) / 4)
    weights.reshape(-1)[:1] = 1.75
    weights.reshape(-1)[1:2] = -0.5
    return weights


def fortran(array: Array) -> Array:
    """Return a copy whose first axis runs fastest in memory."""
    return np.array(array, order="F")


def transposed(array: Array) -> Array:
    """Return a copy with the last two axes swapped in memory."""
    if array.ndim < 2:
        return array.copy()
    return np.ascontiguousarray(array.swapaxes(-1, -2)).swapaxes(-1, -2)


def strided(array: Array) -> Array:
    """Return every second element of an array that has NaN in between."""
    spread = np.full((*array.shape, 2), np.nan, array.dtype)
    spread[..., 0] = array
    return spread[..., 0]


def negative_strides(array: Array) -> Array:
    """Return a copy that runs backwards in memory along every axis."""
    backwards = (*(slice(None, None, -1) for _ in range(array.ndim)), ...)
    return array[backwards].copy()[backwards]


def read_only(array: Array) -> Array:
    """Return a copy that cannot be written to."""
    copy = array.copy()
    copy.flags.writeable = False
    return copy


LAYOUTS = {
    "fortran": fortran,
    "transposed": transposed,
    "strided": strided,
    "negative strides": negative_strides,
    "read-only": read_only,
}
"""Ways for equal values to lie in memory, other than one after the other in memory of their own."""


def same_bits(one: Array, other: Array) -> bool:
    """Return whether two arrays agree in dtype, shape and every value; NaN equals NaN, and −0 equals 0."""
    return one.dtype == other.dtype and one.shape == other.shape and np.array_equal(one, other, equal_nan=True)


Result = TypeVar("Result")

NO_THREADS = bool(config.DISABLE_JIT or config.BOUNDSCHECK or config.NUMBA_NUM_THREADS < 2)
"""Whether parallel kernels run on one thread: without the compiler, while bounds are checked, or for want of cores."""


def with_threads(count: int, function: Callable[[], Result]) -> Result:
    """Return what a function gives when kernels run on so many threads."""
    before = numba.get_num_threads()
    numba.set_num_threads(count)
    try:
        return function()
    finally:
        numba.set_num_threads(before)


class Layer(NamedTuple):
    """An input, filters, an incoming gradient, and how the window slides."""

    x: Array
    w: Array
    grad: Array
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int

    @property
    def window(self) -> tuple[Pair, Pair, Pair, int]:
        """Return stride, padding, dilation and groups, as kernels take them."""
        return self.stride, self.padding, self.dilation, self.groups

    def astype(self, dtype: Any) -> Layer:
        """Return the same values in a precision."""
        return self._replace(x=self.x.astype(dtype), w=self.w.astype(dtype), grad=self.grad.astype(dtype))

    def gaussian(self, seed: int) -> Layer:
        """Return a layer of the same shapes with normal values, on which the order of a sum shows; float64."""
        rng = np.random.default_rng(seed)
        x, w, grad = (rng.standard_normal(array.shape) for array in (self.x, self.w, self.grad))
        return self._replace(x=x, w=w, grad=grad)


def lattice_layer(
    x_shape: tuple[int, int, int, int],
    filters: int,
    kernel_size: Pair,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
    seed: int = 0,
) -> Layer:
    """Return a layer with values on the lattice: x in ½ℤ, filters in ½ℤ + ¼, gradients in ¼ℤ; float64."""
    rng = np.random.default_rng(seed)
    draw = Draw(rng)
    w = draw.quarters((filters, x_shape[1] // groups, *kernel_size))
    output = output_size(x_shape[2:], kernel_size, stride, padding, dilation)
    grad = cotangent(rng, (x_shape[0], filters, *output))
    return Layer(draw.halves(x_shape), w, grad, stride, padding, dilation, groups)


@st.composite
def layers(draw: Callable[..., Any]) -> Layer:
    """Draw a small layer: 1×1 windows, windows as large as the input, strides that do not divide, groups, batch 1."""
    source = DrawByHypothesis(draw)
    kernel, stride = source.pair(1, 4), source.pair(1, 4)
    padding, dilation = source.pair(0, 3), source.pair(1, 3)
    groups = source.pick((1, 1, 2, 3))
    least = [max(1, d * (k - 1) + 1 - 2 * p) for k, p, d in zip(kernel, padding, dilation, strict=True)]
    height, width = (size + source.integer(0, 6) for size in least)
    x_shape = source.integer(1, 4), groups * source.integer(1, 5), height, width
    filters = groups * source.integer(1, 9)
    return lattice_layer(x_shape, filters, kernel, stride, padding, dilation, groups, draw(seeds))


NAMED_LAYERS = {
    "a 1×1 window": lattice_layer((2, 3, 4, 5), 4, (1, 1)),
    "one image, one channel, one filter, one pixel": lattice_layer((1, 1, 1, 1), 1, (1, 1)),
    "a window as large as the input": lattice_layer((3, 2, 4, 5), 3, (4, 5)),
    "a window as large as the padded input": lattice_layer((1, 2, 4, 3), 3, (6, 7), (1, 1), (1, 2)),
    "a stride that leaves a rest": lattice_layer((2, 2, 8, 9), 3, (3, 3), (2, 4)),
    "a stride beyond the window": lattice_layer((2, 2, 9, 8), 3, (2, 1), (5, 3), (1, 1)),
    "a dilated window in padding, in groups": lattice_layer((2, 6, 5, 4), 9, (3, 2), (2, 1), (3, 2), (2, 3), 3),
    "several tiles": lattice_layer((2, 1, 24, 29), 3, (3, 2)),
    "a tile and one patch": lattice_layer((1, 1, 27, 19), 1, (1, 1)),
    "several tiles of one image": lattice_layer((1, 2, 40, 40), 5, (3, 3), (1, 1), (1, 1)),
    "tiles that end inside rows and images": lattice_layer((7, 1, 9, 13), 2, (2, 2), (1, 1), (1, 0)),
    "many images in one tile": lattice_layer((33, 3, 3, 3), 4, (3, 3), (2, 2), (1, 1)),
    "several blocks of filters": lattice_layer((2, 1, 5, 4), 131, (2, 2)),
    "blocks of filters in groups": lattice_layer((2, 2, 4, 4), 132, (2, 2), (1, 1), (0, 0), (1, 1), 2),
    "one row of patches": lattice_layer((1, 2, 1, 1100), 3, (1, 5), (1, 2), (0, 2)),
    "one column of patches": lattice_layer((1, 2, 1100, 1), 3, (5, 1), (2, 1), (2, 0)),
    "long patches": lattice_layer((2, 37, 6, 5), 6, (5, 3), (1, 1), (2, 1)),
}
"""Layers of extreme shapes, and larger than one tile of patches (512) or one block of filters (64)."""
