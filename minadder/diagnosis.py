"""Find what is wrong with a training: the first layer that gives NaN or Inf, and adder layers without batch norm."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from minadder.autograd import no_grad
from minadder.nn import Dropout, Flatten, Identity, Module, Parameter
from minadder.nn.batchnorm import BatchNorm
from minadder.tensor import Tensor, raw


def leaves(net: Module) -> list[tuple[str, Module]]:
    """Return the modules (path, module) that hold no other module, in the order of their definition."""
    return [(path, module) for path, module in net.named_modules() if next(module.children(), None) is None]


def warn_without_batchnorm(net: Module) -> None:
    """Warn of adder layers with no batch norm behind them: their outputs are never above 0, and such nets do not learn.

    "Behind" goes by the order of definition, and looks past Flatten, Identity and Dropout.
    """
    layers = [(path, module) for path, module in leaves(net) if not isinstance(module, (Flatten, Identity, Dropout))]
    following = [module for _, module in layers[1:]] + [None]
    bare = [
        f"{path or 'the net'} ({type(layer).__name__})"
        for (path, layer), behind in zip(layers, following, strict=True)
        if getattr(getattr(layer, "weight", None), "adder", False) and not isinstance(behind, BatchNorm)
    ]
    if bare:
        warnings.warn(
            f"no batch norm directly behind {', '.join(bare)}: an adder layer's output is never above 0, and without "
            f"batch norm such nets hardly learn. Put nn.BatchNorm1d or nn.BatchNorm2d behind each.",
            UserWarning,
            stacklevel=3,
        )


def finite(value: Any) -> bool:
    """Return whether all numbers of a tensor or an array are finite."""
    return bool(np.isfinite(raw(value)).all())


def first_non_finite(net: Module, inputs: Any) -> str:
    """Run a batch through the net and say which layer is the first to give NaN or Inf, and what went into it.

    A module that holds others is asked after them, so that it is blamed for what its own forward does. The net is left
    as it was, running statistics included.
    """
    if not finite(inputs):
        return "the input data hold NaN or Inf"
    found: list[str] = []

    def look(path: str, module: Module, given: tuple[Any, ...], output: Any) -> None:
        if found or not isinstance(output, Tensor) or finite(output):
            return
        bad = [name for name, value in vars(module).items() if isinstance(value, Parameter) and not finite(value)]
        cause = f"its parameter(s) {', '.join(bad)} hold NaN or Inf" if bad else "its parameters are finite"
        entry = "finite" if all(finite(value) for value in given) else "not finite"
        found.append(f"{path or 'the net'} ({type(module).__name__}): its input is {entry}, {cause}")

    handles = [
        module.register_forward_hook(lambda module, given, output, path=path: look(path, module, given, output))  # type: ignore[misc]
        for path, module in net.named_modules()
    ]
    buffers = [(array, array.copy()) for _, array in net.named_buffers()]
    try:
        with no_grad(), np.errstate(all="ignore"):
            net(inputs)
    finally:
        for handle in handles:
            handle.remove()
        for array, before in buffers:
            array[...] = before
    return found[0] if found else "none, so it is the loss itself"
