"""Dropout, Identity and ModuleList."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minadder as ma
from minadder import nn, optim


@given(p=st.floats(0, 1), seed=st.integers(0, 2**32 - 1), dtype=st.sampled_from(["float32", "float64"]))
def test_elements_are_dropped_or_scaled_and_the_gradient_passes_where_they_did(p: float, seed: int, dtype: str) -> None:
    ma.manual_seed(seed)
    x = ma.tensor(np.random.default_rng(seed).standard_normal((3, 4)) + 10, dtype=dtype, requires_grad=True)
    weights = np.random.default_rng(1).standard_normal((3, 4)).astype(dtype)
    y = nn.Dropout(p)(x)
    (y * weights).sum().backward()
    kept = y.numpy() != 0
    scale = np.dtype(dtype).type(1 / (1 - p) if p < 1 else 0)
    np.testing.assert_array_equal(y.numpy(), np.where(kept, x.numpy() * scale, 0))
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), np.where(kept, weights * scale, 0))
    assert y.dtype == dtype
    if p in (0, 1):
        assert kept.all() if p == 0 else not kept.any()


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_the_share_that_is_dropped_is_p(p: float) -> None:
    ma.manual_seed(0)
    y = nn.Dropout(p)(np.ones((200, 500), np.float32)).numpy()
    assert abs((y == 0).mean() - p) < 5 * math.sqrt(p * (1 - p) / y.size)
    assert abs(y.mean() - 1) < 0.02
    assert abs(np.corrcoef(y[:, :-1].ravel(), y[:, 1:].ravel())[0, 1]) < 0.02


def test_evaluation_draws_nothing_and_changes_nothing() -> None:
    x = ma.tensor([1.0, -2.0, np.nan, np.inf])
    state = ma.random.generator_state()
    for module in (nn.Dropout(0.9).eval(), nn.Dropout(0.0), nn.Sequential(nn.Dropout(1.0)).eval()):
        np.testing.assert_array_equal(module(x).numpy(), x.numpy())
    assert ma.random.generator_state() == state
    drop = nn.Dropout(0.5)
    one = drop(np.ones(64, np.float32)).numpy()
    assert not np.array_equal(one, drop(np.ones(64, np.float32)).numpy())


def test_a_seed_gives_the_same_bits_for_any_number_of_threads() -> None:
    def trained(threads: int) -> list[np.ndarray[Any, Any]]:
        before = numba.get_num_threads()
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        try:
            ma.manual_seed(3)
            net = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 2))
            optimizer = optim.SGD(net.parameters(), lr=0.1)
            for _ in range(3):
                optimizer.zero_grad()
                nn.CrossEntropyLoss()(net(np.ones((32, 8), np.float32)), np.arange(32) % 2).backward()
                optimizer.step()
            return list(net.state_dict().values())
        finally:
            numba.set_num_threads(before)

    for one, other in zip(trained(1), trained(2), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan, "0.5", None, True])
def test_what_is_no_probability_is_refused(p: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"p must be a number in \[0, 1\]"):
        nn.Dropout(p)


def test_identity_takes_any_arguments_and_changes_nothing() -> None:
    x = ma.tensor([1.0], requires_grad=True)
    assert nn.Identity(3, unused=True)(x) is x
    assert nn.Sequential(nn.Identity(), nn.Linear(1, 1)).state_dict().keys() == {"1.weight", "1.bias"}
    with pytest.raises(TypeError, match="the input must be"):
        nn.Identity()([1, 2])


class Deep(nn.Module):
    """A net of a list of layers."""

    def __init__(self, depth: int = 3) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(2, 2) for _ in range(depth)])

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x).relu()
        return x


def test_modules_in_a_module_list_are_trained_saved_and_switched() -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch, which is optional")
    net = Deep()
    theirs = torch.nn.Module()
    theirs.layers = torch.nn.ModuleList([torch.nn.Linear(2, 2) for _ in range(3)])
    assert list(net.state_dict()) == list(theirs.state_dict())
    net.from_torch(theirs.state_dict())
    assert [name for name, _ in net.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    net(np.abs(np.random.default_rng(0).standard_normal((4, 2))).astype(np.float32)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    assert not any(layer.training for layer in net.eval().layers)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert list(other.state_dict()) == list(net.state_dict())
    assert isinstance(nn.convert(net, "adder", keep_first_and_last=False).layers[1], nn.AdderLinear)
    assert "(layers): ModuleList(\n    (0): Linear(2, 2, bias=True)" in repr(net)


CHANGES: dict[str, Callable[[Any, list[Any]], Any]] = {
    "append": lambda held, new: held.append(new[0]),
    "extend": lambda held, new: held.extend(iter(new)),
    "insert": lambda held, new: held.insert(1, new[0]),
    "insert from behind": lambda held, new: held.insert(-1, new[0]),
    "insert beyond": lambda held, new: held.insert(99, new[0]),
    "pop": lambda held, new: held.pop(),
    "pop the first": lambda held, new: held.pop(0),
    "[1] =": lambda held, new: held.__setitem__(1, new[0]),
    "[-1] =": lambda held, new: held.__setitem__(-1, new[0]),
    "del [0]": lambda held, new: held.__delitem__(0),
    "del [1:]": lambda held, new: held.__delitem__(slice(1, None)),
    "+=": lambda held, new: held.__iadd__(new),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_module_list_changes_as_a_list(change: Callable[[Any, list[Any]], Any]) -> None:
    first, new = [nn.ReLU(), nn.Tanh(), nn.Sigmoid()], [nn.Identity(), nn.Flatten()]
    held, plain = nn.ModuleList(first), list(first)
    change(held, new)
    change(plain, new)
    assert list(held) == plain
    assert len(held) == len(plain)
    assert [name for name, _ in held.named_children()] == [str(place) for place in range(len(plain))]
    assert held[-1] is plain[-1]
    assert list(held[1:]) == plain[1:]
    assert isinstance(held[1:], nn.ModuleList)


def test_what_a_module_list_refuses() -> None:
    held = nn.ModuleList()
    assert (len(held), list(held)) == (0, [])
    for wrong in (nn.Linear, 3, None, [nn.ReLU()], lambda x: x):
        for use in (held.append, lambda one: held.extend([nn.ReLU(), one]), lambda one: held.insert(0, one)):
            with pytest.raises(TypeError, match=r"ModuleList takes modules; one is .*nn\.ModuleList"):
                use(wrong)
    assert len(held) == 0
    for wrong in (3, nn.Linear(1, 1), {"a": nn.ReLU()}):
        with pytest.raises(TypeError, match="ModuleList takes a list of modules, not"):
            nn.ModuleList(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"ModuleList cannot be called: call its modules"):
        held(np.ones((1, 1), np.float32))
    with pytest.raises(IndexError):
        held[0]
