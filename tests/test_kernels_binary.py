"""The binary kernel: the bits of a convolution of signs, in every geometry, and what a binary layer must obey."""

from __future__ import annotations

import itertools
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_cases import NAMED_LAYERS, NO_THREADS, ON_ONE_THREAD, ON_THREADS, constants, with_threads

import minadder as ma
from minadder import nn, ops
from minadder.autograd import Array
from minadder.kernels.binary import cpu, packing, reference
from minadder.kernels.conv import cpu as conv
from minadder.testing import LAYOUTS, Layer, lattice_layer, layers, same_bits, seeds

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


def forward(kernels: Any, layer: Layer) -> Array:
    """Return the output of a layer for a scale of 1, ½, ⅓, …, in which roundings would show."""
    scale = (1 / np.arange(1, 1 + len(layer.w))).astype(layer.x.dtype)
    return kernels.forward(layer.x, layer.w, scale, *layer.window)


def float_path(layer: Layer) -> Array:
    """Return the same by the fast convolution of signs."""
    scale = (1 / np.arange(1, 1 + len(layer.w))).astype(layer.x.dtype)
    return conv.forward(reference.signs(layer.x), reference.signs(layer.w), *layer.window) * scale[:, None, None]


def assert_is_exact(layer: Layer) -> None:
    """Compare a layer with the reference and the float path, bit for bit, in both precisions, however it is run."""
    for dtype, where in itertools.product((np.float32, np.float64), (ON_THREADS, ON_ONE_THREAD)):
        some = layer.astype(dtype)
        with constants(**where):
            ours = forward(cpu, some)
        assert same_bits(ours, forward(reference, some))
        assert same_bits(ours, float_path(some))


@given(layer=layers())
def test_any_layer_is_the_reference_bit_for_bit(layer: Layer) -> None:
    assert_is_exact(layer)


@given(layer=layers(), seed=seeds)
def test_any_layer_of_normal_values_is_the_reference_bit_for_bit(layer: Layer, seed: int) -> None:
    assert_is_exact(layer.gaussian(seed))


@pytest.mark.parametrize("name", NAMED_LAYERS)
def test_layers_of_extreme_and_large_shapes_are_the_reference(name: str) -> None:
    assert_is_exact(NAMED_LAYERS[name])


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 5)])
@pytest.mark.parametrize("channels", [1, 7, 63, 64, 65, 128, 130, 200])
def test_windows_of_any_number_of_words(channels: int, kernel: tuple[int, int]) -> None:
    assert_is_exact(lattice_layer((2, channels, 5, 6), 3, kernel, (2, 1), (1, 2)))


@pytest.mark.parametrize("channels", [1, 64, 65, 300])
@pytest.mark.parametrize("padding", [(0, 0), (1, 1), (2, 0)])
def test_images_of_one_pixel(channels: int, padding: tuple[int, int]) -> None:
    assert_is_exact(lattice_layer((70, channels, 1, 1), 5, (1, 1), padding=padding))


@given(layer=layers(), words=st.sampled_from((1, 20, 2048)), tasks=st.sampled_from((1, 4, 100)))
def test_however_the_work_is_cut_the_result_is_the_reference(layer: Layer, words: int, tasks: int) -> None:
    with mock.patch.multiple(packing, LAYOUT_WORDS=words, LEAST_TASKS=tasks):
        packing.packing.cache_clear()
        try:
            ours = forward(cpu, layer)
        finally:
            packing.packing.cache_clear()
    assert same_bits(ours, forward(reference, layer))


@pytest.mark.parametrize("rows", [1, packing.FEW_PIXELS])
def test_bug_a_padded_cell_counts_nothing_and_zero_counts_as_positive(rows: int) -> None:
    x, w, scale = np.array([[rows * [[1.0, -2.0, 0.0, -0.0]]]]), np.array([[[[0.5, 0.0, -0.0]]]]), np.ones(1)
    output = cpu.forward(x, w, scale, (1, 1), (0, 2), (1, 1), 1)
    assert output.tolist() == [[rows * [[1, 0, 1, 1, 2, 1]]]]


@both_dtypes
@pytest.mark.parametrize("holder", ["x", "w"])
@pytest.mark.parametrize("where", [0, -1])
def test_nan_reaches_the_windows_that_see_it_and_no_others(dtype: Any, holder: str, where: int) -> None:
    layer = lattice_layer((3, 4, 6, 5), 6, (3, 2), (2, 1), (1, 1), groups=2).astype(dtype)
    getattr(layer, holder).reshape(-1)[where] = np.nan
    ours = forward(cpu, layer)
    assert np.isnan(ours).any()
    assert not np.isnan(ours).all()
    assert same_bits(ours, forward(reference, layer))


