"""What is assigned to a module is registered, refused or warned of: nothing is lost without a word."""

from __future__ import annotations

import copy
import operator
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minadder as ma
from minadder import nn


class Layers(nn.Module):
    """Keeps what it is given as `layers`."""

    def __init__(self, layers: Any = None) -> None:
        super().__init__()
        self.layers = layers


REPLACEMENTS: dict[str, Any] = {
    "an array": np.zeros((2, 3), np.float32),
    "a tensor": ma.tensor(np.zeros((2, 3), np.float32)),
    "a list": [1.0],
    "a number": 1.0,
    "a module": nn.ReLU(),
}


@pytest.mark.parametrize("value", REPLACEMENTS.values(), ids=REPLACEMENTS)
def test_a_parameter_cannot_be_replaced_by_something_else(value: Any) -> None:
    layer = nn.Linear(3, 2)
    kept = layer.weight
    with pytest.raises(TypeError, match=r"Linear\.weight is a parameter.*\.weight\.data = array.*nn\.Parameter"):
        layer.weight = value
    with pytest.raises(TypeError, match=r"Linear\.weight is a parameter"):
        layer.weight = layer.weight * 2
    assert layer.weight is kept
    layer.weight = nn.Parameter(np.ones((2, 3), np.float32))
    assert len(list(layer.parameters())) == 2
    layer.bias = None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]


@pytest.mark.parametrize("value", [1.0, [1.0], ma.tensor([1.0, 2.0]), np.float32(1), nn.Parameter(np.ones(2)), None])
def test_a_buffer_cannot_be_replaced_by_something_else(value: Any) -> None:
    norm = nn.BatchNorm1d(2)
    with pytest.raises(TypeError, match=r"BatchNorm1d\.running_mean is a buffer; assign an array"):
        norm.running_mean = value
    norm.running_mean = np.array([5.0, 6.0], np.float32)
    norm.running_mean += 1
    assert norm.state_dict()["running_mean"].tolist() == [6, 7]


def test_a_module_cannot_be_replaced_by_something_else() -> None:
    net = Layers(nn.ReLU())
    for value in (np.ones(1), ma.tensor([1.0]), nn.Parameter(np.ones(1)), [nn.ReLU()], lambda x: x):
        with pytest.raises(TypeError, match=r"Layers\.layers is a module, and .* is none"):
            net.layers = value
    net.layers = nn.Tanh()
    net.layers = None


@pytest.mark.parametrize("name", ["", "a.b", 3, None, "forward", "training", "layers"])
def test_names_of_buffers(name: Any) -> None:
    net = Layers(nn.ReLU())
    with pytest.raises(ValueError, match="cannot name a buffer"):
        net.register_buffer(name, np.ones(1))


@pytest.mark.parametrize("value", [None, 1.0, [1.0], ma.tensor([1.0]), np.float32(1)])
def test_buffers_are_arrays(value: Any) -> None:
    with pytest.raises(TypeError, match="the buffer 'kept' must be an array"):
        Layers().register_buffer("kept", value)


def test_a_buffer_registered_twice_is_one() -> None:
    net = Layers()
    net.register_buffer("kept", np.zeros(1))
    net.register_buffer("kept", np.ones(2))
    assert [(name, array.tolist()) for name, array in net.named_buffers()] == [("kept", [1, 1])]


HIDDEN: dict[str, Callable[[], Any]] = {
    "a list": lambda: [nn.Linear(2, 2)],
    "a tuple": lambda: (nn.ReLU(), nn.Linear(2, 2)),
    "a dictionary": lambda: {"first": nn.Linear(2, 2)},
    "a set": lambda: {nn.Linear(2, 2)},
    "a list of lists": lambda: [[1, nn.Linear(2, 2)], []],
    "a list of parameters": lambda: [nn.Parameter(np.ones(1))],
}


@pytest.mark.parametrize("make", HIDDEN.values(), ids=HIDDEN)
def test_modules_that_a_list_hides_are_warned_of(make: Callable[[], Any]) -> None:
    uses: list[Callable[[nn.Module], Any]] = [
        nn.Module.eval,
        nn.Module.train,
        nn.Module.zero_grad,
        nn.Module.state_dict,
        nn.Module.requires_grad_,
        lambda net: list(net.parameters()),
        lambda net: list(net.named_parameters()),
        lambda net: net.to("float64"),
    ]
    for use in uses:
        net = nn.Sequential(Layers(make()))
        with pytest.warns(
            UserWarning, match=r"Layers\.layers holds modules or parameters in a .*nn\.ModuleList.*setattr"
        ) as warned:
            use(net)
        assert len(warned) == 1
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            use(net)  # once a module
    grown = Layers([])
    grown.layers.append(nn.Linear(2, 2))
    with pytest.warns(UserWarning, match=r"Layers\.layers holds"):
        grown.eval()


