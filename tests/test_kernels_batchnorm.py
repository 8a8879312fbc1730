"""The batch-norm kernels: against the reference, finite differences and PyTorch, and at the limits of float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_cases import NO_THREADS, with_threads

from minadder.autograd import Array
from minadder.kernels.batchnorm import cpu, reference
from minadder.testing import LAYOUTS, same_bits, seeds

EPS = 1e-5
TOLERANCE = {np.float32: 3e-5, np.float64: 1e-12}
"""Relative to the largest value: x̂ = (x − μ) / √(σ² + ε) magnifies the rounding of x up to 316 times."""

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
both_kernels = pytest.mark.parametrize("kernels", [cpu, reference], ids=["cpu", "reference"])
shapes = st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 6))
with_and_without_relu = pytest.mark.parametrize("relu", [False, True], ids=["plain", "relu"])
block_shapes = pytest.mark.parametrize(
    "shape", [(3, 70, 1), (2, 300, 1), (3, 67, 2), (2, 33, 40), (1, 3, 1100), (4, 2, 65), (130, 2, 1)]
)
"""Several blocks of channels, a last one that is not full, rows beyond one block, and long columns."""


def arguments(shape: tuple[int, int, int], seed: int, dtype: Any = np.float64) -> list[Array]:
    """Return x, γ, β and an incoming gradient, all on ¼ℤ so that a channel is constant or far from it."""
    rng = np.random.default_rng(seed)
    x, gamma, beta, grad = (rng.integers(-16, 17, s) / 4 for s in (shape, shape[1], shape[1], shape))
    return [values.astype(dtype) for values in (x, gamma, beta, grad)]


class Results(NamedTuple):
    """All that the four functions give."""

    y: Array
    mean: Array
    var: Array
    x_grad: Array
    gamma_grad: Array
    beta_grad: Array
    fixed_y: Array
    fixed_x_grad: Array
    fixed_gamma_grad: Array
    fixed_beta_grad: Array


def everything(
    kernels: Any, x: Array, gamma: Array, beta: Array, grad: Array, relu: bool = False, gate: Array | None = None
) -> Results:
    """Return all results; the fixed statistics are other than those of the batch.

    Behind a ReLU gradients pass where the gate is above 0, by default the output itself.
    """
    y, mean, var = kernels.forward_train(x, gamma, beta, EPS, relu)
    fixed = (mean + 1).astype(x.dtype), (var + 1).astype(x.dtype)
    fixed_y = kernels.forward_eval(x, gamma, beta, *fixed, EPS, relu)
    gates = (y if gate is None else gate, fixed_y if gate is None else gate) if relu else (None, None)
    back = kernels.backward_train(grad, x, gates[0], gamma, mean, var, EPS)
    return Results(y, mean, var, *back, fixed_y, *kernels.backward_eval(grad, x, gates[1], gamma, *fixed, EPS))


def assert_is_reference(shape: tuple[int, int, int], seed: int, dtype: Any, relu: bool) -> None:
    """Compare to rounding. Which outputs are 0 is drawn, for where one is 0 but for rounding the slope jumps."""
    gate = np.random.default_rng(seed).integers(-1, 2, shape).astype(dtype)
    wanted = everything(reference, *arguments(shape, seed), relu, gate)
    ours = everything(cpu, *arguments(shape, seed, dtype), relu, gate)
    for name, one, other in zip(Results._fields, ours, wanted, strict=True):
        assert one.dtype == (np.float64 if name in ("mean", "var") else dtype)
        assert one.flags.owndata
        np.testing.assert_allclose(one, other, rtol=0, atol=TOLERANCE[dtype] * np.abs(other).max(initial=1))


@both_dtypes
@given(shape=shapes, seed=seeds, relu=st.booleans())
def test_any_shape_is_the_reference(dtype: Any, shape: tuple[int, int, int], seed: int, relu: bool) -> None:
    assert_is_reference(shape, seed, dtype, relu)


@both_dtypes
@with_and_without_relu
@block_shapes
def test_several_blocks_are_the_reference(dtype: Any, relu: bool, shape: tuple[int, int, int]) -> None:
    assert_is_reference(shape, 3, dtype, relu)


@both_dtypes
@given(shape=shapes, seed=seeds, relu=st.booleans())
def test_the_references_results_keep_the_dtype(dtype: Any, shape: tuple[int, int, int], seed: int, relu: bool) -> None:
    results = everything(reference, *arguments(shape, seed, dtype), relu)
    assert results.mean.dtype == results.var.dtype == np.float64
    assert {result.dtype.type for result in (results.y, *results[3:])} == {dtype}


@both_dtypes
@given(shape=shapes, seed=seeds)
def test_the_relu_changes_nothing_above_0_to_the_bit(dtype: Any, shape: tuple[int, int, int], seed: int) -> None:
    x, gamma, beta, _ = arguments(shape, seed, dtype)
    plain, rectified = (everything(cpu, x, gamma, beta, x, relu) for relu in (False, True))
    for name in ("y", "fixed_y"):
        assert same_bits(getattr(rectified, name), np.maximum(getattr(plain, name), 0))
    assert same_bits(rectified.mean, plain.mean)
    assert same_bits(rectified.var, plain.var)


SHARED = pytest.mark.parametrize("shape", [(6, 29, 5), (9, 150, 1), (70, 5, 1), (1, 1, 40)])


@both_dtypes
@with_and_without_relu
@SHARED
def test_on_threads_it_is_the_same(
    monkeypatch: pytest.MonkeyPatch, dtype: Any, relu: bool, shape: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(2)
    inputs = [rng.standard_normal(s).astype(dtype) for s in (shape, shape[1], shape[1], shape)]
    gate = rng.standard_normal(shape).astype(dtype)
    alone = everything(cpu, *inputs, relu, gate)
    monkeypatch.setattr(cpu, "PARALLEL", 0)
    for one, other in zip(everything(cpu, *inputs, relu, gate), alone, strict=True):
        assert same_bits(one, other)


@both_dtypes
@SHARED
@pytest.mark.parametrize("width", [1, 3, 17])
def test_how_channels_are_shared_out_changes_no_bit(dtype: Any, shape: tuple[int, int, int], width: int) -> None:
    """Neither is a channel at the end of a thread's share, where vectors are not full, treated in another way."""
    rng = np.random.default_rng(3)
    channels = shape[1]
    x, gamma, beta, grad = (rng.standard_normal(s).astype(dtype) for s in (shape, channels, channels, shape))
    wanted = everything(cpu, x, gamma, beta, grad, True)
    mean, var, sums = np.zeros(channels), np.zeros(channels), np.zeros((2, channels))
    factors, y, x_grad = np.zeros((4, channels), dtype), np.zeros(shape, dtype), np.zeros(shape, dtype)
    for task in range(-(-channels // width)):
        cpu.forward_task(task, x, gamma, beta, EPS, True, True, width, mean, var, factors, y)
        cpu.backward_task(task, grad, x, y, gamma, mean, var, EPS, True, True, width, sums, factors, x_grad)
    for name, ours in (("y", y), ("mean", mean), ("var", var), ("x_grad", x_grad)):
        assert same_bits(ours, getattr(wanted, name)), name
    assert same_bits(sums[1].astype(dtype), wanted.gamma_grad)
    assert same_bits(sums[0].astype(dtype), wanted.beta_grad)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(4, 5, 3), (6, 4, 1), (5, 30, 1)])
