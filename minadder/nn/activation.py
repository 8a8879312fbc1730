"""Activations as modules: ReLU, Hardtanh, Tanh, Sigmoid."""

from __future__ import annotations

from typing import Any

from minadder import ops
from minadder.nn.module import Module, as_input
from minadder.tensor import Tensor


class ReLU(Module):
    """max(x, 0) of each element.

    Examples
    --------
    >>> import minadder as ma
    >>> from minadder import nn
    >>> nn.ReLU()(ma.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    def forward(self, x: Any) -> Tensor:
        """Return max(x, 0)."""
        return as_input(x).relu()


class Hardtanh(Module):
    """Each element limited to [−1, 1], slope 0 at ±1: what stands before a binary layer, which needs both signs.

    Examples
    --------
    >>> import minadder as ma
    >>> from minadder import nn
    >>> nn.Hardtanh()(ma.tensor([-3.0, 0.5]))
    tensor([-1. ,  0.5])
    """

    def forward(self, x: Any) -> Tensor:
        """Return x limited to [−1, 1]."""
        return ops.hardtanh(as_input(x))


class Tanh(Module):
    """The hyperbolic tangent of each element.

    Examples
    --------
    >>> import minadder as ma
    >>> from minadder import nn
    >>> nn.Tanh()(ma.tensor([0.0]))
    tensor([0.])
    """

    def forward(self, x: Any) -> Tensor:
        """Return tanh x."""
        return as_input(x).tanh()


class Sigmoid(Module):
    """1 / (1 + e^−x) of each element.

    Examples
    --------
    >>> import minadder as ma
    >>> from minadder import nn
    >>> nn.Sigmoid()(ma.tensor([0.0]))
    tensor([0.5])
    """

    def forward(self, x: Any) -> Tensor:
        """Return 1 / (1 + e^−x)."""
        return as_input(x).sigmoid()