def test_lists_of_what_is_registered_too_and_of_other_things_are_not_warned_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = Layers([])
        net.one = nn.Linear(2, 2)  # type: ignore[attr-defined]
        net.layers += [net.one, net.one.weight]
        net.other = {"sizes": (1, 2), "self": [net]}  # type: ignore[attr-defined]
        looped: list[Any] = []
        looped.append(looped)
        net.looped = looped  # type: ignore[attr-defined]
        assert len(list(net.eval().parameters())) == 2


def test_a_tensor_to_be_learnt_that_is_no_parameter_is_warned_of() -> None:
    net = Layers()
    with pytest.warns(UserWarning, match=r"Layers\.scale is a tensor that requires a gradient but no parameter"):
        net.scale = ma.tensor([1.0], requires_grad=True)  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.constant = ma.tensor([1.0])  # type: ignore[attr-defined]
        net.last = nn.Linear(1, 1)(ma.tensor([1.0]))  # type: ignore[attr-defined]


def test_a_parameter_from_a_tensor() -> None:
    start = ma.tensor([1.0, 2.0])
    parameter = nn.Parameter(start, adder=True)
    with ma.no_grad():
        parameter += 1.0
    assert (start.tolist(), parameter.tolist(), parameter.requires_grad) == ([1, 2], [2, 3], True)
    leaf = ma.tensor([1.0], requires_grad=True)
    for lost in (leaf, leaf * 2, parameter):
        with pytest.raises(RuntimeError, match=r"Parameter\(tensor\) would lose the tensor's gradient: use detach\(\)"):
            nn.Parameter(lost)
    assert nn.Parameter((leaf * 2).detach()).tolist() == [2]


LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "ma.tensor of a list": lambda a, b: ma.tensor([a, b]),
    "ma.tensor of nested lists": lambda a, b: ma.tensor([[1.0, a], [b, 2.0]]),
    "ma.tensor of a tensor": lambda a, b: ma.tensor(a),
    "ma.tensor with a dtype": lambda a, b: ma.tensor((a, b), dtype="float64"),
    "+": lambda a, b: operator.add(ma.tensor([1.0, 1.0]), [a, b]),
    "+ from the left": lambda a, b: operator.add([a, b], ma.tensor([1.0, 1.0])),
    "maximum": lambda a, b: ma.tensor([1.0, 1.0]).maximum([a, b]),
    "where": lambda a, b: ma.ops.where([True, False], [a, b], ma.tensor([1.0, 1.0])),
    "[0] =": lambda a, b: ma.tensor([1.0]).__setitem__(0, a),
    "[...] =": lambda a, b: ma.tensor([1.0, 1.0]).__setitem__(..., [a, b]),
    "+=": lambda a, b: ma.tensor([1.0, 1.0]).__iadd__([a, b]),
    "copy_": lambda a, b: ma.tensor(1.0).copy_(a),
    "copy_ of a list": lambda a, b: ma.tensor([1.0, 1.0]).copy_([a, b]),
    "targets": lambda a, b: ma.ops.bce_with_logits(ma.tensor([1.0, 1.0]), [a, b]),
}


@pytest.mark.parametrize("use", LOSSES.values(), ids=LOSSES)
def test_a_gradient_that_would_be_lost_is_refused(use: Callable[[Any, Any], Any]) -> None:
    leaf = ma.tensor([0.5, 0.25], requires_grad=True)
    for a, b in ((leaf[0], leaf[1]), (ma.tensor(0.5, requires_grad=True), ma.tensor(0.25))):
        with pytest.raises(RuntimeError, match=r"would (be lost|lose)"):
            use(a, b)
        with ma.no_grad():
            use(a, b)
        use(a.detach(), b.detach())


def test_builtins_keep_the_gradient() -> None:
    a, b = ma.tensor(1.0, requires_grad=True), ma.tensor(2.0, requires_grad=True)
    (max(a, b) + sum([a, b]) * abs(a)).backward()
    assert a.grad is not None
    assert b.grad is not None
    assert (a.grad.item(), b.grad.item()) == (4, 2)


def test_copies_keep_the_state() -> None:
    net = nn.Sequential(nn.AdderLinear(2, 2, p=1.5), nn.BatchNorm1d(2))
    net(np.eye(2, dtype=np.float32)).sum().backward()
    net[0].weight.requires_grad_(False)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert {k: v.tolist() for k, v in other.state_dict().items()} == {
            k: v.tolist() for k, v in net.state_dict().items()
        }
        assert (other[0].weight.adder, other[0].weight.requires_grad, other[1].weight.requires_grad) == (
            True,
            False,
            True,
        )
        assert other[1].weight.grad.tolist() == net[1].weight.grad.tolist()
        assert not any(np.shares_memory(a, b) for a in other.state_dict().values() for b in net.state_dict().values())
        other[1].running_mean += 1
        assert other.state_dict()["1.running_mean"].tolist() != net.state_dict()["1.running_mean"].tolist()
