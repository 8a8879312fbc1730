"""The blocks of the residual networks: two 3×3 layers, or 1×1 – 3×3 – 1×1, with a shortcut around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minadder import nn
from minadder.checks import choice
from minadder.nn.batchnorm import BatchNorm
from minadder.nn.container import run_as_one
from minadder.nn.convert import activation, windowed
from minadder.tensor import Tensor

STRIDED = ("3x3", "1x1")
"""Which layer of a bottleneck may take the stride."""

Block = Callable[[str, int, int, int], nn.Module]
"""Makes a block from a kind of layer, the channels of input and output, and the stride."""


def activated(norm: BatchNorm, act: nn.Module, x: Tensor) -> Any:
    """Return act(norm(x)), in one operation where it is a ReLU."""
    return norm(x, relu=True) if run_as_one(norm, act) else act(norm(x))


def projection(layer: str, in_channels: int, channels: int, stride: int) -> nn.Sequential | None:
    """Return the 1×1 layer with batch norm of a shortcut that changes shape; None for one that does not."""
    if stride == 1 and in_channels == channels:
        return None
    return nn.Sequential(windowed(layer, in_channels, channels, 1, stride=stride), nn.BatchNorm2d(channels))


class BasicBlock(nn.Module):
    """Two 3×3 layers, and a shortcut around them (He et al. 2016, Sec. 3).

    Parameters
    ----------
    layer
        A kind of layer: "conv", "adder", "binary", ….
    in_channels, channels
        Channels of the input and of the output.
    stride
        Of the first layer. Where it is not 1, or the channels differ, the shortcut is a 1×1 layer with batch norm.
    """

    def __init__(self, layer: str, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = windowed(layer, in_channels, channels, 3, stride=stride, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = activation(layer)
        self.conv2 = windowed(layer, channels, channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = projection(layer, in_channels, channels, stride)

    def forward(self, x: Tensor) -> Any:
        """Return relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))."""
        y = self.bn2(self.conv2(activated(self.bn1, self.relu, self.conv1(x))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """A 1×1 layer to a quarter of the channels, a 3×3, a 1×1 back, and a shortcut (He et al. 2016, Sec. 4.1).

    Parameters
    ----------
    layer
        A kind of layer: "conv", "adder", "binary", ….
    in_channels, channels
        Channels of the input and of the output; four times a whole number the latter.
    stride
        Of one layer; where it is not 1, or the channels differ, the shortcut is a 1×1 layer with batch norm.
    stride_at
        Which layer that is: the "3x3", or the first "1x1".
    """

    def __init__(self, layer: str, in_channels: int, channels: int, stride: int, stride_at: str = "3x3") -> None:
        super().__init__()
        choice(stride_at, "stride_at", STRIDED)
        narrow = channels // 4
        first, second = (1, stride) if stride_at == "3x3" else (stride, 1)
        self.conv1 = windowed(layer, in_channels, narrow, 1, stride=first)
        self.bn1 = nn.BatchNorm2d(narrow)
        self.conv2 = windowed(layer, narrow, narrow, 3, stride=second, padding=1)
        self.bn2 = nn.BatchNorm2d(narrow)
        self.conv3 = windowed(layer, narrow, channels, 1)
        self.bn3 = nn.BatchNorm2d(channels)
        self.relu = activation(layer)
        self.downsample = projection(layer, in_channels, channels, stride)

    def forward(self, x: Tensor) -> Any:
        """Return relu(bn3(conv3(relu(bn2(conv2(relu(bn1(conv1(x)))))))) + shortcut(x))."""
        y = activated(self.bn1, self.relu, self.conv1(x))
        y = activated(self.bn2, self.relu, self.conv2(y))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


def stage(block: Block, layer: str, in_channels: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    """Return blocks of equal width, the first of which has the stride."""
    inner = [block(layer, channels, channels, 1) for _ in range(blocks - 1)]
    return nn.Sequential(block(layer, in_channels, channels, stride), *inner)
