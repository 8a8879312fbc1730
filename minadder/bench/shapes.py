"""The layers that are measured: those of the papers' networks, with the batches that they are trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from minadder.kernels.geometry import Pair, output_size

FLOAT_BYTES = 4

QUICK = ("LeNet-5 conv2", "LeNet-5 fc2", "ResNet-20 stage 2")
"""The layers of a quick run."""


@dataclass(frozen=True)
class Layer:
    """One layer: the shape of its input, its filters, and how they slide.

    Parameters
    ----------
    network, name
        What the tables call it.
    x_shape, w_shape
        The input (N, C, H, W) and the filters (T, C, kh, kw).
    stride, padding
        The same for both axes.
    """

    network: str
    name: str
    x_shape: tuple[int, int, int, int]
    w_shape: tuple[int, int, int, int]
    stride: int = 1
    padding: int = 0

    @property
    def title(self) -> str:
        """The network and the layer."""
        return f"{self.network} {self.name}"

    @property
    def strides(self) -> Pair:
        """The stride as a pair."""
        return self.stride, self.stride

    @property
    def paddings(self) -> Pair:
        """The padding as a pair."""
        return self.padding, self.padding

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        """The shape of the output (N, T, H', W')."""
        size = output_size(self.x_shape[2:], self.w_shape[2:], self.strides, self.paddings, (1, 1))
        return self.x_shape[0], self.w_shape[0], *size

    @property
    def entries(self) -> int:
        """K, the entries of a filter."""
        return self.w_shape[1] * self.w_shape[2] * self.w_shape[3]

    @property
    def elements(self) -> int:
        """How many |x − w|, or products x·w, a pass over the layer takes: N·T·H'·W'·C·kh·kw.

        Examples
        --------
        >>> from minadder.bench.shapes import Layer
        >>> Layer("net", "layer", (2, 3, 4, 4), (5, 3, 3, 3)).elements
        1080
        """
        return math.prod(self.y_shape) * self.entries

    @property
    def fully_connected(self) -> bool:
        """Whether input and filters are single points, as of a linear layer."""
        return self.x_shape[2:] == self.w_shape[2:] == (1, 1)

    @property
    def transfers(self) -> int:
        """The bytes that a pass must move at least: input, filters and output once each, as float32.

        The passes backward move as much: they read two of the three (the input gradient all of them) and write the
        third.
        """
        return FLOAT_BYTES * (math.prod(self.x_shape) + math.prod(self.w_shape) + math.prod(self.y_shape))

    def with_batch(self, batch: int) -> Layer:
        """Return the layer with another batch."""
        shape = (batch, *self.x_shape[1:])
        return Layer(self.network, self.name, shape, self.w_shape, self.stride, self.padding)


def lenet5(batch: int = 256) -> tuple[Layer, ...]:
    """Return the five layers of LeNet-5 on images of 32×32."""
    sizes = (
        ("conv1", (1, 32), (6, 5)),
        ("conv2", (6, 14), (16, 5)),
        ("conv3", (16, 5), (120, 5)),
        ("fc1", (120, 1), (84, 1)),
        ("fc2", (84, 1), (10, 1)),
    )
    return tuple(
        Layer("LeNet-5", name, (batch, c, side, side), (t, c, kernel, kernel)) for name, (c, side), (t, kernel) in sizes
    )


def resnet20(batch: int = 64) -> tuple[Layer, ...]:
    """Return the adder layers of ResNet-20 on images of 32×32, one of each shape."""
    stages = [
        Layer("ResNet-20", f"stage {i + 1}", (batch, c, 32 >> i, 32 >> i), (c, c, 3, 3), padding=1)
        for i, c in enumerate((16, 32, 64))
    ]
    transitions = [
        Layer("ResNet-20", f"{c}→{2 * c} 3×3 /2", (batch, c, side, side), (2 * c, c, 3, 3), stride=2, padding=1)
        for c, side in ((16, 32), (32, 16))
    ]
    downsamples = [
        Layer("ResNet-20", f"{c}→{2 * c} 1×1 /2", (batch, c, side, side), (2 * c, c, 1, 1), stride=2)
        for c, side in ((16, 32), (32, 16))
    ]
    return (*stages, *transitions, *downsamples)


def resnet18(batch: int = 8) -> tuple[Layer, ...]:
    """Return the 3×3 layers of ResNet-18's stages on images of 224×224."""
    return tuple(
        Layer("ResNet-18", f"stage {i + 1}", (batch, c, 56 >> i, 56 >> i), (c, c, 3, 3), padding=1)
        for i, c in enumerate((64, 128, 256, 512))
    )


def layers(wanted: str = "", quick: bool = False) -> list[Layer]:
    """Return the layers whose title holds the text, whatever its case; a few with small batches where `quick`.

    Raises
    ------
    ValueError
        When there is none.
    """
    every = [*lenet5(), *resnet20(), *resnet18()]
    found = [layer for layer in every if wanted.lower() in layer.title.lower()]
    if not found:
        raise ValueError(f"no layer is called {wanted!r}: there are {', '.join(layer.title for layer in every)}")
    if quick:
        return [layer.with_batch(8) for layer in found if wanted or layer.title in QUICK]
    return found