def test_the_layout_in_memory_is_of_no_matter_and_inputs_are_kept(layout: str, shape: tuple[int, int, int]) -> None:
    contiguous = [*arguments(shape, 7, np.float32), np.random.default_rng(8).standard_normal(shape).astype(np.float32)]
    inputs = [LAYOUTS[layout](values) for values in contiguous]
    results = everything(cpu, *inputs[:4], True, inputs[4])
    assert all(map(same_bits, results, everything(cpu, *contiguous[:4], True, contiguous[4])))
    assert all(map(same_bits, inputs, contiguous))
    assert not any(np.shares_memory(result, values) for result in results for values in inputs)


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
@with_and_without_relu
@pytest.mark.parametrize("shape", [(3, 2, 4), (5, 3, 1), (3, 25, 1)])
def test_gradients_are_those_of_finite_differences(kernels: Any, relu: bool, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(5)
    x, gamma, beta, grad = (rng.standard_normal(s) for s in (shape, shape[1], shape[1], shape))
    mean, var = rng.standard_normal(shape[1]), rng.uniform(0.5, 2, shape[1])

    def train(x: Array, gamma: Array, beta: Array) -> Array:
        return kernels.forward_train(x, gamma, beta, EPS, relu)[0]

    def evaluate(x: Array, gamma: Array, beta: Array) -> Array:
        return kernels.forward_eval(x, gamma, beta, mean, var, EPS, relu)

    y, batch_mean, batch_var = kernels.forward_train(x, gamma, beta, EPS, relu)
    fixed_y = evaluate(x, gamma, beta)
    trained = kernels.backward_train(grad, x, y if relu else None, gamma, batch_mean, batch_var, EPS)
    evaluated = kernels.backward_eval(grad, x, fixed_y if relu else None, gamma, mean, var, EPS)
    for function, gradients in ((train, trained), (evaluate, evaluated)):
        numeric = (
            slopes(lambda a, f=function: f(a, gamma, beta), x, grad),
            slopes(lambda a, f=function: f(x, a, beta), gamma, grad),
            slopes(lambda a, f=function: f(x, gamma, a), beta, grad),
        )
        for ours, theirs in zip(gradients, numeric, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-7 * np.abs(theirs).max())


@both_kernels
def test_the_variance_is_the_biased_one(kernels: Any) -> None:
    x = np.array([[[1.0]], [[3.0]]])
    y, mean, var = kernels.forward_train(x, np.ones(1), np.zeros(1), 3.0, False)
    assert (mean, var) == (2, 1)
    np.testing.assert_array_equal(y.ravel(), [-0.5, 0.5])


@pytest.mark.parametrize("shape", [(64, 3, 50), (400, 5, 1), (400, 25, 1), (1, 2, 20_000)])
@pytest.mark.parametrize("offset", [1e4, -3e5])
def test_a_large_mean_takes_no_digits(shape: tuple[int, int, int], offset: float) -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal(shape) + offset).astype(np.float32)
    grad = rng.standard_normal(shape).astype(np.float32) + np.float32(0.5)
    ones, zeros = np.ones(shape[1], np.float32), np.zeros(shape[1], np.float32)
    ours = everything(cpu, x, ones, zeros, grad)
    exact = everything(reference, *(values.astype(np.float64) for values in (x, ones, zeros, grad)))
    np.testing.assert_allclose(ours.y, exact.y, rtol=0, atol=2e-6)
    np.testing.assert_allclose(ours.mean, exact.mean, rtol=1e-15)
    np.testing.assert_allclose(ours.var, exact.var, rtol=1e-11)
    np.testing.assert_allclose(ours.x_grad, exact.x_grad, rtol=0, atol=3e-6)
    np.testing.assert_allclose(ours.gamma_grad, exact.gamma_grad, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", [(20_000, 2, 1), (20, 1, 1000), (500, 24, 1)])
@pytest.mark.parametrize("odd", [1e3, -1e9])
def test_an_odd_first_value_takes_no_digits(shape: tuple[int, int, int], odd: float) -> None:
    """Sums are taken around it: float64 loses some digits, float32 none."""
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    x[0, :, 0] = odd
    ones, zeros = np.ones(shape[1], np.float32), np.zeros(shape[1], np.float32)
    y, mean, var = cpu.forward_train(x, ones, zeros, EPS, False)
    exact = reference.forward_train(x.astype(np.float64), np.ones(shape[1]), np.zeros(shape[1]), EPS, False)
    np.testing.assert_allclose(mean, exact[1], rtol=1e-10)
    np.testing.assert_allclose(var, exact[2], rtol=1e-9)
    np.testing.assert_allclose(y, exact[0], rtol=2e-7, atol=2e-6)


@pytest.mark.parametrize("scale", [1e-15, 1e15])
def test_huge_and_tiny_values_neither_overflow_nor_vanish(scale: float) -> None:
    x, gamma, beta, grad = arguments((4, 3, 5), 2, np.float32)
    ours = everything(cpu, (x * np.float32(scale)), gamma, beta, grad)
    exact = everything(reference, *(a.astype(np.float64) for a in (x * np.float32(scale), gamma, beta, grad)))
    for one, other in zip(ours, exact, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * np.abs(other).max())


@both_dtypes
@both_kernels
def test_a_constant_channel_gives_beta(kernels: Any, dtype: Any) -> None:
    x = np.full((4, 1, 3), 7.0, dtype)
    y, _, var = kernels.forward_train(x, np.ones(1, dtype), np.full(1, 0.5, dtype), EPS, False)
    assert var[0] == 0
    np.testing.assert_array_equal(y, 0.5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 1])
