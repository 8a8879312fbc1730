"""The loss kernels: against the reference, finite differences and PyTorch, for logits of any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_cases import NO_THREADS, with_threads

from minadder.autograd import Array
from minadder.kernels.losses import cpu, reference
from minadder.testing import LAYOUTS, same_bits, seeds

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
both_kernels = pytest.mark.parametrize("kernels", [cpu, reference], ids=["cpu", "reference"])
scales = st.sampled_from([0.1, 1.0, 30.0, 1000.0])
TOLERANCE = {np.float32: 2e-6, np.float64: 1e-14}


def cross_entropy(kernels: Any, logits: Array, labels: Array, grad: Array) -> tuple[Array, ...]:
    """Return losses, probabilities, and the gradient."""
    losses, probabilities = kernels.cross_entropy_forward(logits, labels)
    return losses, probabilities, kernels.cross_entropy_backward(grad, probabilities, labels)


def bce(kernels: Any, logits: Array, targets: Array, grad: Array) -> tuple[Array, Array]:
    """Return losses and the gradient."""
    losses = kernels.bce_with_logits_forward(logits, targets)
    return losses, kernels.bce_with_logits_backward(grad, logits, targets)


def scores(shape: tuple[int, ...], seed: int, dtype: Any, scale: float = 1.0) -> tuple[Array, Array, Array]:
    """Return logits, targets and an incoming gradient for each."""
    rng = np.random.default_rng(seed)
    logits, targets, grad = scale * rng.standard_normal(shape), rng.uniform(size=shape), rng.standard_normal(shape)
    return np.asarray(logits).astype(dtype), np.asarray(targets).astype(dtype), np.asarray(grad).astype(dtype)


def assert_is_reference(ours: tuple[Array, ...], wanted: tuple[Array, ...], dtype: Any, unit: float = 1.0) -> None:
    """Compare to rounding, relative or of `unit`, whichever is more."""
    for one, other in zip(ours, wanted, strict=True):
        assert one.dtype == dtype
        assert one.flags.owndata
        np.testing.assert_allclose(one, other, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * unit)


def doubled(*arrays: Array) -> list[Array]:
    """Return the arrays in float64, and labels as they are."""
    return [array.astype(np.float64) if array.dtype.kind == "f" else array for array in arrays]


@both_dtypes
@given(
    count=st.integers(0, 5),
    classes=st.integers(1, 6),
    scale=scales,
    offset=st.sampled_from([0, 1000, -30_000]),
    seed=seeds,
)
def test_cross_entropy_is_the_reference(
    dtype: Any, count: int, classes: int, scale: float, offset: int, seed: int
) -> None:
    logits, _, grad = scores((count, classes), seed, dtype, scale)
    logits += offset
    labels = np.random.default_rng(seed).integers(0, classes, count)
    inputs = logits, labels, grad[:, 0]
    assert_is_reference(cross_entropy(cpu, *inputs), cross_entropy(reference, *doubled(*inputs)), dtype)


@both_dtypes
@given(shape=st.sampled_from([(3,), (2, 2), (2, 1, 3), (0,), (2, 0), ()]), scale=scales, seed=seeds)
def test_binary_cross_entropy_is_the_reference(dtype: Any, shape: tuple[int, ...], scale: float, seed: int) -> None:
    inputs = scores(shape, seed, dtype, scale)
    ours, wanted = bce(cpu, *inputs), bce(reference, *doubled(*inputs))
    # z − z·t loses digits of the reference where z is large: in float64 the tolerance grows with z
    unit = np.abs(inputs[0]).max(initial=1) if dtype is np.float64 else 1.0
    assert_is_reference(ours, wanted, dtype, unit)
    assert {result.shape for result in ours} == {shape}


def laid(layout: str, array: Array) -> Array:
    """Return an array in a layout; the gaps of strided whole numbers hold other ones, for there is no NaN."""
    if layout == "strided" and array.dtype.kind == "i":
        return np.stack([array, array + 1], axis=-1)[..., 0]
    return LAYOUTS[layout](array)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_in_memory_is_of_no_matter_and_inputs_are_kept(layout: str) -> None:
    logits, targets, grad = scores((5, 4), 2, np.float32)
    labels, row_grad = np.array([0, 3, 1, 2, 3]), grad[:, 0].copy()
    losses, probabilities = cpu.cross_entropy_forward(logits, labels)
    back = cpu.cross_entropy_backward(row_grad, probabilities, labels)
    inputs = [logits, labels, row_grad, targets, grad, probabilities]
    moved = [laid(layout, array) for array in inputs]
    assert all(map(same_bits, cpu.cross_entropy_forward(*moved[:2]), (losses, probabilities)))
    assert same_bits(cpu.cross_entropy_backward(moved[2], moved[5], moved[1]), back)
    assert all(map(same_bits, bce(cpu, moved[0], moved[3], moved[4]), bce(cpu, logits, targets, grad)))
    assert all(map(same_bits, moved, inputs))


def slopes(f: Callable[[Array], Array], at: Array, weights: Array, step: float = 1e-6) -> Array:
    """Return the central finite differences of Σ weights·f around a point."""
    gradient = np.zeros_like(at)
    for index in np.ndindex(at.shape):
        above, below = at.copy(), at.copy()
        above[index] += step
        below[index] -= step
        gradient[index] = (weights * (f(above) - f(below))).sum() / (2 * step)
    return gradient


@both_kernels
def test_gradients_are_those_of_finite_differences(kernels: Any) -> None:
    logits, targets, grad = scores((4, 5), 6, np.float64, 3.0)
    labels = np.array([4, 0, 2, 2])
    *_, back = cross_entropy(kernels, logits, labels, grad[:, 0])
    numeric = slopes(lambda z: kernels.cross_entropy_forward(z, labels)[0], logits, grad[:, 0])
    np.testing.assert_allclose(back, numeric, rtol=0, atol=1e-8)
    numeric = slopes(lambda z: kernels.bce_with_logits_forward(z, targets), logits, grad)
    np.testing.assert_allclose(kernels.bce_with_logits_backward(grad, logits, targets), numeric, rtol=0, atol=1e-8)


@both_kernels
@both_dtypes
def test_at_0_where_the_formula_has_a_kink_the_loss_has_none(kernels: Any, dtype: Any) -> None:
    """The term max(z, 0) turns at 0, and e^−|z| turns back: the slope is ½ − t on both signs of zero."""
    z, t = np.array([0.0, -0.0], dtype), np.array([0.25, 0.25], dtype)
    np.testing.assert_array_equal(kernels.bce_with_logits_backward(np.ones(2, dtype), z, t), [0.25, 0.25])


@pytest.mark.parametrize("size", [1e3, 1e30])
def test_huge_logits_neither_overflow_nor_vanish(size: float) -> None:
    logits = np.array([[size, -size, 0.0]], np.float32)
    for label, loss in ((0, 0.0), (1, 2 * size), (2, size)):
        losses, probabilities = cpu.cross_entropy_forward(logits, np.array([label]))
        assert losses[0] == pytest.approx(loss)
        back = cpu.cross_entropy_backward(np.ones(1, np.float32), probabilities, np.array([label]))
        np.testing.assert_allclose(back[0], np.eye(3)[0] - np.eye(3)[label], atol=1e-6)
    z = np.array([size, size, -size, -size], np.float32)
    t = np.array([0, 1, 0, 1], np.float32)
    np.testing.assert_allclose(cpu.bce_with_logits_forward(z, t), [size, 0, 0, size], rtol=1e-6)
    np.testing.assert_allclose(cpu.bce_with_logits_backward(np.ones(4, np.float32), z, t), [1, 0, 0, -1])


@pytest.mark.parametrize("classes", [2, 5, 37])
@pytest.mark.parametrize("offset", [1e4, -1e6])
def test_an_offset_common_to_all_logits_takes_no_digits(classes: int, offset: float) -> None:
    """Whole numbers, so that adding the offset is exact in float32 too."""
    logits = np.random.default_rng(0).integers(-3, 4, (20, classes)).astype(np.float32)
    labels = np.arange(20) % classes
    plain = cpu.cross_entropy_forward(logits, labels)
    for one, other in zip(cpu.cross_entropy_forward(logits + np.float32(offset), labels), plain, strict=True):
        np.testing.assert_array_equal(one, other)


def test_losses_far_below_1_keep_their_digits() -> None:
    z = np.array([30.0, -40.0, 80.0], np.float32)
    losses = cpu.bce_with_logits_forward(z, np.array([1, 0, 1], np.float32))
    np.testing.assert_allclose(losses, np.exp([-30.0, -40.0, -80.0]), rtol=1e-6)
    back = cpu.bce_with_logits_backward(np.ones(1, np.float32), z[1:2], np.zeros(1, np.float32))
    np.testing.assert_allclose(back, np.exp([-40.0]), rtol=1e-6)


@both_kernels
@both_dtypes
def test_equal_logits_give_the_logarithm_of_the_number_of_classes(kernels: Any, dtype: Any) -> None:
    losses, _ = kernels.cross_entropy_forward(np.zeros((1, 4), dtype), np.array([2]))
    assert losses[0] == dtype(np.log(4))
    losses = kernels.bce_with_logits_forward(np.zeros(1, dtype), np.ones(1, dtype))
    assert losses[0] == pytest.approx(np.log(2), rel=1e-7 if dtype is np.float32 else 1e-15)


@both_kernels
@both_dtypes
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("label", [0, 2])
def test_nan_and_infinity_show_in_their_example_alone(
    kernels: Any, dtype: Any, bad: float, place: int, label: int
) -> None:
    logits = np.zeros((2, 3), dtype)
    logits[1, place] = bad
    with np.errstate(invalid="ignore"):
        losses, _, back = cross_entropy(kernels, logits, np.full(2, label), np.ones(2, dtype))
        binary, slope = bce(kernels, logits[1], np.full(3, 0.5, dtype), np.ones(3, dtype))
    np.testing.assert_array_equal(np.isfinite(losses), [True, False])
    np.testing.assert_array_equal(np.isfinite(back).all(axis=1), [True, False])
    np.testing.assert_array_equal(np.isfinite(binary), np.arange(3) != place)
    np.testing.assert_array_equal(np.isnan(slope), np.isnan(logits[1]))


@both_kernels
def test_a_row_of_minus_infinity_has_no_loss(kernels: Any) -> None:
    with np.errstate(invalid="ignore"):
        losses, _ = kernels.cross_entropy_forward(np.full((1, 3), -np.inf), np.array([1]))
    assert np.isnan(losses[0])


@both_kernels
@both_dtypes
def test_an_impossible_class_is_legal_unless_it_is_the_label(kernels: Any, dtype: Any) -> None:
    logits = np.array([[0.0, -np.inf, 0.0], [0.0, -np.inf, 0.0]], dtype)
    losses, probabilities, back = cross_entropy(kernels, logits, np.array([0, 1]), np.ones(2, dtype))
    assert losses[0] == dtype(np.log(2))
    assert losses[1] == np.inf
    np.testing.assert_array_equal(probabilities[:, 1], 0)
    np.testing.assert_allclose(back, [[-0.5, 0, 0.5], [0.5, -1, 0.5]], rtol=1e-6)


@both_dtypes
def test_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch, dtype: Any) -> None:
    logits, targets, grad = scores((37, 11), 3, dtype)
    labels = np.arange(37) % 11

    def everything() -> tuple[Array, ...]:
        return *cross_entropy(cpu, logits, labels, grad[:, 0]), *bce(cpu, logits, targets, grad)

    alone = everything()
    monkeypatch.setattr(cpu, "PARALLEL", 0)
    assert all(map(same_bits, everything(), alone))
    if not NO_THREADS:
        assert all(map(same_bits, with_threads(1, everything), alone))


@both_dtypes
@given(count=st.integers(1, 5), classes=st.integers(1, 6), scale=scales, seed=seeds)
def test_it_is_pytorchs(dtype: Any, count: int, classes: int, scale: float, seed: int) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the peer here; the extra `torch` installs it")
    logits, targets, grad = scores((count, classes), seed, dtype, scale)
    labels = np.random.default_rng(seed).integers(0, classes, count)
    functional = torch.nn.functional
    losses, _, back = cross_entropy(cpu, logits, labels, grad[:, 0])
    binary, slope = bce(cpu, logits, targets, grad)
    atol = TOLERANCE[dtype] * np.abs(logits).max(initial=1)  # PyTorch takes z from z·(1 − t), and digits with it
    for ours, our_gradient, function, wanted, weights in (
        (losses, back, functional.cross_entropy, labels, grad[:, 0]),
        (binary, slope, functional.binary_cross_entropy_with_logits, targets, grad),
    ):
        leaf = torch.tensor(logits, requires_grad=True)
        theirs = function(leaf, torch.tensor(wanted), reduction="none")
        theirs.backward(torch.tensor(weights))
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=TOLERANCE[dtype], atol=atol)
        np.testing.assert_allclose(our_gradient, leaf.grad.numpy(), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
