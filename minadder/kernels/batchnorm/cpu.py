"""Batch normalisation on the CPU, on x (N, C, L). What the fast kernels compute is, in plain loops,

    for c in channels:
        μ[c] = Σ_n Σ_i x[n, c, i] / (N·L)
        σ²[c] = Σ_n Σ_i (x[n, c, i] − μ[c])² / (N·L)
        for n, i: y[n, c, i] = γ[c]·(x[n, c, i] − μ[c]) / √(σ²[c] + ε) + β[c]

Threads share out blocks of neighbouring channels. A vector holds values of one channel, or with L = 1, where they lie
far apart, one value of each channel of a block. Sums are kept in float64, in an order that does not depend on the
number of threads. The variance is taken around the mean, in a second pass: Σx² − N·L·μ² would lose all digits where
the mean is large.
"""

from __future__ import annotations

import numba
import numpy as np

from minadder.autograd import Array
from minadder.jit import kernel

SUM_BLOCK, WRITE_BLOCK = 64, 1024
"""Neighbouring values that a thread takes, at least. Sums share out channels alone, so their blocks are small."""


@kernel
def row_sum(x: Array, n: int, c: int) -> float:
    """Return Σ x[n, c] in float64."""
    total = np.float64(0)
    for i in range(x.shape[2]):
        total += x[n, c, i]
    return total


@kernel
def row_squares(x: Array, n: int, c: int, mean: float) -> float:
    """Return Σ (x[n, c] − mean)² in float64."""
    total = np.float64(0)
    for i in range(x.shape[2]):
        d = x[n, c, i] - mean
        total += d * d
    return total


@kernel
def row_products(grad: Array, x: Array, n: int, c: int, mean: float) -> float:
    """Return Σ grad[n, c]·(x[n, c] − mean) in float64."""
    total = np.float64(0)
    for i in range(x.shape[2]):
        total += grad[n, c, i] * (x[n, c, i] - mean)
    return total


@kernel
def add(x: Array, sums: Array) -> None:
    """Add x, one value a channel, to sums."""
    for c in range(x.shape[0]):
        sums[c] += x[c]


@kernel
def add_squares(x: Array, mean: Array, sums: Array) -> None:
    """Add (x − mean)², one value a channel, to sums."""
    for c in range(x.shape[0]):
        d = x[c] - mean[c]
        sums[c] += d * d


@kernel
def add_products(grad: Array, x: Array, mean: Array, sums: Array) -> None:
    """Add grad·(x − mean), one value a channel, to sums."""
    for c in range(x.shape[0]):
        sums[c] += grad[c] * (x[c] - mean[c])


@kernel
def write_normalised(x: Array, mean: Array, scale: Array, shift: Array, y: Array) -> None:
    """Write (x − mean)·scale + shift, one value a channel."""
    for c in range(x.shape[0]):
        y[c] = (x[c] - mean[c]) * scale[c] + shift[c]


@kernel
def write_combined(
    grad: Array, x: Array, mean: Array, scale: Array, constant: Array, slope: Array, x_grad: Array
) -> None:
    """Write scale·(grad − constant − slope·(x − mean)), one value a channel."""
    for c in range(x.shape[0]):
        x_grad[c] = scale[c] * (grad[c] - constant[c] - slope[c] * (x[c] - mean[c]))


