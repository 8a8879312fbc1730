"""What the tests of operations and kernels draw: arguments from the registry's strategies, and memory layouts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, TypeVar
from unittest import mock

import numba
import numpy as np
from hypothesis import strategies as st
from numba.core import config

from minadder.autograd import Array
from minadder.kernels import unfold, windowed, windowed_input_grad, windowed_weight_grad
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
    """Draw a small layer: 1×1 windows, windows as large as the input, strides that do not divide, groups, batch 1.

    One in three is wider than a vector, one in six also as high, and padded so that it could be as large as its input.
    """
    source = DrawByHypothesis(draw)
    kernel, stride = source.pair(1, 4), source.pair(1, 4)
    padding, dilation = source.pair(0, 3), source.pair(1, 3)
    groups = source.pick((1, 1, 2, 3))
    least = [max(1, d * (k - 1) + 1 - 2 * p) for k, p, d in zip(kernel, padding, dilation, strict=True)]
    height, width = (size + source.integer(0, 6) for size in least)
    extra = source.pick(((0, 0), (0, 0), (0, 0), (0, 0), (0, 27), (17, 20)))
    x_shape = source.integer(1, 4), groups * source.integer(1, 5), height + extra[0], width + extra[1]
    filters = groups * source.integer(1, 9)
    return lattice_layer(x_shape, filters, kernel, stride, padding, dilation, groups, draw(seeds))


@contextmanager
def constants(**values: Any) -> Iterator[None]:
    """Set constants of the windowed kernels for a while: where work is cut, and which way is taken.

    They are those that the Python around the compiled kernels reads.
    """
    with ExitStack() as stack:
        for name, value in values.items():
            (module,) = (module for module in CONSTANTS if name in CONSTANTS[module])
            stack.enter_context(mock.patch.object(module, name, value))
        unfold.layout.cache_clear()
        try:
            yield
        finally:
            unfold.layout.cache_clear()


CONSTANTS: dict[Any, tuple[str, ...]] = {
    windowed: ("SERIAL_ELEMENTS",),
    unfold: ("BLOCK_BYTES", "BAND_PLACES", "MOST_PLACES", "ENOUGH_PLACES", "LEAST_TASKS"),
    windowed_input_grad: ("PULL_SHARE",),
    windowed_weight_grad: ("PARTIAL_ELEMENTS",),
}

ON_THREADS, ON_ONE_THREAD = {"SERIAL_ELEMENTS": 0}, {"SERIAL_ELEMENTS": 1 << 60}
"""Constants for small layers on all threads, and for large ones on the caller's."""


def cuts() -> st.SearchStrategy[dict[str, Any]]:
    """Draw constants under which even a small layer is cut into channel blocks, bands of rows and groups of images."""
    return st.fixed_dictionaries(
        {
            "BLOCK_BYTES": st.sampled_from((1, 3000, 256 * 1024)),
            "BAND_PLACES": st.sampled_from((1, 30, 1024)),
            "MOST_PLACES": st.sampled_from((1, 100, 4096)),
            "ENOUGH_PLACES": st.sampled_from((1, 256)),
            "LEAST_TASKS": st.sampled_from((1, 2, 4)),
            "PULL_SHARE": st.sampled_from((0, 0.8, 1e9)),
            "PARTIAL_ELEMENTS": st.sampled_from((0, 1 << 21)),
            "SERIAL_ELEMENTS": st.sampled_from((0, 1 << 60)),
        }
    )


NAN_LAYERS = {
    "pushed gradients": lattice_layer((2, 3, 6, 5), 5, (3, 2), (2, 1), (1, 1)),
    "pulled gradients": lattice_layer((2, 3, 6, 5), 5, (3, 3), (1, 1), (1, 1)),
    "several images in a layout": lattice_layer((7, 3, 6, 9), 5, (3, 2), (2, 1), (1, 1)),
    "several images in a layout, pulled": lattice_layer((7, 3, 4, 9), 5, (3, 3), (1, 1), (1, 1)),
    "rows of several vectors": lattice_layer((2, 3, 6, 37), 5, (3, 2), (2, 1), (1, 1)),
}
"""Layers in which to place what is not a number."""