def test_infinity_has_a_sign() -> None:
    layer = lattice_layer((2, 3, 4, 5), 3, (2, 2))
    layer.x[0, 0], layer.x[1, 1], layer.w[0, 0] = np.inf, -np.inf, -np.inf
    assert same_bits(forward(cpu, layer), forward(reference, layer))


@given(layer=layers(), layout=st.sampled_from(sorted(LAYOUTS)))
def test_the_layout_in_memory_does_not_matter_and_inputs_are_not_changed(layer: Layer, layout: str) -> None:
    other = layer._replace(x=LAYOUTS[layout](layer.x), w=LAYOUTS[layout](layer.w))
    copies = other.x.copy(), other.w.copy()
    assert same_bits(forward(cpu, other), forward(cpu, layer))
    assert same_bits(other.x, copies[0])
    assert same_bits(other.w, copies[1])


@pytest.mark.skipif(NO_THREADS, reason="kernels run on one thread here: see NO_THREADS")
@pytest.mark.parametrize("name", NAMED_LAYERS)
def test_one_thread_and_two_give_the_same_bits(name: str) -> None:
    layer = NAMED_LAYERS[name].gaussian(seed=1)
    with constants(**ON_THREADS):
        one, two = (with_threads(count, lambda: forward(cpu, layer)) for count in (1, 2))
    assert same_bits(one, two)


def test_size_0_batch() -> None:
    layer = lattice_layer((2, 4, 5, 5), 6, (3, 2), (2, 1), (1, 0), (1, 1), 2)
    assert forward(cpu, layer._replace(x=layer.x[:0])).shape == (0, 6, 3, 4)


@both_dtypes
@given(layer=layers(), seed=seeds)
def test_operation_and_gradients_are_those_of_signs_and_a_convolution(dtype: Any, layer: Layer, seed: int) -> None:
    """Of the expression that the operation stands for, on the graph; gradients to rounding, as sums differ."""
    layer = layer.gaussian(seed).astype(dtype)
    x, w, scale = (ma.tensor(array, requires_grad=True) for array in (layer.x, layer.w, abs(layer.w[:, 0, 0, 0])))
    window = dict(zip(("stride", "padding", "dilation", "groups"), layer.window, strict=True))
    results = []
    for output in (
        ops.binary_conv2d(x, w, scale, **window),
        ops.conv2d(ops.binarize(x), ops.binarize(w), **window) * scale.reshape(-1, 1, 1),
    ):
        x.grad = w.grad = scale.grad = None
        output.backward(layer.grad)
        results.append((output.numpy(), *(tensor.grad.numpy() for tensor in (x, w, scale))))
    assert same_bits(results[0][0], results[1][0])
    tolerance = {np.float32: 1e-4, np.float64: 1e-12}[dtype]
    for one, other in zip(results[0][1:], results[1][1:], strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * np.abs(other).max(initial=1))


@pytest.mark.parametrize(
    ("scale", "error", "message"),
    [
        (np.ones(2, np.float32), ValueError, r"the scale must have shape \(3,\), one per filter, not \(2,\)"),
        (np.ones((3, 1), np.float32), ValueError, r"not \(3, 1\)"),
        (np.ones(3), TypeError, r"the scale is float64 and the filters are float32: use \.astype"),
    ],
)
def test_a_scale_that_does_not_fit_is_named(scale: Array, error: type[Exception], message: str) -> None:
    x, w = ma.tensor(np.ones((1, 2, 3, 3), np.float32)), ma.tensor(np.ones((3, 2, 1, 1), np.float32))
    with pytest.raises(error, match=message):
        ops.binary_conv2d(x, w, ma.tensor(scale))
    with pytest.raises(error, match=message):
        ops.binary_linear(x[:, :, 0, 0], w[:, :, 0, 0], ma.tensor(scale))


def test_layers_scale_by_the_mean_of_their_filters() -> None:
    ma.manual_seed(0)
    conv_layer, linear = nn.BinaryConv2d(3, 4, 3, stride=2, padding=1), nn.BinaryLinear(5, 4)
    rng = np.random.default_rng(0)
    images, rows = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 3, 7, 6), (2, 3, 5)))
    w = conv_layer.weight.numpy()
    scale = np.abs(w).sum(axis=(1, 2, 3), dtype=np.float64).astype(np.float32) / np.float32(27)
    wanted = reference.forward(images, w, scale, (2, 2), (1, 1), (1, 1), 1)
    assert same_bits(conv_layer(images).numpy(), wanted)
    w = linear.weight.numpy()
    scale = np.abs(w).sum(axis=1, dtype=np.float64).astype(np.float32) / np.float32(5)
    np.testing.assert_array_equal(linear(rows).numpy(), (reference.signs(rows) @ reference.signs(w).T) * scale)
