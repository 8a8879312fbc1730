"""Sequential: by place, by name, by slice, and what it refuses."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest

import minadder as ma
from minadder import nn


def test_sequential_by_place_by_name_and_by_slice() -> None:
    net = nn.Sequential(OrderedDict(fc=nn.Linear(2, 3), act=nn.ReLU(), out=nn.Linear(3, 1)))
    assert (net[0], net[-1], len(net), list(net)) == (net.fc, net.out, 3, [net.fc, net.act, net.out])
    part = net[:2]
    assert isinstance(part, nn.Sequential)
    assert [name for name, _ in part.named_children()] == ["fc", "act"]
    assert part[0] is net.fc
    x = ma.tensor([[1.0, -2.0]])
    assert net[2](part(x)).tolist() == net(x).tolist()
    assert nn.Sequential()(x) is x
    again = nn.ReLU()
    assert len(nn.Sequential(again, again)) == 2
    with pytest.raises(IndexError):
        net[3]


@pytest.mark.parametrize("name", ["", "a.b", "training", "forward", "children", "_hooks", "__len__", 3, None])
def test_sequential_refuses_bad_names(name: Any) -> None:
    with pytest.raises(ValueError, match=r"cannot name a module") as raised:
        nn.Sequential({name: nn.ReLU()})
    assert repr(name) in str(raised.value)


@pytest.mark.parametrize(
    ("modules", "named"),
    [((3,), "'0' is int"), ((nn.ReLU(), None), "'1' is NoneType"), (({"a": ma.ops.relu},), "'a' is function")],
)
def test_sequential_refuses_what_is_no_module(modules: Any, named: str) -> None:
    with pytest.raises(TypeError, match=f"Sequential takes modules; {named}"):
        nn.Sequential(*modules)
