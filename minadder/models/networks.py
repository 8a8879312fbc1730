"""The papers' networks by name, with the images that they take: for the command line."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from minadder import nn
from minadder.checks import choice, sizes
from minadder.models.lenet import lenet5_bn
from minadder.models.lenetpp import lenetpp
from minadder.models.mlp import mlp
from minadder.models.resnet import resnet20, resnet32
from minadder.models.resnet_imagenet import resnet18, resnet50
from minadder.models.vgg import vgg_small

HIDDEN_UNITS = 100
"""Units of the one hidden layer of "mlp"."""


@dataclass(frozen=True)
class Network:
    """A network that can be chosen by name.

    Attributes
    ----------
    make
        Makes the network from a kind of layer, the number of classes, and the inputs' shape (channels, height, width).
    input_shape
        The shape of the papers' images; other numbers of channels will do.
    num_classes
        The number of the papers' classes; others will do.
    any_size
        Whether inputs of any shape will do.
    """

    make: Callable[[str, int, tuple[int, ...]], nn.Module]
    input_shape: tuple[int, ...]
    num_classes: int = 10
    any_size: bool = False

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Return whether the network is one for inputs of a shape."""
        return self.any_size or (len(shape) == 3 and shape[1:] == self.input_shape[1:])


def of_channels(make: Callable[[str, int, int], nn.Module]) -> Callable[[str, int, tuple[int, ...]], nn.Module]:
    """Return what makes a network from the inputs' shape, of which its function takes the channels."""
    return lambda layer, num_classes, shape: make(layer, num_classes, shape[0])


NETWORKS = {
    "lenet5-bn": Network(of_channels(lenet5_bn), (1, 32, 32)),
    "lenetpp": Network(of_channels(lenetpp), (1, 32, 32)),
    "mlp": Network(
        lambda layer, num_classes, shape: mlp((math.prod(shape), HIDDEN_UNITS, num_classes), layer),
        (1, 32, 32),
        any_size=True,
    ),
    "vgg-small": Network(of_channels(vgg_small), (3, 32, 32)),
    "resnet20": Network(of_channels(resnet20), (3, 32, 32)),
    "resnet32": Network(of_channels(resnet32), (3, 32, 32)),
    "resnet18": Network(of_channels(resnet18), (3, 224, 224), 1000),
    "resnet50": Network(of_channels(resnet50), (3, 224, 224), 1000),
}
"""Each network by its name on the command line."""


def build(
    name: str, layer: str = "adder", num_classes: int | None = None, input_shape: tuple[int, ...] | None = None
) -> nn.Module:
    """Return a new network by its name.

    Parameters
    ----------
    name
        A name in `NETWORKS`.
    layer
        A kind of layer: "conv", "adder", "binary", ….
    num_classes
        The size of the output, by default that of the papers.
    input_shape
        Channels, height and width of the images, by default those of the papers.

    Raises
    ------
    TypeError, ValueError
        For an unknown name or kind, or a shape that the network is not for; the message names those that are.

    Examples
    --------
    >>> from minadder import models
    >>> len(models.build("mlp", "conv", num_classes=2, input_shape=(1, 8, 8)))
    4
    >>> models.build("resnet18", input_shape=(3, 32, 32))
    Traceback (most recent call last):
    ...
    ValueError: resnet18 takes images of 224×224, not 32×32: for those there are lenet5-bn, lenetpp, mlp, vgg-small, \
resnet20, resnet32
    """
    network = NETWORKS[choice(name, "the network", NETWORKS)]
    shape = network.input_shape if input_shape is None else sizes(input_shape, "input_shape")
    check_takes(name, shape)
    return network.make(layer, network.num_classes if num_classes is None else num_classes, shape)


def check_takes(name: str, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless the network of a name is one for inputs of a shape; it names those that are."""
    if not NETWORKS[name].takes(shape):
        others = [other for other, network in NETWORKS.items() if network.takes(shape)]
        raise ValueError(
            f"{name} takes images of {in_words(NETWORKS[name].input_shape)}, not {in_words(shape)}: "
            f"for those there {'is' if len(others) == 1 else 'are'} {', '.join(others)}"
        )


def in_words(shape: tuple[int, ...]) -> str:
    """Return height × width of images, or the whole shape of other inputs."""
    return "×".join(map(str, shape[1:])) if len(shape) == 3 else f"shape {shape}"
