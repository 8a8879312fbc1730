"""Pooling on the CPU: a plane (one channel of one image) belongs to one thread."""

from __future__ import annotations

import numba
import numpy as np

from minadder.autograd import Array
from minadder.jit import kernel
from minadder.kernels.geometry import Pair, output_size


@kernel
def overlap(start: int, count: int, step: int, size: int) -> tuple[int, int]:
    """Return the first and the last-plus-one of the places start + i·step, i < count, that lie in [0, size)."""
    low = 0 if start >= 0 else (-start + step - 1) // step
    high = min(count, (size - 1 - start) // step + 1)
    return low, high


@kernel(parallel=True)
def max_pool_planes(x: Array, sizes: tuple[int, ...], y: Array, argmax: Array) -> None:
    """Write the maximum of each window of x (planes, H, W), and its place."""
    kernel_height, kernel_width, stride_y, stride_x, pad_y, pad_x, dilation_y, dilation_x = sizes
    height, width = x.shape[1], x.shape[2]
    for plane in numba.prange(x.shape[0]):
        for row in range(y.shape[1]):
            top = row * stride_y - pad_y
            i_low, i_high = overlap(top, kernel_height, dilation_y, height)
            for column in range(y.shape[2]):
                left = column * stride_x - pad_x
                j_low, j_high = overlap(left, kernel_width, dilation_x, width)
                first_row, first_column = top + i_low * dilation_y, left + j_low * dilation_x
                place = first_row * width + first_column
                best = x[plane, first_row, first_column]
                for i in range(i_low, i_high):
                    r = top + i * dilation_y
                    for j in range(j_low, j_high):
                        s = left + j * dilation_x
                        value = x[plane, r, s]
                        if not value <= best and best == best:  # larger or NaN, unless there is a NaN already
                            best = value
                            place = r * width + s
                y[plane, row, column] = best
                argmax[plane, row, column] = place


@kernel(parallel=True)
def max_pool_planes_grad(grad: Array, argmax: Array, x_grad: Array) -> None:
    """Add G (planes, places) to x_grad (planes, H·W) at the places of the maxima."""
    for plane in numba.prange(grad.shape[0]):
        for place in range(grad.shape[1]):
            x_grad[plane, argmax[plane, place]] += grad[plane, place]


@kernel(parallel=True)
def avg_pool_planes(x: Array, sizes: tuple[int, ...], include: bool, y: Array) -> None:
    """Write the mean of each window of x (planes, H, W)."""
    kernel_height, kernel_width, stride_y, stride_x, pad_y, pad_x = sizes
    for plane in numba.prange(x.shape[0]):
        for row in range(y.shape[1]):
            top = row * stride_y - pad_y
            i_low, i_high = overlap(top, kernel_height, 1, x.shape[1])
            for column in range(y.shape[2]):
                left = column * stride_x - pad_x
                j_low, j_high = overlap(left, kernel_width, 1, x.shape[2])
                total = x.dtype.type(0)
                for i in range(i_low, i_high):
                    for j in range(j_low, j_high):
                        total += x[plane, top + i, left + j]
                count = kernel_height * kernel_width if include else (i_high - i_low) * (j_high - j_low)
                y[plane, row, column] = total / count


@kernel(parallel=True)
def avg_pool_planes_grad(grad: Array, sizes: tuple[int, ...], include: bool, x_grad: Array) -> None:
    """Spread G (planes, H', W') evenly over the windows in x_grad (planes, H, W)."""
    kernel_height, kernel_width, stride_y, stride_x, pad_y, pad_x = sizes
    for plane in numba.prange(grad.shape[0]):
        for row in range(grad.shape[1]):
            top = row * stride_y - pad_y
            i_low, i_high = overlap(top, kernel_height, 1, x_grad.shape[1])
            for column in range(grad.shape[2]):
                left = column * stride_x - pad_x
                j_low, j_high = overlap(left, kernel_width, 1, x_grad.shape[2])
                count = kernel_height * kernel_width if include else (i_high - i_low) * (j_high - j_low)
                share = grad[plane, row, column] / count
                for i in range(i_low, i_high):
                    for j in range(j_low, j_high):
                        x_grad[plane, top + i, left + j] += share


def planes(x: Array) -> Array:
    """Return x (N, C, H, W) as contiguous planes (N·C, H, W), without a copy where x is contiguous."""
    return np.ascontiguousarray(x).reshape(x.shape[0] * x.shape[1], x.shape[2], x.shape[3])


def flat_planes(x: Array) -> Array:
    """Return x (N, C, H, W) as contiguous rows (N·C, H·W), without a copy where x is contiguous."""
    return np.ascontiguousarray(x).reshape(x.shape[0] * x.shape[1], x.shape[2] * x.shape[3])


def max_pool_forward(x: Array, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair) -> tuple[Array, Array]:
    """Return the maximum of each window, and its place row·W + column: the first of equals, NaN before all."""
    output = output_size((x.shape[2], x.shape[3]), kernel_size, stride, padding, dilation)
    y = np.empty((x.shape[0], x.shape[1], *output), x.dtype)
    argmax = np.empty(y.shape, np.int32)
    max_pool_planes(planes(x), (*kernel_size, *stride, *padding, *dilation), planes(y), planes(argmax))
    return y, argmax


def max_pool_backward(grad: Array, argmax: Array, input_shape: tuple[int, ...]) -> Array:
    """Return G added up at the places of the maxima."""
    x_grad = np.zeros(input_shape, grad.dtype)
    max_pool_planes_grad(flat_planes(grad), flat_planes(argmax), flat_planes(x_grad))
    return x_grad


def avg_pool_forward(x: Array, kernel_size: Pair, stride: Pair, padding: Pair, count_include_pad: bool) -> Array:
    """Return the mean of each window."""
    output = output_size((x.shape[2], x.shape[3]), kernel_size, stride, padding, (1, 1))
    y = np.empty((x.shape[0], x.shape[1], *output), x.dtype)
    avg_pool_planes(planes(x), (*kernel_size, *stride, *padding), count_include_pad, planes(y))
    return y


def avg_pool_backward(
    grad: Array, input_shape: tuple[int, ...], kernel_size: Pair, stride: Pair, padding: Pair, count_include_pad: bool
) -> Array:
    """Return G spread evenly over each window."""
    x_grad = np.zeros(input_shape, grad.dtype)
    avg_pool_planes_grad(planes(grad), (*kernel_size, *stride, *padding), count_include_pad, planes(x_grad))
    return x_grad
