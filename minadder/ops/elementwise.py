"""Functions of each element: exp, log, sqrt, abs, relu, tanh, sigmoid, hardtanh, clip, maximum, minimum, where, …"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from minadder.arrays import float_dtype, plain
from minadder.autograd import Array, Function
from minadder.kernels.elementwise import cpu as kernels
from minadder.ops.arithmetic import masked, operands, sum_to
from minadder.tensor import Operand, Tensor, check_tensors, method


class Exp(Function):
    """e^x."""

    def forward(self, x: Array) -> Array:
        """Return e^x."""
        y = np.exp(x)
        self.saved = (y,)
        return y

    def backward(self, grad: Array) -> Array:
        """Return G·y."""
        (y,) = self.saved
        return grad * y


class Log(Function):
    """The natural logarithm."""

    def forward(self, x: Array) -> Array:
        """Return ln x."""
        self.saved = (x,)
        return np.log(x)

    def backward(self, grad: Array) -> Array:
        """Return G / x."""
        (x,) = self.saved
        return grad / x


class Sqrt(Function):
    """The square root."""

    def forward(self, x: Array) -> Array:
        """Return √x."""
        y = np.sqrt(x)
        self.saved = (y,)
        return y

    def backward(self, grad: Array) -> Array:
        """Return G / (2y)."""
        (y,) = self.saved
        return grad / (2 * y)


class Abs(Function):
    """The absolute value; its slope at 0 is taken as 0."""

    def forward(self, x: Array) -> Array:
        """Return |x|."""
        self.saved = (x,)
        return np.abs(x)

    def backward(self, grad: Array) -> Array:
        """Return G·sgn(x)."""
        (x,) = self.saved
        return grad * np.sign(x)


class ReLU(Function):
    """max(x, 0); its slope at 0 is taken as 0."""

    def forward(self, x: Array) -> Array:
        """Return max(x, 0); NaN stays NaN."""
        y = kernels.relu_forward(x)
        self.saved = (y,)
        return y

    def backward(self, grad: Array) -> Array:
        """Return G, but 0 where y is 0."""
        (y,) = self.saved
        return kernels.relu_backward(grad, y)


class Tanh(Function):
    """The hyperbolic tangent."""

    def forward(self, x: Array) -> Array:
        """Return tanh x."""
        y = np.tanh(x)
        self.saved = (y,)
        return y

    def backward(self, grad: Array) -> Array:
        """Return G·(1 − y²)."""
        (y,) = self.saved
        return grad * (1 - y * y)


class Sigmoid(Function):
    """1 / (1 + e^−x)."""

    def forward(self, x: Array) -> Array:
        """Return 1 / (1 + e^−x), without overflow for any x."""
        small = np.exp(-np.abs(x))
        y = np.where(x >= 0, 1, small) / (1 + small)
        self.saved = (y,)
        return y

    def backward(self, grad: Array) -> Array:
        """Return G·y·(1 − y)."""
        (y,) = self.saved
        return grad * y * (1 - y)


class Clip(Function):
    """Values limited to [low, high]; exactly on a limit counts as inside."""

    def forward(self, x: Array, low: Array | None, high: Array | None) -> Array:
        """Return x limited to [low, high], numbers of its dtype; None is no limit."""
        self.saved = (x,)
        self.limits = low, high
        return x.copy() if low is high is None else np.asarray(np.clip(x, low, high))

    def backward(self, grad: Array) -> Array:
        """Return G inside the limits, else 0, as where x is NaN."""
        (x,) = self.saved
        low, high = self.limits
        above = np.True_ if low is None else x >= low
        below = np.True_ if high is None else x <= high
        return masked(grad, above & below)


class Hardtanh(Function):
    """Values limited to [−1, 1]; exactly on a limit counts as outside, as in PyTorch."""

    def forward(self, x: Array) -> Array:
        """Return x limited to [−1, 1]."""
        self.saved = (x,)
        return np.asarray(np.clip(x, x.dtype.type(-1), x.dtype.type(1)))

    def backward(self, grad: Array) -> Array:
        """Return G where −1 < x < 1, else 0, as where x is NaN."""
        (x,) = self.saved
        return masked(grad, np.abs(x) < 1)


class Maximum(Function):
    """The larger of x and y; where they are equal each gets half of the gradient."""

    def forward(self, x: Array, y: Array) -> Array:
        """Return max(x, y), NaN where one is NaN."""
        self.saved = x, y
        return np.maximum(x, y)

    def backward(self, grad: Array) -> tuple[Array, Array]:
        """Return G for the larger one, G / 2 for both at a tie, G for both where one is NaN."""
        x, y = self.saved
        shared = np.where(x == y, grad * grad.dtype.type(0.5), grad)
        return sum_to(masked(shared, ~(x < y)), x.shape), sum_to(masked(shared, ~(y < x)), y.shape)


class Where(Function):
    """x where the condition holds, else y."""

    def forward(self, x: Array, y: Array, condition: Array) -> Array:
        """Return x where the condition holds, else y."""
        self.condition, self.shapes = condition, (x.shape, y.shape)
        return np.where(condition, x, y)

    def backward(self, grad: Array) -> tuple[Array, Array]:
        """Return G where the condition holds, and G where not."""
        chosen, other = masked(grad, self.condition), masked(grad, ~self.condition)
        return sum_to(chosen, self.shapes[0]), sum_to(other, self.shapes[1])


class AsType(Function):
    """The same values as float32 or float64."""

    def forward(self, x: Array, dtype: npt.DTypeLike) -> Array:
        """Return a copy of x in another precision."""
        self.source = x.dtype
        return x.astype(dtype)

    def backward(self, grad: Array) -> Array:
        """Return G in the precision of x."""
        return grad.astype(self.source)


@method("exp")
def exp(x: Tensor) -> Tensor:
    """Return e^x."""
    return Exp.apply(x)


@method("log")
def log(x: Tensor) -> Tensor:
    """Return the natural logarithm; NaN with NumPy's warning below 0."""
    return Log.apply(x)


