"""Layers that slide filters over an image: Conv2d, Adder2d, BinaryConv2d."""

from __future__ import annotations

from typing import Any

from minadder import ops
from minadder.checks import flag, whole
from minadder.kernels.geometry import Size, pair
from minadder.nn import init
from minadder.nn.adder import AdderLayer
from minadder.nn.module import Module, as_input
from minadder.nn.parameter import Parameter
from minadder.tensor import Tensor


class Windowed(Module):
    """What the three layers share: the sizes, checked, and the filters' shape.

    Parameters
    ----------
    in_channels, out_channels
        Channels of the input and number of filters.
    kernel_size, stride, padding, dilation
        An int or a pair (height, width).
    groups
        Into how many groups channels and filters are divided.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.in_channels = whole(in_channels, "in_channels", 1)
        self.out_channels = whole(out_channels, "out_channels", 1)
        self.groups = whole(groups, "groups", 1)
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(
                f"groups (={self.groups}) must divide in_channels (={self.in_channels}) and "
                f"out_channels (={self.out_channels})"
            )
        self.kernel_size = pair(kernel_size, "kernel_size", 1)
        self.stride = pair(stride, "stride", 1)
        self.padding = pair(padding, "padding", 0)
        self.dilation = pair(dilation, "dilation", 1)

    def weight_shape(self) -> tuple[int, int, int, int]:
        """Return the shape of the filters, (out, in / groups, height, width)."""
        return (self.out_channels, self.in_channels // self.groups, *self.kernel_size)

    def fan_in(self) -> int:
        """Return the number of inputs that one output sees."""
        return self.in_channels // self.groups * self.kernel_size[0] * self.kernel_size[1]

    def window(self) -> dict[str, Any]:
        """Return stride, padding, dilation and groups, as the operations take them."""
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}

    def extra_repr(self) -> str:
        """Return the sizes, those that differ from their defaults by name."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        defaults = {"padding": (0, 0), "dilation": (1, 1), "groups": 1}
        return text + "".join(
            f", {name}={getattr(self, name)}" for name, value in defaults.items() if getattr(self, name) != value
        )


class Conv2d(Windowed):
    """Y = Σ X·F + b over each window (a cross-correlation, as in PyTorch).

    Parameters
    ----------
    in_channels, out_channels
        Channels of the input and number of filters.
    kernel_size, stride, padding, dilation
        An int or a pair (height, width).
    groups
        Into how many groups channels and filters are divided.
    bias
        Whether to add a learnt bias to each filter.

    Attributes
    ----------
    weight
        The filters (out_channels, in_channels / groups, height, width), from U(−1/√K, 1/√K) with K entries a filter.
    bias
        (out_channels,), likewise, or None.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import nn
    >>> nn.Conv2d(3, 8, 3, padding=1)(np.zeros((2, 3, 5, 5), np.float32)).shape
    (2, 8, 5, 5)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        biased = flag(bias, "bias")
        self.weight = Parameter(init.kaiming_uniform(self.weight_shape(), self.fan_in()))
        self.bias = Parameter(init.kaiming_uniform((self.out_channels,), self.fan_in())) if biased else None

    def forward(self, x: Any) -> Tensor:
        """Return Σ X·F + b for x (N, in_channels, H, W)."""
        return ops.conv2d(as_input(x), self.weight, self.bias, **self.window())

    def extra_repr(self) -> str:
        """Return the sizes, and whether there is a bias."""
        return super().extra_repr() + f", bias={self.bias is not None}"


class Adder2d(Windowed, AdderLayer):
    """Y = −Σ |X − F|^p over each window (Chen et al. 2020, Eq. 2; Universal AdderNets, Eq. 20, preprint 26).

    Its output is never above 0, so that batch normalisation must follow.

    Parameters
    ----------
    in_channels, out_channels
        Channels of the input and number of filters.
    kernel_size, stride, padding, dilation
        An int or a pair (height, width).
    groups
        Into how many groups channels and filters are divided.
    p, weight_grad, input_grad
        The exponent and the gradient rules, as in `ma.ops.adder2d`. `set_p` changes a p that was not 1.

    Attributes
    ----------
    weight
        The filters F (out_channels, in_channels / groups, height, width), from N(0, 1) at the start.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import nn
    >>> nn.Adder2d(3, 8, 3, padding=1)(np.zeros((2, 3, 5, 5), np.float32)).shape
    (2, 8, 5, 5)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        p: float = 1.0,
        weight_grad: str = "full_precision",
        input_grad: str | None = None,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        self._keep_rules(p, weight_grad, input_grad)
        self.weight = Parameter(init.normal(self.weight_shape()), adder=True)

    def forward(self, x: Any) -> Tensor:
        """Return −Σ |X − F|^p for x (N, in_channels, H, W)."""
        return ops.adder2d(as_input(x), self.weight, **self.window(), **self.rules())

    def extra_repr(self) -> str:
        """Return the sizes, the exponent and the gradient rules."""
        return super().extra_repr() + self.rules_repr()


class BinaryConv2d(Windowed):
    """Y = α·(sign(X) ⊛ sign(F)) with α = mean |F| of each filter (XNOR-Net), the baseline of the papers' tables.

    The filters are kept in full precision and learn through a straight-through gradient, where |F| ≤ 1, and the true
    gradient of α, of which Rastegari et al. 2016 keep the part of each weight alone. Padding counts 0. Their second
    scale K, for the input, is left out, as by Zhou et al. 2016, whom the papers follow for their BNN rows.

    Parameters
    ----------
    in_channels, out_channels
        Channels of the input and number of filters.
    kernel_size, stride, padding, dilation
        An int or a pair (height, width).
    groups
        Into how many groups channels and filters are divided.

    Attributes
    ----------
    weight
        The filters (out_channels, in_channels / groups, height, width), from U(−1/√K, 1/√K) with K entries a filter.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import nn
    >>> nn.BinaryConv2d(3, 8, 3, padding=1)(np.zeros((2, 3, 5, 5), np.float32)).shape
    (2, 8, 5, 5)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        self.weight = Parameter(init.kaiming_uniform(self.weight_shape(), self.fan_in()))

    def forward(self, x: Any) -> Tensor:
        """Return α·(sign(X) ⊛ sign(F)) for x (N, in_channels, H, W)."""
        scale = self.weight.abs().mean(axis=(1, 2, 3))
        return ops.binary_conv2d(as_input(x), self.weight, scale, **self.window())
