"""The losses on the CPU, fused: no array is made but the results. A row belongs to one thread."""

from __future__ import annotations

import math

import numba
import numpy as np

from minadder.autograd import Array
from minadder.jit import kernel


@kernel(parallel=True)
def cross_entropy_rows(logits: Array, labels: Array, losses: Array, log_probabilities: Array) -> None:
    """Write log softmax of each row, shifted by its maximum so that no power overflows, and the loss."""
    for n in numba.prange(logits.shape[0]):
        largest = logits[n, 0]
        for c in range(logits.shape[1]):
            if not logits[n, c] <= largest:  # so that NaN is kept
                largest = logits[n, c]
        total = logits.dtype.type(0)
        for c in range(logits.shape[1]):
            log_probabilities[n, c] = logits[n, c] - largest
            total += math.exp(log_probabilities[n, c])
        log_total = math.log(total)
        # Written as logits − largest − log_total, the compiler may take logits − (largest + log_total), where a large
        # maximum swallows the digits of log_total.
        for c in range(logits.shape[1]):
            log_probabilities[n, c] -= log_total
        losses[n] = -log_probabilities[n, labels[n]]


@kernel(parallel=True)
def cross_entropy_rows_grad(grad: Array, log_probabilities: Array, labels: Array, logits_grad: Array) -> None:
    """Write G·(softmax − one-hot label) of each row."""
    for n in numba.prange(logits_grad.shape[0]):
        for c in range(logits_grad.shape[1]):
            logits_grad[n, c] = grad[n] * math.exp(log_probabilities[n, c])
        logits_grad[n, labels[n]] -= grad[n]


@kernel(parallel=True)
def bce_elements(logits: Array, targets: Array, losses: Array) -> None:
    """Write max(z, 0) − z·t + log(1 + e^−|z|) of each element, as z·([z ≥ 0] − t) + log(1 + e^−|z|).

    The compiler may add three terms in any order, and z + log(1 + e^−z) − z is 0 for a large z.
    """
    zero, one = logits.dtype.type(0), logits.dtype.type(1)
    for i in numba.prange(logits.shape[0]):
        z = logits[i]
        losses[i] = z * ((zero if z < 0 else one) - targets[i]) + math.log1p(math.exp(-abs(z)))


@kernel(parallel=True)
def bce_elements_grad(grad: Array, logits: Array, targets: Array, logits_grad: Array) -> None:
    """Write G·(σ(z) − t) of each element."""
    one = logits.dtype.type(1)
    for i in numba.prange(logits.shape[0]):
        small = math.exp(-abs(logits[i]))
        sigmoid = (small if logits[i] < 0 else one) / (one + small)
        logits_grad[i] = grad[i] * (sigmoid - targets[i])


def cross_entropy_forward(logits: Array, labels: Array) -> tuple[Array, Array]:
    """Return −log softmax(z)[label] of each row of logits z (N, C), and log softmax(z)."""
    logits = np.ascontiguousarray(logits)
    losses, log_probabilities = np.empty(logits.shape[0], logits.dtype), np.empty(logits.shape, logits.dtype)
    cross_entropy_rows(logits, np.ascontiguousarray(labels), losses, log_probabilities)
    return losses, log_probabilities


def cross_entropy_backward(grad: Array, log_probabilities: Array, labels: Array) -> Array:
    """Return G·(softmax(z) − one-hot label)."""
    logits_grad = np.empty(log_probabilities.shape, log_probabilities.dtype)
    cross_entropy_rows_grad(
        np.ascontiguousarray(grad), np.ascontiguousarray(log_probabilities), np.ascontiguousarray(labels), logits_grad
    )
    return logits_grad


def bce_with_logits_forward(logits: Array, targets: Array) -> Array:
    """Return −t·log σ(z) − (1 − t)·log(1 − σ(z)), as max(z, 0) − z·t + log(1 + e^−|z|)."""
    losses = np.empty(logits.shape, logits.dtype)
    bce_elements(flat(logits), flat(targets), losses.reshape(-1))
    return losses


def bce_with_logits_backward(grad: Array, logits: Array, targets: Array) -> Array:
    """Return G·(σ(z) − t)."""
    logits_grad = np.empty(logits.shape, logits.dtype)
    bce_elements_grad(flat(grad), flat(logits), flat(targets), logits_grad.reshape(-1))
    return logits_grad


def flat(array: Array) -> Array:
    """Return an array as one contiguous row."""
    return np.ascontiguousarray(array).reshape(-1)
