"""Batch normalisation straight from the equations, on x (N, C, L); statistics are taken over N and L."""

from __future__ import annotations

import numpy as np

from minadder.autograd import Array


def channels(values: Array) -> Array:
    """Return values (C,) so that they broadcast against (N, C, L)."""
    return values[None, :, None]


def forward_train(x: Array, gamma: Array, beta: Array, eps: float, relu: bool) -> tuple[Array, Array, Array]:
    """Return y, and the mean and the biased variance of the batch, (C,) each and in float64."""
    mean, var = x.mean(axis=(0, 2), dtype=np.float64), x.var(axis=(0, 2), dtype=np.float64)
    return forward_eval(x, gamma, beta, mean, var, eps, relu), mean, var


def forward_eval(
    x: Array, gamma: Array, beta: Array, running_mean: Array, running_var: Array, eps: float, relu: bool
) -> Array:
    """Return y with given statistics, or with `relu` its maximum with 0."""
    normalised = (x - channels(running_mean)) / np.sqrt(channels(running_var) + eps)
    y = (channels(gamma) * normalised + channels(beta)).astype(x.dtype)
    return np.maximum(y, 0) if relu else y


def backward_train(
    grad: Array, x: Array, y: Array | None, gamma: Array, mean: Array, var: Array, eps: float
) -> tuple[Array, Array, Array]:
    """Return the gradients with respect to x, γ and β; x acts through the mean and the variance too.

    With n values a channel and x̂ the normalised input, ∂L/∂x = γ/√(σ²+ε) · (G − ΣG/n − x̂·Σ(G·x̂)/n). Chen
    et al. 2020, Eq. 11, is meant to be that; as printed it has 1/m² for 1/m, xᵢ − xⱼ for xᵢ − μ, and σ for σ². Where
    a ReLU followed, y is its output, else None: no gradient passes where that is 0.
    """
    grad = grad if y is None else np.where(y <= 0, 0, grad)
    scale = 1 / np.sqrt(channels(var) + eps)
    normalised = (x - channels(mean)) * scale
    gamma_grad, beta_grad = (grad * normalised).sum(axis=(0, 2)), grad.sum(axis=(0, 2))
    count = x.shape[0] * x.shape[2]
    inner = grad - (channels(beta_grad) + normalised * channels(gamma_grad)) / count
    x_grad = channels(gamma) * scale * inner
    return x_grad.astype(x.dtype), gamma_grad.astype(x.dtype), beta_grad.astype(x.dtype)


def backward_eval(
    grad: Array, x: Array, y: Array | None, gamma: Array, running_mean: Array, running_var: Array, eps: float
) -> tuple[Array, Array, Array]:
    """Return the gradients with respect to x, γ and β, where the statistics are constants; y as in training."""
    grad = grad if y is None else np.where(y <= 0, 0, grad)
    scale = 1 / np.sqrt(channels(running_var) + eps)
    normalised = (x - channels(running_mean)) * scale
    x_grad = channels(gamma) * scale * grad
    gamma_grad, beta_grad = (grad * normalised).sum(axis=(0, 2)), grad.sum(axis=(0, 2))
    return x_grad.astype(x.dtype), gamma_grad.astype(x.dtype), beta_grad.astype(x.dtype)


def update_running(
    running_mean: Array, running_var: Array, mean: Array, var: Array, count: int, momentum: float
) -> None:
    """Move running statistics, in place, towards those of a batch of `count` values a channel, whose var is biased."""
    unbiased = var * (count / (count - 1))
    running_mean[...] = (1 - momentum) * running_mean + momentum * mean
    running_var[...] = (1 - momentum) * running_var + momentum * unbiased
