"""State dicts hold what is shared under every path, as PyTorch's do, and both libraries load each other's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minadder as ma
from minadder import nn
from minadder.autograd import Array


class Twice(nn.Module):
    """A layer and a batch norm that are used twice, and a second layer of the first one's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.norm = nn.BatchNorm1d(3)
        self.body = nn.Sequential({"again": self.first, "norm": self.norm, "act": nn.ReLU()})
        self.tied = nn.Linear(3, 3)
        self.tied.weight = self.first.weight

    def forward(self, x: Any) -> Any:
        """Return the output."""
        return self.tied(self.body(self.norm(self.first(x))))


PATHS = {
    *("first.weight", "first.bias", "body.again.weight", "body.again.bias", "tied.weight", "tied.bias"),
    *(f"{place}norm.{name}" for place in ("", "body.") for name in ("weight", "bias", "running_mean", "running_var")),
    *("norm.num_batches_tracked", "body.norm.num_batches_tracked"),
}


def batch(seed: int = 0) -> Array:
    """Return inputs."""
    return np.random.default_rng(seed).standard_normal((5, 3)).astype(np.float32)


def trained() -> Twice:
    """Return a net after a step."""
    net = Twice()
    optimizer = ma.optim.SGD(net.parameters(), lr=0.1)
    net(batch()).sum().backward()
    optimizer.step()
    return net


def test_every_path_has_an_entry_and_every_parameter_and_module_comes_once() -> None:
    net = Twice()
    assert set(net.state_dict()) == PATHS
    assert [name for name, _ in net.named_parameters()] == [
        *("first.weight", "first.bias", "norm.weight", "norm.bias", "tied.bias"),
    ]
    assert [name for name, _ in net.named_modules()] == ["", "first", "norm", "body", "body.act", "tied"]
    assert len(list(net.named_buffers())) == 3


def test_the_entries_are_copies() -> None:
    net = trained()
    state = net.state_dict()
    for value in state.values():
        value[...] = 7
    assert all((value != 7).all() for name, value in net.state_dict().items() if "tracked" not in name)


def test_a_state_of_all_paths_or_of_one_is_loaded(tmp_path: Path) -> None:
    net = trained()
    state = net.state_dict()
    one_path = {name: value for name, value in state.items() if not name.startswith("body.") and name != "tied.weight"}
    others = {name: value for name, value in state.items() if name not in ("first.weight", "norm.running_mean")}
    for given in (state, one_path, others):
        other = Twice()
        other.load_state_dict(given)
        np.testing.assert_array_equal(other.eval()(batch(1)).numpy(), net.eval()(batch(1)).numpy())
        assert other.tied.weight is other.first.weight
        assert other.body.norm is other.norm
    ma.save(net, tmp_path / "net.safetensors")
    other = Twice()
    ma.load(other, tmp_path / "net.safetensors")
    np.testing.assert_array_equal(other.eval()(batch(1)).numpy(), net.eval()(batch(1)).numpy())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("first.weight", "body.again.weight"),
        ("first.weight", "tied.weight"),
        ("norm.running_mean", "body.norm.running_mean"),
        ("norm.num_batches_tracked", "body.norm.num_batches_tracked"),
    ],
)
def test_two_values_for_one_thing_are_refused(one: str, other: str) -> None:
    net, state = Twice(), trained().state_dict()
    before = net.state_dict()
    state[other] = state[other] + 1
    with pytest.raises(ValueError, match=rf"{one} and {other} of Twice are one and the same.*different values"):
        net.load_state_dict(state)
    assert all(np.array_equal(value, before[name]) for name, value in net.state_dict().items())


def test_equal_nan_is_no_difference() -> None:
    net, state = Twice(), Twice().state_dict()
    for name in state:
        if state[name].dtype == np.float32:
            state[name][...] = np.nan
    net.load_state_dict(state)
    assert np.isnan(net.first.weight.numpy()).all()


def test_what_lacks_under_every_path_is_missing() -> None:
    state = Twice().state_dict()
    with pytest.raises(ValueError, match=r"missing \['body\.again\.bias', 'first\.bias'\], unknown \[3, 'x'\]"):
        Twice().load_state_dict(
            {
                **{name: value for name, value in state.items() if name not in ("first.bias", "body.again.bias")},
                "x": 1,
                3: 2,
            }
        )
    del state["norm.num_batches_tracked"], state["body.norm.num_batches_tracked"]
    Twice().load_state_dict(state)
    for wrong in (None, [1], "state", np.ones(2)):
        with pytest.raises(TypeError, match="a state is a dictionary of arrays by path, not"):
            Twice().load_state_dict(wrong)  # type: ignore[arg-type]


def test_a_module_inside_itself_has_a_state() -> None:
    net = Twice()
    net.itself = net  # type: ignore[attr-defined]
    net.body.outer = net
    assert set(net.state_dict()) == PATHS


def test_an_optimiser_state_goes_on_where_it_was() -> None:
    net, other = Twice(), Twice()
    other.load_state_dict(net.state_dict())
    optimizers = [ma.optim.SGD(n.parameters(), lr=0.1, momentum=0.9) for n in (net, other)]
    net(batch()).sum().backward()
    optimizers[0].step()
    other.load_state_dict(net.state_dict())
    optimizers[1].load_state_dict(optimizers[0].state_dict())
    for n, optimizer in zip((net, other), optimizers, strict=True):
        n.zero_grad()
        n(batch(1)).sum().backward()
        optimizer.step()
    for one, copied in zip(net.state_dict().values(), other.state_dict().values(), strict=True):
        np.testing.assert_array_equal(one, copied)


def test_pytorchs_state_dicts_go_both_ways() -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch, which is optional")

    class Theirs(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Linear(3, 3)
            self.norm = torch.nn.BatchNorm1d(3)
            self.body = torch.nn.Sequential()
            for name, module in (("again", self.first), ("norm", self.norm), ("act", torch.nn.ReLU())):
                self.body.add_module(name, module)
            self.tied = torch.nn.Linear(3, 3)
            self.tied.weight = self.first.weight

        def forward(self, x: Any) -> Any:
            return self.tied(self.body(self.norm(self.first(x))))

    theirs, net = Theirs(), Twice()
    theirs(torch.tensor(batch()))
    assert set(theirs.state_dict()) == set(net.state_dict())
    net.load_state_dict(theirs.state_dict())
    for _ in range(2):
        wanted = theirs.eval()(torch.tensor(batch(1))).detach().numpy()
        np.testing.assert_allclose(net.eval()(batch(1)).numpy(), wanted, rtol=1e-5, atol=1e-6)
        net = trained()
        theirs.load_state_dict({name: torch.tensor(value) for name, value in net.state_dict().items()}, strict=True)
