"""Optimizer: what all optimisers share. Parameter groups, the step's common part, and the state to resume from."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any

import numpy as np

from minadder.autograd import Array, no_grad
from minadder.checks import array_like, instance, number, shown
from minadder.optim.adder_lr import AdderLR, describe, from_description
from minadder.optim.groups import Group, Parameters, make_groups
from minadder.tensor import FLOATS, Tensor, forget_gradients

__all__ = ["Optimizer", "Parameters"]


class Optimizer(ABC):
    """The base of optimisers. One of your own writes `_check_options`, `_new_state` and `_update`.

    Attributes
    ----------
    param_groups
        One dictionary a group: "params", the hyperparameters, and "initial_lr", from which schedules compute "lr".
        Hyperparameters may be changed between steps; a schedule overwrites "lr".
    state
        By parameter, the arrays that the optimiser remembers, such as "momentum_buffer".
    steps
        How many steps were taken.
    """

    def __init__(self, params: Parameters, defaults: Mapping[str, Any]) -> None:
        instance(defaults, "defaults", Mapping, "a dictionary of hyperparameters")
        missing = sorted({"lr", "weight_decay", "adder_lr"} - defaults.keys())
        if missing:
            raise ValueError(f"the defaults of {type(self).__name__} must have entries for {missing} too")
        self._names = (*defaults, "initial_lr")
        self._check({**defaults, "initial_lr": defaults["lr"]})
        self.param_groups = make_groups(params, defaults)
        self._check_groups(self.param_groups)
        self.state: dict[Tensor, dict[str, Array]] = {}
        self.steps = 0
        warn_of_plain_adders(self.param_groups)

    @abstractmethod
    def _check_options(self, options: dict[str, Any], where: str) -> None:
        """Raise an error that starts with `where` when one of the optimiser's own hyperparameters is wrong.

        A number of another type may be replaced by a float.
        """

    @abstractmethod
    def _new_state(self, parameter: Tensor) -> dict[str, Array]:
        """Return the arrays to remember for a parameter, as they are before its first step."""

    @abstractmethod
    def _update(self, parameter: Tensor, weights: Array, gradient: Array, scale: float, group: Group) -> None:
        """Change the parameter's weights in place, given its gradient, which `scale` is still to be multiplied with."""

    def step(self) -> None:
        """Change every parameter that has a gradient, in place; the gradients stay as they are.

        Raises
        ------
        TypeError, ValueError
            When a hyperparameter was changed to a wrong value, or a gradient's shape or dtype is not its parameter's.
            No parameter is changed then.
        """
        self._check_groups(self.param_groups)
        for _, parameter in self._indexed():
            check_gradient(parameter)
            check_state_dtype(parameter, self.state.get(parameter, {}))
        with no_grad(), np.errstate(all="ignore"):  # as in PyTorch, a gradient of NaN gives NaN and no warning
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self._change(parameter, parameter.grad._array, group)
        self.steps += 1

    def _change(self, parameter: Tensor, gradient: Array, group: Group) -> None:
        rule = group["adder_lr"]
        is_adder = getattr(parameter, "adder", False)  # only nn.Parameter has the mark
        scale = rule.scale(gradient) if rule is not None and is_adder else 1.0
        parameter._change(lambda weights: self._update(parameter, weights, gradient, scale, group))

    def _state_of(self, parameter: Tensor) -> dict[str, Array]:
        if parameter not in self.state:
            self.state[parameter] = self._new_state(parameter)
        return self.state[parameter]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters: each `grad` becomes None, or 0 with `set_to_none=False`."""
        forget_gradients((parameter for _, parameter in self._indexed()), set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """Return copies of all that is needed to go on from here with the same bits.

        Returns
        -------
        dict
            "arrays": arrays by name, such as "0.momentum_buffer" for parameter 0; "groups": for each group its
            hyperparameters and the "shapes" of its parameters; "steps". All but the arrays can be held by JSON.
        """
        index_of = {parameter: index for index, parameter in self._indexed()}
        arrays = {
            f"{index_of[parameter]}.{name}": array.copy()
            for parameter, state in self.state.items()
            for name, array in state.items()
        }
        return {"arrays": arrays, "groups": [self._plain(group) for group in self.param_groups], "steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a state that `state_dict` returned, hyperparameters included; nothing changes unless all fits.

        Raises
        ------
        ValueError
            When the groups, the parameters' shapes, or an array's name, shape or dtype differ.
        """
        instance(state, "state", Mapping, "a dictionary that state_dict() returned")
        if set(state) != {"arrays", "groups", "steps"}:
            raise ValueError(
                f"an optimiser's state must have the entries arrays, groups, steps; got {sorted(state, key=str)}"
            )
        arrays = instance(state["arrays"], "arrays of the state", Mapping, "a dictionary of arrays")
        groups = instance(state["groups"], "groups of the state", Sequence, "a list of dictionaries")
        steps = state["steps"]
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
            raise ValueError(f"steps must be an integer of at least 0, got {shown(steps)}")
        if len(groups) != len(self.param_groups):
            raise ValueError(f"the state has {len(groups)} group(s), this optimiser {len(self.param_groups)}")
        options = [self._options_from(saved, index) for index, saved in enumerate(groups)]
        restored = self._state_from(arrays)
        for group, option in zip(self.param_groups, options, strict=True):
            group.update(option)
        self.state = restored
        self.steps = steps

    def _options_from(self, saved: Mapping[str, Any], index: int) -> dict[str, Any]:
        where = f"groups[{index}] of the state"
        instance(saved, where, Mapping, "a dictionary")
        expected = {*self._names, "shapes"}
        if set(saved) != expected:
            raise ValueError(
                f"{where} does not fit {type(self).__name__}: missing {sorted(expected - set(saved)) or 'nothing'}, "
                f"unknown {sorted(set(saved) - expected, key=str) or 'nothing'}"
            )
        own = [parameter.shape for parameter in self.param_groups[index]["params"]]
        shapes = instance(saved["shapes"], f"shapes of {where}", (list, tuple), "a list of shapes")
        given = [tuple(shape) if isinstance(shape, (list, tuple)) else shape for shape in shapes]
        if given != own:
            raise ValueError(f"{where} is for parameters of the shapes {shown(given)}; this optimiser's have {own}")
        options: dict[str, Any] = {name: saved[name] for name in self._names}
        options.update((name, tuple(option)) for name, option in options.items() if isinstance(option, list))
        options["adder_lr"] = from_description(saved["adder_lr"])
        self._check(options, f"{where}: ")
        return options

    def _state_from(self, arrays: Mapping[str, Any]) -> dict[Tensor, dict[str, Array]]:
        left = {name: array_like(array, name) for name, array in arrays.items()}
        restored: dict[Tensor, dict[str, Array]] = {}
        for index, parameter in self._indexed():
            fresh = {f"{index}.{name}": array for name, array in self._new_state(parameter).items()}
            missing = sorted(fresh.keys() - left.keys())
            if len(missing) == len(fresh):
                continue  # the parameter has not had a gradient
            if missing:
                raise ValueError(f"the state has only a part of what belongs to parameter {index}: missing {missing}")
            for name, array in fresh.items():
                given = left.pop(name)
                if (given.shape, given.dtype) != (array.shape, array.dtype):
                    raise ValueError(
                        f"{name} must have shape {array.shape}, dtype {array.dtype}; the state holds shape "
                        f"{given.shape}, dtype {given.dtype}"
                    )
                np.copyto(array, given)
            restored[parameter] = {name.partition(".")[2]: array for name, array in fresh.items()}
        if left:
            raise ValueError(f"the state has arrays that {type(self).__name__} does not know: {sorted(left, key=str)}")
        return restored

    def _indexed(self) -> Iterator[tuple[int, Tensor]]:
        """Yield (index, parameter) through all groups."""
        return enumerate(parameter for group in self.param_groups for parameter in group["params"])

    def _plain(self, group: Group) -> dict[str, Any]:
        """Return a group's hyperparameters and its parameters' shapes as JSON can hold them."""
        options: dict[str, Any] = {name: plain(group[name]) for name in self._names}
        return {**options, "shapes": [list(parameter.shape) for parameter in group["params"]]}

    def _check_groups(self, groups: list[Group]) -> None:
        for index, group in enumerate(groups):
            where = f"param_groups[{index}]"
            wrong = sorted(group.keys() ^ {"params", *self._names})
            if wrong:
                raise ValueError(f"{where} must have the entries params, {', '.join(self._names)}; at odds: {wrong}")
            self._check(group, f"{where}: ")

    def _check(self, options: dict[str, Any], where: str = "") -> None:
        options["initial_lr"] = number(options["initial_lr"], f"{where}lr", "(0, inf)")
        options["lr"] = number(options["lr"], f"{where}lr", "[0, inf)")  # 0 is where schedules end
        options["weight_decay"] = number(options["weight_decay"], f"{where}weight_decay", "[0, inf)")
        rule = options["adder_lr"]
        if rule is not None and not (isinstance(rule, AdderLR) and is_dataclass(rule)):
            raise TypeError(
                f"{where}adder_lr must be an AdaptiveLR, an IncreasedLR, another dataclass of AdderLR, or None, "
                f"got {shown(rule)}"
            )
        self._check_options(options, where)

    def __repr__(self) -> str:
        lines = [f"  group {index}: {self._line(group)}\n" for index, group in enumerate(self.param_groups)]
        return f"{type(self).__name__}(\n{''.join(lines)})"

    def _line(self, group: Group) -> str:
        params = group["params"]
        adders = sum(getattr(parameter, "adder", False) for parameter in params)
        size = sum(parameter.size for parameter in params)
        shown = ", ".join(f"{name}={group[name]}" for name in self._names)
        return f"{len(params)} parameter(s), {size:,} values, {adders} adder filter(s); {shown}"


