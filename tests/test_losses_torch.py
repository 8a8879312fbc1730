"""Label smoothing, labels to ignore, and squared errors: values and gradients are PyTorch's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minadder as ma
from minadder import nn, ops

torch = pytest.importorskip("torch", reason="needs PyTorch, which is optional")

TOLERANCES = {"float32": {"rtol": 2e-5, "atol": 2e-6}, "float64": {"rtol": 1e-11, "atol": 1e-12}}
reductions = st.sampled_from(["mean", "sum", "none"])
dtypes = st.sampled_from(["float32", "float64"])


def both(loss: Any, theirs: Any, dtype: str, x: Any, target: Any) -> tuple[list[Any], list[Any]]:
    """Return output and gradient of a loss of each library, from the same weights."""
    ours, other = ma.tensor(x.astype(dtype), requires_grad=True), torch.tensor(x.astype(dtype), requires_grad=True)
    one, two = loss(ours, target), theirs(other, torch.tensor(target))
    weights = np.asarray(np.random.default_rng(0).standard_normal(one.shape), dtype)
    one.backward(weights)
    two.backward(torch.tensor(weights))
    assert ours.grad is not None
    return [one.numpy(), ours.grad.numpy()], [two.detach().numpy(), other.grad.numpy()]


@st.composite
def classified(draw: st.DrawFn) -> tuple[Any, Any, int]:
    """Draw logits, class numbers, and the number of those that are ignored."""
    count, classes = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    ignore = draw(st.sampled_from([-100, -1, 0, 7]))
    labels = draw(st.lists(st.sampled_from([*range(classes), ignore, ignore]), min_size=count, max_size=count))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng.standard_normal((count, classes)) * draw(st.sampled_from([1, 30])), np.array(labels), ignore


@given(data=classified(), smoothing=st.sampled_from([0.0, 0.1, 0.5, 1.0]), reduction=reductions, dtype=dtypes)
def test_smoothing_and_ignored_labels_are_pytorchs(
    data: tuple[Any, Any, int], smoothing: float, reduction: str, dtype: str
) -> None:
    logits, labels, ignore = data
    options: dict[str, Any] = {"reduction": reduction, "ignore_index": ignore, "label_smoothing": smoothing}
    ours, theirs = both(nn.CrossEntropyLoss(**options), torch.nn.CrossEntropyLoss(**options), dtype, logits, labels)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, **TOLERANCES[dtype])
        assert one.dtype == dtype


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_where_all_labels_are_ignored(smoothing: float, reduction: str) -> None:
    options: dict[str, Any] = {"reduction": reduction, "label_smoothing": smoothing}
    logits, labels = np.array([[1.0, 2.0], [3.0, -1.0]]), np.array([-100, -100])
    ours, theirs = both(nn.CrossEntropyLoss(**options), torch.nn.CrossEntropyLoss(**options), "float32", logits, labels)
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_array_equal(ours[1], np.zeros((2, 2)))
    np.testing.assert_array_equal(theirs[1], np.zeros((2, 2)))


@pytest.mark.parametrize("smoothing", [0.0, 0.25])
@pytest.mark.parametrize("row", [[-math.inf, 0.0, 1.0], [0.0, -math.inf, 1.0], [1e4, -1e4, 1e38], [math.inf, 0.0, 1.0]])
def test_infinite_logits(row: list[float], smoothing: float) -> None:
    options: dict[str, Any] = {"reduction": "none", "label_smoothing": smoothing}
    logits, labels = np.array([row, [0.0, 1.0, 2.0], row]), np.array([1, 2, -100])
    ours, theirs = both(nn.CrossEntropyLoss(**options), torch.nn.CrossEntropyLoss(**options), "float32", logits, labels)
    np.testing.assert_allclose(ours[0][:2], theirs[0][:2], rtol=1e-6)
    np.testing.assert_allclose(ours[1][:2], theirs[1][:2], rtol=1e-5, atol=1e-7)
    assert ours[0][2] == 0
    assert not ours[1][2].any()  # what does not count has slope 0, whatever it holds


def test_a_large_shift_costs_no_digits_and_many_classes_none() -> None:
    logits = np.zeros((2, 100_000), np.float32)
    logits[:, 0] = 1
    for shift in (0, 1e4):
        loss = ops.cross_entropy(ma.tensor(logits + np.float32(shift)), [0, 1], "none", label_smoothing=0.5)
        total = math.log(99_999 + math.e)
        wanted = [0.5 * (total - 1) + 0.5 * (total - 1e-5), 0.5 * total + 0.5 * (total - 1e-5)]
        np.testing.assert_allclose(loss.numpy(), wanted, rtol=3e-7)


def test_smoothing_0_and_nothing_ignored_have_the_bits_of_the_plain_loss() -> None:
    logits, labels = np.random.default_rng(0).standard_normal((8, 5)).astype(np.float32), np.arange(8) % 5
    plain = ops.cross_entropy(ma.tensor(logits), labels)
    assert ops.cross_entropy(ma.tensor(logits), labels, "mean", 9, 0.0).item() == plain.item()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_smoothing": 1.5}, r"label_smoothing must be a number in \[0, 1\]"),
        ({"label_smoothing": math.nan}, "label_smoothing"),
        ({"label_smoothing": "0.1"}, "label_smoothing"),
        ({"ignore_index": 0.5}, "ignore_index must be an int"),
        ({"ignore_index": None}, "ignore_index must be an int"),
        ({"ignore_index": 1}, "label -100 is out of range"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        nn.CrossEntropyLoss(**options)(ma.tensor([[0.0, 1.0]]), [-100])
    with pytest.raises((TypeError, ValueError), match=message):
        ops.cross_entropy(ma.tensor([[0.0, 1.0]]), [-100], **options)


def test_what_a_loss_says_of_itself() -> None:
    assert repr(nn.CrossEntropyLoss()) == "CrossEntropyLoss(reduction='mean')"
    wanted = "CrossEntropyLoss(reduction='sum', ignore_index=-1, label_smoothing=0.1)"
    assert repr(nn.CrossEntropyLoss("sum", -1, 0.1)) == wanted


@given(
    shape=st.lists(st.integers(1, 4), max_size=3).map(tuple),
    reduction=reductions,
    dtype=dtypes,
    seed=st.integers(0, 2**32 - 1),
)
def test_the_squared_error_is_pytorchs(shape: tuple[int, ...], reduction: str, dtype: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, target = (np.asarray(rng.standard_normal(shape), dtype) for _ in range(2))
    ours, theirs = both(nn.MSELoss(reduction), torch.nn.MSELoss(reduction=reduction), dtype, x, target)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, **TOLERANCES[dtype])
        assert one.dtype == dtype


def test_the_squared_error_refuses_other_shapes_and_dtypes() -> None:
    for target in (np.ones((2, 1), np.float32), np.ones(3, np.float32), 1.0):
        with pytest.raises(ValueError, match=r"outputs of shape \(2,\) need targets of the same shape"):
            nn.MSELoss()(ma.tensor([1.0, 2.0]), target)
    with pytest.raises(TypeError, match="tensors hold floats"):
        nn.MSELoss()(ma.tensor([1.0, 2.0]), np.array([1, 2]))
    with pytest.raises(ValueError, match="the mean over no losses"):
        nn.MSELoss()(ma.tensor(np.ones((0, 2), np.float32)), np.ones((0, 2), np.float32))
