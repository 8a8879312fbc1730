"""VGG-small, the papers' plain network for images of 32×32 (CIFAR)."""

from __future__ import annotations

from itertools import pairwise

from minadder import nn
from minadder.checks import whole
from minadder.nn.convert import activation, check_kind, fully_connected, windowed

SIDE = 32
"""Height and width of the images."""

WIDTHS = (128, 128, 256, 256, 512, 512)
"""Filters of the six 3×3 layers; behind each second one the height and width are halved."""


def vgg_small(layer: str = "adder", num_classes: int = 10, in_channels: int = 3) -> nn.Sequential:
    """Return VGG-small for images of 32×32 (Chen et al. 2020, Sec. 4.2).

    Six 3×3 layers with 128, 128, 256, 256, 512 and 512 filters, each with BN and ReLU, and the maximum over 2×2 behind
    every second; a fully-connected layer with BN. The first and the last layer are a convolution and a linear layer in
    every net, the other five are of the chosen kind. BN stands on the logits as in the residual networks here: without
    it, the loss rose above 100 in a trial before it fell. The binary net has Hardtanh in place of ReLU.

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
    A network from images (N, in_channels, 32, 32) to logits (N, num_classes). For 3 channels and 10 classes an image
    takes 607,600,640 multiply-adds (or pairs of additions), the first and the last layer counted, the batch norms not,
    and 603,979,776 in the five layers between. The papers say 0.65 G, which no usual VGG-small takes: this one is that
    of the literature on binary nets; with fully-connected layers of 1024, 1024 and 10 units, as BinaryNet has them, it
    takes 616,966,144. A seventh 3×3 layer with 512 filters behind the last maximum would make 645,349,376.

    Raises
    ------
    TypeError, ValueError
        For an unknown kind of layer, or a size below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import models
    >>> models.vgg_small("adder")(np.zeros((2, 3, 32, 32), np.float32)).shape
    (2, 10)
    """
    check_kind(layer)
    num_classes = whole(num_classes, "num_classes", 1)
    modules: dict[str, nn.Module] = {}
    for number, (inputs, outputs) in enumerate(pairwise((in_channels, *WIDTHS)), start=1):
        modules[f"conv{number}"] = windowed("conv" if number == 1 else layer, inputs, outputs, 3, padding=1)
        modules[f"bn{number}"] = nn.BatchNorm2d(outputs)
        modules[f"relu{number}"] = activation(layer)
        if number % 2 == 0:
            modules[f"pool{number // 2}"] = nn.MaxPool2d(2)
    modules["flatten"] = nn.Flatten()
    modules["fc"] = fully_connected("conv", WIDTHS[-1] * (SIDE // 8) ** 2, num_classes)
    modules["bn7"] = nn.BatchNorm1d(num_classes)
    return nn.Sequential(modules)
