"""What `minadder.testing` draws: lattice values away from kinks, shapes, layouts, precisions and whole layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import find, given
from hypothesis import strategies as st

from minadder import testing
from minadder.autograd import Array
from minadder.kernels.geometry import output_size
from minadder.testing.lattice import lattice_values

several_shapes = st.lists(testing.shapes(min_side=0), min_size=1, max_size=4)
limits = st.sampled_from(((-3.0, 3.0), (0.25, 1.0), (-0.1, 0.2), (-100.0, -99.5)))


@given(inputs=several_shapes.flatmap(testing.lattice_inputs))
def test_no_two_values_of_a_function_s_inputs_are_equal(inputs: tuple[Array, ...]) -> None:
    values = np.concatenate([array.reshape(-1) for array in inputs])
    assert len(np.unique(values)) == len(values)
    assert not np.isin(values, (-1, 0, 1)).any()
    gaps = np.abs(values[:, None] - [-1, 0, 1])
    assert (gaps > 2.0**-10).all()  # finite differences do not reach over a kink


@given(shapes=several_shapes, seed=testing.seeds, limit=limits)
def test_values_lie_between_the_limits_and_are_exact_in_float32(
    shapes: list[tuple[int, ...]], seed: int, limit: tuple[float, float]
) -> None:
    low, high = limit
    arrays = lattice_values(np.random.default_rng(seed), shapes, low, high)
    assert [array.shape for array in arrays] == shapes
    for array in arrays:
        assert array.dtype == np.float64
        assert ((low <= array) & (array <= high)).all()
        np.testing.assert_array_equal(array.astype(np.float32), array)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (-math.inf, 0.0), (0.0, math.nan)])
def test_limits_without_numbers_between_them_are_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="the lattice needs low < high, both finite, not low="):
        lattice_values(np.random.default_rng(0), [(2,)], low, high)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("layout", "lies_so"),
    [
        ("fortran", lambda array: array.flags.f_contiguous and not array.flags.c_contiguous),
        ("transposed", lambda array: not array.flags.c_contiguous),
        ("strided", lambda array: array.strides[-1] == 2 * array.itemsize),
        ("negative strides", lambda array: min(array.strides) < 0),
        ("read-only", lambda array: not array.flags.writeable),
    ],
)
def test_arrays_lie_in_memory_as_is_asked(dtype: Any, layout: str, lies_so: Callable[[Array], bool]) -> None:
    array = find(testing.lattice_arrays((2, 3), dtype, layout), lambda array: True)
    assert (array.shape, array.dtype) == ((2, 3), dtype)
    assert lies_so(array)


@given(array=testing.lattice_arrays(testing.shapes(min_side=0)), name=testing.layouts(), dtype=testing.dtypes())
def test_a_layout_is_a_copy_of_equal_values(array: Array, name: str, dtype: Any) -> None:
    values = array.astype(dtype)
    copy = testing.LAYOUTS[name](values)
    assert testing.same_bits(copy, values)
    assert not np.shares_memory(copy, values)


@pytest.mark.parametrize("name", testing.LAYOUTS)
def test_every_layout_and_precision_is_drawn(name: str) -> None:
    assert find(testing.layouts(), lambda drawn: drawn == name) == name
    for dtype in (np.float32, np.float64):
        assert find(testing.dtypes(), lambda drawn, dtype=dtype: drawn == dtype) == dtype


def test_shapes_of_every_kind_are_drawn() -> None:
    assert find(testing.shapes(), lambda shape: shape == ()) == ()
    assert len(find(testing.shapes(), lambda shape: len(shape) == 3)) == 3
    assert 0 in find(testing.shapes(min_side=0), lambda shape: len(shape) == 2 and 0 in shape)


@given(shapes=testing.broadcastable_shapes(3))
def test_broadcastable_shapes_broadcast(shapes: tuple[tuple[int, ...], ...]) -> None:
    assert len(shapes) == 3
    np.broadcast_shapes(*shapes)


@given(layer=testing.layers())
def test_layers_fit_together_and_stay_away_from_kinks(layer: testing.Layer) -> None:
    (n, channels, *size), (filters, depth, *kernel) = layer.x.shape, layer.w.shape
    assert channels == depth * layer.groups
    assert filters % layer.groups == 0
    assert layer.grad.shape == (
        n,
        filters,
        *output_size(tuple(size), tuple(kernel), layer.stride, layer.padding, layer.dilation),
    )
    differences = np.subtract.outer(np.unique(layer.x), np.unique(layer.w))
    assert min(np.abs(differences - kink).min() for kink in (-1, 0, 1)) >= 0.25
    assert layer.sample.arrays == (layer.x, layer.w)
    assert tuple(layer.sample.options.values()) == layer.window


@pytest.mark.parametrize(
    "kind",
    [
        lambda layer: layer.w.shape[2:] == (1, 1),
        lambda layer: layer.w.shape[2:] == layer.x.shape[2:] and layer.padding == (0, 0),
        lambda layer: layer.groups > 1,
        lambda layer: layer.dilation != (1, 1),
        lambda layer: layer.stride[0] > layer.w.shape[2],
        lambda layer: (layer.x.shape[2] - layer.w.shape[2]) % layer.stride[0] > 0 and layer.padding[0] == 0,
        lambda layer: len(layer.x) == 1,
    ],
    ids=["1×1", "as large as its input", "groups", "dilation", "a stride beyond the window", "a rest", "batch 1"],
)
def test_layers_of_every_kind_are_drawn(kind: Callable[[testing.Layer], bool]) -> None:
    assert kind(find(testing.layers(), kind))
