"""Binarisation for the BNN baseline: the sign in the forward pass, a straight-through gradient in the backward pass."""

from __future__ import annotations

import numpy as np

from minadder.autograd import Array, Function
from minadder.tensor import Tensor


class Binarize(Function):
    """+1 or −1 by sign, with the gradient of the identity clipped to [−1, 1]."""

    def forward(self, x: Array) -> Array:
        """Return +1 where x ≥ 0, −1 where x < 0; NaN stays NaN."""
        self.saved = (x,)
        signs = np.where(x >= 0, 1, -1).astype(x.dtype)
        return np.where(np.isnan(x), x, signs)

    def backward(self, grad: Array) -> Array:
        """Return G where |x| ≤ 1, else 0 (the straight-through estimator)."""
        (x,) = self.saved
        return grad * (np.abs(x) <= 1)


def binarize(x: Tensor) -> Tensor:
    """Return +1 where x ≥ 0 and −1 elsewhere; the gradient passes straight through where |x| ≤ 1.

    Examples
    --------
    >>> import minadder as ma
    >>> ma.ops.binarize(ma.tensor([-0.5, 0.0, 2.0]))
    tensor([-1.,  1.,  1.])
    """
    return Binarize.apply(x)
