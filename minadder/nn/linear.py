"""Fully-connected layers: Linear, AdderLinear, BinaryLinear."""

from __future__ import annotations

from typing import Any

from minadder import ops
from minadder.checks import flag, whole
from minadder.nn import init
from minadder.nn.adder import AdderLayer
from minadder.nn.module import Module, as_input
from minadder.nn.parameter import Parameter
from minadder.tensor import Tensor


class FullyConnected(Module):
    """What the three layers share: the sizes, checked.

    Parameters
    ----------
    in_features, out_features
        The sizes of the last axis of the input and of the output.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.in_features = whole(in_features, "in_features", 1)
        self.out_features = whole(out_features, "out_features", 1)

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"{self.in_features}, {self.out_features}"


class Linear(FullyConnected):
    """Y = X·Wᵀ + b.

    Parameters
    ----------
    in_features, out_features
        The sizes of the last axis of the input and of the output.
    bias
        Whether to add a learnt bias.

    Attributes
    ----------
    weight
        (out_features, in_features), from U(−1/√in_features, 1/√in_features) at the start.
    bias
        (out_features,), likewise, or None.

    Examples
    --------
    >>> import minadder as ma
    >>> from minadder import nn
    >>> nn.Linear(2, 3)(ma.tensor([[1.0, -2.0]])).shape
    (1, 3)
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__(in_features, out_features)
        biased = flag(bias, "bias")
        self.weight = Parameter(init.kaiming_uniform((self.out_features, self.in_features), self.in_features))
        self.bias = Parameter(init.kaiming_uniform((self.out_features,), self.in_features)) if biased else None

    def forward(self, x: Any) -> Tensor:
        """Return X·Wᵀ + b for x (..., in_features)."""
        return ops.linear(as_input(x), self.weight, self.bias)

    def extra_repr(self) -> str:
        """Return the sizes."""
        return super().extra_repr() + f", bias={self.bias is not None}"


class AdderLinear(FullyConnected, AdderLayer):
    """Y = −Σ |X − F|^p: a fully-connected layer that measures distance (Chen et al. 2020, Eq. 2 with d = 1).

    Its output is never above 0, so that batch normalisation must follow.

    Parameters
    ----------
    in_features, out_features
        The sizes of the last axis of the input and of the output.
    p, weight_grad, input_grad
        The exponent and the gradient rules, as in `ma.ops.adder2d`. `set_p` changes a p that was not 1.

    Attributes
    ----------
    weight
        The filters F (out_features, in_features), from N(0, 1) at the start.

    Examples
    --------
    >>> import minadder as ma
    >>> from minadder import nn
    >>> nn.AdderLinear(2, 3)(ma.tensor([[1.0, -2.0]])).shape
    (1, 3)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        p: float = 1.0,
        weight_grad: str = "full_precision",
        input_grad: str | None = None,
    ) -> None:
        super().__init__(in_features, out_features)
        self._keep_rules(p, weight_grad, input_grad)
        self.weight = Parameter(init.normal((self.out_features, self.in_features)), adder=True)

    def forward(self, x: Any) -> Tensor:
        """Return −Σ |X − F|^p for x (..., in_features)."""
        return ops.adder_linear(as_input(x), self.weight, **self.rules())

    def extra_repr(self) -> str:
        """Return the sizes, the exponent and the gradient rules."""
        return super().extra_repr() + self.rules_repr()


class BinaryLinear(FullyConnected):
    """Y = α·(sign(X)·sign(W)ᵀ) with α = mean |W| for each output (XNOR-Net), the baseline of the papers' tables.

    The weights are kept in full precision and learn as those of `BinaryConv2d` do.

    Parameters
    ----------
    in_features, out_features
        The sizes of the last axis of the input and of the output.

    Attributes
    ----------
    weight
        (out_features, in_features), from U(−1/√in_features, 1/√in_features) at the start.

    Examples
    --------
    >>> import minadder as ma
    >>> from minadder import nn
    >>> nn.BinaryLinear(2, 3)(ma.tensor([[1.0, -2.0]])).shape
    (1, 3)
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        self.weight = Parameter(init.kaiming_uniform((self.out_features, self.in_features), self.in_features))

    def forward(self, x: Any) -> Tensor:
        """Return α·(sign(X)·sign(W)ᵀ) for x (..., in_features)."""
        return ops.binary_linear(as_input(x), self.weight, self.weight.abs().mean(axis=1))
