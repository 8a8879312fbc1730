"""Channels that are closed: 0 behind their ReLU, whatever goes in."""

from __future__ import annotations

from typing import Any

import numpy as np

from minadder import nn
from minadder.autograd import Array, no_grad
from minadder.checks import instance
from minadder.nn.module import as_input
from minadder.tensor import raw


def closed_channels(net: nn.Module, inputs: Any) -> dict[str, float]:
    """Return, for each ReLU of a network, the share of its channels that are 0 for all inputs and at all places.

    No gradient comes through a closed channel: of its filter and its batch norm weight decay alone is left, and it
    rarely opens again. The network runs in evaluation mode and is left as it was.

    Parameters
    ----------
    net
        A network with `nn.ReLU` modules. One that is called several times counts the channels of each call.
    inputs
        A batch (N, …), a Tensor or an array, large enough to stand for the data.

    Returns
    -------
    The shares, from 0 to 1, by the path of the ReLU, in the order of the calls.

    Raises
    ------
    ValueError
        For a batch of no inputs, or a network without `nn.ReLU`.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import analysis, nn
    >>> net = nn.Sequential(nn.ReLU())
    >>> analysis.closed_channels(net, np.array([[-1.0, 2.0, -3.0, 0.0], [-1.0, -2.0, 3.0, -4.0]]))
    {'0': 0.5}
    """
    instance(net, "net", nn.Module, "a network (an nn.Module)")
    inputs = as_input(inputs)
    if not len(inputs):
        raise ValueError(f"inputs of shape {inputs.shape} open no channel: give at least one")
    closed: dict[str, list[Array]] = {}

    def look(path: str, output: Any) -> None:
        array = raw(output)
        others = tuple(axis for axis in range(array.ndim) if axis != 1)
        closed.setdefault(path, []).append(array.max(axis=others) <= 0)

    handles = [
        module.register_forward_hook(lambda module, given, output, path=path: look(path, output))  # type: ignore[misc]
        for path, module in net.named_modules()
        if isinstance(module, nn.ReLU)
    ]
    if not handles:
        raise ValueError(f"{type(net).__name__} has no nn.ReLU, and so no channels that one could close")
    modes = [(module, module.training) for module in net.modules()]
    try:
        with no_grad():
            net.eval()(inputs)
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training
    return {path: float(np.concatenate(calls).mean()) for path, calls in closed.items()}