def warn_of_plain_adders(groups: list[Group]) -> None:
    """Warn of adder filters whose group has no rule for them."""
    bare = [p for group in groups if group["adder_lr"] is None for p in group["params"] if getattr(p, "adder", False)]
    if bare:
        warnings.warn(
            f"{len(bare)} parameter(s) are filters of adder layers, the first of shape {bare[0].shape}, and adder_lr "
            f"is None: their gradients are so small that such nets hardly learn. Give "
            f"adder_lr=optim.AdaptiveLR(eta=0.2), or optim.IncreasedLR(1) where no scaling is meant",
            UserWarning,
            stacklevel=4,
        )


def plain(option: Any) -> Any:
    """Return a hyperparameter as JSON can hold it."""
    if option is None or isinstance(option, AdderLR):
        return describe(option)
    if isinstance(option, (tuple, list)):
        return [plain(part) for part in option]
    return option if isinstance(option, bool) else float(option)


def check_gradient(parameter: Tensor) -> None:
    """Raise an error when a parameter's gradient is no tensor of the parameter's shape and dtype."""
    grad = parameter.grad
    if grad is None:
        return
    if not isinstance(grad, Tensor):
        raise TypeError(
            f"the grad of a parameter of shape {parameter.shape} must be a Tensor, not {type(grad).__name__}"
        )
    if (grad.shape, grad.dtype) != (parameter.shape, parameter.dtype):
        raise ValueError(
            f"a parameter of shape {parameter.shape}, dtype {parameter.dtype} has a grad of shape {grad.shape}, dtype "
            f"{grad.dtype}"
        )


def check_state_dtype(parameter: Tensor, state: Mapping[str, Array]) -> None:
    """Raise an error when a parameter was converted to another dtype after the optimiser had made its state."""
    for name, array in state.items():
        if array.dtype in FLOATS and array.dtype != parameter.dtype:
            raise ValueError(
                f"the optimiser's {name} for a parameter of shape {parameter.shape} is {array.dtype}, the parameter "
                f"{parameter.dtype}: make a new optimiser after converting the net"
            )
