"""Sums of many float32 numbers keep their digits: along any axis, in reductions, layers and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba.core import config

import minadder as ma
from minadder import nn, ops
from minadder.autograd import Array
from minadder.kernels.adder import cpu, reference
from minadder.kernels.sums import sum_over

compiled = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="takes minutes as plain Python")

EPS = float(np.finfo(np.float32).eps)
LONG = 100_000
PIXEL = (1, 1), (0, 0), (1, 1), 1
"""Stride, padding, dilation and groups of a window over a single pixel."""


def relative(found: Array, wanted: Array) -> float:
    """Return the largest difference as a share of the largest value."""
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    data=st.data(),
    keepdims=st.booleans(),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_a_sum_is_that_of_whole_numbers(shape: list[int], data: st.DataObject, keepdims: bool, dtype: Any) -> None:
    x = np.random.default_rng(0).integers(-9, 9, shape).astype(dtype)
    axes = tuple(sorted(data.draw(st.sets(st.integers(0, len(shape) - 1)))))
    found = sum_over(x, axes, keepdims)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, x.sum(axis=axes, keepdims=keepdims) if axes else x)


@pytest.mark.parametrize("axis", [0, 1, (0, 2), (1, 2), None])
def test_reductions_along_every_axis(axis: Any) -> None:
    shape = {0: (LONG, 3), 1: (3, LONG)}.get(axis, (LONG // 100, 100, 10))  # type: ignore[call-overload]
    x = np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)
    exact = x.astype(np.float64)
    for name in ("sum", "mean", "var", "std"):
        options = {"ddof": 1} if name in ("var", "std") else {}
        wanted = np.asarray(getattr(exact, name)(axis=axis, **options))
        assert relative(getattr(ma.tensor(x), name)(axis=axis).numpy(), wanted) < 3 * EPS, name


def test_what_is_constant_has_no_deviation() -> None:
    rows = ma.tensor(np.full((1_000_000, 4), 100, np.float32))
    assert rows.std(axis=0).tolist() == [0.0] * 4
    assert rows.mean(axis=0).tolist() == [100.0] * 4


@pytest.mark.parametrize("shape", [(1, 3), (3,), ()])
def test_the_gradient_of_what_is_broadcast_over_many_rows(shape: tuple[int, ...]) -> None:
    """As that of a bias is."""
    x = np.random.default_rng(0).uniform(0, 1, (LONG, 3)).astype(np.float32)
    for name in ("add", "subtract", "multiply", "divide", "maximum"):
        bias = ma.tensor(np.full(shape, 0.5, np.float32), requires_grad=True)
        output = getattr(ops, name)(ma.tensor(x), bias)
        output.backward(x)
        exact = {
            "add": x.astype(float),
            "subtract": -x.astype(float),
            "multiply": x.astype(float) * x,
            "divide": -x.astype(float) * x / 0.25,
            "maximum": x.astype(float) * np.where(x == 0.5, 0.5, x < 0.5),
        }[name]
        wanted = exact.sum() if shape == () else exact.sum(axis=0).reshape(shape)
        assert bias.grad is not None
        assert relative(bias.grad.numpy(), wanted) < 3 * EPS, name


def test_the_gradient_of_an_element_that_is_picked_often() -> None:
    grad = np.random.default_rng(0).uniform(0, 1, LONG).astype(np.float32)
    x = ma.tensor([1.0, 2.0], requires_grad=True)
    x[np.zeros(LONG, int)].backward(grad)
    assert x.grad is not None
    assert relative(x.grad.numpy()[:1], grad.sum(dtype=np.float64)) < EPS


def test_biases_of_layers() -> None:
    grad = np.random.default_rng(0).uniform(0, 1, (LONG, 2)).astype(np.float32)
    layer = nn.Linear(1, 2)
    layer(np.ones((LONG, 1), np.float32)).backward(grad)
    conv = nn.Conv2d(1, 2, 1)
    conv(np.ones((LONG // 100, 1, 10, 10), np.float32)).backward(grad.reshape(LONG // 100, 2, 10, 10))
    assert layer.bias is not None
    assert conv.bias is not None
    wanted = grad.astype(np.float64).sum(axis=0), grad.reshape(-1, 2, 100).astype(np.float64).sum(axis=(0, 2))
    for bias, exact in zip((layer.bias, conv.bias), wanted, strict=True):
        assert bias.grad is not None
        assert relative(bias.grad.numpy(), exact) < 3 * EPS


def test_a_softmax_over_many_classes_sums_to_one() -> None:
    logits = ma.tensor(np.zeros((1, 1_000_000), np.float32), requires_grad=True)
    loss = ops.cross_entropy(logits, [0])
    loss.backward()
    assert logits.grad is not None
    assert loss.item() == pytest.approx(np.log(1e6), rel=1e-6)
    assert float(logits.grad.numpy()[0, 1]) == pytest.approx(1e-6, rel=1e-6)


@compiled
def test_pooling_over_large_windows() -> None:
    x = np.random.default_rng(0).uniform(0, 1, (1, 1, 300, 300)).astype(np.float32)
    assert ops.avg_pool2d(ma.tensor(x), 300).item() == pytest.approx(x.mean(dtype=np.float64), rel=2 * EPS)
    for pool in (ops.avg_pool2d, ops.max_pool2d):
        x[0, 0, 150, 150] = 2.0
        single, double = (ma.tensor(x, dtype=dtype, requires_grad=True) for dtype in (np.float32, np.float64))
        for leaf in (single, double):
            output = pool(leaf, 150, stride=1)
            output.backward(np.full(output.shape, 0.1, output.dtype))
        assert single.grad is not None
        assert double.grad is not None
        assert relative(single.grad.numpy(), double.grad.numpy()) < 2 * EPS


DATA: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Array]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "constant": lambda rng, shape: np.full(shape, 0.3 if shape[0] == 5 else -0.4),
}
"""Constant values are the worst case: each step of a running sum is rounded the same way."""


@compiled
@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("p", [0.0, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("length", [1000, LONG])
def test_windows_of_many_entries(length: int, p: float, kind: str) -> None:
    rng = np.random.default_rng(0)
    x, w = (DATA[kind](rng, (count, length)).astype(np.float32) for count in (5, 3))
    if p == 0:
        found = ops.conv2d(ma.tensor(x[:, :, None, None]), ma.tensor(w[:, :, None, None])).numpy()[:, :, 0, 0]
        wanted, size = x.astype(float) @ w.astype(float).T, np.abs(x.astype(float)) @ np.abs(w.astype(float)).T
    else:
        found = ops.adder_linear(ma.tensor(x), ma.tensor(w), p=p).numpy()
        wanted = -(np.abs(x.astype(float)[:, None] - w.astype(float)) ** p).sum(axis=2)
        size = np.abs(wanted)
    assert float((np.abs(found - wanted) / size).max()) < (20 * EPS if kind == "constant" else 5 * EPS)


@compiled
@pytest.mark.parametrize("image", [False, True], ids=["pixel", "image"])
@pytest.mark.parametrize("rule", ["sign", "hardtanh", "full_precision", "exact"])
def test_input_gradients_of_many_filters(rule: str, image: bool) -> None:
    """A pixel collects from 100,000 filters by pushing, the cells of an image from 5,000 of nine entries by pulling."""
    rng = np.random.default_rng(0)
    filters, size, window = (5000, 4, (3, 3)) if image else (LONG, 1, (1, 1))
    x = rng.standard_normal((2, 1, size, size)).astype(np.float32)
    w = 5 + np.abs(rng.standard_normal((filters, 1, *window))).astype(np.float32)
    sizes = (1, 1), (1, 1) if image else (0, 0), (1, 1), 1
    grad = np.abs(rng.standard_normal((2, filters, size, size))).astype(np.float32)
    for p in (1.0, 1.5):
        found = cpu.input_grad(grad, x, w, *sizes, rule, p)
        wanted = reference.input_grad(*(array.astype(np.float64) for array in (grad, x, w)), *sizes, rule, p)
        assert relative(found, wanted) < 10 * EPS


@compiled
@pytest.mark.parametrize("rule", ["sign", "hardtanh", "full_precision", "exact"])
def test_filter_gradients_of_many_examples(rule: str) -> None:
    rng = np.random.default_rng(0)
    x, grad = (np.abs(rng.standard_normal((LONG, 2, 1, 1))).astype(np.float32) for _ in range(2))
    w = -np.abs(rng.standard_normal((2, 2, 1, 1))).astype(np.float32)
    for p in (1.0, 1.5):
        found = cpu.weight_grad(grad, x, w, *PIXEL, rule, p)
        wanted = reference.weight_grad(*(array.astype(np.float64) for array in (grad, x, w)), *PIXEL, rule, p)
        assert relative(found, wanted) < 10 * EPS


@pytest.mark.parametrize("scale", [1.0, 1000.0, 1e15])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_squared_distances_are_never_above_zero(dtype: Any, scale: float) -> None:
    """Σ x² + Σ f² − 2·Σ x·f, which is the same on paper, cancels where x is close to f."""
    rng = np.random.default_rng(0)
    w = (scale * rng.standard_normal((3, 1000))).astype(dtype)
    x = np.concatenate([w, w * dtype(1 + 1e-6), (scale * rng.standard_normal((3, 1000))).astype(dtype)])
    found = ops.adder_linear(ma.tensor(x), ma.tensor(w), p=2.0).numpy()
    exact = -((x.astype(np.longdouble)[:, None] - w.astype(np.longdouble)) ** 2).sum(axis=2)
    assert (found <= 0).all()
    assert (found.diagonal() == 0).all()
    np.testing.assert_allclose(found, exact.astype(np.float64), rtol=20 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0])
def test_what_is_infinite_is_infinitely_far(p: float) -> None:
    x = np.array([[np.inf, 1.0], [-np.inf, np.inf], [3e38, -3e38], [1.0, 2.0]], np.float32)
    w = np.array([[0.0, 1.0], [2.0, -3e38]], np.float32)
    with np.errstate(all="ignore"):
        found = ops.adder_linear(ma.tensor(x), ma.tensor(w), p=p).numpy()
        exact = -(np.abs(x.astype(float)[:, None] - w.astype(float)) ** p).sum(axis=2)
        np.testing.assert_allclose(found, exact.astype(np.float32), rtol=5e-6)