@with_and_without_relu
@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 4, 1), (3, 40, 1)])
def test_nan_and_infinity_show_in_their_channel_alone(
    bad: float, place: int, relu: bool, shape: tuple[int, int, int]
) -> None:
    x, gamma, beta, grad = arguments(shape, 0, np.float32)
    x[place, 2, 0] = bad
    with np.errstate(invalid="ignore"):
        y, mean, var = cpu.forward_train(x, gamma, beta, EPS, relu)
        x_grad, gamma_grad, _ = cpu.backward_train(grad, x, y if relu else None, gamma, mean, var, EPS)
    for values in (y, x_grad):
        assert np.isnan(values[:, 2]).all()
        assert np.isfinite(np.delete(values, 2, axis=1)).all()
    for values in (mean, var, gamma_grad):
        np.testing.assert_array_equal(np.isfinite(values), np.arange(shape[1]) != 2)


@both_kernels
def test_in_evaluation_nan_and_infinity_show_where_they_stand(kernels: Any) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 3.0, -3.0]).reshape(5, 1, 1)
    one, zero, grad = np.ones(1), np.zeros(1), np.full((5, 1, 1), 2.0)
    with np.errstate(invalid="ignore"):
        y = kernels.forward_eval(x, one, zero, zero, one, 3.0, True)
        x_grad, gamma_grad, beta_grad = kernels.backward_eval(grad, x, y, one, zero, one, 3.0)
    np.testing.assert_array_equal(y.ravel(), [np.nan, np.inf, 0, 1.5, 0])
    np.testing.assert_array_equal(x_grad.ravel(), [1, 1, 0, 1, 0])  # where y is NaN the gradient passes
    assert np.isnan(gamma_grad[0])
    assert beta_grad[0] == 6


