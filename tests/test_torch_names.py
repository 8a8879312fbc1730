"""What `minadder.nn` and `minadder.optim` say that they have and have not of PyTorch's names is so."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minadder as ma
from minadder import models, nn, optim

torch = pytest.importorskip("torch", reason="needs PyTorch, which is optional")

EVERYWHERE = {"device", "dtype", "inplace", "size_average", "reduce"}
HARDTANH = {"min_val", "max_val", "min_value", "max_value"}
ABSENT: dict[str, set[str]] = {
    "AvgPool2d": {"ceil_mode", "divisor_override"},
    "BCEWithLogitsLoss": {"weight", "pos_weight"},
    "BatchNorm1d": {"affine", "track_running_stats", "bias"},
    "BatchNorm2d": {"affine", "track_running_stats", "bias"},
    "Conv2d": {"padding_mode"},
    "CrossEntropyLoss": {"weight"},
    "Hardtanh": HARDTANH,
    "MaxPool2d": {"return_indices", "ceil_mode"},
    **{name: set() for name in ("Dropout", "Flatten", "Linear", "MSELoss", "ModuleList", "ReLU", "Sigmoid", "Tanh")},
}
"""By layer, the arguments of PyTorch's that the documentation of `minadder.nn` says are not there."""
OPTIMIZERS: dict[str, set[str]] = {
    "SGD": {"maximize", "foreach", "differentiable", "fused"},
    "AdamW": {"maximize", "foreach", "differentiable", "fused", "amsgrad", "capturable"},
    "Adam": {"maximize", "foreach", "differentiable", "fused", "amsgrad", "capturable", "decoupled_weight_decay"},
}
NEEDED = {"AvgPool2d": (2,), "MaxPool2d": (2,), "BatchNorm1d": (2,), "BatchNorm2d": (2,), "Conv2d": (1, 2, 3)}
OTHERWISE = {"Identity", "Module", "Parameter", "Sequential", "utils"}
"""What has arguments of its own, as the documentation says."""


