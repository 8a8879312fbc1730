"""Batch normalisation on the CPU, on x (N, C, L). What the fast kernels compute is, in plain loops,

    for c in channels:
        μ[c] = Σ_n Σ_i x[n, c, i] / (N·L)
        σ²[c] = Σ_n Σ_i (x[n, c, i] − μ[c])² / (N·L)
        for n, i: y[n, c, i] = γ[c]·(x[n, c, i] − μ[c]) / √(σ²[c] + ε) + β[c], and where a ReLU follows at least 0

A thread takes neighbouring channels, and goes through their values once for the sums and once more to write. A channel
belongs to one thread, so that their number changes no bit. Sums are in float64.

A vector holds values of one channel, which lie in runs: N runs of L neighbours, or with L = 1 one run of N values that
are C apart. Where that C is large, a vector holds one value of each channel instead.
"""

from __future__ import annotations

import numba
import numpy as np

from minadder.autograd import Array
from minadder.jit import kernel
from minadder.kernels.batchnorm.loops import (
    add_moments,
    add_products,
    is_wide,
    run_moments,
    run_products,
    runs,
    write_row,
    write_row_grad,
    write_run,
    write_run_grad,
)
from minadder.kernels.tasks import on_threads

PARALLEL = 1 << 18
"""From so many values on threads share the channels: to wake them takes as long as a third of that work."""


@kernel(inline=True)
def write_statistics(x: Array, low: int, high: int, mean: Array, var: Array) -> None:
    """Write the mean and the biased variance of each channel.

    With n values and x₀ the first of them, μ = x₀ + Σ(x − x₀)/n and σ² = Σ(x − x₀)²/n − (μ − x₀)². Without x₀ a mean
    far from 0 would take all digits of that difference. However odd x₀ is, it is one of the n values and lies at most
    √n·σ from the mean, so that of the 2⁵³ that float64 holds a factor n is lost at most.
    """
    flat, number = x.reshape(-1), x.shape[0] * x.shape[2]
    channels, length = np.uintp(x.shape[1]), np.uintp(x.shape[2])
    parts, count, step = runs(x)
    for c in range(low, high):
        mean[c] = var[c] = 0
    if is_wide(x):
        for n in range(count):
            add_moments(flat, n * channels, low, high, mean, var)
    else:
        for part in range(parts):
            for c in range(low, high):
                start = (part * channels + c) * length
                total, squares = run_moments(flat, start, count, step, np.float64(flat[c * length]))
                mean[c] += total
                var[c] += squares
    for c in range(low, high):
        distance = mean[c] / number
        mean[c] = flat[c * length] + distance
        var[c] = var[c] / number - distance * distance


@kernel
def forward_task(
    task: int,
    x: Array,
    gamma: Array,
    beta: Array,
    eps: float,
    training: bool,
    relu: bool,
    width: int,
    mean: Array,
    var: Array,
    factors: Array,
    y: Array,
) -> None:
    """Write y of `width` channels, and in training their statistics."""
    low, high = np.uintp(task * width), np.uintp(min((task + 1) * width, x.shape[1]))
    if training:
        write_statistics(x, low, high, mean, var)
    for c in range(low, high):
        scale = gamma[c] / np.sqrt(var[c] + eps)
        factors[0, c] = mean[c]
        factors[1, c] = scale
        # Where the mean is large, its rounding is not small beside x − mean: the shift makes up for it.
        factors[2, c] = beta[c] + (np.float64(factors[0, c]) - mean[c]) * scale
    flat, y_flat = x.reshape(-1), y.reshape(-1)
    channels, length = np.uintp(x.shape[1]), np.uintp(x.shape[2])
    parts, count, step = runs(x)
    if is_wide(x):
        for n in range(count):
            write_row(flat, n * channels, low, high, factors, relu, y_flat)
    else:
        for part in range(parts):
            for c in range(low, high):
                start = (part * channels + c) * length
                write_run(flat, start, count, step, factors[0, c], factors[1, c], factors[2, c], relu, y_flat)


forward_tasks = on_threads(forward_task)


@kernel(inline=True)
def write_sums(grad: Array, x: Array, y: Array, mean: Array, relu: bool, low: int, high: int, sums: Array) -> None:
    """Write Σ G and Σ G·(x − mean) of each channel into sums (2, C)."""
    grad_flat, flat, y_flat = grad.reshape(-1), x.reshape(-1), y.reshape(-1)
    channels, length = np.uintp(x.shape[1]), np.uintp(x.shape[2])
    parts, count, step = runs(x)
    for c in range(low, high):
        sums[0, c] = sums[1, c] = 0
    if is_wide(x):
        for n in range(count):
            add_products(grad_flat, flat, y_flat, n * channels, low, high, mean, relu, sums)
    else:
        for part in range(parts):
            for c in range(low, high):
                start = (part * channels + c) * length
                total, products = run_products(grad_flat, flat, y_flat, start, count, step, mean[c], relu)
                sums[0, c] += total
                sums[1, c] += products


