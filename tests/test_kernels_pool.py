"""The pooling kernels: against the reference, finite differences and PyTorch; ties, padding, NaN and layouts."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from kernel_cases import NO_THREADS, with_threads

from minadder.autograd import Array
from minadder.kernels.geometry import Pair
from minadder.kernels.pool import cpu, reference
from minadder.testing import LAYOUTS, same_bits, seeds

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
both_kernels = pytest.mark.parametrize("kernels", [cpu, reference], ids=["cpu", "reference"])


class Pooling(NamedTuple):
    """The shape of an input and how the window slides."""

    shape: tuple[int, int, int, int]
    kernel_size: Pair
    stride: Pair
    padding: Pair
    dilation: Pair

    @property
    def mean_window(self) -> tuple[Pair, Pair, Pair]:
        """Return what mean pooling takes, which has no dilation."""
        return self.kernel_size, self.stride, self.padding

    def sees_input(self) -> bool:
        """Return whether there is an output, and no window sees nothing but padding."""
        spans = [d * (k - 1) + 1 for k, d in zip(self.kernel_size, self.dilation, strict=True)]
        if any(span > s + 2 * p for span, s, p in zip(spans, self.shape[2:], self.padding, strict=True)):
            return False
        return all(seen for *_, seen in reference.cells(self.shape[2:], *self[1:]))


@st.composite
def poolings(draw: Any, most_dilation: int = 2) -> Pooling:
    """Draw how to pool: 1×1 windows, windows as large as the input, strides beyond the window and that leave a rest."""
    shape = tuple(draw(st.integers(1, most)) for most in (2, 3, 7, 7))
    kernel, stride = ((draw(st.integers(1, 4)), draw(st.integers(1, 4))) for _ in range(2))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    dilation = draw(st.integers(1, most_dilation)), draw(st.integers(1, most_dilation))
    pooling = Pooling(shape, kernel, stride, padding, dilation)
    assume(pooling.sees_input())
    return pooling


def max_pooled(kernels: Any, x: Array, pooling: Pooling) -> tuple[Array, Array, Array]:
    """Return the maxima, their places, and the gradient for a random whole-numbered incoming one."""
    y, argmax = kernels.max_pool_forward(x, *pooling[1:])
    grad = np.random.default_rng(1).integers(-8, 9, y.shape).astype(x.dtype)
    return y, argmax, kernels.max_pool_backward(grad, argmax, x.shape)


def mean_pooled(kernels: Any, x: Array, pooling: Pooling, include: bool) -> tuple[Array, Array]:
    """Return the means, and the gradient for a random incoming one."""
    y = kernels.avg_pool_forward(x, *pooling.mean_window, include)
    grad = np.random.default_rng(1).standard_normal(y.shape).astype(x.dtype)
    return y, kernels.avg_pool_backward(grad, x.shape, *pooling.mean_window, include)


@both_dtypes
@given(pooling=poolings(), seed=seeds, most=st.sampled_from([1, 1000]), special=st.sampled_from([0.0, 0.3, 0.9]))
def test_max_pooling_is_the_reference_bit_for_bit(
    dtype: Any, pooling: Pooling, seed: int, most: int, special: float
) -> None:
    """With many ties, and with any part of the values NaN or infinite."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-most, most + 1, pooling.shape).astype(dtype)
    x[rng.uniform(size=x.shape) < special] = rng.choice([np.nan, np.inf, -np.inf])
    ours, wanted = max_pooled(cpu, x, pooling), max_pooled(reference, x, pooling)
    assert all(map(same_bits, ours, wanted))
    assert [result.dtype for result in ours] == [dtype, np.int32, dtype]
    assert all(result.flags.owndata for result in ours)


@both_dtypes
@given(pooling=poolings(most_dilation=1), include=st.booleans(), seed=seeds)
def test_mean_pooling_is_the_reference(dtype: Any, pooling: Pooling, include: bool, seed: int) -> None:
    """Means of whole numbers bit for bit, for each is one division; gradients to rounding."""
    x = np.random.default_rng(seed).integers(-99, 100, pooling.shape).astype(dtype)
    y, x_grad = mean_pooled(cpu, x, pooling, include)
    wanted_y, wanted_x_grad = mean_pooled(reference, x, pooling, include)
    assert same_bits(y, wanted_y)
    assert x_grad.dtype == dtype
    rounding = {np.float32: 1e-6, np.float64: 1e-14}[dtype]
    np.testing.assert_allclose(x_grad, wanted_x_grad, rtol=0, atol=rounding * np.abs(wanted_x_grad).max(initial=1))
    assert y.flags.owndata
    assert x_grad.flags.owndata