def with_value(layer: Layer, holder: str, value: float, where: str) -> Layer:
    """Return a layer with a value in its x, w or grad: the "first", the "middle" or the "last" element."""
    array = getattr(layer, holder).copy()
    place = {"first": 0, "middle": np.ravel_multi_index([n // 2 for n in array.shape], array.shape), "last": -1}[where]
    array.reshape(-1)[place] = value
    return layer._replace(**{holder: array})


def assert_filter_leaks_to_the_border_only(layer: Layer, ours: Array, wanted: Array) -> None:
    """Compare input gradients of filters with one value v that is not finite, bit for bit but for v · 0.

    Where gradients are pulled, the filters slide over zeros around ∂L/∂Y, and v · 0 is NaN. So NaN may also reach
    pixels that no window has under that entry: none of them further from the border than the window is large.
    """
    leaked = np.isnan(ours) & ~np.isnan(wanted)
    np.testing.assert_array_equal(ours[~leaked], wanted[~leaked])
    (entry,) = np.argwhere(~np.isfinite(layer.w))
    group, others = entry[0] // (len(layer.w) // layer.groups), leaked.copy()
    others[:, group * layer.w.shape[1] + entry[1]] = False
    assert not others.any()
    rows, columns = (d * (size - 1) for d, size in zip(layer.dilation, layer.w.shape[2:], strict=True))
    height, width = layer.x.shape[2:]
    assert not leaked[:, :, rows : height - rows, columns : width - columns].any()


@contextmanager
def dirty_memory() -> Iterator[None]:
    """Fill the memory that is given out next with NaN, so that reading what was never written shows.

    Compiled kernels allocate by malloc, which hands out again what was freed, small blocks and large ones alike. Arrays
    made in Python come from `np.empty` and are filled there.
    """
    pins = []
    for count in (1 << power for power in range(4, 15)):
        blocks = []
        for _ in range(64 if count < 1 << 10 else 8):
            blocks.append(np.full(count, np.nan))
            pins.append(np.empty(3))  # so that the memory before it is not given back to the system
        del blocks
    plain_empty = np.empty

    def empty(shape: Any, dtype: Any = float, **options: Any) -> Array:
        array = plain_empty(shape, dtype, **options)
        if array.dtype.kind == "f":
            array.fill(np.nan)
        return array

    with mock.patch.object(np, "empty", empty):
        yield


NAMED_LAYERS = {
    "a 1×1 window": lattice_layer((2, 3, 4, 5), 4, (1, 1)),
    "one image, one channel, one filter, one pixel": lattice_layer((1, 1, 1, 1), 1, (1, 1)),
    "a window as large as the input": lattice_layer((3, 2, 4, 5), 3, (4, 5)),
    "a window as large as the padded input": lattice_layer((1, 2, 4, 3), 3, (6, 7), (1, 1), (1, 2)),
    "padding wider than the output": lattice_layer((2, 2, 3, 1), 3, (2, 2), (1, 1), (0, 20), (1, 33)),
    "padding wider than the window": lattice_layer((2, 2, 4, 5), 3, (2, 1), (1, 1), (2, 1)),
    "a stride that leaves a rest": lattice_layer((2, 2, 8, 9), 3, (3, 3), (2, 4)),
    "a stride beyond the window": lattice_layer((2, 2, 9, 8), 3, (2, 1), (5, 3), (1, 1)),
    "rows that a stride sorts into two of three phases": lattice_layer(
        (2, 2, 9, 23), 3, (3, 3), (3, 2), (2, 1), (2, 1)
    ),
    "a dilated window in padding, in groups": lattice_layer((2, 6, 5, 4), 9, (3, 2), (2, 1), (3, 2), (2, 3), 3),
    "rows of one vector and a rest": lattice_layer((3, 2, 5, 19), 3, (3, 3), (1, 1), (1, 1)),
    "rows of whole vectors": lattice_layer((4, 2, 3, 32), 4, (3, 1), (1, 1), (1, 0)),
    "places that fill their tiles exactly": lattice_layer((4, 3, 8, 8), 5, (1, 1)),
    "wide rows, every second place": lattice_layer((2, 3, 7, 41), 6, (3, 3), (2, 2), (1, 1)),
    "several bands of rows, the last one lower": lattice_layer((1, 2, 41, 37), 5, (3, 3), (1, 1), (1, 1)),
    "several bands of rows in phases": lattice_layer((2, 1, 67, 71), 3, (3, 2), (2, 2), (1, 1)),
    "rows of more places than a band": lattice_layer((1, 2, 2, 1100), 3, (1, 5), (1, 1), (0, 2)),
    "one column": lattice_layer((1, 2, 1100, 1), 3, (5, 1), (2, 1), (2, 0)),
    "many images in one layout, fewer in the last": lattice_layer((47, 2, 3, 3), 4, (3, 3), (2, 2), (1, 1)),
    "several images of wider rows, fewer in the last": lattice_layer((7, 1, 9, 13), 2, (2, 2), (1, 1), (1, 0)),
    "several images of padded rows, all the same size": lattice_layer((19, 2, 6, 9), 5, (3, 3), (1, 1), (1, 1)),
    "several blocks of channels, the last one smaller": lattice_layer((1, 23, 31, 32), 5, (3, 3), (1, 1), (1, 1)),
    "many filters": lattice_layer((2, 1, 5, 4), 131, (2, 2)),
    "many filters in groups": lattice_layer((2, 2, 4, 4), 132, (2, 2), (1, 1), (0, 0), (1, 1), 2),
    "many entries": lattice_layer((2, 37, 6, 5), 6, (5, 3), (1, 1), (2, 1)),
}
"""Layers of extreme shapes, and such that meet each way in which `unfold.py` cuts and the tiles end.

Vectors hold 2 to 16 places and tiles 4 to 64, so rows of 19, 32 and 41 places are some of each and a rest.
"""
