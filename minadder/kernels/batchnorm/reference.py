"""Batch normalisation straight from the equations, on x (N, C, L); statistics are taken over N and L."""

from __future__ import annotations

import numpy as np

from minadder.autograd import Array


def channels(values: Array) -> Array:
    """Return values (C,) so that they broadcast against (N, C, L)."""
    return values[None, :, None]


def forward_train(x: Array, gamma: Array, beta: Array, eps: float) -> tuple[Array, Array, Array]:
    """Return y, and the mean and the biased variance of the batch, (C,) each."""
    mean, var = x.mean(axis=(0, 2)), x.var(axis=(0, 2))
    return forward_eval(x, gamma, beta, mean, var, eps), mean, var


def forward_eval(x: Array, gamma: Array, beta: Array, running_mean: Array, running_var: Array, eps: float) -> Array:
    """Return y with given statistics."""
    normalised = (x - channels(running_mean)) / np.sqrt(channels(running_var) + eps)
    return (channels(gamma) * normalised + channels(beta)).astype(x.dtype)


def backward_train(
    grad: Array, x: Array, gamma: Array, mean: Array, var: Array, eps: float
) -> tuple[Array, Array, Array]:
    """Return the gradients with respect to x, γ and β; x acts through the mean and the variance too.

    With n values a channel and x̂ the normalised input, ∂L/∂x = γ/√(σ²+ε) · (G − ΣG/n − x̂·Σ(G·x̂)/n), which is
    Chen et al. 2020, Eq. 11 multiplied out.
    """
    scale = 1 / np.sqrt(channels(var) + eps)
    normalised = (x - channels(mean)) * scale
    gamma_grad, beta_grad = (grad * normalised).sum(axis=(0, 2)), grad.sum(axis=(0, 2))
    count = x.shape[0] * x.shape[2]
    inner = grad - (channels(beta_grad) + normalised * channels(gamma_grad)) / count
    return (channels(gamma) * scale * inner).astype(x.dtype), gamma_grad, beta_grad


def backward_eval(
    grad: Array, x: Array, gamma: Array, running_mean: Array, running_var: Array, eps: float
) -> tuple[Array, Array, Array]:
    """Return the gradients with respect to x, γ and β, where the statistics are constants."""
    scale = 1 / np.sqrt(channels(running_var) + eps)
    normalised = (x - channels(running_mean)) * scale
    x_grad = (channels(gamma) * scale * grad).astype(x.dtype)
    return x_grad, (grad * normalised).sum(axis=(0, 2)), grad.sum(axis=(0, 2))