@kernel(parallel=True)
def statistics(x: Array, width: int, mean: Array, var: Array) -> None:
    """Add the mean and the biased variance of each channel to zeros in float64; a thread takes `width` channels."""
    images, channels, length = x.shape
    rows, count = x.reshape(images, channels * length), images * length
    for block in numba.prange((channels + width - 1) // width):
        low, high = block * width, min((block + 1) * width, channels)
        for n in range(images):
            if length == 1:
                add(rows[n, low:high], mean[low:high])
            else:
                for c in range(low, high):
                    mean[c] += row_sum(x, n, c)
        mean[low:high] /= count
        for n in range(images):
            if length == 1:
                add_squares(rows[n, low:high], mean[low:high], var[low:high])
            else:
                for c in range(low, high):
                    var[c] += row_squares(x, n, c, mean[c])
        var[low:high] /= count


@kernel(parallel=True)
def grad_sums(grad: Array, x: Array, width: int, mean: Array, sums: Array, products: Array) -> None:
    """Add Σ grad and Σ grad·(x − mean) of each channel to zeros in float64; a thread takes `width` channels."""
    images, channels, length = x.shape
    rows, grad_rows = x.reshape(images, channels * length), grad.reshape(images, channels * length)
    for block in numba.prange((channels + width - 1) // width):
        low, high = block * width, min((block + 1) * width, channels)
        for n in range(images):
            if length == 1:
                add(grad_rows[n, low:high], sums[low:high])
                add_products(grad_rows[n, low:high], rows[n, low:high], mean[low:high], products[low:high])
            else:
                for c in range(low, high):
                    sums[c] += row_sum(grad, n, c)
                    products[c] += row_products(grad, x, n, c, mean[c])


@kernel(parallel=True)
def scale_and_shift(x: Array, width: int, mean: Array, scale: Array, shift: Array, y: Array) -> None:
    """Write (x − mean)·scale + shift of each channel; a thread takes `width` channels of an image."""
    images, channels, length = x.shape
    rows, y_rows = x.reshape(images, channels * length), y.reshape(images, channels * length)
    blocks = (channels + width - 1) // width
    for task in numba.prange(images * blocks):
        n, low = task // blocks, task % blocks * width
        high = min(low + width, channels)
        if length == 1:
            write_normalised(rows[n, low:high], mean[low:high], scale[low:high], shift[low:high], y_rows[n, low:high])
        else:
            for c in range(low, high):
                m, s, b = mean[c], scale[c], shift[c]
                for i in range(length):
                    y[n, c, i] = (x[n, c, i] - m) * s + b


@kernel(parallel=True)
def combine(
    grad: Array, x: Array, width: int, mean: Array, scale: Array, constant: Array, slope: Array, x_grad: Array
) -> None:
    """Write scale·(grad − constant − slope·(x − mean)) of each channel; a thread takes `width` channels of an image."""
    images, channels, length = x.shape
    rows, grad_rows = x.reshape(images, channels * length), grad.reshape(images, channels * length)
    x_grad_rows = x_grad.reshape(images, channels * length)
    blocks = (channels + width - 1) // width
    for task in numba.prange(images * blocks):
        n, low = task // blocks, task % blocks * width
        high = min(low + width, channels)
        if length == 1:
            g, values, out = grad_rows[n, low:high], rows[n, low:high], x_grad_rows[n, low:high]
            write_combined(g, values, mean[low:high], scale[low:high], constant[low:high], slope[low:high], out)
        else:
            for c in range(low, high):
                m, s, a, b = mean[c], scale[c], constant[c], slope[c]
                for i in range(length):
                    x_grad[n, c, i] = s * (grad[n, c, i] - a - b * (x[n, c, i] - m))


def width(x: Array, block: int) -> int:
    """Return how many channels of x (N, C, L) make a block of so many neighbouring values."""
    return max(1, block // max(1, x.shape[2]))


def inverse_std(var: Array, eps: float) -> Array:
    """Return 1 / √(var + ε) in float64."""
    return np.asarray(1 / np.sqrt(var.astype(np.float64) + eps))


def normalise(x: Array, mean: Array, scale: Array, shift: Array) -> Array:
    """Return (x − mean)·scale + shift in the dtype of x, from values of each channel in float64."""
    x = np.ascontiguousarray(x)
    y = np.empty(x.shape, x.dtype)
    rounded = mean.astype(x.dtype)
    # Where the mean is large, its rounding is not small beside x − mean: the shift makes up for it.
    shift = shift + (rounded - mean) * scale
    scale_and_shift(x, width(x, WRITE_BLOCK), rounded, scale.astype(x.dtype), shift.astype(x.dtype), y)
    return y


def forward_train(x: Array, gamma: Array, beta: Array, eps: float) -> tuple[Array, Array, Array]:
    """Return y, and the mean and the biased variance of the batch, (C,) each."""
    x = np.ascontiguousarray(x)
    mean, var = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    statistics(x, width(x, SUM_BLOCK), mean, var)
    y = normalise(x, mean, gamma * inverse_std(var, eps), beta)
    return y, mean.astype(x.dtype), var.astype(x.dtype)


def forward_eval(x: Array, gamma: Array, beta: Array, running_mean: Array, running_var: Array, eps: float) -> Array:
    """Return y with given statistics."""
    return normalise(x, running_mean, gamma * inverse_std(running_var, eps), beta)


def parameter_grads(grad: Array, x: Array, mean: Array, var: Array, eps: float) -> tuple[Array, Array]:
    """Return Σ G·x̂ and Σ G of each channel, in float64: the gradients with respect to γ and β."""
    sums, products = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    grad_sums(grad, x, width(x, SUM_BLOCK), mean.astype(np.float64), sums, products)
    return products * inverse_std(var, eps), sums


def backward_train(
    grad: Array, x: Array, gamma: Array, mean: Array, var: Array, eps: float
) -> tuple[Array, Array, Array]:
    """Return the gradients with respect to x, γ and β; x acts through the mean and the variance too.

    With n values a channel and x̂ the normalised input, ∂L/∂x = γ/√(σ²+ε) · (G − ΣG/n − x̂·Σ(G·x̂)/n), which is
    Chen et al. 2020, Eq. 11 multiplied out.
    """
    grad, x = np.ascontiguousarray(grad), np.ascontiguousarray(x)
    gamma_grad, beta_grad = parameter_grads(grad, x, mean, var, eps)
    inverse, count = inverse_std(var, eps), x.shape[0] * x.shape[2]
    scale, constant, slope = gamma * inverse, beta_grad / count, gamma_grad * inverse / count
    mean, scale, constant, slope = (values.astype(x.dtype) for values in (mean, scale, constant, slope))
    x_grad = np.empty(x.shape, x.dtype)
    combine(grad, x, width(x, WRITE_BLOCK), mean, scale, constant, slope, x_grad)
    return x_grad, gamma_grad.astype(x.dtype), beta_grad.astype(x.dtype)


def backward_eval(
    grad: Array, x: Array, gamma: Array, running_mean: Array, running_var: Array, eps: float
) -> tuple[Array, Array, Array]:
    """Return the gradients with respect to x, γ and β, where the statistics are constants."""
    grad, x = np.ascontiguousarray(grad), np.ascontiguousarray(x)
    gamma_grad, beta_grad = parameter_grads(grad, x, running_mean, running_var, eps)
    zero = np.zeros(x.shape[1])
    x_grad = normalise(grad, zero, gamma * inverse_std(running_var, eps), zero)
    return x_grad, gamma_grad.astype(x.dtype), beta_grad.astype(x.dtype)
