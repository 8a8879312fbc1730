"""Dropout: a share of the elements set to 0 at random, in training alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from minadder.checks import number
from minadder.nn.module import Module, as_input
from minadder.random import generator
from minadder.tensor import Tensor


class Dropout(Module):
    """Each element set to 0 with probability p, the others divided by 1 − p; in evaluation all as they are.

    Srivastava et al. 2014, scaled in training as in PyTorch. `ma.manual_seed` seeds what is drawn, one number for each
    element, whatever the number of threads; the gradient passes where the element did.

    Parameters
    ----------
    p
        The probability, from 0 to 1; with 1 everything is 0.

    Raises
    ------
    TypeError, ValueError
        For a p that is no number, or outside [0, 1].

    Examples
    --------
    >>> import minadder as ma
    >>> from minadder import nn
    >>> ma.manual_seed(0)
    >>> drop = nn.Dropout(0.5)
    >>> drop(ma.tensor([1.0, 2.0, 3.0, 4.0])).tolist()
    [2.0, 0.0, 0.0, 0.0]
    >>> drop.eval()(ma.tensor([1.0, 2.0])).tolist()
    [1.0, 2.0]
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = number(p, "p", "[0, 1]")

    def forward(self, x: Any) -> Tensor:
        """Return x times 0 or 1 / (1 − p) in training, x itself in evaluation."""
        x = as_input(x)
        if not self.training or self.p == 0:
            return x
        kept = generator().random(x.shape) >= self.p
        return x * np.multiply(kept, 0.0 if self.p == 1 else 1 / (1 - self.p), dtype=x.dtype)

    def extra_repr(self) -> str:
        """Return the probability."""
        return f"p={self.p}"
