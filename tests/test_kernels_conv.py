"""The convolution kernels: against the reference in every geometry, and what a convolution must obey."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_cases import (
    NAMED_LAYERS,
    NAN_LAYERS,
    NO_THREADS,
    ON_ONE_THREAD,
    ON_THREADS,
    assert_filter_leaks_to_the_border_only,
    constants,
    cuts,
    dirty_memory,
    with_threads,
    with_value,
)

from minadder.autograd import Array
from minadder.kernels.conv import cpu, reference
from minadder.testing import LAYOUTS, Layer, lattice_layer, layers, same_bits, seeds

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


def all_three(kernels: Any, layer: Layer) -> tuple[Array, Array, Array]:
    """Return the output and the gradients of x and w of a layer."""
    x, w, grad = layer.x, layer.w, layer.grad
    return (
        kernels.forward(x, w, *layer.window),
        kernels.input_grad(grad, x.shape, w, *layer.window),
        kernels.weight_grad(grad, x, w.shape, *layer.window),
    )


def assert_is_reference(layer: Layer) -> None:
    """Compare a layer on the lattice with the reference, bit for bit, in both precisions, on one thread and on all."""
    wanted = all_three(reference, layer)
    for dtype, where in itertools.product((np.float32, np.float64), (ON_THREADS, ON_ONE_THREAD)):
        with constants(**where):
            ours = all_three(cpu, layer.astype(dtype))
        for one, other, what in zip(ours, wanted, ("output", "input gradient", "weight gradient"), strict=True):
            assert one.dtype == dtype
            np.testing.assert_array_equal(one, other, err_msg=f"{what} in {np.dtype(dtype)}")


@given(layer=layers())
def test_any_layer_is_the_reference_bit_for_bit(layer: Layer) -> None:
    assert_is_reference(layer)


@given(layer=layers(), cuts=cuts())
def test_however_the_work_is_cut_the_result_is_the_reference(layer: Layer, cuts: dict[str, Any]) -> None:
    wanted = all_three(reference, layer)
    with constants(**cuts):
        for dtype in (np.float32, np.float64):
            for one, other in zip(all_three(cpu, layer.astype(dtype)), wanted, strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", NAMED_LAYERS)
def test_layers_of_extreme_and_large_shapes_are_the_reference(name: str) -> None:
    assert_is_reference(NAMED_LAYERS[name])


@both_dtypes
@given(layer=layers(), seed=seeds)
def test_gaussian_layers_are_the_reference_to_rounding(dtype: Any, layer: Layer, seed: int) -> None:
    """Sums are added up in another order: to 1e-5 of the largest value in float32, 1e-13 in float64."""
    layer = layer.gaussian(seed).astype(dtype)
    tolerance = {np.float32: 1e-5, np.float64: 1e-13}[dtype]
    for one, other in zip(all_three(cpu, layer), all_three(reference, layer.astype(np.float64)), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * np.abs(other).max(initial=1))


@pytest.mark.parametrize("length", range(1, 10))
@pytest.mark.parametrize("filters", [1, 2, 3, 4, 5, 63, 64, 65])
def test_any_number_of_filters_and_of_entries(length: int, filters: int) -> None:
    assert_is_reference(lattice_layer((3, length, 2, 3), filters, (1, 1)))


def test_the_filter_is_not_flipped() -> None:
    layer = lattice_layer((1, 2, 3, 4), 1, (3, 4))
    output = cpu.forward(layer.x, layer.w, *layer.window)
    assert output.item() == (layer.x * layer.w).sum()


@pytest.mark.parametrize("height", [7, 8])
def test_every_position_gets_its_gradient_at_stride_2(height: int) -> None:
    layer = lattice_layer((2, 3, height, 9), 4, (3, 3), (2, 2), (1, 1))
    positive = np.abs(layer.w)
    input_grad = cpu.input_grad(np.ones(layer.grad.shape), layer.x.shape, positive, *layer.window)
    seen = np.pad(np.zeros(layer.x.shape), ((0, 0), (0, 0), (1, 1), (1, 1)))
    for i in range(layer.grad.shape[2]):
        for j in range(layer.grad.shape[3]):
            seen[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] += positive.sum(axis=0)
    assert same_bits(input_grad, seen[:, :, 1:-1, 1:-1])


@given(layer=layers())
def test_groups_are_separate_layers(layer: Layer) -> None:
    parts = []
    channels, filters = layer.w.shape[1], len(layer.w) // layer.groups
    for group in range(layer.groups):
        mine = slice(group * filters, (group + 1) * filters)
        x = layer.x[:, group * channels : (group + 1) * channels]
        parts.append(all_three(cpu, layer._replace(x=x, w=layer.w[mine], grad=layer.grad[:, mine], groups=1)))
    for one, other, axis in zip(all_three(cpu, layer), zip(*parts, strict=True), (1, 1, 0), strict=True):
        assert same_bits(one, np.concatenate(other, axis))


@given(layer=layers(), factor=st.integers(-4, 4))
def test_outputs_are_linear_in_the_input_and_in_the_filters(layer: Layer, factor: int) -> None:
    output = cpu.forward(layer.x, layer.w, *layer.window)
    assert same_bits(cpu.forward(factor * layer.x, layer.w, *layer.window), factor * output)
    shifted = cpu.forward(layer.x, layer.w + factor, *layer.window)
    assert same_bits(shifted, output + factor * cpu.forward(layer.x, np.ones_like(layer.w), *layer.window))


@given(layer=layers(), seed=seeds)
def test_the_order_of_images_carries_over(layer: Layer, seed: int) -> None:
    images = np.random.default_rng(seed).permutation(len(layer.x))
    output, input_grad, weight_grad = all_three(cpu, layer)
    others = all_three(cpu, layer._replace(x=layer.x[images], grad=layer.grad[images]))
    assert same_bits(others[0], output[images])
    assert same_bits(others[1], input_grad[images])
    assert same_bits(others[2], weight_grad)


@both_dtypes
def test_one_nan_reaches_exactly_the_windows_that_see_it(dtype: Any) -> None:
    layer = lattice_layer((2, 3, 7, 8), 5, (3, 2), (2, 1), (1, 1), (1, 2)).astype(dtype)
    place = 1, 2, 4, 5
    marked = np.zeros_like(layer.x)
    marked[place] = 1
    sees = cpu.forward(marked, np.ones_like(layer.w), *layer.window) != 0
    clean = cpu.forward(layer.x, layer.w, *layer.window)
    layer.x[place] = np.nan
    output = cpu.forward(layer.x, layer.w, *layer.window)
    assert sees.any()
    assert not sees.all()
    assert np.isnan(output[sees]).all()
    assert same_bits(output[~sees], clean[~sees])


@both_dtypes
@pytest.mark.parametrize("name", NAN_LAYERS)
@pytest.mark.parametrize("where", ["first", "middle", "last"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_nan_and_infinity_reach_what_they_reach_in_the_reference(
    dtype: Any, name: str, where: str, value: float
) -> None:
    for holder in ("x", "w", "grad"):
        layer = with_value(NAN_LAYERS[name].astype(dtype), holder, value, where)
        ours, wanted = (all_three(kernels, layer) for kernels in (cpu, reference))
        np.testing.assert_array_equal(ours[0], wanted[0])
        if holder == "w":
            assert_filter_leaks_to_the_border_only(layer, ours[1], wanted[1])
        else:
            np.testing.assert_array_equal(ours[1], wanted[1])
        np.testing.assert_array_equal(ours[2], wanted[2])


@both_dtypes
@pytest.mark.parametrize("name", [*NAN_LAYERS, "many images in one layout, fewer in the last", "many filters"])
def test_nothing_is_read_that_was_never_written(dtype: Any, name: str) -> None:
    """The same bits, whatever was in memory before."""
    layer = (NAN_LAYERS | NAMED_LAYERS)[name].gaussian(seed=1).astype(dtype)
    with constants(**ON_ONE_THREAD):  # the memory of other threads is made dirty less surely
        clean = all_three(cpu, layer)
        for _ in range(3):
            with dirty_memory():
                for one, other in zip(all_three(cpu, layer), clean, strict=True):
                    assert same_bits(one, other)


@given(layer=layers(), layout=st.sampled_from(sorted(LAYOUTS)))
def test_the_layout_in_memory_does_not_matter(layer: Layer, layout: str) -> None:
    change = LAYOUTS[layout]
    other = layer._replace(x=change(layer.x), w=change(layer.w), grad=change(layer.grad))
    for one, two in zip(all_three(cpu, layer), all_three(cpu, other), strict=True):
        assert same_bits(one, two)


@given(layer=layers())
def test_inputs_are_not_changed_and_results_own_their_memory(layer: Layer) -> None:
    inputs = layer.x, layer.w, layer.grad
    copies = [array.copy() for array in inputs]
    results = all_three(cpu, layer)
    for array, copy in zip(inputs, copies, strict=True):
        assert same_bits(array, copy)
    for number, result in enumerate(results):
        assert result.flags.writeable
        assert not any(np.shares_memory(result, other) for other in (*inputs, *results[:number]))


@both_dtypes
@pytest.mark.skipif(NO_THREADS, reason="kernels run on one thread here: see NO_THREADS")
@pytest.mark.parametrize("name", NAMED_LAYERS)
def test_one_thread_and_two_give_the_same_bits(dtype: Any, name: str) -> None:
    """On normal values, where another order of a sum would show. Nor does it matter where small layers run."""
    layer = NAMED_LAYERS[name].gaussian(seed=1).astype(dtype)
    with constants(**ON_THREADS):
        results = [with_threads(count, lambda: all_three(cpu, layer)) for count in (1, 2)]
    with constants(**ON_ONE_THREAD):
        results.append(all_three(cpu, layer))
    for one, two, caller in zip(*results, strict=True):
        assert same_bits(one, two)
        assert same_bits(one, caller)


def test_size_0_batch() -> None:
    layer = lattice_layer((2, 4, 5, 5), 6, (3, 2), (2, 1), (1, 0), (1, 1), 2)
    output, input_grad, weight_grad = all_three(cpu, layer._replace(x=layer.x[:0], grad=layer.grad[:0]))
    assert output.shape == (0, 6, 3, 4)
    assert input_grad.shape == (0, 4, 5, 5)
    assert same_bits(weight_grad, np.zeros(layer.w.shape))
