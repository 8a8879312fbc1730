"""Pooling straight from its definition, window by window."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minadder.autograd import Array
from minadder.kernels.geometry import Pair, output_size


def cells(
    size: Pair, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Iterator[tuple[int, int, list[Pair]]]:
    """Yield each output place (row, column) with the cells of the input that its window sees."""
    out_height, out_width = output_size(size, kernel_size, stride, padding, dilation)
    for row in range(out_height):
        for column in range(out_width):
            seen = [
                (row * stride[0] - padding[0] + i * dilation[0], column * stride[1] - padding[1] + j * dilation[1])
                for i in range(kernel_size[0])
                for j in range(kernel_size[1])
            ]
            yield row, column, [(y, x) for y, x in seen if 0 <= y < size[0] and 0 <= x < size[1]]


def max_pool_forward(x: Array, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair) -> tuple[Array, Array]:
    """Return the maximum of each window, and its place row·W + column: the first of equals, NaN before all."""
    size = (x.shape[2], x.shape[3])
    output = output_size(size, kernel_size, stride, padding, dilation)
    y = np.empty((*x.shape[:2], *output), x.dtype)
    argmax = np.empty(y.shape, np.int32)
    for row, column, seen in cells(size, kernel_size, stride, padding, dilation):
        values = np.stack([x[:, :, i, j] for i, j in seen])
        best = values.argmax(axis=0)  # NumPy counts NaN as the largest, and takes the first of equals
        y[:, :, row, column] = np.take_along_axis(values, best[None], axis=0)[0]
        argmax[:, :, row, column] = np.array([i * size[1] + j for i, j in seen])[best]
    return y, argmax


def max_pool_backward(grad: Array, argmax: Array, input_shape: tuple[int, ...]) -> Array:
    """Return G added up at the places of the maxima."""
    x_grad = np.zeros(input_shape, grad.dtype)
    for n, c, row, column in np.ndindex(grad.shape):
        i, j = divmod(int(argmax[n, c, row, column]), input_shape[3])
        x_grad[n, c, i, j] += grad[n, c, row, column]
    return x_grad


def avg_pool_forward(x: Array, kernel_size: Pair, stride: Pair, padding: Pair, count_include_pad: bool) -> Array:
    """Return the mean of each window."""
    size = (x.shape[2], x.shape[3])
    y = np.empty((*x.shape[:2], *output_size(size, kernel_size, stride, padding, (1, 1))), x.dtype)
    for row, column, seen in cells(size, kernel_size, stride, padding, (1, 1)):
        count = kernel_size[0] * kernel_size[1] if count_include_pad else len(seen)
        y[:, :, row, column] = sum(x[:, :, i, j] for i, j in seen) / x.dtype.type(count)
    return y


def avg_pool_backward(
    grad: Array, input_shape: tuple[int, ...], kernel_size: Pair, stride: Pair, padding: Pair, count_include_pad: bool
) -> Array:
    """Return G spread evenly over each window."""
    x_grad = np.zeros(input_shape, grad.dtype)
    for row, column, seen in cells((input_shape[2], input_shape[3]), kernel_size, stride, padding, (1, 1)):
        count = kernel_size[0] * kernel_size[1] if count_include_pad else len(seen)
        for i, j in seen:
            x_grad[:, :, i, j] += grad[:, :, row, column] / grad.dtype.type(count)
    return x_grad
