"""The learning rates of adder filters, whose gradients are far smaller than those of convolutions.

Each rule is one factor on the raw gradient of an adder layer's filter. It belongs here and not in the backward pass:
gradients of several batches can then be added up, and the gradient stays the one that the layer's rule defines.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from minadder.autograd import Array
from minadder.checks import described, instance, number, shown
from minadder.kernels.optim.cpu import square_sum


class AdderLR(ABC):
    """A rule that scales the gradients of adder filters; one of your own is a frozen dataclass that inherits this."""

    @abstractmethod
    def scale(self, grad: Array) -> float:
        """Return the factor for the gradient of one layer's whole filter, of any shape."""


@dataclass(frozen=True)
class AdaptiveLR(AdderLR):
    """Give the gradient of each adder filter the same norm per entry: the factor η·√k / ‖Δ‖₂.

    Here Δ is the gradient of one layer's whole filter and k the number of its entries (Chen et al. 2020, Eqs. 12–13).
    The norm is taken as 1e-12 where it is smaller, so that a gradient of zeros stays one.

    Parameters
    ----------
    eta
        η, the root mean square that the entries of the scaled gradient get.

    Raises
    ------
    TypeError, ValueError
        When `eta` is no positive finite number.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import optim
    >>> grad = np.array([[3e-6, 4e-6]], np.float32)
    >>> scaled = grad * optim.AdaptiveLR(eta=0.5).scale(grad)
    >>> float(np.sqrt(np.mean(scaled**2)).round(6))
    0.5
    """

    eta: float = 0.2

    def __post_init__(self) -> None:
        object.__setattr__(self, "eta", number(self.eta, "eta", "(0, inf)"))  # the dataclass is frozen

    def scale(self, grad: Array) -> float:
        """Return η·√k / max(‖grad‖₂, 1e-12)."""
        if not isinstance(grad, np.ndarray) or grad.dtype.kind != "f":
            raise TypeError(f"grad must be an array of float32 or float64, not {described(grad)}")
        return float(self.eta * math.sqrt(grad.size) / max(l2_norm(grad), 1e-12))


@dataclass(frozen=True)
class IncreasedLR(AdderLR):
    """Multiply the gradients of adder filters by a constant, as the ablation of Chen et al. 2020, Sec. 4.5 does.

    Parameters
    ----------
    factor
        The constant. The paper says that 100 did best among 10, 50, 100, 200 and 500, with full-precision gradients.

    Raises
    ------
    TypeError, ValueError
        When `factor` is no positive finite number.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import optim
    >>> optim.IncreasedLR(50.0).scale(np.ones(3))
    50.0
    """

    factor: float = 100.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "factor", number(self.factor, "factor", "(0, inf)"))  # the dataclass is frozen

    def scale(self, grad: Array) -> float:
        """Return the constant, whatever the gradient."""
        return self.factor


def l2_norm(array: Array) -> float:
    """Return the Euclidean norm of all entries, its squares added in float64, where none of a float32 overflows."""
    squares = square_sum(array)
    if squares < math.inf or not np.isfinite(array).all():
        return math.sqrt(squares)
    largest = float(np.abs(array).max())  # a float64 beyond 1e154: its square is no float64
    return largest * float(np.linalg.norm(array.ravel() / largest))


def describe(rule: AdderLR | None) -> dict[str, Any] | None:
    """Return a rule as a dictionary that JSON can hold, such as {"name": "AdaptiveLR", "eta": 0.2}."""
    return None if rule is None else {"name": type(rule).__name__, **asdict(rule)}  # type: ignore[call-overload]


def from_description(description: Mapping[str, Any] | None) -> AdderLR | None:
    """Return the rule that `describe` described.

    Raises
    ------
    ValueError
        When there is no rule of that name, or it has other parameters.
    """
    if description is None:
        return None
    rules: dict[str, type[AdderLR]] = {rule.__name__: rule for rule in AdderLR.__subclasses__()}
    options = dict(instance(description, "adder_lr", Mapping, "a dictionary that describes a rule, or None"))
    name = options.pop("name", None)
    if not isinstance(name, str) or name not in rules:
        raise ValueError(f"adder_lr: there is no adder learning rate named {shown(name)}; there are {sorted(rules)}")
    try:
        return rules[name](**options)
    except TypeError:
        raise ValueError(f"{name} cannot be made with {options}") from None