@kernel
def backward_task(
    task: int,
    grad: Array,
    x: Array,
    y: Array,
    gamma: Array,
    mean: Array,
    var: Array,
    eps: float,
    training: bool,
    relu: bool,
    width: int,
    sums: Array,
    factors: Array,
    x_grad: Array,
) -> None:
    """Write the gradients of `width` channels: with respect to x, and into sums (2, C) to β and γ."""
    low, high = np.uintp(task * width), np.uintp(min((task + 1) * width, x.shape[1]))
    write_sums(grad, x, y, mean, relu, low, high, sums)
    number = x.shape[0] * x.shape[2]
    for c in range(low, high):
        inverse = 1 / np.sqrt(var[c] + eps)
        sums[1, c] *= inverse
        factors[0, c] = mean[c]
        factors[1, c] = gamma[c] * inverse
        if training:
            slope = sums[1, c] * inverse / number
            factors[2, c] = slope
            factors[3, c] = sums[0, c] / number + (np.float64(factors[0, c]) - mean[c]) * slope
    grad_flat, flat, y_flat, x_grad_flat = grad.reshape(-1), x.reshape(-1), y.reshape(-1), x_grad.reshape(-1)
    channels, length = np.uintp(x.shape[1]), np.uintp(x.shape[2])
    parts, count, step = runs(x)
    if is_wide(x):
        for n in range(count):
            write_row_grad(grad_flat, flat, y_flat, n * channels, low, high, factors, training, relu, x_grad_flat)
    else:
        for part in range(parts):
            for c in range(low, high):
                write_run_grad(
                    grad_flat,
                    flat,
                    y_flat,
                    (part * channels + c) * length,
                    count,
                    step,
                    factors[0, c],
                    factors[1, c],
                    factors[2, c],
                    factors[3, c],
                    training,
                    relu,
                    x_grad_flat,
                )


backward_tasks = on_threads(backward_task)


@kernel
def update_running(
    running_mean: Array, running_var: Array, mean: Array, var: Array, count: int, momentum: float
) -> None:
    """Move running statistics, in place, towards those of a batch of `count` values a channel, whose var is biased."""
    for c in range(mean.shape[0]):
        running_mean[c] += momentum * (mean[c] - running_mean[c])
        running_var[c] += momentum * (var[c] * (count / (count - 1)) - running_var[c])


def share(x: Array) -> tuple[int, int]:
    """Return how many tasks there are for x (N, C, L), one where it is small, and how many channels each takes."""
    channels = x.shape[1]
    width = max(1, -(-channels // (numba.get_num_threads() if x.size >= PARALLEL else 1)))
    return -(-channels // width), width


def forward(
    x: Array, gamma: Array, beta: Array, mean: Array, var: Array, eps: float, training: bool, relu: bool
) -> Array:
    """Return y, by statistics in float64 that are given or, in training, written."""
    x = np.ascontiguousarray(x)
    y, factors = np.empty(x.shape, x.dtype), np.empty((3, x.shape[1]), x.dtype)
    gamma, beta = np.ascontiguousarray(gamma), np.ascontiguousarray(beta)
    tasks, width = share(x)
    arguments = x, gamma, beta, float(eps), training, relu, width, mean, var, factors, y
    if tasks > 1:
        forward_tasks(tasks, *arguments)
    else:
        forward_task(0, *arguments)
    return y


def forward_train(x: Array, gamma: Array, beta: Array, eps: float, relu: bool) -> tuple[Array, Array, Array]:
    """Return y, and the mean and the biased variance of the batch, (C,) each and in float64."""
    mean, var = np.empty(x.shape[1]), np.empty(x.shape[1])
    return forward(x, gamma, beta, mean, var, eps, True, relu), mean, var


def forward_eval(
    x: Array, gamma: Array, beta: Array, running_mean: Array, running_var: Array, eps: float, relu: bool
) -> Array:
    """Return y with given statistics."""
    mean, var = running_mean.astype(np.float64), running_var.astype(np.float64)
    return forward(x, gamma, beta, mean, var, eps, False, relu)


def backward(
    grad: Array, x: Array, y: Array | None, gamma: Array, mean: Array, var: Array, eps: float, training: bool
) -> tuple[Array, Array, Array]:
    """Return the gradients with respect to x, γ and β, from statistics in float64."""
    grad, x, gamma = np.ascontiguousarray(grad), np.ascontiguousarray(x), np.ascontiguousarray(gamma)
    output = x if y is None else np.ascontiguousarray(y)
    x_grad, factors = np.empty(x.shape, x.dtype), np.empty((4, x.shape[1]), x.dtype)
    relu, sums = y is not None, np.empty((2, x.shape[1]))
    tasks, width = share(x)
    arguments = grad, x, output, gamma, mean, var, float(eps), training, relu, width, sums, factors, x_grad
    if tasks > 1:
        backward_tasks(tasks, *arguments)
    else:
        backward_task(0, *arguments)
    return x_grad, sums[1].astype(x.dtype), sums[0].astype(x.dtype)


def backward_train(
    grad: Array, x: Array, y: Array | None, gamma: Array, mean: Array, var: Array, eps: float
) -> tuple[Array, Array, Array]:
    """Return the gradients with respect to x, γ and β; x acts through the mean and the variance too.

    With n values a channel and x̂ the normalised input, ∂L/∂x = γ/√(σ²+ε) · (G − ΣG/n − x̂·Σ(G·x̂)/n). Chen
    et al. 2020, Eq. 11, is meant to be that; as printed it has 1/m² for 1/m, xᵢ − xⱼ for xᵢ − μ, and σ for σ². Where
    a ReLU followed, y is its output, else None: no gradient passes where that is 0.
    """
    return backward(grad, x, y, gamma, mean, var, eps, True)


def backward_eval(
    grad: Array, x: Array, y: Array | None, gamma: Array, running_mean: Array, running_var: Array, eps: float
) -> tuple[Array, Array, Array]:
    """Return the gradients with respect to x, γ and β, where the statistics are constants; y as in training."""
    mean, var = running_mean.astype(np.float64), running_var.astype(np.float64)
    return backward(grad, x, y, gamma, mean, var, eps, False)
