"""Turn a network of one kind of layer into its twin of another: a CNN into an AdderNet, and back."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from minadder.checks import choice, flag, instance
from minadder.kernels.geometry import Size
from minadder.nn.activation import Hardtanh, ReLU
from minadder.nn.conv import Adder2d, BinaryConv2d, Conv2d, Windowed
from minadder.nn.linear import AdderLinear, BinaryLinear, FullyConnected, Linear
from minadder.nn.module import Module


@dataclass(frozen=True)
class Kind:
    """The layers of a kind."""

    windowed: type[Windowed]
    fully_connected: type[FullyConnected]
    options: dict[str, Any]
    """What both are made with, besides their sizes; attributes of these names tell kinds of one class apart."""

    def holds(self, module: Module) -> bool:
        """Return whether a layer is of this kind."""
        same = all(getattr(module, name, None) == value for name, value in self.options.items())
        return isinstance(module, (self.windowed, self.fully_connected)) and same


KINDS = {
    "conv": Kind(Conv2d, Linear, {}),
    "adder": Kind(Adder2d, AdderLinear, {"p": 1.0}),
    "adder-l2": Kind(Adder2d, AdderLinear, {"p": 2.0}),
    "adder-lp": Kind(Adder2d, AdderLinear, {"p": 2.0}),
    "binary": Kind(BinaryConv2d, BinaryLinear, {}),
}
"""The kinds of layers. "adder-lp" starts as "adder-l2", for `ma.fit` to lower p by a `p_schedule`."""


def check_kind(kind: str) -> str:
    """Return a kind of layer that exists; ValueError with the list of kinds for another."""
    return choice(kind, "the kind of layer", KINDS)


def windowed(kind: str, in_channels: int, out_channels: int, kernel_size: Size, **window: Any) -> Module:
    """Return a convolution-like layer without a bias, for a batch norm to follow."""
    found = KINDS[check_kind(kind)]
    options = {"bias": False} if kind == "conv" else found.options
    return found.windowed(in_channels, out_channels, kernel_size, **window, **options)


def fully_connected(kind: str, in_features: int, out_features: int) -> Module:
    """Return a fully-connected layer without a bias, for a batch norm to follow."""
    found = KINDS[check_kind(kind)]
    options = {"bias": False} if kind == "conv" else found.options
    return found.fully_connected(in_features, out_features, **options)


def activation(kind: str) -> Module:
    """Return the activation between layers of a kind: ReLU, or Hardtanh, since behind ReLU all signs are +1."""
    return Hardtanh() if check_kind(kind) == "binary" else ReLU()


def twin(module: Module, kind: str) -> Module:
    """Return the layer of another kind with the same sizes, newly initialised, or the activation of that kind."""
    if isinstance(module, (ReLU, Hardtanh)):
        new = activation(kind)
    elif isinstance(module, Windowed):
        new = windowed(kind, module.in_channels, module.out_channels, module.kernel_size, **module.window())
    else:
        assert isinstance(module, FullyConnected)
        new = fully_connected(kind, module.in_features, module.out_features)
    return new.train(module.training)


def convert(net: Module, kind: str, keep_first_and_last: bool = True) -> Module:
    """Return a copy of a network with its weight layers exchanged for those of another kind, newly initialised.

    Parameters
    ----------
    net
        The network; it is not changed.
    kind
        "conv", "adder", "adder-l2", "adder-lp" or "binary".
    keep_first_and_last
        Whether the first and the last weight layer stay as they are, as in the papers' CIFAR and ImageNet networks.

    Returns
    -------
    The twin. Layers that are already of the kind, and all others, keep their values. The new layers have no bias: the
    batch norm behind each adder layer has one. To binary layers, ReLU becomes Hardtanh, which keeps both signs.

    Raises
    ------
    TypeError, ValueError
        For what is no network, an unknown kind, or a network that has no layer to exchange.

    Examples
    --------
    >>> from minadder import nn
    >>> nn.convert(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3), nn.Linear(3, 1)), "adder")
    Sequential(
      (0): Linear(2, 3, bias=True)
      (1): AdderLinear(3, 3, weight_grad='full_precision', input_grad='hardtanh')
      (2): Linear(3, 1, bias=True)
    )
    """
    instance(net, "net", Module, "a network (an nn.Module)")
    wanted = KINDS[check_kind(kind)]
    result = copy.deepcopy(net)
    inside = [module for module in result.modules() if module is not result]
    layers: list[Module] = [module for module in inside if isinstance(module, (Windowed, FullyConnected))]
    activations = [module for module in inside if isinstance(module, (ReLU, Hardtanh))]
    chosen = layers[1:-1] if flag(keep_first_and_last, "keep_first_and_last") else layers
    if not chosen:
        raise ValueError(
            f"{type(net).__name__} has {len(layers)} weight layer(s), none of them to exchange"
            + (": the first and the last are kept; pass keep_first_and_last=False" if layers else "")
        )
    twins = {module: twin(module, kind) for module in chosen if not wanted.holds(module)}
    kept = type(activation(kind))
    twins |= {module: twin(module, kind) for module in activations if not isinstance(module, kept)}
    for parent in (result, *inside):
        for name, child in tuple(parent.named_children()):
            if child in twins:  # under every name, so that a shared layer stays shared
                setattr(parent, name, twins[child])
    return result