def laid(layout: str, array: Array) -> Array:
    """Return an array in a layout; the gaps of strided whole numbers hold other ones, for there is no NaN."""
    if layout == "strided" and array.dtype.kind == "i":
        return np.stack([array, array + 1], axis=-1)[..., 0]
    return LAYOUTS[layout](array)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_in_memory_is_of_no_matter_and_inputs_are_kept(layout: str) -> None:
    pooling = Pooling((2, 3, 6, 5), (3, 2), (2, 1), (1, 1), (1, 1))
    contiguous = np.random.default_rng(3).standard_normal(pooling.shape).astype(np.float32)
    x = laid(layout, contiguous)
    y, argmax = cpu.max_pool_forward(contiguous, *pooling[1:])
    assert all(map(same_bits, cpu.max_pool_forward(x, *pooling[1:]), (y, argmax)))
    means = cpu.avg_pool_forward(contiguous, *pooling.mean_window, False)
    assert same_bits(cpu.avg_pool_forward(x, *pooling.mean_window, False), means)
    assert same_bits(x, contiguous)
    grad, places = laid(layout, y), laid(layout, argmax)
    back = cpu.max_pool_backward(grad, places, x.shape)
    assert same_bits(back, cpu.max_pool_backward(y, argmax, x.shape))
    spread = cpu.avg_pool_backward(grad, x.shape, *pooling.mean_window, False)
    assert same_bits(spread, cpu.avg_pool_backward(y, x.shape, *pooling.mean_window, False))
    assert same_bits(grad, y)
    assert same_bits(places, argmax)


@both_kernels
@given(pooling=poolings(), include=st.booleans(), seed=seeds)
def test_gradients_are_those_of_finite_differences(kernels: Any, pooling: Pooling, include: bool, seed: int) -> None:
    """Between distinct values, a step moves no maximum: one step of all cells at once measures the slope along it."""
    rng = np.random.default_rng(seed)
    size = int(np.prod(pooling.shape))
    x, direction = rng.permutation(size).reshape(pooling.shape) * 1.0, rng.uniform(-1, 1, pooling.shape)
    y, argmax = kernels.max_pool_forward(x, *pooling[1:])
    grad, step = rng.standard_normal(y.shape), 2.0**-10
    above, below = (kernels.max_pool_forward(x + s * direction, *pooling[1:])[0] for s in (step, -step))
    slope = (grad * (above - below)).sum() / (2 * step)
    x_grad = kernels.max_pool_backward(grad, argmax, x.shape)
    assert (x_grad * direction).sum() == pytest.approx(slope, rel=1e-9, abs=1e-9)
    if pooling.dilation == (1, 1):  # mean pooling is linear: the slope is the mean of the direction
        slope = (grad * kernels.avg_pool_forward(direction, *pooling.mean_window, include)).sum()
        x_grad = kernels.avg_pool_backward(grad, x.shape, *pooling.mean_window, include)
        assert (x_grad * direction).sum() == pytest.approx(slope, rel=1e-12, abs=1e-12)


@both_kernels
def test_padding_never_wins_and_the_first_of_equals_does(kernels: Any) -> None:
    y, argmax = kernels.max_pool_forward(np.full((1, 1, 2, 2), -5.0), (2, 2), (1, 1), (1, 1), (1, 1))
    np.testing.assert_array_equal(y, -5)
    np.testing.assert_array_equal(argmax[0, 0], [[0, 0, 1], [0, 0, 1], [2, 2, 3]])


@both_kernels
def test_padded_zeros_count_in_the_mean_only_if_asked(kernels: Any) -> None:
    x = np.full((1, 1, 2, 2), 8.0)
    counted = kernels.avg_pool_forward(x, (2, 2), (2, 2), (1, 1), True)
    np.testing.assert_array_equal(counted, np.full((1, 1, 2, 2), 2.0))
    np.testing.assert_array_equal(kernels.avg_pool_forward(x, (2, 2), (2, 2), (1, 1), False), x)


@both_kernels
def test_rows_and_columns_that_no_window_reaches_get_no_gradient(kernels: Any) -> None:
    x = np.random.default_rng(0).standard_normal((1, 1, 5, 7))
    y, argmax = kernels.max_pool_forward(x, (2, 3), (2, 3), (0, 0), (1, 1))
    ones = np.ones(y.shape)
    assert y.shape == (1, 1, 2, 2)
    for x_grad in (
        kernels.max_pool_backward(ones, argmax, x.shape),
        kernels.avg_pool_backward(ones, x.shape, (2, 3), (2, 3), (0, 0), True),
    ):
        assert x_grad.sum() == pytest.approx(4)
        assert not x_grad[0, 0, 4].any()
        assert not x_grad[0, 0, :, 6].any()


@both_kernels
def test_a_cell_that_wins_in_two_windows_gets_both_gradients(kernels: Any) -> None:
    x = np.array([[[[0.0, 9.0, 1.0]]]])
    _, argmax = kernels.max_pool_forward(x, (1, 2), (1, 1), (0, 0), (1, 1))
    np.testing.assert_array_equal(
        kernels.max_pool_backward(np.array([[[[2.0, 3.0]]]]), argmax, x.shape), [[[[0, 5, 0]]]]
    )


