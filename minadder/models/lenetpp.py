"""LeNet++, the papers' network with features in the plane."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from minadder import nn
from minadder.checks import whole
from minadder.nn.convert import activation, check_kind, fully_connected, windowed
from minadder.nn.module import as_input
from minadder.tensor import Tensor

SIDE = 32
"""Height and width of the images."""

WIDTHS = (32, 32, 64, 64, 128, 128)
"""Filters of the six 5×5 layers; behind each second one the height and width are halved."""

FEATURES = 2
"""Numbers that the feature layer makes of an image."""


class LeNetPP(nn.Module):
    """LeNet++; `lenetpp` builds it and says more.

    Attributes
    ----------
    features
        The part of the network from images (N, in_channels, 32, 32) to their features (N, 2).
    classifier
        The part from features to logits (N, num_classes).
    """

    def __init__(self, layer: str, num_classes: int, in_channels: int) -> None:
        super().__init__()
        check_kind(layer)
        num_classes = whole(num_classes, "num_classes", 1)
        self.features = nn.Sequential(feature_modules(layer, in_channels))
        # the signs of two features tell no more than four classes apart
        last = "conv" if layer == "binary" else layer
        self.classifier = nn.Sequential(unit_modules(last, FEATURES, num_classes))

    def forward(self, x: Any) -> Tensor:
        """Return logits (N, num_classes) of images (N, in_channels, 32, 32)."""
        x = as_input(x)
        if x.ndim != 4 or x.shape[2:] != (SIDE, SIDE):
            raise ValueError(f"the images must have shape (N, channels, {SIDE}, {SIDE}), not {x.shape}")
        logits: Tensor = self.classifier(self.features(x))
        return logits


def feature_modules(layer: str, in_channels: int) -> dict[str, nn.Module]:
    """Return the modules from images to features, by name."""
    modules: dict[str, nn.Module] = {}
    for number, (inputs, outputs) in enumerate(pairwise((in_channels, *WIDTHS)), start=1):
        modules[f"conv{number}"] = windowed(layer, inputs, outputs, 5, padding=2)
        modules[f"bn{number}"] = nn.BatchNorm2d(outputs)
        modules[f"relu{number}"] = activation(layer)
        if number % 2 == 0:
            modules[f"pool{number // 2}"] = nn.MaxPool2d(2)
    modules["flatten"] = nn.Flatten()
    modules.update(unit_modules(layer, WIDTHS[-1] * (SIDE // 8) ** 2, FEATURES))
    return modules


def unit_modules(layer: str, inputs: int, outputs: int) -> dict[str, nn.Module]:
    """Return a fully-connected layer with batch norm behind it."""
    return {"fc": fully_connected(layer, inputs, outputs), "bn": nn.BatchNorm1d(outputs)}


def lenetpp(layer: str = "adder", num_classes: int = 10, in_channels: int = 1) -> LeNetPP:
    """Return LeNet++ for images of 32×32, whose last layer but one makes two features (Chen et al. 2020, Fig. 1).

    Six 5×5 layers with padding 2 and 32, 32, 64, 64, 128 and 128 filters, each with BN and ReLU, and pooling behind
    every second; a fully-connected layer of 2 units, the features; a fully-connected layer for the classes. All eight
    layers are of the chosen kind, as in Chen et al. 2020, Sec. 4.4; Universal AdderNets, Sec. 4.4 (preprint 5.5),
    replaces the last fully-connected ones alone. Features and logits are what a BN behind their layer makes, in the CNN
    too: without it, its loss grew in a trial at the papers' learning rate. The binary net has Hardtanh in place of
    ReLU, and its last layer is a linear one, since the signs of two features tell no more than four classes apart.

    Pooling takes the maximum, and the activation is ReLU as in the papers' other networks; the papers do not say. They
    list seven layers, the 2 units among them, and follow Wen et al. 2016, where images have 28×28 pixels; the eighth,
    for the classes, is what any of them needs to be trained.

    Parameters
    ----------
    layer
        A kind of layer: "conv", "adder", "binary", ….
    num_classes
        The size of the output.
    in_channels
        Channels of the images.

    Returns
    -------
    A network from images (N, in_channels, 32, 32) to logits (N, num_classes). Its part `features` goes from images to
    features (N, 2). For 1 channel and 10 classes an image takes 105,680,916 multiply-adds (or pairs of additions); the
    papers give no figure.

    Raises
    ------
    TypeError, ValueError
        For an unknown kind of layer, or a size below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import models
    >>> net, images = models.lenetpp("adder"), np.zeros((3, 1, 32, 32), np.float32)
    >>> net(images).shape, net.features(images).shape
    ((3, 10), (3, 2))
    """
    return LeNetPP(layer, num_classes, in_channels)
