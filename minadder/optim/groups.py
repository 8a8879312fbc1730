"""From what a user passes as parameters to checked parameter groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from minadder.tensor import Tensor

Parameters = Iterable[Tensor | Mapping[str, Any]]
Group = dict[str, Any]


def make_groups(params: Parameters, defaults: Mapping[str, Any]) -> list[Group]:
    """Return one dictionary a group: "params", a list of tensors, then the hyperparameters, defaults filled in.

    Raises
    ------
    TypeError
        When `params` is not an iterable of tensors or of dictionaries.
    ValueError
        When there is no parameter, one is given twice or cannot be learnt, or a group has an unknown entry.
    """
    if isinstance(params, Tensor):
        raise TypeError(f"params must be an iterable of Parameters, got one tensor of shape {params.shape}: write [w]")
    given = in_order(params, "params", "Parameters or of dictionaries")
    if not any(isinstance(entry, Mapping) for entry in given):
        given = [{"params": given}]
    groups = [_group(entry, index, defaults) for index, entry in enumerate(given)]
    if not any(group["params"] for group in groups):
        raise ValueError(f"the list of parameters is empty: got {len(groups)} group(s) of 0 parameters")
    _check_each_once(groups)
    return groups


def in_order(values: Any, name: str, of: str) -> list[Any]:
    """Return what an iterable gives as a list; TypeError for one without an order, for text, and for anything else."""
    if not isinstance(values, Iterable) or isinstance(values, (str, bytes, np.ndarray, Mapping, set, frozenset)):
        raise TypeError(
            f"{name} must be a list or another ordered iterable of {of}, such as net.parameters(), "
            f"got {type(values).__name__}"
        )
    return list(values)


def _group(entry: Any, index: int, defaults: Mapping[str, Any]) -> Group:
    if not isinstance(entry, Mapping):
        raise TypeError(
            f"params mixes dictionaries with other things: entry {index} is a {type(entry).__name__}. Put it into a "
            f'dictionary {{"params": [...]}}'
        )
    if "params" not in entry:
        raise ValueError(f'param_groups[{index}] has no "params", only {sorted(entry, key=str)}')
    unknown = sorted(entry.keys() - defaults.keys() - {"params"}, key=str)
    if unknown:
        raise ValueError(f"param_groups[{index}] has unknown entries {unknown}; known are {sorted(defaults)}")
    given = entry["params"]
    params = [given] if isinstance(given, Tensor) else in_order(given, f"params of param_groups[{index}]", "Parameters")
    for position, parameter in enumerate(params):
        _check_parameter(parameter, f"parameter {position} of param_groups[{index}]")
    options = {name: entry.get(name, default) for name, default in defaults.items()}
    return {"params": params, **options, "initial_lr": options["lr"]}


def _check_parameter(parameter: Any, where: str) -> None:
    if not isinstance(parameter, Tensor):
        raise TypeError(f"{where} must be a Parameter, not {type(parameter).__name__}")
    if not parameter.is_leaf:
        raise ValueError(f"{where}, of shape {parameter.shape}, was computed from others: pass those instead")
    if not parameter.requires_grad:
        raise ValueError(
            f"{where}, of shape {parameter.shape}, has requires_grad=False and would never change: leave it out, as by "
            f"[p for p in net.parameters() if p.requires_grad], or call requires_grad_()"
        )
    if not parameter._array.flags.writeable:
        raise ValueError(f"{where}, of shape {parameter.shape}, wraps a read-only array: make it from a copy")


def _check_each_once(groups: list[Group]) -> None:
    places: dict[Tensor, str] = {}
    for index, group in enumerate(groups):
        for position, parameter in enumerate(group["params"]):
            where = f"parameter {position} of param_groups[{index}]"
            if parameter in places:
                raise ValueError(
                    f"{where}, of shape {parameter.shape}, is given twice: it is {places[parameter]} already"
                )
            places[parameter] = where