@both_kernels
@pytest.mark.parametrize("place", range(4))
def test_nan_wins_wherever_it_stands(kernels: Any, place: int) -> None:
    x = np.array([1.0, np.inf, -np.inf, 2.0])
    x[place] = np.nan
    y, argmax = kernels.max_pool_forward(x.reshape(1, 1, 2, 2), (2, 2), (2, 2), (0, 0), (1, 1))
    assert np.isnan(y).all()
    assert argmax.item() == place


@both_kernels
def test_minus_infinity_can_be_the_maximum(kernels: Any) -> None:
    y, argmax = kernels.max_pool_forward(np.full((1, 1, 2, 2), -np.inf), (2, 2), (2, 2), (0, 0), (1, 1))
    assert y.item() == -np.inf
    assert argmax.item() == 0


@both_kernels
@both_dtypes
@pytest.mark.parametrize("shape", [(0, 2, 4, 4), (2, 0, 4, 4)])
def test_no_images_or_no_channels_go_through(kernels: Any, dtype: Any, shape: tuple[int, int, int, int]) -> None:
    x, pooling = np.zeros(shape, dtype), Pooling(shape, (2, 2), (2, 2), (0, 0), (1, 1))
    y, argmax, x_grad = max_pooled(kernels, x, pooling)
    means, mean_grad = mean_pooled(kernels, x, pooling, True)
    assert y.shape == argmax.shape == means.shape == (*shape[:2], 2, 2)
    assert x_grad.shape == mean_grad.shape == shape


PAIRS = (2, 2), (2, 2), (0, 0), (1, 1)


@both_dtypes
@given(height=st.integers(2, 9), width=st.sampled_from([*range(2, 12), 28, 67]), seed=seeds, special=st.booleans())
def test_windows_of_pairs_are_the_reference(dtype: Any, height: int, width: int, seed: int, special: bool) -> None:
    """They have loops of their own; sides may be odd, and values tie, or are NaN or infinite."""
    rng = np.random.default_rng(seed)
    pooling = Pooling((2, 3, height, width), *PAIRS)
    x = rng.integers(-2, 3, pooling.shape).astype(dtype)
    assert all(map(same_bits, mean_pooled(cpu, x, pooling, True), mean_pooled(reference, x, pooling, False)))
    if special:
        x[rng.uniform(size=x.shape) < 0.3] = rng.choice([np.nan, np.inf, -np.inf])
    assert all(map(same_bits, max_pooled(cpu, x, pooling), max_pooled(reference, x, pooling)))


@both_dtypes
@pytest.mark.parametrize("window", [((3, 3), (1, 1), (1, 1), (1, 1)), PAIRS], ids=["overlapping", "pairs"])
def test_threads_change_no_bit(
    monkeypatch: pytest.MonkeyPatch, dtype: Any, window: tuple[Pair, Pair, Pair, Pair]
) -> None:
    pooling = Pooling((5, 7, 9, 9), *window)
    x = np.random.default_rng(0).standard_normal(pooling.shape).astype(dtype)

    def everything() -> tuple[Array, ...]:
        return *max_pooled(cpu, x, pooling), *mean_pooled(cpu, x, pooling, True)

    alone = everything()
    monkeypatch.setattr(cpu, "PARALLEL", 0)
    assert all(map(same_bits, everything(), alone))
    if not NO_THREADS:
        assert all(map(same_bits, with_threads(1, everything), alone))


@both_dtypes
@given(pooling=poolings(), include=st.booleans(), seed=seeds, with_nan=st.booleans())
def test_it_is_pytorchs(dtype: Any, pooling: Pooling, include: bool, seed: int, with_nan: bool) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the peer here; the extra `torch` installs it")
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 3, pooling.shape).astype(dtype)  # few values: many ties
    if with_nan:  # a single one: of several in a window PyTorch takes the last, which nothing promises
        x.reshape(-1)[rng.integers(x.size)] = np.nan
    leaf = torch.tensor(x, requires_grad=True)
    theirs, places = torch.nn.functional.max_pool2d(leaf, *pooling[1:], return_indices=True)
    y, argmax = cpu.max_pool_forward(x, *pooling[1:])
    np.testing.assert_array_equal(y, theirs.detach().numpy())
    np.testing.assert_array_equal(argmax, places.numpy())
    grad = rng.integers(-8, 9, y.shape).astype(dtype)
    theirs.backward(torch.tensor(grad))
    np.testing.assert_array_equal(cpu.max_pool_backward(grad, argmax, x.shape), leaf.grad.numpy())
    if pooling.dilation == (1, 1):
        leaf.grad = None
        theirs = torch.nn.functional.avg_pool2d(leaf, *pooling.mean_window, count_include_pad=include)
        y = cpu.avg_pool_forward(x, *pooling.mean_window, include)
        np.testing.assert_allclose(y, theirs.detach().numpy(), rtol=1e-6)
        theirs.backward(torch.tensor(grad))
        x_grad = cpu.avg_pool_backward(grad, x.shape, *pooling.mean_window, include)
        np.testing.assert_allclose(x_grad, leaf.grad.numpy(), rtol=0, atol=1e-5)
