"""Losses on logits: softmax cross-entropy and binary cross-entropy, each fused into one stable operation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minadder.arrays import plain
from minadder.autograd import Array, Function
from minadder.checks import choice
from minadder.kernels.losses import cpu as kernels
from minadder.tensor import Operand, Tensor, as_tensor, check_tensors, raw

REDUCTIONS = ("mean", "sum", "none")


def reduced(losses: Array, reduction: str) -> Array:
    """Return the mean or the sum of the losses, or the losses themselves ("none")."""
    if reduction == "none":
        return losses
    total = losses.sum()
    return np.asarray(total / losses.size if reduction == "mean" else total, losses.dtype)


def for_each(grad: Array, shape: tuple[int, ...], reduction: str) -> Array:
    """Return the gradient with respect to each loss, from that with respect to what `reduced` returned."""
    if reduction == "none":
        return grad
    return np.full(shape, grad / math.prod(shape) if reduction == "mean" else grad, grad.dtype)


class CrossEntropy(Function):
    """−log softmax(logits)[label] of each example, reduced."""

    def forward(self, logits: Array, labels: Array, reduction: str) -> Array:
        """Return the mean or the sum of the losses, or the loss of each example."""
        losses, self.probabilities = kernels.cross_entropy_forward(logits, labels)
        self.labels = labels
        self.reduction = reduction
        return reduced(losses, reduction)

    def backward(self, grad: Array) -> Array:
        """Return G·(softmax − one-hot label)."""
        each = for_each(grad, self.labels.shape, self.reduction)
        return kernels.cross_entropy_backward(each, self.probabilities, self.labels)


class BCEWithLogits(Function):
    """−t·log σ(z) − (1 − t)·log(1 − σ(z)) of each element, reduced."""

    def forward(self, logits: Array, targets: Array, reduction: str) -> Array:
        """Return max(z, 0) − z·t + log(1 + e^−|z|), the same without overflow, reduced."""
        self.saved = logits, targets
        self.reduction = reduction
        return reduced(kernels.bce_with_logits_forward(logits, targets), reduction)

    def backward(self, grad: Array) -> tuple[Array, Array | None]:
        """Return G·(σ(z) − t) and −G·z."""
        logits, targets = self.saved
        each = for_each(grad, logits.shape, self.reduction)
        targets_grad = -each * logits if self.needs_input_grad[1] else None
        return kernels.bce_with_logits_backward(each, logits, targets), targets_grad


def check_reduction(reduction: str, shape: tuple[int, ...], size: int) -> None:
    """Raise ValueError for a reduction that does not exist, and for the mean over no losses."""
    choice(reduction, "reduction", REDUCTIONS)
    if reduction == "mean" and size == 0:
        raise ValueError(f"the mean over no losses is not defined: the logits' shape is {shape}")


def check_labels(labels: Any, shape: tuple[int, ...]) -> Array:
    """Return a copy of the labels as int64, once there is one for each example and each names a class."""
    array = plain(labels, "labels") if isinstance(labels, np.ndarray) else np.asarray(raw(labels))
    if array.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers (class numbers), not {array.dtype}")
    if array.shape != shape[:1]:
        raise ValueError(f"logits of shape {shape} need labels of shape {shape[:1]}, not {array.shape}")
    numbers = array.astype(np.int64)
    if numbers.size and numbers.view(np.uint64).max() >= shape[1]:  # a label below 0 becomes a huge one
        wrong = array[(array < 0) | (array >= shape[1])][0]
        raise ValueError(f"label {wrong} is out of range: logits of shape {shape} have classes 0 to {shape[1] - 1}")
    return numbers


def cross_entropy(logits: Tensor, labels: Any, reduction: str = "mean") -> Tensor:
    """Return the softmax cross-entropy −log softmax(logits)[label].

    Parameters
    ----------
    logits
        Unnormalised scores (N, C).
    labels
        Class numbers, an integer array (N,) with values from 0 to C − 1.
    reduction
        "mean" (default) or "sum" over the examples, or "none" for the loss of each, (N,).

    Raises
    ------
    ValueError
        For a label out of range, shapes that do not fit, an unknown reduction, or the mean over no examples.
    TypeError
        For labels that are not integers.

    Examples
    --------
    >>> import minadder as ma
    >>> ma.ops.cross_entropy(ma.tensor([[0.0, 0.0]]), [1])
    tensor(0.6931472)
    """
    check_tensors("cross_entropy", logits=logits)
    if logits.ndim != 2:
        raise ValueError(f"the logits must have the axes (batch, classes); their shape is {logits.shape}")
    if logits.shape[1] == 0:
        raise ValueError(f"the logits must have at least one class; their shape is {logits.shape}")
    numbers = check_labels(labels, logits.shape)
    check_reduction(reduction, logits.shape, numbers.size)
    return CrossEntropy.apply(logits, labels=numbers, reduction=reduction)


def bce_with_logits(logits: Tensor, targets: Operand, reduction: str = "mean") -> Tensor:
    """Return the binary cross-entropy −t·log σ(z) − (1 − t)·log(1 − σ(z)) of logits z.

    Parameters
    ----------
    logits
        Scores of any shape; σ(z) is the probability of 1.
    targets
        Values in [0, 1] of the same shape and dtype (a Tensor, an array or nested lists).
    reduction
        "mean" (default) or "sum" over the elements, or "none" for the loss of each.

    Raises
    ------
    ValueError
        For targets outside [0, 1], shapes that differ, an unknown reduction, or the mean over no elements.

    Examples
    --------
    >>> import minadder as ma
    >>> ma.ops.bce_with_logits(ma.tensor([0.0]), [1.0])
    tensor(0.6931472)
    """
    check_tensors("bce_with_logits", logits=logits)
    wanted = as_tensor(targets, logits)
    if wanted.shape != logits.shape:
        raise ValueError(f"logits of shape {logits.shape} need targets of the same shape, not {wanted.shape}")
    if wanted.size and not bool(((wanted >= 0) & (wanted <= 1)).all()):
        wrong = wanted.numpy()[~((wanted >= 0) & (wanted <= 1))][0]
        raise ValueError(f"target {wrong} is out of range: targets lie between 0 and 1")
    check_reduction(reduction, logits.shape, logits.size)
    return BCEWithLogits.apply(logits, wanted, reduction=reduction)
