"""The learning rates of adder filters: the factor, its place in the step, and which parameters it reaches."""

from __future__ import annotations

import math
import tracemalloc
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minadder import optim
from minadder.autograd import Array
from minadder.nn.parameter import Parameter
from minadder.optim.adder_lr import describe, from_description, l2_norm
from minadder.tensor import Tensor

SETTINGS = settings(deadline=None)
SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4)
DTYPES = st.sampled_from([np.float32, np.float64])
seeds = st.integers(0, 2**32 - 1)
etas = st.floats(0.01, 2.0)


def draw_grad(shape: tuple[int, ...], seed: int, dtype: Any = np.float64) -> Array:
    return np.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


@SETTINGS
@given(shape=SHAPES, seed=seeds, eta=etas, exponent=st.integers(-9, 30), dtype=DTYPES)
def test_the_scaled_gradient_has_the_norm_eta_root_k(
    shape: tuple[int, ...], seed: int, eta: float, exponent: int, dtype: Any
) -> None:
    grad = (draw_grad(shape, seed) * 10.0**exponent).astype(dtype)
    scaled = grad.astype(np.float64) * optim.AdaptiveLR(eta).scale(grad)
    assert np.linalg.norm(scaled) == pytest.approx(eta * math.sqrt(math.prod(shape)), rel=1e-6)


