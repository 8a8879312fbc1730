"""What the tests of kernels run them on and under: layers of extreme shapes, threads, cuts, dirty memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar
from unittest import mock

import numba
import numpy as np
from hypothesis import strategies as st
from numba.core import config

from minadder.autograd import Array
from minadder.kernels import unfold, windowed, windowed_input_grad, windowed_weight_grad
from minadder.testing import Layer, lattice_layer

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
