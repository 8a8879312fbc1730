"""The losses on the CPU, fused: no array is made but the results. A row belongs to one thread."""

from __future__ import annotations

import math

import numpy as np

from minadder.autograd import Array
from minadder.jit import kernel
from minadder.kernels.tasks import on_threads

PARALLEL = 1 << 14
"""From so many numbers on threads share the rows: to wake them takes as long as some thousand powers of e."""

CHUNK = 64
"""Rows, or elements, of a task."""


@kernel
def cross_entropy_rows(
    logits: Array, labels: Array, first: int, last: int, losses: Array, probabilities: Array
) -> None:
    """Write the softmax of rows from first to last, shifted by the maximum so that no power overflows, and the loss."""
    for n in range(first, last):
        largest = logits[n, 0]
        for c in range(logits.shape[1]):
            if not logits[n, c] <= largest:  # so that NaN is kept
                largest = logits[n, c]
        for c in range(logits.shape[1]):
            probabilities[n, c] = logits[n, c] - largest
        # Read back, for the compiler may take (logit − largest) − log total as logit − (largest + log total), where a
        # large maximum swallows the digits of the logarithm.
        shifted = probabilities[n, labels[n]]
        total = 0.0  # a float64, for there may be many classes
        for c in range(logits.shape[1]):
            power = math.exp(probabilities[n, c])
            probabilities[n, c] = power
            total += power
        for c in range(logits.shape[1]):
            probabilities[n, c] /= total
        losses[n] = math.log(total) - shifted


@kernel
def cross_entropy_task(task: int, logits: Array, labels: Array, losses: Array, probabilities: Array) -> None:
    """Do the same for `CHUNK` rows."""
    first = task * CHUNK
    cross_entropy_rows(logits, labels, first, min(first + CHUNK, losses.size), losses, probabilities)


cross_entropy_on_threads = on_threads(cross_entropy_task)


@kernel
def cross_entropy_rows_grad(grad: Array, probabilities: Array, labels: Array, logits_grad: Array) -> None:
    """Write G·(softmax − one-hot label) of each row."""
    for n in range(logits_grad.shape[0]):
        for c in range(logits_grad.shape[1]):
            logits_grad[n, c] = grad[n] * probabilities[n, c]
        logits_grad[n, labels[n]] -= grad[n]


@kernel
def bce_elements(logits: Array, targets: Array, first: int, last: int, losses: Array) -> None:
    """Write max(z, 0) − z·t + log(1 + e^−|z|) of some elements, as z·([z ≥ 0] − t) + log(1 + e^−|z|).

    The compiler may add three terms in any order, and z + log(1 + e^−z) − z is 0 for a large z.
    """
    zero, one = logits.dtype.type(0), logits.dtype.type(1)
    for i in range(first, last):
        z = logits[i]
        losses[i] = z * ((zero if z < 0 else one) - targets[i]) + math.log1p(math.exp(-abs(z)))


@kernel
def bce_task(task: int, logits: Array, targets: Array, losses: Array) -> None:
    """Do the same for `CHUNK` elements."""
    first = task * CHUNK
    bce_elements(logits, targets, first, min(first + CHUNK, losses.size), losses)


bce_on_threads = on_threads(bce_task)


@kernel
def bce_elements_grad(grad: Array, logits: Array, targets: Array, first: int, last: int, logits_grad: Array) -> None:
    """Write G·(σ(z) − t) of some elements."""
    one = logits.dtype.type(1)
    for i in range(first, last):
        small = math.exp(-abs(logits[i]))
        sigmoid = (small if logits[i] < 0 else one) / (one + small)
        logits_grad[i] = grad[i] * (sigmoid - targets[i])


@kernel
def bce_grad_task(task: int, grad: Array, logits: Array, targets: Array, logits_grad: Array) -> None:
    """Do the same for `CHUNK` elements."""
    first = task * CHUNK
    bce_elements_grad(grad, logits, targets, first, min(first + CHUNK, logits_grad.size), logits_grad)


bce_grad_on_threads = on_threads(bce_grad_task)


def cross_entropy_forward(logits: Array, labels: Array) -> tuple[Array, Array]:
    """Return −log softmax(z)[label] of each row of logits z (N, C), and softmax(z)."""
    logits, labels = np.ascontiguousarray(logits), np.ascontiguousarray(labels)
    losses, probabilities = np.empty(logits.shape[0], logits.dtype), np.empty(logits.shape, logits.dtype)
    if logits.size >= PARALLEL:
        cross_entropy_on_threads(chunks(losses), logits, labels, losses, probabilities)
    else:
        cross_entropy_rows(logits, labels, 0, logits.shape[0], losses, probabilities)
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
    if logits.size >= PARALLEL:
        bce_on_threads(chunks(losses), flat(logits), flat(targets), losses.reshape(-1))
    else:
        bce_elements(flat(logits), flat(targets), 0, logits.size, losses.reshape(-1))
    return losses


def bce_with_logits_backward(grad: Array, logits: Array, targets: Array) -> Array:
    """Return G·(σ(z) − t)."""
    logits_grad = np.empty(logits.shape, logits.dtype)
    if logits.size >= PARALLEL:
        bce_grad_on_threads(chunks(logits), flat(grad), flat(logits), flat(targets), logits_grad.reshape(-1))
    else:
        bce_elements_grad(flat(grad), flat(logits), flat(targets), 0, logits.size, logits_grad.reshape(-1))
    return logits_grad


def chunks(each: Array) -> int:
    """Return how many tasks an array with a number for each row, or element, makes."""
    return -(-each.size // CHUNK)


def flat(array: Array) -> Array:
    """Return an array as one contiguous row."""
    return np.ascontiguousarray(array).reshape(-1)
