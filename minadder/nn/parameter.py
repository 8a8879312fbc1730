"""Parameter: a tensor that a module learns."""

from __future__ import annotations

import numpy as np

from minadder.autograd import Array
from minadder.checks import flag
from minadder.tensor import Tensor, check_keeps_gradient, raw


class Parameter(Tensor):
    """A tensor that belongs to a module and that an optimiser changes.

    Parameters
    ----------
    array
        The first values, an array of float32 or float64, which is wrapped, so that an optimiser changes it; or a
        tensor, which is copied.
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

    def __init__(self, array: Array | Tensor, adder: bool = False) -> None:
        check_keeps_gradient(array, "Parameter(tensor) would lose the tensor's gradient: use detach()")
        super().__init__(np.array(raw(array)) if isinstance(array, Tensor) else array, requires_grad=True)
        self.adder = flag(adder, "adder")

    def __repr__(self) -> str:
        text = super().__repr__().replace("tensor(", "Parameter(", 1).replace(", requires_grad=True", "")
        return text.replace("\n", "\n   ")  # rows line up behind the longer name
