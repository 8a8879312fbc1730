"""At kinks, at infinity and at NaN each operation and its gradient are PyTorch's, in both precisions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import minadder as ma
from minadder import nn, ops

torch = pytest.importorskip("torch", reason="needs PyTorch, which is optional")

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

INF, NAN = np.inf, np.nan
POINTS = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, INF, -INF, NAN, 1e-30, -1e-30, 30.0, -30.0, 1e30, -1e30]
PAIRS = np.array(list(itertools.product(POINTS, POINTS))).T
ROWS = [
    [1, 1, 1],
    [1, 2, 3],
    [0, 0, -0.0],
    [INF, 1, 2],
    [-INF, 1, 2],
    [INF, INF, 1],
    [INF, -INF, 0],
    [1e20, 1e20, 1e20],
]
CONDITION = np.arange(PAIRS.shape[1]) % 2 == 0

FINITE = [point for point in POINTS if np.isfinite(point)]


def compare(ours, theirs, dtype, *values, cotangents=(1.0,)):
    """Compare values and gradients of two functions at the same places, for cotangents that may be infinite."""
    for cotangent in cotangents:
        arrays = [np.array(value, dtype) for value in values]
        mine = [ma.tensor(array, requires_grad=True) for array in arrays]
        others = [torch.tensor(array, requires_grad=True) for array in arrays]
        y, z = ours(*mine), theirs(*others)
        tolerance = {"rtol": 1e-4 if dtype == "float32" else 1e-9, "atol": 1e-30}
        np.testing.assert_allclose(y.numpy(), z.detach().numpy(), **tolerance)
        y.backward(np.full(y.shape, cotangent, dtype))
        z.backward(torch.full_like(z, cotangent))
        for one, other in zip(mine, others, strict=True):
            np.testing.assert_allclose(one.grad.numpy(), other.grad.numpy(), **tolerance)


dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])

UNARY = {
    "exp": (ops.exp, torch.exp),
    "log": (ops.log, torch.log),
    "sqrt": (ops.sqrt, torch.sqrt),
    "relu": (ops.relu, torch.relu),
    "tanh": (ops.tanh, torch.tanh),
    "sigmoid": (ops.sigmoid, torch.sigmoid),
    "hardtanh": (ops.hardtanh, torch.nn.functional.hardtanh),
    "Hardtanh": (nn.Hardtanh(), torch.nn.Hardtanh()),
    "ReLU": (nn.ReLU(), torch.nn.ReLU()),
    "Sigmoid": (nn.Sigmoid(), torch.nn.Sigmoid()),
    "Tanh": (nn.Tanh(), torch.nn.Tanh()),
    "clip": (lambda x: x.clip(-1, 1), lambda x: torch.clamp(x, -1, 1)),
    "clip below": (lambda x: x.clip(-1.0), lambda x: torch.clamp(x, min=-1)),
    "clip above": (lambda x: x.clip(None, np.float64(0.5)), lambda x: torch.clamp(x, max=0.5)),
    "clip to a point": (lambda x: x.clip(1, 1), lambda x: torch.clamp(x, 1, 1)),
    "clip at infinity": (lambda x: x.clip(-INF, INF), lambda x: torch.clamp(x, -INF, INF)),
    "a branch not taken": (
        lambda x: ops.where(x > 0, ops.where(x > 0, x, 1.0).log(), 0.0),
        lambda x: torch.where(x > 0, torch.where(x > 0, x, 1.0).log(), 0.0),
    ),
    **{f"power {p}": (lambda x, p=p: x**p, lambda x, p=p: x**p) for p in (0, 1, 2, 3, -1, 1.5)},
    **{f"power of {b}": (lambda x, b=b: b**x, lambda x, b=b: b**x) for b in (0, 1, 2)},
}


@dtypes
@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one(name, dtype):
    compare(*UNARY[name], dtype, POINTS)


@dtypes
@pytest.mark.parametrize("name", ["relu", "hardtanh", "Hardtanh", "clip", "clip below", "clip to a point", "power 0"])
def test_an_infinite_gradient_does_not_pass_where_the_slope_is_0(name, dtype):
    compare(*UNARY[name], dtype, FINITE, cotangents=(INF, -INF, NAN))


BINARY = {
    "maximum": (ops.maximum, torch.maximum),
    "minimum": (ops.minimum, torch.minimum),
    "where": (
        lambda x, y: ops.where(CONDITION, x, y),
        lambda x, y: torch.where(torch.tensor(CONDITION), x, y),
    ),
    "add": (ops.add, torch.add),
    "multiply": (ops.multiply, torch.mul),
    "divide": (ops.divide, torch.div),
    "power": (ops.power, torch.pow),
}


@dtypes
@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two(name, dtype):
    infinite = () if name == "power" else (INF, NAN)  # PyTorch gives NaN for ∞ times the slope 0 there
    compare(*BINARY[name], dtype, *PAIRS, cotangents=(1.0, *infinite))


REDUCTIONS = {
    "sum": (ops.sum, torch.sum),
    "mean": (ops.mean, torch.mean),
    "var": (ops.var, torch.var),
    "std": (ops.std, torch.std),
    "biased std": (
        lambda x, axis: ops.std(x, axis, correction=0, keepdims=True),
        lambda x, axis: torch.std(x, axis, correction=0, keepdim=True),
    ),
    "max": (ops.max, torch.amax),
    "min": (ops.min, torch.amin),
}


@dtypes
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name, dtype):
    ours, theirs = REDUCTIONS[name]
    compare(lambda x: ours(x, 1), lambda x: theirs(x, 1), dtype, ROWS)


@dtypes
@pytest.mark.parametrize("value", [0.5, 0.1, -1e20, 1e-30])
def test_the_slope_of_a_deviation_of_equal_values_is_0(dtype, value):
    x = ma.tensor(np.full((4, 3), value, dtype), requires_grad=True)
    assert not x.std(axis=0).numpy().any()
    (x.std(axis=0).sum() + x.std()).backward()
    assert not x.grad.numpy().any()
    one = ma.tensor(np.array([[7.0]], dtype), requires_grad=True)
    one.std(axis=1, correction=0).sum().backward()
    assert one.grad.tolist() == [[0]]


@dtypes
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_losses(reduction, dtype):
    functional = torch.nn.functional
    logits = [[0, 0, 0], [-INF, 0, 0], [-INF, -INF, 0], [1e30, 0, 0], [-1e30, 0, 0]]
    logits += [[INF, 0, 0], [NAN, 0, 0], [-INF, -INF, -INF]] if reduction == "none" else []
    for label in range(3):
        labels = np.full(len(logits), label)
        compare(
            lambda z, labels=labels: ops.cross_entropy(z, labels, reduction),
            lambda z, labels=labels: functional.cross_entropy(z, torch.tensor(labels), reduction=reduction),
            dtype,
            logits,
        )
    points = [0.0, 1.0, 100.0, -100.0, 1e30, -1e30, INF, *([NAN] if reduction == "none" else [])]
    values, targets = np.array(list(itertools.product(points, [0, 0.25, 1]))).T
    values, targets = values[(values < INF) | (targets < 1)], targets[(values < INF) | (targets < 1)]
    compare(
        lambda z: ops.bce_with_logits(z, targets.astype(dtype), reduction),
        lambda z: functional.binary_cross_entropy_with_logits(
            z, torch.tensor(targets.astype(dtype)), reduction=reduction
        ),
        dtype,
        values,
    )


def test_a_cell_of_no_slope_takes_no_part_of_an_infinite_gradient():
    """Of max, binarize and the straight-through estimators: 0·∞ would be NaN."""
    for function, values, wanted in (
        (lambda x: x.max(), [1.0, 2.0], [0, INF]),
        (lambda x: x.min(), [1.0, 2.0], [INF, 0]),
        (ops.binarize, [0.5, 2.0], [INF, 0]),
        (lambda x: ops.binary_linear(x.reshape(2, 1), ma.tensor([[0.5]]), ma.tensor([1.0])), [0.5, 2.0], [INF, 0]),
    ):
        x = ma.tensor(values, requires_grad=True)
        y = function(x)
        y.backward(np.full(y.shape, INF, np.float32))
        assert x.grad.tolist() == wanted


def test_a_batch_norm_and_a_relu_at_0_fused_and_apart():
    x = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    layer, other = nn.BatchNorm1d(2).to("float64"), torch.nn.BatchNorm1d(2).double()
    compare(nn.Sequential(layer, nn.ReLU()), torch.nn.Sequential(other, torch.nn.ReLU()), "float64", x)
    compare(lambda x: layer(x).relu(), lambda x: torch.relu(other(x)), "float64", x)


def test_limits_of_clip():
    x = ma.tensor([-0.0, NAN, 3.0], requires_grad=True)
    y = x.clip()
    y.backward(np.ones(3, np.float32))
    assert np.signbit(y.numpy()[0])
    assert x.grad.tolist() == [1, 1, 1]
    assert ma.tensor([0.1, 1e38]).clip(np.float64(0.1), 1e300).tolist() == pytest.approx([0.1, 1e38])
    for wrong in ("a", [1.0], np.ones(1), ma.tensor(1.0), True, 1j):
        with pytest.raises(TypeError, match="clip: a limit is a number or None"):
            x.clip(wrong)
        with pytest.raises(TypeError, match="clip: a limit is a number or None"):
            x.clip(None, wrong)
    with pytest.raises(ValueError, match="NaN"):
        x.clip(NAN)
    assert ma.tensor([5.0]).clip(None, 10**400).tolist() == [5]
