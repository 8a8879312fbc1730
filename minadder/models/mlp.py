"""The multilayer perceptron, as CNN twin and as adder net."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from minadder import checks, nn
from minadder.nn.convert import activation, check_kind, fully_connected


def mlp(sizes: Sequence[int], layer: str = "adder") -> nn.Sequential:
    """Return fully-connected layers with ReLU between them.

    Behind each adder or binary layer stands a BN, which gives it the scale and the bias of
    Universal AdderNets, Def. 1; the linear layers have a bias of their own.

    Parameters
    ----------
    sizes
        The size of the input, of each hidden layer and of the output: (2, 3, 1) has one hidden layer of 3 units. Inputs
        of more axes are flattened.
    layer
        "conv" (linear layers), "adder" or "binary".

    Returns
    -------
    A network from (N, ...) to (N, sizes[-1]).

    Raises
    ------
    TypeError, ValueError
        For fewer than two sizes, a size below 1, or an unknown kind of layer.

    Examples
    --------
    >>> from minadder import models
    >>> models.mlp((2, 3, 1), "conv")
    Sequential(
      (flatten): Flatten(start_dim=1, end_dim=-1)
      (fc1): Linear(2, 3, bias=True)
      (relu1): ReLU()
      (fc2): Linear(3, 1, bias=True)
    )
    """
    check_kind(layer)
    sizes = checks.sizes(sizes, "sizes")
    if len(sizes) < 2:
        raise ValueError(f"mlp needs the sizes of the input and of the output at least, not {sizes}")
    modules: dict[str, nn.Module] = {"flatten": nn.Flatten()}
    for number, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
        if number > 1:
            modules[f"relu{number - 1}"] = activation(layer)
        if layer == "conv":
            modules[f"fc{number}"] = nn.Linear(inputs, outputs)
        else:
            modules[f"fc{number}"] = fully_connected(layer, inputs, outputs)
            modules[f"bn{number}"] = nn.BatchNorm1d(outputs)
    return nn.Sequential(modules)
