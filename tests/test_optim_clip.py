"""clip_grad_norm_, zero_grad(set_to_none=) and requires_grad_, against PyTorch."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minadder as ma
from minadder import nn, optim
from minadder.tensor import Tensor

torch = pytest.importorskip("torch", reason="needs PyTorch, which is optional")

SHAPES = ((3, 4), (5,), (), (2, 1, 3))


def pairs(seed: int, dtype: str, size: float = 1.0) -> tuple[list[nn.Parameter], list[Any]]:
    """Return parameters of both libraries with the same gradients; the last but one has none."""
    rng = np.random.default_rng(seed)
    ours, theirs = [], []
    for number, shape in enumerate(SHAPES):
        grad = np.asarray(rng.standard_normal(shape) * size, dtype)
        mine, other = nn.Parameter(np.zeros(shape, dtype)), torch.zeros(shape, dtype=getattr(torch, dtype))
        if number != len(SHAPES) - 2:
            mine.grad, other.grad = Tensor(grad.copy()), torch.tensor(grad)
        ours.append(mine)
        theirs.append(other.requires_grad_())
    return ours, theirs


@given(
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from(["float32", "float64"]),
    max_norm=st.sampled_from([0.0, 0.5, 3.0, 100.0, math.inf]),
    norm_type=st.sampled_from([2.0, 1.0, 3.0, 0.5, math.inf]),
    size=st.sampled_from([1.0, 1e-3, 0.0]),
)
def test_gradients_are_clipped_as_by_pytorch(
    seed: int, dtype: str, max_norm: float, norm_type: float, size: float
) -> None:
    ours, theirs = pairs(seed, dtype, size)
    total = nn.utils.clip_grad_norm_(iter(ours), max_norm, norm_type)
    wanted = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    rtol = 1e-5 if dtype == "float32" else 1e-10
    np.testing.assert_allclose(total.item(), wanted.item(), rtol=rtol)
    assert (total.shape, total.dtype) == ((), np.dtype(dtype))
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine.grad is None) == (other.grad is None)
        if mine.grad is not None:
            np.testing.assert_allclose(mine.grad.numpy(), other.grad.numpy(), rtol=rtol, atol=1e-30)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("norm_type", [2.0, 1.0, math.inf])
def test_norms_that_are_not_finite(bad: float, norm_type: float) -> None:
    ours, theirs = pairs(0, "float32")
    ours[1].grad = Tensor(np.array([bad, 1, 2, 3, 4], np.float32))
    theirs[1].grad = torch.tensor(ours[1].grad.numpy().copy())
    before = [p.grad.numpy().copy() for p in ours if p.grad is not None]
    with pytest.raises(RuntimeError, match=f"norm is {bad}.*error_if_nonfinite=False"):
        nn.utils.clip_grad_norm_(ours, 1.0, norm_type, error_if_nonfinite=True)
    for kept, p in zip(before, (p for p in ours if p.grad is not None), strict=True):
        np.testing.assert_array_equal(kept, p.grad.numpy())  # type: ignore[union-attr]
    total = nn.utils.clip_grad_norm_(ours, 1.0, norm_type)
    np.testing.assert_array_equal(total.item(), torch.nn.utils.clip_grad_norm_(theirs, 1.0, norm_type).item())
    for mine, other in zip(ours, theirs, strict=True):
        if mine.grad is not None:
            np.testing.assert_array_equal(mine.grad.numpy(), other.grad.numpy())


def test_one_parameter_none_with_a_gradient_and_what_is_refused() -> None:
    (w, *_), _ = pairs(0, "float32")
    assert nn.utils.clip_grad_norm_(w, 1.0).item() > 1
    w.grad = None
    assert nn.utils.clip_grad_norm_([w], 1.0).item() == 0
    large = nn.Parameter(np.zeros(2, np.float32))
    large.grad = Tensor(np.full(2, 2e19, np.float32))  # whose squares float32 does not hold
    assert nn.utils.clip_grad_norm_(large, 1.0).item() == pytest.approx(2e19 * math.sqrt(2))
    assert np.isfinite(large.grad.numpy()).all()
    bad: list[tuple[tuple[Any, ...], str]] = [
        ((w, -1.0), "max_norm"), ((w, math.nan), "max_norm"), ((w, 1.0, 0.0), "norm_type"), ((w, "1"), "max_norm"),
        ((w, 1.0, 2.0, 1), "error_if_nonfinite"), ((nn.Linear(1, 1), 1.0), "parameters"), ((["w"], 1.0), "parameter"),
    ]  # fmt: skip
    for arguments, message in bad:
        with pytest.raises((TypeError, ValueError), match=message):
            nn.utils.clip_grad_norm_(*arguments)


def test_gradients_are_forgotten_or_become_zero() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    for owner in (net, optimizer):
        net(np.ones((4, 2), np.float32)).sum().backward()
        kept = [p.grad for p in net.parameters()]
        owner.zero_grad(set_to_none=False)
        for before, p in zip(kept, net.parameters(), strict=True):
            assert p.grad is before
            assert p.grad is not None
            assert p.grad.shape == p.shape
            assert not p.grad.numpy().any()
        owner.zero_grad()
        assert all(p.grad is None for p in net.parameters())
        owner.zero_grad(set_to_none=False)
        assert all(p.grad is None for p in net.parameters())
        with pytest.raises(TypeError, match="set_to_none"):
            owner.zero_grad(set_to_none="no")  # type: ignore[arg-type]


def test_a_part_that_is_frozen_stays_and_the_rest_learns() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    assert net[0].requires_grad_(False) is net[0]
    with pytest.raises(ValueError, match=r"requires_grad=False.*\[p for p in net\.parameters"):
        optim.SGD(net.parameters(), lr=0.1)
    optimizer = optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    before = net.state_dict()
    net(np.ones((4, 2), np.float32)).sum().backward()
    optimizer.step()
    assert [bool((value == before[name]).all()) for name, value in net.state_dict().items()] == [True] * 2 + [False] * 2
    net.requires_grad_()
    assert all(p.requires_grad for p in net.parameters())
    with pytest.raises(TypeError, match="requires_grad must be True or False"):
        net.requires_grad_(1)  # type: ignore[arg-type]


def test_clipped_steps_train() -> None:
    ma.manual_seed(0)
    net = nn.Linear(2, 1)
    optimizer = optim.AdamW(net.parameters(), lr=0.1)
    x = np.random.default_rng(0).standard_normal((32, 2)).astype(np.float32)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = nn.MSELoss()(net(x), x[:, :1] * 2)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]


def test_its_arguments_and_defaults_are_pytorchs() -> None:
    ours, theirs = (
        {name: one.default for name, one in inspect.signature(function).parameters.items()}
        for function in (nn.utils.clip_grad_norm_, torch.nn.utils.clip_grad_norm_)
    )
    assert list(ours) == list(theirs)[: len(ours)]
    assert ours == {name: theirs[name] for name in ours}
    assert theirs.keys() - ours.keys() == {"foreach"}
