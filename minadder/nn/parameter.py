"""Parameter: a tensor that a module learns."""

from __future__ import annotations

from minadder.autograd import Array
from minadder.tensor import Tensor


class Parameter(Tensor):
    """A tensor that belongs to a module and that an optimiser changes.

    Parameters
    ----------
    array
        The first values, an array of float32 or float64.
    adder
        Whether this is the filter of an adder layer, whose learning rate the optimiser adapts
        (Chen et al. 2020, Eq. 13).

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import nn
    >>> nn.Parameter(np.zeros(2, np.float32))
    Parameter([0., 0.])
    """

    __slots__ = ("adder",)

    def __init__(self, array: Array, adder: bool = False) -> None:
        super().__init__(array, requires_grad=True)
        self.adder = adder

    def __repr__(self) -> str:
        text = super().__repr__().replace("tensor(", "Parameter(", 1).replace(", requires_grad=True", "")
        return text.replace("\n", "\n   ")  # rows line up behind the longer name
