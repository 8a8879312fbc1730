"""Pooling as modules: MaxPool2d, AvgPool2d."""

from __future__ import annotations

from typing import Any

from minadder import ops
from minadder.checks import flag
from minadder.kernels.geometry import Size, pair
from minadder.nn.module import Module, as_input
from minadder.tensor import Tensor


class MaxPool2d(Module):
    """The largest value of each window of (N, C, H, W), as `ma.ops.max_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding, dilation
        An int or a pair (height, width); the stride defaults to the kernel size.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import nn
    >>> nn.MaxPool2d(2)(np.zeros((1, 3, 28, 28), np.float32)).shape
    (1, 3, 14, 14)
    """

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0, dilation: Size = 1) -> None:
        super().__init__()
        self.kernel_size = pair(kernel_size, "kernel_size", 1)
        self.stride = self.kernel_size if stride is None else pair(stride, "stride", 1)
        self.padding = pair(padding, "padding", 0)
        self.dilation = pair(dilation, "dilation", 1)

    def forward(self, x: Any) -> Tensor:
        """Return the maximum of each window."""
        return ops.max_pool2d(as_input(x), self.kernel_size, self.stride, self.padding, self.dilation)

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}"


class AvgPool2d(Module):
    """The mean of each window of (N, C, H, W), as `ma.ops.avg_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding
        An int or a pair (height, width); the stride defaults to the kernel size.
    count_include_pad
        Whether padded zeros count in the mean.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import nn
    >>> nn.AvgPool2d(2)(np.zeros((1, 3, 28, 28), np.float32)).shape
    (1, 3, 14, 14)
    """

    def __init__(
        self, kernel_size: Size, stride: Size | None = None, padding: Size = 0, *, count_include_pad: bool = True
    ) -> None:
        super().__init__()
        self.kernel_size = pair(kernel_size, "kernel_size", 1)
        self.stride = self.kernel_size if stride is None else pair(stride, "stride", 1)
        self.padding = pair(padding, "padding", 0)
        self.count_include_pad = flag(count_include_pad, "count_include_pad")

    def forward(self, x: Any) -> Tensor:
        """Return the mean of each window."""
        return ops.avg_pool2d(as_input(x), self.kernel_size, self.stride, self.padding, self.count_include_pad)

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