def test_nan_in_the_incoming_gradient_shows() -> None:
    x, gamma, beta, grad = arguments((3, 2, 4), 1, np.float32)
    grad[0, 1, 2] = np.nan
    _, mean, var = cpu.forward_train(x, gamma, beta, EPS, False)
    x_grad, gamma_grad, beta_grad = cpu.backward_train(grad, x, None, gamma, mean, var, EPS)
    assert np.isnan(x_grad[:, 1]).all()
    assert np.isnan(gamma_grad[1])
    assert np.isnan(beta_grad[1])
    assert np.isfinite(x_grad[:, 0]).all()


@both_dtypes
@pytest.mark.parametrize("shape", [(0, 3, 4), (0, 3, 1), (2, 3, 0), (2, 0, 4)])
def test_sizes_of_0_go_through_in_evaluation(dtype: Any, shape: tuple[int, int, int]) -> None:
    x, channel = np.zeros(shape, dtype), np.ones(shape[1], dtype)
    assert cpu.forward_eval(x, channel, channel, channel, channel, EPS, True).shape == shape
    x_grad, gamma_grad, beta_grad = cpu.backward_eval(x, x, x, channel, channel, channel, EPS)
    assert x_grad.shape == shape
    np.testing.assert_array_equal(gamma_grad, np.zeros(shape[1]))
    np.testing.assert_array_equal(beta_grad, np.zeros(shape[1]))


