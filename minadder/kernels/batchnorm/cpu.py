"""Batch normalisation on the CPU, on x (N, C, L).

Channels are taken in blocks, one thread a block, so that the bits do not depend on the number of threads. Each row of L
values is summed in the dtype of x, in vector lanes, and the rows in float64. The variance is taken around the mean, in
a second pass: Σx² − n·μ² would lose all digits where the mean is large.
"""

from __future__ import annotations

import numba
import numpy as np

from minadder.autograd import Array
from minadder.jit import kernel

BLOCK = 4
"""Channels of a block: with L = 1 a block reads neighbours in memory instead of a column."""


@kernel
def row_sum(x: Array, n: int, c: int) -> float:
    """Return Σ x[n, c]."""
    total = x.dtype.type(0)
    for i in range(x.shape[2]):
        total += x[n, c, i]
    return total


@kernel
def row_squares(x: Array, n: int, c: int, mean: float) -> float:
    """Return Σ (x[n, c] − mean)²."""
    total = x.dtype.type(0)
    for i in range(x.shape[2]):
        d = x[n, c, i] - mean
        total += d * d
    return total


@kernel
def row_products(grad: Array, x: Array, n: int, c: int, mean: float) -> float:
    """Return Σ grad[n, c]·(x[n, c] − mean)."""
    total = x.dtype.type(0)
    for i in range(x.shape[2]):
        total += grad[n, c, i] * (x[n, c, i] - mean)
    return total


@kernel(parallel=True)
def statistics(x: Array, mean: Array, var: Array) -> None:
    """Write the mean and the biased variance of each channel."""
    channels = x.shape[1]
    count = x.shape[0] * x.shape[2]
    for block in numba.prange((channels + BLOCK - 1) // BLOCK):
        low = block * BLOCK
        high = min(low + BLOCK, channels)
        sums = np.zeros(BLOCK)
        squares = np.zeros(BLOCK)
        for n in range(x.shape[0]):
            for c in range(low, high):
                sums[c - low] += row_sum(x, n, c)
        for c in range(low, high):
            mean[c] = sums[c - low] / count
        for n in range(x.shape[0]):
            for c in range(low, high):
                squares[c - low] += row_squares(x, n, c, mean[c])
        for c in range(low, high):
            var[c] = squares[c - low] / count


@kernel(parallel=True)
def scale_and_shift(x: Array, mean: Array, scale: Array, shift: Array, y: Array) -> None:
    """Write (x − mean)·scale + shift of each channel."""
    for n in numba.prange(x.shape[0]):
        for c in range(x.shape[1]):
            m, s, b = mean[c], scale[c], shift[c]
            for i in range(x.shape[2]):
                y[n, c, i] = (x[n, c, i] - m) * s + b


@kernel(parallel=True)
def grad_sums(grad: Array, x: Array, mean: Array, sums: Array, products: Array) -> None:
    """Write Σ grad and Σ grad·(x − mean) of each channel, in float64."""
    channels = x.shape[1]
    for block in numba.prange((channels + BLOCK - 1) // BLOCK):
        low = block * BLOCK
        high = min(low + BLOCK, channels)
        for n in range(x.shape[0]):
            for c in range(low, high):
                sums[c] += row_sum(grad, n, c)
                products[c] += row_products(grad, x, n, c, mean[c])


@kernel(parallel=True)
def combine(grad: Array, x: Array, mean: Array, scale: Array, constant: Array, slope: Array, x_grad: Array) -> None:
    """Write scale·(grad − constant − slope·(x − mean)) of each channel."""
    for n in numba.prange(x.shape[0]):
        for c in range(x.shape[1]):
            m, s, a, b = mean[c], scale[c], constant[c], slope[c]
            for i in range(x.shape[2]):
                x_grad[n, c, i] = s * (grad[n, c, i] - a - b * (x[n, c, i] - m))


def inverse_std(var: Array, eps: float) -> Array:
    """Return 1 / √(var + ε) in float64."""
    return np.asarray(1 / np.sqrt(var.astype(np.float64) + eps))


def forward_train(x: Array, gamma: Array, beta: Array, eps: float) -> tuple[Array, Array, Array]:
    """Return y, and the mean and the biased variance of the batch, (C,) each."""
    x = np.ascontiguousarray(x)
    mean, var = np.empty(x.shape[1], x.dtype), np.empty(x.shape[1], x.dtype)
    statistics(x, mean, var)
    return forward_eval(x, gamma, beta, mean, var, eps), mean, var


def forward_eval(x: Array, gamma: Array, beta: Array, mean: Array, var: Array, eps: float) -> Array:
    """Return y with given statistics."""
    x = np.ascontiguousarray(x)
    y = np.empty_like(x)
    scale = (gamma * inverse_std(var, eps)).astype(x.dtype)
    scale_and_shift(x, np.ascontiguousarray(mean), scale, np.ascontiguousarray(beta), y)
    return y


def parameter_grads(grad: Array, x: Array, mean: Array, var: Array, eps: float) -> tuple[Array, Array]:
    """Return Σ G·x̂ and Σ G of each channel, in float64: the gradients with respect to γ and β."""
    sums, products = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    grad_sums(grad, x, mean, sums, products)
    return products * inverse_std(var, eps), sums


def backward_train(
    grad: Array, x: Array, gamma: Array, mean: Array, var: Array, eps: float
) -> tuple[Array, Array, Array]:
    """Return the gradients with respect to x, γ and β; x acts through the mean and the variance too.

    With n values a channel and x̂ the normalised input, ∂L/∂x = γ/√(σ²+ε) · (G − ΣG/n − x̂·Σ(G·x̂)/n), which is
    Chen et al. 2020, Eq. 11 multiplied out.
    """
    grad, x, mean = np.ascontiguousarray(grad), np.ascontiguousarray(x), np.ascontiguousarray(mean)
    gamma_grad, beta_grad = parameter_grads(grad, x, mean, var, eps)
    inverse = inverse_std(var, eps)
    count = x.shape[0] * x.shape[2]
    x_grad = np.empty_like(x)
    scale, constant, slope = gamma * inverse, beta_grad / count, gamma_grad * inverse / count
    scale, constant, slope = (values.astype(x.dtype) for values in (scale, constant, slope))
    combine(grad, x, mean, scale, constant, slope, x_grad)
    return x_grad, gamma_grad.astype(x.dtype), beta_grad.astype(x.dtype)


def backward_eval(
    grad: Array, x: Array, gamma: Array, mean: Array, var: Array, eps: float
) -> tuple[Array, Array, Array]:
    """Return the gradients with respect to x, γ and β, where the statistics are constants."""
    grad, x, mean = np.ascontiguousarray(grad), np.ascontiguousarray(x), np.ascontiguousarray(mean)
    gamma_grad, beta_grad = parameter_grads(grad, x, mean, var, eps)
    scale = (gamma * inverse_std(var, eps)).astype(x.dtype)
    x_grad = grad * scale[None, :, None]
    return x_grad, gamma_grad.astype(x.dtype), beta_grad.astype(x.dtype)