def arguments(thing: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the named arguments by name."""
    found = inspect.signature(thing).parameters
    return {name: one for name, one in found.items() if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)}


def test_every_layer_that_pytorch_has_too_is_compared() -> None:
    assert {name for name in nn.__all__ if hasattr(torch.nn, name)} - OTHERWISE == set(ABSENT)
    assert {name for name in optim.__all__ if hasattr(torch.optim, name)} - {"Optimizer"} == set(OPTIMIZERS)


@pytest.mark.parametrize("name", ABSENT)
def test_a_layer_has_pytorchs_arguments_and_defaults_but_those_that_are_named(name: str) -> None:
    ours, theirs = arguments(getattr(nn, name)), arguments(getattr(torch.nn, name))
    assert ours.keys() <= theirs.keys()
    assert {key: one.default for key, one in ours.items()} == {key: theirs[key].default for key in ours}
    assert theirs.keys() - ours.keys() <= ABSENT[name] | EVERYWHERE | {"args", "kwargs"}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimiser_has_pytorchs_arguments_and_defaults_but_those_that_are_named(name: str) -> None:
    ours, theirs = arguments(getattr(optim, name)), arguments(getattr(torch.optim, name))
    assert ours.pop("adder_lr").default is None
    assert ours.keys() <= theirs.keys()
    assert list(ours) == list(theirs)[: len(ours)]
    if name == "SGD":
        assert ours.pop("lr").default is inspect.Parameter.empty  # it must be given
    assert {key: one.default for key, one in ours.items()} == {key: theirs[key].default for key in ours}
    assert theirs.keys() - ours.keys() - {"lr"} <= OPTIMIZERS[name]


@pytest.mark.parametrize(
    ("name", "argument"), [(name, argument) for name, absent in ABSENT.items() for argument in sorted(absent)]
)
def test_an_argument_of_a_layer_that_is_not_there_is_refused_by_name(name: str, argument: str) -> None:
    with pytest.raises(TypeError, match=f"'{argument}'|Hardtanh\\(\\) takes no arguments"):
        getattr(nn, name)(*NEEDED.get(name, ()), **{argument: True})


@pytest.mark.parametrize(
    ("name", "argument"), [(name, argument) for name, absent in OPTIMIZERS.items() for argument in sorted(absent)]
)
def test_an_argument_of_an_optimiser_that_is_not_there_is_refused_by_name(name: str, argument: str) -> None:
    with pytest.raises(TypeError, match=f"'{argument}'"):
        getattr(optim, name)(nn.Linear(1, 1).parameters(), lr=0.1, **{argument: True})


def test_the_documentation_names_all_that_is_not_there() -> None:
    words = set(re.findall(r"\w+", str(nn.__doc__)))
    assert set().union(EVERYWHERE, *ABSENT.values(), OTHERWISE - {"Module", "Identity"}) <= words
    assert set().union(*OPTIMIZERS.values()) <= set(re.findall(r"\w+", str(optim.__doc__)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.Conv2d(1, 1, 3, padding="same"), TypeError, "'same'"),  # type: ignore[arg-type]
        (lambda: nn.BatchNorm1d(2, momentum=None), TypeError, "momentum"),  # type: ignore[arg-type]
        (lambda: nn.Conv2d(1, 1, 1)(np.zeros((1, 2, 2), np.float32)), ValueError, "batch"),
        (lambda: nn.BatchNorm1d(2)(np.zeros(2, np.float32)), ValueError, "axes"),
        (lambda: nn.MaxPool2d(2)(np.zeros((1, 2, 2), np.float32)), ValueError, "batch"),
        (lambda: nn.CrossEntropyLoss()(np.zeros((2, 3, 4), np.float32), np.zeros((2, 4), int)), ValueError, "batch"),
        (lambda: nn.CrossEntropyLoss()(np.zeros((1, 2), np.float32), np.ones((1, 2)) / 2), TypeError, "class numbers"),
        (lambda: optim.SGD(nn.Linear(1, 1).parameters(), lr=0.0), ValueError, "lr"),
        (lambda: optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1, momentum=1.0), ValueError, "momentum"),
    ],
)
def test_what_pytorch_takes_and_the_documentation_says_is_not_taken(
    call: Callable[[], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call()


def test_tensors_have_numpys_words_and_methods() -> None:
    for name in ("sum", "mean", "max", "min"):
        ours, numpys = arguments(getattr(ma.Tensor, name)), arguments(getattr(np, name))
        assert list(ours)[1:] == ["axis", "keepdims"]
        assert set(ours) - {"x"} <= set(numpys)
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    t = ma.tensor(x)
    assert (t.size, t.ndim, t.transpose(2, 0, 1).shape) == (x.size, x.ndim, x.transpose(2, 0, 1).shape)
    np.testing.assert_array_equal(t.max(axis=1).numpy(), x.max(axis=1))  # no indices
    np.testing.assert_allclose(t.std(axis=0).numpy(), torch.tensor(x).std(dim=0).numpy())  # the unbiased one


@pytest.mark.parametrize("kind", ["conv", "binary"])
def test_a_state_dict_has_pytorchs_names_and_shapes_and_comes_back(kind: str) -> None:
    net, other = (models.mlp((3, 4, 2), kind) for _ in range(2))
    state = {name: torch.tensor(value) for name, value in net.state_dict().items()}
    other.load_state_dict(state)
    for name, value in other.state_dict().items():
        np.testing.assert_array_equal(value, state[name].numpy(), err_msg=name)
    norm, theirs = nn.BatchNorm2d(3), torch.nn.BatchNorm2d(3)
    assert {name: value.shape for name, value in norm.state_dict().items()} == {
        name: tuple(value.shape) for name, value in theirs.state_dict().items()
    }
    norm.load_state_dict(theirs.state_dict())
    theirs.load_state_dict({name: torch.tensor(value) for name, value in norm.state_dict().items()})
