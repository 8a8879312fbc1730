"""The residual networks for images of 32×32 (CIFAR): ResNet-20, ResNet-32 and their sisters of 6n + 2 layers."""

from __future__ import annotations

from typing import Any

from minadder import nn
from minadder.checks import whole
from minadder.models.residual import BasicBlock, activated, stage
from minadder.nn.convert import activation, check_kind, windowed
from minadder.nn.module import as_input
from minadder.tensor import Tensor

SIDE = 32
"""Height and width of the images."""

WIDTHS = (16, 32, 64)
"""Channels of the three stages; each begins at half the height and width of the one before."""


class ResNet(nn.Module):
    """A residual network of 6n + 2 layers for images of 32×32; `resnet` builds it and says more."""

    def __init__(self, depth: int, layer: str, num_classes: int, in_channels: int) -> None:
        super().__init__()
        check_kind(layer)
        num_classes = whole(num_classes, "num_classes", 1)
        depth = whole(depth, "depth")
        if depth < 8 or depth % 6 != 2:
            raise ValueError(f"depth must be 6n + 2 with n of at least 1 (8, 14, 20, 26, 32, …), not {depth}")
        blocks = (depth - 2) // 6
        first, second, third = WIDTHS
        self.conv1 = windowed("conv", in_channels, first, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(first)
        self.relu = activation(layer)
        self.layer1 = stage(BasicBlock, layer, first, first, blocks, 1)
        self.layer2 = stage(BasicBlock, layer, first, second, blocks, 2)
        self.layer3 = stage(BasicBlock, layer, second, third, blocks, 2)
        self.avgpool = nn.AvgPool2d(SIDE // 4)
        self.fc = windowed("conv", third, num_classes, 1)
        self.bn2 = nn.BatchNorm2d(num_classes)

    def forward(self, x: Any) -> Tensor:
        """Return logits (N, num_classes) of images (N, in_channels, 32, 32)."""
        x = as_input(x)
        if x.ndim != 4 or x.shape[2:] != (SIDE, SIDE):
            raise ValueError(f"the images must have shape (N, channels, {SIDE}, {SIDE}), not {x.shape}")
        x = activated(self.bn1, self.relu, self.conv1(x))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.bn2(self.fc(self.avgpool(x)))
        return logits.flatten(1)


def resnet(depth: int, layer: str = "adder", num_classes: int = 10, in_channels: int = 3) -> ResNet:
    """Return a residual network of 6n + 2 layers for images of 32×32 (He et al. 2016, Sec. 4.2).

    A 3×3 convolution with 16 filters; three stages of n blocks of two 3×3 layers, with 16, 32 and 64 filters, where the
    second and the third begin with stride 2; the mean over the image; a fully-connected layer. Behind every layer
    stands a batch norm, the last one included, since an adder net trains with it on the logits; the CNN has it too, so
    that the twins differ in nothing but the kind of their layers. The first and the last layer are convolutions in
    every net; the layers of the blocks and the 1×1 layers of the two shortcuts that change shape are of the chosen kind
    (Chen et al. 2020, Sec. 4.2). The binary net has Hardtanh in place of ReLU.

    Parameters and buffers have the names of the authors' released network, but that an adder layer's filters, `adder`
    there, are `weight` as in every layer here. The last layer is a 1×1 convolution `fc` of shape (num_classes, 64, 1,
    1), the batch norm behind it is `bn2`.

    Parameters
    ----------
    depth
        20 and 32 are the papers'; 6n + 2 with n of at least 1.
    layer
        "conv", "adder" or "binary": the kind of the blocks' layers.
    num_classes
        The size of the output.
    in_channels
        Channels of the images.

    Returns
    -------
    A network from images (N, in_channels, 32, 32) to logits (N, num_classes). For 3 channels and 10 classes an image
    takes 40,813,184 multiply-adds (or pairs of additions) at depth 20, and 69,124,736 at depth 32, with the first and
    the last layer and the 1×1 layers counted, and without the batch norms.

    Raises
    ------
    TypeError, ValueError
        For a depth that is no int or not 6n + 2, an unknown kind of layer, or a size below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import models
    >>> models.resnet(8, "adder")(np.zeros((2, 3, 32, 32), np.float32)).shape
    (2, 10)
    """
    return ResNet(depth, layer, num_classes, in_channels)


def resnet20(layer: str = "adder", num_classes: int = 10, in_channels: int = 3) -> ResNet:
    """Return the residual network of 20 layers for images of 32×32; see `resnet`."""
    return resnet(20, layer, num_classes, in_channels)


def resnet32(layer: str = "adder", num_classes: int = 10, in_channels: int = 3) -> ResNet:
    """Return the residual network of 32 layers for images of 32×32; see `resnet`."""
    return resnet(32, layer, num_classes, in_channels)
