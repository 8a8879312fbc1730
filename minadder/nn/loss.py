"""Losses as modules: CrossEntropyLoss, BCEWithLogitsLoss, MSELoss."""

from __future__ import annotations

from typing import Any

from minadder import ops
from minadder.checks import LARGEST, choice, number, whole
from minadder.nn.module import Module, as_input
from minadder.ops.losses import REDUCTIONS
from minadder.tensor import Operand, Tensor


class Loss(Module):
    """What the losses share.

    Parameters
    ----------
    reduction
        "mean" (default), "sum" or "none".
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = choice(reduction, "reduction", REDUCTIONS)

    def extra_repr(self) -> str:
        """Return the reduction."""
        return f"reduction={self.reduction!r}"


class CrossEntropyLoss(Loss):
    """The softmax cross-entropy of logits (N, C) and class numbers (N,), as `ma.ops.cross_entropy`.

    Parameters
    ----------
    reduction
        "mean" (default), "sum" or "none".
    ignore_index
        The label of examples that do not count.
    label_smoothing
        How much of each label is spread evenly over all classes, from 0 to 1.

    Examples
    --------
    >>> import minadder as ma
    >>> from minadder import nn
    >>> nn.CrossEntropyLoss()(ma.tensor([[0.0, 0.0]]), [1])
    tensor(0.6931472)
    """

    def __init__(self, reduction: str = "mean", ignore_index: int = -100, label_smoothing: float = 0.0) -> None:
        super().__init__(reduction)
        self.ignore_index = whole(ignore_index, "ignore_index", -LARGEST)
        self.label_smoothing = number(label_smoothing, "label_smoothing", "[0, 1]")

    def forward(self, logits: Any, labels: Any) -> Tensor:
        """Return −log softmax(logits)[label], reduced."""
        return ops.cross_entropy(as_input(logits), labels, self.reduction, self.ignore_index, self.label_smoothing)

    def extra_repr(self) -> str:
        """Return the reduction, and what is otherwise than by default."""
        ignored = f", ignore_index={self.ignore_index}" if self.ignore_index != -100 else ""
        smoothed = f", label_smoothing={self.label_smoothing}" if self.label_smoothing else ""
        return super().extra_repr() + ignored + smoothed


class BCEWithLogitsLoss(Loss):
    """The binary cross-entropy of logits and targets in [0, 1] of one shape, as `ma.ops.bce_with_logits`.

    Examples
    --------
    >>> import minadder as ma
    >>> from minadder import nn
    >>> nn.BCEWithLogitsLoss()(ma.tensor([0.0]), [1.0])
    tensor(0.6931472)
    """

    def forward(self, logits: Any, targets: Operand) -> Tensor:
        """Return −t·log σ(z) − (1 − t)·log(1 − σ(z)), reduced."""
        return ops.bce_with_logits(as_input(logits), targets, self.reduction)


class MSELoss(Loss):
    """The squared error of outputs and targets of one shape, as `ma.ops.mse_loss`.

    Examples
    --------
    >>> import minadder as ma
    >>> from minadder import nn
    >>> nn.MSELoss()(ma.tensor([1.0, 2.0]), [1.0, 4.0])
    tensor(2.)
    """

    def forward(self, x: Any, target: Operand) -> Tensor:
        """Return (x − target)², reduced."""
        return ops.mse_loss(as_input(x), target, self.reduction)
