"""An optimiser's state: going on from it gives the same bits; a state that does not fit changes nothing."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minadder import optim
from minadder.nn.parameter import Parameter
from minadder.tensor import Tensor

SHAPES = [(2, 3), (), (4,)]


def sgd(params: list[Parameter], **options: Any) -> optim.SGD:
    groups = [{"params": params[:2], "adder_lr": optim.AdaptiveLR(0.3)}, {"params": params[2:], "lr": 0.02}]
    return optim.SGD(groups, **{"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3, **options})


def adam(params: list[Parameter], **options: Any) -> optim.Adam:
    groups = [{"params": params[:2]}, {"params": params[2:], "betas": (0.5, 0.9)}]
    return optim.Adam(groups, **{"lr": 0.01, "adder_lr": optim.IncreasedLR(3.0), **options})


MAKERS: list[Callable[..., optim.Optimizer]] = [sgd, adam]


def make_params(dtype: Any = np.float32) -> list[Parameter]:
    return [Parameter(np.full(shape, 0.5, dtype), adder=index == 0) for index, shape in enumerate(SHAPES)]


def take_steps(optimizer: optim.Optimizer, params: list[Parameter], start: int, stop: int, seed: int) -> None:
    for step in range(start, stop):
        rng = np.random.default_rng([seed, step])
        optimizer.zero_grad()
        for parameter in params:
            grad = np.asarray(rng.normal(size=parameter.shape), parameter.dtype)
            parameter.grad = Tensor(grad) if rng.random() < 0.7 else None
        optim.Cosine().set_lr(optimizer, step / 20)
        optimizer.step()


def same_bits(one: dict[str, Any], other: dict[str, Any]) -> bool:
    same_arrays = one["arrays"].keys() == other["arrays"].keys() and all(
        (array.dtype, array.shape, array.tobytes())
        == (other["arrays"][name].dtype, other["arrays"][name].shape, other["arrays"][name].tobytes())
        for name, array in one["arrays"].items()
    )
    return same_arrays and one["groups"] == other["groups"] and one["steps"] == other["steps"]


@settings(deadline=None, max_examples=40)
@given(
    maker=st.sampled_from(MAKERS),
    dtype=st.sampled_from([np.float32, np.float64]),
    middle=st.integers(0, 6),
    seed=st.integers(0, 2**32 - 1),
)
def test_going_on_from_a_state_gives_the_same_bits(
    maker: Callable[..., optim.Optimizer], dtype: Any, middle: int, seed: int
) -> None:
    params = make_params(dtype)
    optimizer = maker(params)
    take_steps(optimizer, params, 0, middle, seed)
    state = optimizer.state_dict()
    kept = copy.deepcopy(state)
    values = [Parameter(np.array(parameter.numpy()), adder=parameter.adder) for parameter in params]
    take_steps(optimizer, params, middle, 10, seed)
    assert same_bits(state, kept)  # the state is a copy

    hyperparameters = json.loads(json.dumps({"groups": state["groups"], "steps": state["steps"]}))
    resumed = maker(values, lr=0.7, weight_decay=0.5)
    resumed.load_state_dict({**hyperparameters, "arrays": state["arrays"]})
    assert same_bits(resumed.state_dict(), kept)
    take_steps(resumed, values, middle, 10, seed)
    for one, other in zip(params, values, strict=True):
        assert one.numpy().tobytes() == other.numpy().tobytes()
    assert same_bits(resumed.state_dict(), optimizer.state_dict())
    assert same_bits(state, kept)  # what was loaded is a copy too


def test_the_names_in_the_state() -> None:
    params = make_params()
    params[2].grad = Tensor(np.ones(4, np.float32))
    one, two = sgd(params), adam(params)
    one.step()
    two.step()
    assert set(one.state_dict()["arrays"]) == {"2.momentum_buffer"}
    assert set(two.state_dict()["arrays"]) == {"2.step", "2.exp_avg", "2.exp_avg_sq"}
    assert one.state_dict()["groups"][0] == {
        "lr": 0.1,
        "momentum": 0.9,
        "dampening": 0.0,
        "weight_decay": 1e-3,
        "nesterov": True,
        "adder_lr": {"name": "AdaptiveLR", "eta": 0.3},
        "initial_lr": 0.1,
        "shapes": [[2, 3], []],
    }
    assert two.state_dict()["groups"][1]["betas"] == [0.5, 0.9]
    assert one.state_dict()["steps"] == 1


def test_loading_replaces_what_was_remembered() -> None:
    params = make_params()
    optimizer = sgd(params)
    fresh = optimizer.state_dict()
    take_steps(optimizer, params, 0, 3, 0)
    assert optimizer.state_dict()["arrays"]
    optimizer.load_state_dict(fresh)
    assert same_bits(optimizer.state_dict(), fresh)
    assert not optimizer.state


def altered(state: dict[str, Any], path: list[Any], value: Any) -> dict[str, Any]:
    result = copy.deepcopy(state)
    place: Any = result
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return result


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["steps"], None, r"must have the entries arrays, groups, steps; got \['arrays', 'groups'\]"),
        (["steps"], -3, "steps must be an integer of at least 0, got -3"),
        (["steps"], 1.5, "steps must be an integer of at least 0, got 1.5"),
        (["groups", 1], None, r"the state has 1 group\(s\), this optimiser 2"),
        (["groups", 1, "lr"], None, r"groups\[1\] of the state does not fit Adam: missing \['lr'\], unknown nothing"),
        (["groups", 0, "momentum"], 0.9, r"missing nothing, unknown \['momentum'\]"),
        (["groups", 0, "lr"], -2.5, r"groups\[0\] of the state: lr must be .* got -2.5"),
        (["groups", 0, "betas"], [0.9, 1.0], r"betas\[1\] must be .* got 1.0"),
        (["groups", 0, "adder_lr"], {"name": "Other"}, "no adder learning rate named 'Other'"),
        (["groups", 0, "shapes"], [[2, 3]], r"parameters of the shapes \[\(2, 3\)\]; .* have \[\(2, 3\), \(\)\]"),
        (["groups", 1, "shapes"], [[5]], r"\[\(5,\)\]; .* have \[\(4,\)\]"),
        (["arrays", "1.exp_avg"], None, r"only a part of what belongs to parameter 1: missing \['1.exp_avg'\]"),
        (["arrays", "3.exp_avg"], np.ones(4, np.float32), r"does not know: \['3.exp_avg'\]"),
        (["arrays", "0.momentum_buffer"], np.ones(4, np.float32), r"Adam does not know: \['0.momentum_buffer'\]"),
        (["arrays", "2.exp_avg"], np.ones((4, 1), np.float32), r"2.exp_avg must have shape \(4,\).* shape \(4, 1\)"),
        (["arrays", "2.exp_avg"], np.ones(4), "2.exp_avg must have .*dtype float32; .*dtype float64"),
        (["arrays", "2.step"], np.int32(3), "2.step must have .*dtype int64; .*dtype int32"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(path: list[Any], value: Any, message: str) -> None:
    params = make_params()
    optimizer = adam(params)
    take_steps(optimizer, params, 0, 4, 1)
    state = optimizer.state_dict()
    assert len(state["arrays"]) == 9
    take_steps(optimizer, params, 4, 6, 1)
    before = optimizer.state_dict()
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(altered(state, path, value))
    assert same_bits(optimizer.state_dict(), before)


def test_the_state_of_another_optimiser_is_refused() -> None:
    state = adam(make_params()).state_dict()
    with pytest.raises(ValueError, match=r"does not fit SGD: missing \['dampening', .* unknown \['betas', 'eps'\]"):
        sgd(make_params()).load_state_dict(state)
