"""Losses as modules: CrossEntropyLoss, BCEWithLogitsLoss."""

from __future__ import annotations

from typing import Any

from minadder import ops
from minadder.checks import choice
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

    Examples
    --------
    >>> import minadder as ma
    >>> from minadder import nn
    >>> nn.CrossEntropyLoss()(ma.tensor([[0.0, 0.0]]), [1])
    tensor(0.6931472)
    """

    def forward(self, logits: Any, labels: Any) -> Tensor:
        """Return −log softmax(logits)[label], reduced."""
        return ops.cross_entropy(as_input(logits), labels, self.reduction)


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
