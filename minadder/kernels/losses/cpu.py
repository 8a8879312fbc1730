"""The losses on the CPU, fused: no array is made but the results. A row belongs to one thread."""

from __future__ import annotations

import math

import numba
import numpy as np

from minadder.autograd import Array
from minadder.jit import kernel

PARALLEL = 1 << 14
"""From so many numbers on threads share the rows: to wake them takes as long as some thousand powers of e."""


@kernel
def cross_entropy_row(logits: Array, labels: Array, n: int, losses: Array, probabilities: Array) -> None:
    """Write the softmax of a row, shifted by its maximum so that no power overflows, and the loss."""
    largest = logits[n, 0]
    for c in range(logits.shape[1]):
        if not logits[n, c] <= largest:  # so that NaN is kept
            largest = logits[n, c]
    for c in range(logits.shape[1]):
        probabilities[n, c] = logits[n, c] - largest
    # Read back, for the compiler may take (logit − largest) − log total as logit − (largest + log total), where a large
    # maximum swallows the digits of the logarithm.
    shifted = probabilities[n, labels[n]]
    total = logits.dtype.type(0)
    for c in range(logits.shape[1]):
        power = math.exp(probabilities[n, c])
        probabilities[n, c] = power
        total += power
    for c in range(logits.shape[1]):
        probabilities[n, c] /= total
    losses[n] = math.log(total) - shifted


@kernel(parallel=True)
def cross_entropy_rows(logits: Array, labels: Array, threads: bool, losses: Array, probabilities: Array) -> None:
    """Write the softmax of each row, and the loss."""
    if threads:
        for n in numba.prange(logits.shape[0]):
            cross_entropy_row(logits, labels, n, losses, probabilities)
    else:
        for n in range(logits.shape[0]):
            cross_entropy_row(logits, labels, n, losses, probabilities)


@kernel
def cross_entropy_rows_grad(grad: Array, probabilities: Array, labels: Array, logits_grad: Array) -> None:
    """Write G·(softmax − one-hot label) of each row."""
    for n in range(logits_grad.shape[0]):
        for c in range(logits_grad.shape[1]):
            logits_grad[n, c] = grad[n] * probabilities[n, c]
        logits_grad[n, labels[n]] -= grad[n]


@kernel
def bce_element(z: float, target: float, zero: float, one: float) -> float:
    """Return max(z, 0) − z·t + log(1 + e^−|z|), as z·([z ≥ 0] − t) + log(1 + e^−|z|).

    The compiler may add three terms in any order, and z + log(1 + e^−z) − z is 0 for a large z.
    """
    return z * ((zero if z < 0 else one) - target) + math.log1p(math.exp(-abs(z)))


@kernel(parallel=True)
def bce_elements(logits: Array, targets: Array, threads: bool, losses: Array) -> None:
    """Write the loss of each element."""
    zero, one = logits.dtype.type(0), logits.dtype.type(1)
    if threads:
        for i in numba.prange(logits.shape[0]):
            losses[i] = bce_element(logits[i], targets[i], zero, one)
    else:
        for i in range(logits.shape[0]):
            losses[i] = bce_element(logits[i], targets[i], zero, one)


@kernel
def bce_slope(z: float, target: float, one: float) -> float:
    """Return σ(z) − t."""
    small = math.exp(-abs(z))
    return (small if z < 0 else one) / (one + small) - target


@kernel(parallel=True)
def bce_elements_grad(grad: Array, logits: Array, targets: Array, threads: bool, logits_grad: Array) -> None:
    """Write G·(σ(z) − t) of each element."""
    one = logits.dtype.type(1)
    if threads:
        for i in numba.prange(logits.shape[0]):
            logits_grad[i] = grad[i] * bce_slope(logits[i], targets[i], one)
    else:
        for i in range(logits.shape[0]):
            logits_grad[i] = grad[i] * bce_slope(logits[i], targets[i], one)


def cross_entropy_forward(logits: Array, labels: Array) -> tuple[Array, Array]:
    """Return −log softmax(z)[label] of each row of logits z (N, C), and softmax(z)."""
    logits, labels = np.ascontiguousarray(logits), np.ascontiguousarray(labels)
    losses, probabilities = np.empty(logits.shape[0], logits.dtype), np.empty(logits.shape, logits.dtype)
    cross_entropy_rows(logits, labels, logits.size >= PARALLEL, losses, probabilities)
    return losses, probabilities


def cross_entropy_backward(grad: Array, probabilities: Array, labels: Array) -> Array:
    """Return G·(softmax(z) − one-hot label)."""
    logits_grad = np.empty(probabilities.shape, probabilities.dtype)
    grad, labels = np.ascontiguousarray(grad), np.ascontiguousarray(labels)
    cross_entropy_rows_grad(grad, np.ascontiguousarray(probabilities), labels, logits_grad)
    return logits_grad


def bce_with_logits_forward(logits: Array, targets: Array) -> Array:
    """Return −t·log σ(z) − (1 − t)·log(1 − σ(z)), as max(z, 0) − z·t + log(1 + e^−|z|)."""
    losses = np.empty(logits.shape, logits.dtype)
    bce_elements(flat(logits), flat(targets), logits.size >= PARALLEL, losses.reshape(-1))
    return losses


def bce_with_logits_backward(grad: Array, logits: Array, targets: Array) -> Array:
    """Return G·(σ(z) − t)."""
    logits_grad = np.empty(logits.shape, logits.dtype)
    threads = logits.size >= PARALLEL
    bce_elements_grad(flat(grad), flat(logits), flat(targets), threads, logits_grad.reshape(-1))
    return logits_grad


def flat(array: Array) -> Array:
    """Return an array as one contiguous row."""
    return np.ascontiguousarray(array).reshape(-1)