@method("sqrt")
def sqrt(x: Tensor) -> Tensor:
    """Return the square root; its slope at 0 is infinite."""
    return Sqrt.apply(x)


@method("abs", "__abs__")
def absolute(x: Tensor) -> Tensor:
    """Return |x|; the slope at 0 is taken as 0."""
    return Abs.apply(x)


@method("relu")
def relu(x: Tensor) -> Tensor:
    """Return max(x, 0); the slope at 0 is taken as 0."""
    return ReLU.apply(x)


@method("tanh")
def tanh(x: Tensor) -> Tensor:
    """Return the hyperbolic tangent."""
    return Tanh.apply(x)


@method("sigmoid")
def sigmoid(x: Tensor) -> Tensor:
    """Return 1 / (1 + e^−x), without overflow for any x."""
    return Sigmoid.apply(x)


@method("clip")
def clip(x: Tensor, low: float | None = None, high: float | None = None) -> Tensor:
    """Return x limited to [low, high]; the slope is 1 inside and exactly on a limit, 0 outside.

    Parameters
    ----------
    x
        A tensor of any shape.
    low, high
        Numbers, or None for no limit.

    Raises
    ------
    TypeError
        For a limit that is no number; `maximum` and `minimum` take tensors.
    ValueError
        When low is above high, or one is NaN.
    """
    check_tensors("clip", x=x)
    limits = [None if limit is None else as_limit(limit, x) for limit in (low, high)]
    if low is not None and high is not None and low > high:
        raise ValueError(f"clip needs low <= high, not low={low} and high={high}")
    return Clip.apply(x, low=limits[0], high=limits[1])


def as_limit(limit: float, x: Tensor) -> Any:
    """Return a limit of `clip` as a number of the dtype of x."""
    if isinstance(limit, (bool, np.bool_)) or not isinstance(limit, (int, float, np.integer, np.floating)):
        raise TypeError(f"clip: a limit is a number or None, not {limit!r}; use maximum or minimum for tensors")
    if limit != limit:
        raise ValueError("clip: a limit is NaN")
    with np.errstate(over="ignore"):
        return x.dtype.type(limit if abs(limit) <= sys.float_info.max else math.inf if limit > 0 else -math.inf)


def hardtanh(x: Tensor) -> Tensor:
    """Return x limited to [−1, 1]; the slope is 1 between, 0 outside and exactly on a limit, as in PyTorch.

    Examples
    --------
    >>> import minadder as ma
    >>> ma.ops.hardtanh(ma.tensor([-3.0, 0.5]))
    tensor([-1. ,  0.5])
    """
    return Hardtanh.apply(x)


@method("maximum")
def maximum(x: Operand, y: Operand) -> Tensor:
    """Return the larger of x and y, broadcast; at a tie each gets half of the gradient."""
    return Maximum.apply(*operands(x, y))


@method("minimum")
def minimum(x: Operand, y: Operand) -> Tensor:
    """Return the smaller of x and y, broadcast; at a tie each gets half of the gradient."""
    one, other = operands(x, y)
    return -maximum(-one, -other)


def where(condition: Array, x: Operand, y: Operand) -> Tensor:
    """Return x where the condition (an array of bool, as `a > b` gives) holds, else y; all broadcast.

    Examples
    --------
    >>> import minadder as ma
    >>> x = ma.tensor([-1.0, 2.0])
    >>> ma.ops.where(x > 0, x, 0.0)
    tensor([0., 2.])
    """
    chosen = np.array(plain(condition, "the condition") if isinstance(condition, np.ndarray) else condition)
    if chosen.dtype != bool:
        raise TypeError(f"the condition must be an array of bool, not of {chosen.dtype}")
    return Where.apply(*operands(x, y), condition=chosen)


@method("astype")
def astype(x: Tensor, dtype: npt.DTypeLike) -> Tensor:
    """Return the same values as "float32" or "float64"; the gradient comes back in the precision of x."""
    check_tensors("astype", x=x)
    return AsType.apply(x, dtype=float_dtype(dtype, "astype"))
