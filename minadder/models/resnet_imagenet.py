"""The residual networks for images of 224×224 (ImageNet): ResNet-18 and ResNet-50."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from minadder import nn, ops
from minadder.checks import whole
from minadder.models.residual import BasicBlock, Block, Bottleneck, activated, stage
from minadder.nn.convert import activation, check_kind, windowed
from minadder.nn.module import as_input
from minadder.tensor import Tensor

WIDTHS = (64, 128, 256, 512)
"""Channels of the 3×3 layers in the four stages; each stage but the first begins at half the height and width."""


class ImageNetResNet(nn.Module):
    """A residual network whose stem divides height and width by 4; `resnet18` and `resnet50` build it and say more.

    Parameters
    ----------
    layer
        A kind of layer: "conv", "adder", "binary", ….
    block
        Makes a block from the kind, the channels in and out, and the stride.
    blocks
        How many of them each of the four stages has.
    expansion
        The channels of a stage, divided by `WIDTHS`.
    num_classes
        The size of the output.
    in_channels
        Channels of the images.
    """

    def __init__(
        self, layer: str, block: Block, blocks: Sequence[int], expansion: int, num_classes: int, in_channels: int
    ) -> None:
        super().__init__()
        check_kind(layer)
        num_classes = whole(num_classes, "num_classes", 1)
        self.conv1 = windowed("conv", in_channels, WIDTHS[0], 7, stride=2, padding=3)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.relu = activation(layer)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        wide = (WIDTHS[0], *(expansion * width for width in WIDTHS))
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            stage(block, layer, inputs, outputs, count, stride)
            for (inputs, outputs), count, stride in zip(pairwise(wide), blocks, (1, 2, 2, 2), strict=True)
        )
        self.fc = windowed("conv", wide[-1], num_classes, 1)
        self.bn2 = nn.BatchNorm2d(num_classes)

    def forward(self, x: Any) -> Tensor:
        """Return logits (N, num_classes) of images (N, in_channels, H, W)."""
        x = as_input(x)
        if x.ndim != 4:
            raise ValueError(f"the images must have shape (N, channels, height, width), not {x.shape}")
        x = self.maxpool(activated(self.bn1, self.relu, self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.bn2(self.fc(ops.avg_pool2d(x, (x.shape[2], x.shape[3]))))
        return logits.flatten(1)


def resnet18(layer: str = "adder", num_classes: int = 1000, in_channels: int = 3) -> ImageNetResNet:
    """Return the residual network of 18 layers for images of 224×224 (He et al. 2016, Table 1).

    A 7×7 convolution with 64 filters and stride 2; the maximum over 3×3 windows with stride 2; four stages of two
    blocks of two 3×3 layers, with 64, 128, 256 and 512 filters, where all stages but the first begin with stride 2; the
    mean over the image; a fully-connected layer. The first and the last layer are convolutions in every net; the layers
    of the blocks and the 1×1 layers of the shortcuts that change shape are of the chosen kind (Chen et al. 2020,
    Sec. 4.2). Behind every layer stands a batch norm, the last one included, as in the CIFAR networks and in the
    authors' code. The binary net has Hardtanh in place of ReLU.

    Parameters and buffers have torchvision's names, but that the last layer is a 1×1 convolution `fc` of shape
    (num_classes, 512, 1, 1) without a bias, and `bn2` is the batch norm behind it. So there are num_classes more
    parameters than in torchvision's network, which has 11,689,512.

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
    A network from images (N, in_channels, H, W) to logits (N, num_classes). Height and width are 224 in the papers;
    others will do. An image of 3×224×224 takes 1,814,073,344 multiply-adds (or pairs of additions), the first and the
    last layer counted, the batch norms not; the papers say 1.8 G.

    Raises
    ------
    TypeError, ValueError
        For an unknown kind of layer, or a size below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import models
    >>> models.resnet18("adder", num_classes=10)(np.zeros((2, 3, 32, 32), np.float32)).shape
    (2, 10)
    """
    return ImageNetResNet(layer, BasicBlock, (2, 2, 2, 2), 1, num_classes, in_channels)


def resnet50(
    layer: str = "adder", num_classes: int = 1000, in_channels: int = 3, stride_at: str = "3x3"
) -> ImageNetResNet:
    """Return the residual network of 50 layers for images of 224×224 (He et al. 2016, Table 1).

    As `resnet18`, but with three, four, six and three blocks of a 1×1, a 3×3 and a 1×1 layer, the last of which has
    four times the filters. The parameters are those of torchvision's network (25,557,032) and num_classes more, for the
    same reason.

    Parameters
    ----------
    layer
        A kind of layer: "conv", "adder", "binary", ….
    num_classes
        The size of the output.
    in_channels
        Channels of the images.
    stride_at
        Which layer of the stages' first blocks takes their stride: the "3x3", as in torchvision and in the authors'
        code, or the first "1x1", as in He et al. 2016.

    Returns
    -------
    A network from images (N, in_channels, H, W) to logits (N, num_classes). An image of 3×224×224 takes 4,089,184,256
    multiply-adds (or pairs of additions) with the stride at the 3×3 layers, and 3,857,973,248 with it at the 1×1
    layers, the first and the last layer counted, the batch norms not. The papers say 3.9 G multiplications and 7.7 G
    additions, which is the latter.

    Raises
    ------
    TypeError, ValueError
        For an unknown kind of layer, a size below 1, or another `stride_at`.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import models
    >>> models.resnet50("adder", num_classes=10)(np.zeros((2, 3, 32, 32), np.float32)).shape
    (2, 10)
    """
    block = partial(Bottleneck, stride_at=stride_at)
    return ImageNetResNet(layer, block, (3, 4, 6, 3), 4, num_classes, in_channels)
