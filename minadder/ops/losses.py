"""Losses: softmax cross-entropy and binary cross-entropy of logits, each fused into one operation; squared errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minadder.arrays import plain
from minadder.autograd import Array, Function
from minadder.checks import LARGEST, choice, number, whole
from minadder.kernels.losses import cpu as kernels
from minadder.ops.arithmetic import masked
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


class SmoothedCrossEntropy(Function):
    """The cross-entropy where some of a label is spread over all classes, or some examples are left out.

    With the smoothing ε and C classes an example's loss is Σ_c q_c · (log Σ e^z − z_c), where q is ε / C, and 1 − ε
    more at the label (Szegedy et al. 2016, Sec. 7). The mean is over those that are counted.
    """

    def forward(self, logits: Array, labels: Array, counted: Array, smoothing: float, reduction: str) -> Array:
        """Return the mean or the sum of the losses, or the loss of each example, 0 where it is not counted."""
        self.labels, self.counted, self.smoothing, self.reduction = labels, counted, smoothing, reduction
        largest = logits.argmax(axis=1)
        log_total, self.probabilities = kernels.cross_entropy_forward(logits, largest)  # of the shifted logits
        rows, as_dtype = np.arange(len(labels)), logits.dtype.type
        with np.errstate(invalid="ignore"):  # as the kernels, which give NaN for ∞ − ∞ without a word
            shifted = logits - logits[rows, largest][:, None]
            losses = log_total - shifted[rows, labels]
            if smoothing:
                spread = log_total - shifted.mean(axis=1, dtype=np.float64).astype(logits.dtype)
                losses = losses * as_dtype(1 - smoothing) + spread * as_dtype(smoothing)
            losses = masked(losses, counted)
            if reduction != "mean":
                return reduced(losses, reduction)
            return np.asarray(losses.sum() / as_dtype(np.count_nonzero(counted)))

    def backward(self, grad: Array) -> Array:
        """Return G·(softmax − q) of each example that is counted, else 0."""
        if self.reduction == "mean":
            grad = grad / grad.dtype.type(max(np.count_nonzero(self.counted), 1))
        each = np.broadcast_to(grad, self.labels.shape)
        slopes = self.probabilities - grad.dtype.type(self.smoothing / self.probabilities.shape[1])
        slopes[np.arange(len(self.labels)), self.labels] -= grad.dtype.type(1 - self.smoothing)
        return masked(each[:, None] * slopes, self.counted[:, None])


class SquaredError(Function):
    """(x − t)² of each element, reduced."""

    def forward(self, x: Array, target: Array, reduction: str) -> Array:
        """Return the mean or the sum of the squares, or each."""
        difference = x - target
        self.saved = (difference,)
        self.reduction = reduction
        return reduced(difference * difference, reduction)

    def backward(self, grad: Array) -> tuple[Array, Array]:
        """Return 2·G·(x − t) and −2·G·(x − t)."""
        (difference,) = self.saved
        slopes = 2 * for_each(grad, difference.shape, self.reduction) * difference
        return slopes, -slopes


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
        raise ValueError(f"the mean over no losses is not defined: the shape is {shape}")


def check_labels(labels: Any, shape: tuple[int, ...], ignore_index: int) -> tuple[Array, Array]:
    """Return a copy of the labels as int64, and which are not ignored, once there is one for each example.

    Each that is not ignored names a class, and those that are ignored become class 0.
    """
    array = plain(labels, "labels") if isinstance(labels, np.ndarray) else np.asarray(raw(labels))
    if array.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers (class numbers), not {array.dtype}")
    if array.shape != shape[:1]:
        raise ValueError(f"logits of shape {shape} need labels of shape {shape[:1]}, not {array.shape}")
    numbers = array.astype(np.int64)
    counted = array != ignore_index
    numbers[~counted] = 0
    if numbers.size and numbers.view(np.uint64).max() >= shape[1]:  # a label below 0 becomes a huge one
        wrong = array[counted & ((array < 0) | (array >= shape[1]))][0]
        raise ValueError(f"label {wrong} is out of range: logits of shape {shape} have classes 0 to {shape[1] - 1}")
    return numbers, counted


def cross_entropy(
    logits: Tensor,
    labels: Any,
    reduction: str = "mean",
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the softmax cross-entropy −log softmax(logits)[label].

    Parameters
    ----------
    logits
        Unnormalised scores (N, C).
    labels
        Class numbers, an integer array (N,) with values from 0 to C − 1.
    reduction
        "mean" (default) or "sum" over the examples, or "none" for the loss of each, (N,).
    ignore_index
        The label of examples that do not count: their loss and its gradient are 0, and the mean is over the others. It
        is NaN where all are ignored, as in PyTorch.
    label_smoothing
        How much of each label is spread evenly over all classes, from 0 to 1 (Szegedy et al. 2016, Sec. 7).

    Raises
    ------
    ValueError
        For a label out of range, shapes that do not fit, an unknown reduction, a smoothing outside [0, 1], or the mean
        over no examples.
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
    numbers, counted = check_labels(labels, logits.shape, whole(ignore_index, "ignore_index", -LARGEST))
    check_reduction(reduction, logits.shape, numbers.size)
    smoothing = number(label_smoothing, "label_smoothing", "[0, 1]")
    if smoothing == 0 and counted.all():
        return CrossEntropy.apply(logits, labels=numbers, reduction=reduction)
    return SmoothedCrossEntropy.apply(logits, labels=numbers, counted=counted, smoothing=smoothing, reduction=reduction)


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


def mse_loss(x: Tensor, target: Operand, reduction: str = "mean") -> Tensor:
    """Return the squared error (x − target)².

    Parameters
    ----------
    x
        A tensor of any shape.
    target
        Values of the same shape and dtype (a Tensor, an array or nested lists).
    reduction
        "mean" (default) or "sum" over the elements, or "none" for the error of each.

    Raises
    ------
    ValueError
        For shapes that differ, an unknown reduction, or the mean over no elements.

    Examples
    --------
    >>> import minadder as ma
    >>> ma.ops.mse_loss(ma.tensor([1.0, 2.0]), [1.0, 4.0])
    tensor(2.)
    """
    check_tensors("mse_loss", x=x)
    wanted = as_tensor(target, x)
    if wanted.shape != x.shape:
        raise ValueError(f"outputs of shape {x.shape} need targets of the same shape, not {wanted.shape}")
    check_reduction(reduction, x.shape, x.size)
    return SquaredError.apply(x, wanted, reduction=reduction)