@pytest.mark.skipif(NO_THREADS, reason="kernels run on one thread here")
@both_dtypes
@pytest.mark.parametrize("shape", [(64, 13, 337), (1100, 260, 1), (90_000, 3, 1), (1, 5, 60_000)])
def test_the_bits_do_not_depend_on_the_number_of_threads(dtype: Any, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(1)
    inputs = [rng.standard_normal(s).astype(dtype) for s in (shape, shape[1], shape[1], shape)]
    one, two = (with_threads(count, lambda: everything(cpu, *inputs, True)) for count in (1, 2))
    assert all(map(same_bits, one, two))


@both_dtypes
@with_and_without_relu
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("shape", [(6, 5, 12), (9, 4, 1), (7, 26, 1)])
def test_it_is_pytorchs(shape: tuple[int, int, int], training: bool, relu: bool, dtype: Any) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the peer here; the extra `torch` installs it")
    rng = np.random.default_rng(4)
    x, gamma, beta, grad = (rng.standard_normal(s).astype(dtype) for s in (shape, shape[1], shape[1], shape))
    mean, var = rng.standard_normal(shape[1]).astype(dtype), rng.uniform(0.5, 2, shape[1]).astype(dtype)
    leaves = [torch.tensor(values, requires_grad=True) for values in (x, gamma, beta)]
    running = torch.tensor(mean), torch.tensor(var)
    theirs = torch.nn.functional.batch_norm(leaves[0], *running, *leaves[1:], training, 1.0, EPS)
    theirs = theirs.relu() if relu else theirs
    theirs.backward(torch.tensor(grad))
    if training:
        y, mean, var = cpu.forward_train(x, gamma, beta, EPS, relu)
        gradients = cpu.backward_train(grad, x, y if relu else None, gamma, mean, var, EPS)
        count = shape[0] * shape[2]
        var = var * count / (count - 1)  # PyTorch's running variance is the unbiased one
    else:
        y = cpu.forward_eval(x, gamma, beta, mean, var, EPS, relu)
        gradients = cpu.backward_eval(grad, x, y if relu else None, gamma, mean, var, EPS)
    pairs = [(y, theirs.detach()), (mean, running[0]), (var, running[1])]
    pairs += list(zip(gradients, (leaf.grad for leaf in leaves), strict=True))
    for ours, peer in pairs:
        np.testing.assert_allclose(ours, peer.numpy(), rtol=0, atol=TOLERANCE[dtype] * float(peer.abs().max()))


@both_dtypes
@given(channels=st.integers(0, 5), count=st.integers(2, 9), momentum=st.sampled_from([0.1, 0.5, 1.0]), seed=seeds)
def test_running_statistics_move_like_the_references(
    dtype: Any, channels: int, count: int, momentum: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    mean, var = rng.standard_normal(channels), rng.uniform(0.5, 2, channels)
    running = [rng.standard_normal(channels).astype(dtype), rng.uniform(0.5, 2, channels).astype(dtype)]
    wanted = [values.astype(np.float64) for values in running]
    cpu.update_running(*running, mean, var, count, momentum)
    reference.update_running(*wanted, mean, var, count, momentum)
    for ours, theirs in zip(running, wanted, strict=True):
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=np.finfo(dtype).eps * 4)
