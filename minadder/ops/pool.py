"""Pooling: the largest or the mean value of each window."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minadder.autograd import Array, Function
from minadder.checks import flag
from minadder.kernels.geometry import Pair, Size, output_size, pair
from minadder.kernels.pool import cpu as kernels
from minadder.tensor import Tensor, check_tensors


class MaxPool2d(Function):
    """The largest value of each window; of equal ones the first gets the gradient."""

    def forward(self, x: Array, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Array:
        """Return the maximum of each window."""
        y, self.argmax = kernels.max_pool_forward(x, kernel_size, stride, padding, dilation)
        self.shape, self.window = x.shape, (kernel_size, stride)
        return y

    def backward(self, grad: Array) -> Array:
        """Return G at the place of each maximum."""
        exact = grad.astype(precision(grad, *self.window), copy=False)
        return kernels.max_pool_backward(exact, self.argmax, self.shape).astype(grad.dtype, copy=False)


class AvgPool2d(Function):
    """The mean of each window."""

    def forward(self, x: Array, kernel_size: Pair, stride: Pair, padding: Pair, count_include_pad: bool) -> Array:
        """Return the mean of each window."""
        self.shape = x.shape
        self.window = kernel_size, stride, padding, count_include_pad
        return kernels.avg_pool_forward(x, *self.window)

    def backward(self, grad: Array) -> Array:
        """Return G spread evenly over each window."""
        exact = grad.astype(precision(grad, *self.window[:2]), copy=False)
        return kernels.avg_pool_backward(exact, self.shape, *self.window).astype(grad.dtype, copy=False)


MANY_WINDOWS = 64
"""Gradients of more windows than these are added up in float64, since in float32 they would lose digits."""


def precision(grad: Array, kernel_size: Pair, stride: Pair) -> np.dtype[Any]:
    """Return the dtype in which to add up, for a cell, the gradients of all windows that it lies in."""
    windows = math.prod(kernel_size) / math.prod(stride)
    return np.dtype(np.float64) if windows > MANY_WINDOWS else grad.dtype


def window(x: Tensor, kernel_size: Size, stride: Size | None, padding: Size, dilation: Size) -> tuple[Pair, ...]:
    """Return kernel size, stride, padding and dilation as pairs, once all fit the input."""
    if x.ndim != 4:
        raise ValueError(f"the input must have the axes (batch, channels, height, width); its shape is {x.shape}")
    kernel = pair(kernel_size, "kernel_size", 1)
    step = kernel if stride is None else pair(stride, "stride", 1)
    pad, spread = pair(padding, "padding", 0), pair(dilation, "dilation", 1)
    if 2 * pad[0] > kernel[0] or 2 * pad[1] > kernel[1]:
        raise ValueError(f"padding (={padding}) must be at most half of kernel_size (={kernel_size})")
    size = (x.shape[2], x.shape[3])
    output = output_size(size, kernel, step, pad, spread)
    if not all(map(sees_input, size, output, kernel, step, pad, spread)):
        raise ValueError(
            f"a window would see nothing but padding: input {size[0]}×{size[1]}, kernel_size {kernel}, padding {pad}, "
            f"dilation {spread}; use less padding or less dilation"
        )
    return kernel, step, pad, spread


def sees_input(size: int, output: int, kernel: int, stride: int, padding: int, dilation: int) -> bool:
    """Return whether, along one axis, each window has a cell inside the input."""
    if dilation == 1 or padding == 0:
        return size > 0  # padding is at most half of the window, which is a stretch without gaps
    starts = range(-padding, -padding + output * stride, stride)
    return all(any(0 <= start + i * dilation < size for i in range(kernel)) for start in starts)


def max_pool2d(
    x: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0, dilation: Size = 1
) -> Tensor:
    """Return the largest value of each window of x (N, C, H, W).

    Parameters
    ----------
    x
        The input (N, C, H, W).
    kernel_size, stride, padding, dilation
        An int or a pair (height, width); the stride defaults to the kernel size. Padding never wins and is at most half
        of the kernel size. Of equal values the first gets the gradient; NaN wins over numbers.

    Raises
    ------
    ValueError
        When the window exceeds the padded input, or a size is out of range.

    Examples
    --------
    >>> import minadder as ma
    >>> ma.ops.max_pool2d(ma.tensor([[[[1.0, 3.0], [2.0, 0.0]]]]), 2)
    tensor([[[[3.]]]])
    """
    check_tensors("max_pool2d", x=x)
    kernel, step, pad, spread = window(x, kernel_size, stride, padding, dilation)
    return MaxPool2d.apply(x, kernel_size=kernel, stride=step, padding=pad, dilation=spread)


def avg_pool2d(
    x: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0, count_include_pad: bool = True
) -> Tensor:
    """Return the mean of each window of x (N, C, H, W).

    Parameters
    ----------
    x
        The input (N, C, H, W).
    kernel_size, stride, padding
        As in `max_pool2d`.
    count_include_pad
        Whether padded zeros count in the mean (the default, as in PyTorch), or only cells of the input.

    Raises
    ------
    ValueError
        As in `max_pool2d`.

    Examples
    --------
    >>> import minadder as ma
    >>> ma.ops.avg_pool2d(ma.tensor([[[[1.0, 3.0], [2.0, 0.0]]]]), 2)
    tensor([[[[1.5]]]])
    """
    check_tensors("avg_pool2d", x=x)
    kernel, step, pad, _ = window(x, kernel_size, stride, padding, 1)
    return AvgPool2d.apply(
        x, kernel_size=kernel, stride=step, padding=pad, count_include_pad=flag(count_include_pad, "count_include_pad")
    )
