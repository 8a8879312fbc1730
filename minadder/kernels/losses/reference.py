"""The losses straight from their definitions."""

from __future__ import annotations

import numpy as np

from minadder.autograd import Array


def cross_entropy_forward(logits: Array, labels: Array) -> tuple[Array, Array]:
    """Return −log softmax(z)[label] of each row of logits z (N, C), and softmax(z)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -log_probabilities[np.arange(len(labels)), labels], np.exp(log_probabilities)


def cross_entropy_backward(grad: Array, probabilities: Array, labels: Array) -> Array:
    """Return G·(softmax(z) − one-hot label)."""
    slopes = probabilities.copy()
    slopes[np.arange(len(labels)), labels] -= 1
    return grad[:, None] * slopes


def bce_with_logits_forward(logits: Array, targets: Array) -> Array:
    """Return −t·log σ(z) − (1 − t)·log(1 − σ(z)), as max(z, 0) − z·t + log(1 + e^−|z|)."""
    return np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))


def bce_with_logits_backward(grad: Array, logits: Array, targets: Array) -> Array:
    """Return G·(σ(z) − t)."""
    small = np.exp(-np.abs(logits))
    return grad * (np.where(logits >= 0, 1, small) / (1 + small) - targets)