@SETTINGS
@given(grad=hnp.arrays(np.float32, SHAPES, elements=st.floats(-1e3, 1e3, width=32)), eta=etas)
def test_the_factor_is_that_of_the_paper(grad: Array, eta: float) -> None:
    norm = math.sqrt(math.fsum(float(entry) ** 2 for entry in grad.flat))
    expected = eta * math.sqrt(grad.size) / max(norm, 1e-12)
    assert optim.AdaptiveLR(eta).scale(grad) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("dtype", "magnitude"),
    [(np.float32, 1e-25), (np.float32, 1e25), (np.float32, 3e38), (np.float64, 1e-150), (np.float64, 1e200)],
)
def test_the_norm_of_extreme_gradients(dtype: Any, magnitude: float) -> None:
    grad = np.array([[3.0, 4.0], [0.0, 0.0]], dtype) * dtype(magnitude / 4)
    assert l2_norm(grad) == pytest.approx(1.25 * magnitude, rel=1e-6)
    factor = optim.AdaptiveLR(0.2).scale(grad)
    assert factor == pytest.approx(0.4 / max(1.25 * magnitude, 1e-12), rel=1e-6)
    assert np.isfinite(grad * dtype(factor)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_norm_of_arrays_in_any_memory_order(dtype: Any) -> None:
    grad = draw_grad((4, 6, 2), 0, dtype)
    expected = pytest.approx(float(np.linalg.norm(grad.astype(np.float64))), rel=1e-14)
    assert l2_norm(grad) == l2_norm(np.asfortranarray(grad)) == expected
    assert l2_norm(np.repeat(grad, 2, axis=1)[:, ::2]) == expected
    assert l2_norm(np.zeros((0, 3), dtype)) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_norm_of_a_gradient_that_is_not_finite_is_not_finite(bad: float) -> None:
    assert not np.isfinite(l2_norm(np.array([1.0, bad])))
    assert not np.isfinite(l2_norm(np.array([1e200, bad])))


def test_the_norm_takes_no_copy_of_the_gradient() -> None:
    grad = np.ones(1 << 20, np.float32)
    tracemalloc.start()
    l2_norm(grad)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < grad.nbytes // 4


def reference_sgd(
    start: Array, grads: list[Array], eta: float, lr: float, momentum: float, decay: float, nesterov: bool
) -> Array:
    """Scale the gradient, then add the decay, then the momentum: the order of Chen et al. 2020 with NAG."""
    value, buffer = start.copy(), None
    for raw in grads:
        scaled = raw * eta * math.sqrt(raw.size) / max(np.sqrt(np.sum(raw**2)), 1e-12)
        decayed = scaled + decay * value
        buffer = decayed if buffer is None else momentum * buffer + decayed
        value = value - lr * (decayed + momentum * buffer if nesterov else buffer)
    return value


def run(optimizer: optim.Optimizer, parameter: Parameter, grads: list[Array]) -> Array:
    for grad in grads:
        parameter.grad = Tensor(grad.copy())
        optimizer.step()
        np.testing.assert_array_equal(parameter.grad.numpy(), grad)  # the optimiser leaves gradients alone
    return parameter.numpy()


@SETTINGS
@given(
    shape=SHAPES,
    seed=seeds,
    eta=etas,
    momentum=st.sampled_from([0.1, 0.9]),
    decay=st.sampled_from([0.0, 5e-4, 0.3]),
    nesterov=st.booleans(),
)
def test_scaling_comes_before_weight_decay_and_momentum(
    shape: tuple[int, ...], seed: int, eta: float, momentum: float, decay: float, nesterov: bool
) -> None:
    start = draw_grad(shape, seed)
    grads = [draw_grad(shape, seed + step) * 10.0 ** (-step) for step in range(1, 6)]
    parameter = Parameter(start.copy(), adder=True)
    rule = optim.AdaptiveLR(eta)
    optimizer = optim.SGD([parameter], 0.1, momentum, weight_decay=decay, nesterov=nesterov, adder_lr=rule)
    expected = reference_sgd(start, grads, eta, 0.1, momentum, decay, nesterov)
    np.testing.assert_allclose(run(optimizer, parameter, grads), expected, rtol=1e-10, atol=1e-12)


def test_adam_sees_the_scaled_gradient_too() -> None:
    grads = [draw_grad((2, 3), step) for step in range(5)]
    rule = optim.IncreasedLR(8.0)
    scaled, plain = Parameter(np.ones((2, 3)), adder=True), Parameter(np.ones((2, 3)))
    one = run(optim.Adam([scaled], lr=0.1, eps=0.5, weight_decay=0.1, adder_lr=rule), scaled, grads)
    two = run(optim.Adam([plain], lr=0.1, eps=0.5, weight_decay=0.1), plain, [8 * grad for grad in grads])
    np.testing.assert_array_equal(one, two)


@SETTINGS
@given(shape=SHAPES, seed=seeds, exponent=st.integers(-8, 8))
def test_the_scale_of_an_adder_filters_gradient_does_not_matter(
    shape: tuple[int, ...], seed: int, exponent: int
) -> None:
    values = []
    for factor in (1.0, 10.0**exponent):
        parameter = Parameter(draw_grad(shape, seed), adder=True)
        optimizer = optim.SGD([parameter], 0.1, 0.9, weight_decay=0.1, nesterov=True, adder_lr=optim.AdaptiveLR())
        values.append(run(optimizer, parameter, [factor * draw_grad(shape, seed + step) for step in (1, 2, 3)]))
    np.testing.assert_allclose(values[0], values[1], rtol=1e-9, atol=1e-12)


@SETTINGS
@given(seed=seeds, rule=st.sampled_from([optim.AdaptiveLR(0.7), optim.IncreasedLR(3.0)]))
def test_only_adder_filters_are_scaled(seed: int, rule: optim.AdderLR) -> None:
    grad, start = draw_grad((2, 3), seed), draw_grad((2, 3), seed + 1)
    adder, other, tensor = Parameter(start.copy(), adder=True), Parameter(start.copy()), Tensor(start.copy(), True)
    for parameter in (adder, other, tensor):
        parameter.grad = Tensor(grad)
    optim.SGD([adder, other, tensor], lr=0.1, adder_lr=rule).step()
    np.testing.assert_allclose(other.numpy(), start - 0.1 * grad, rtol=1e-12)
    np.testing.assert_array_equal(tensor.numpy(), other.numpy())
    np.testing.assert_allclose(adder.numpy(), start - 0.1 * rule.scale(grad) * grad, rtol=1e-12)


def test_each_group_may_have_its_own_rule() -> None:
    first, second = Parameter(np.zeros(1), adder=True), Parameter(np.zeros(1), adder=True)
    first.grad = second.grad = Tensor(np.ones(1))
    groups = [{"params": [first], "adder_lr": None}, {"params": [second]}]
    with pytest.warns(UserWarning, match="adder_lr is None"):
        optim.SGD(groups, lr=1.0, adder_lr=optim.IncreasedLR(5.0)).step()
    assert (first.item(), second.item()) == (-1.0, -5.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_gradient_of_zeros_stays_one(dtype: Any) -> None:
    parameter = Parameter(np.ones((2, 2), dtype), adder=True)
    parameter.grad = Tensor(np.zeros((2, 2), dtype))
    optim.SGD([parameter], lr=0.1, momentum=0.9, adder_lr=optim.AdaptiveLR()).step()
    np.testing.assert_array_equal(parameter.numpy(), np.ones((2, 2)))


@pytest.mark.parametrize("magnitude", [1e-25, 1e25])
def test_a_step_with_extreme_gradients_is_finite(magnitude: float) -> None:
    parameter = Parameter(np.zeros((2, 2), np.float32), adder=True)
    parameter.grad = Tensor(np.full((2, 2), magnitude, np.float32))
    optim.SGD([parameter], lr=1.0, adder_lr=optim.AdaptiveLR(0.5)).step()
    np.testing.assert_allclose(parameter.numpy(), -0.5 * magnitude * 2 / max(2 * magnitude, 1e-12), rtol=1e-6)


@given(factor=st.floats(1e-3, 1e3), grad=hnp.arrays(np.float64, SHAPES, elements=st.floats(-1e9, 1e9)))
def test_increased_lr_is_a_constant(factor: float, grad: Array) -> None:
    assert optim.IncreasedLR(factor).scale(grad) == factor


def test_the_defaults_are_those_of_the_paper() -> None:
    assert (optim.AdaptiveLR().eta, optim.IncreasedLR().factor) == (0.2, 100.0)


@pytest.mark.parametrize("value", [0, 0.0, -0.5, math.inf, math.nan])
def test_wrong_values_are_refused_by_name(value: float) -> None:
    with pytest.raises(ValueError, match=rf"eta must be a number in \(0, inf\), got {value}$"):
        optim.AdaptiveLR(eta=value)
    with pytest.raises(ValueError, match=rf"factor must be a number in \(0, inf\), got {value}$"):
        optim.IncreasedLR(factor=value)


def test_values_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(TypeError, match=r"eta must be a number .* got '0\.2' of type str"):
        optim.AdaptiveLR(eta="0.2")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"factor must be a number .* got True of type bool"):
        optim.IncreasedLR(factor=True)


@dataclass(frozen=True)
class Halved(optim.AdderLR):
    share: float = 0.5

    def scale(self, grad: Array) -> float:
        return self.share


@pytest.mark.parametrize("rule", [None, optim.AdaptiveLR(0.3), optim.IncreasedLR(7.0), Halved(0.25)])
def test_descriptions_are_read_back(rule: optim.AdderLR | None) -> None:
    assert from_description(describe(rule)) == rule


def test_descriptions_of_unknown_rules_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no adder learning rate named 'Doubled'; there are \['AdaptiveLR', "):
        from_description({"name": "Doubled"})
    with pytest.raises(ValueError, match=r"AdaptiveLR cannot be made with \{'factor': 2\}"):
        from_description({"name": "AdaptiveLR", "factor": 2})
