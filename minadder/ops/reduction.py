"""Reductions over axes: sum, mean, max, min, var, std."""

from __future__ import annotations

import operator

import numpy as np

from minadder.autograd import Array, Function
from minadder.checks import LARGEST, flag, whole
from minadder.kernels.sums import sum_over
from minadder.ops.arithmetic import masked
from minadder.tensor import Tensor, check_tensors, method
from minadder.words import takes_dim

Axis = int | tuple[int, ...] | None


def axes_of(axis: Axis, ndim: int) -> tuple[int, ...]:
    """Return the axes of a reduction as sorted non-negative numbers; None stands for all."""
    if axis is None:
        return tuple(range(ndim))
    try:
        chosen = tuple(operator.index(number) for number in (axis if isinstance(axis, (tuple, list)) else (axis,)))
    except TypeError:
        raise TypeError(f"axis must be an int, a tuple of ints or None, not {axis!r}") from None
    for number in chosen:
        if not -ndim <= number < ndim:
            raise ValueError(f"axis {number} is out of range for a tensor of {ndim} axes")
    axes = tuple(sorted(number % ndim for number in chosen))
    if len(set(axes)) != len(axes):
        raise ValueError(f"axis {axis} names an axis twice")
    return axes


def kept(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape with the reduced axes kept as size 1."""
    return tuple(1 if axis in axes else size for axis, size in enumerate(shape))


def count(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    """Return how many elements make one element of the result."""
    return int(np.prod([shape[axis] for axis in axes], dtype=int))


class Sum(Function):
    """The sum over axes."""

    def forward(self, x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
        """Return Σ x."""
        self.shape, self.axes = x.shape, axes
        return sum_over(x, axes, keepdims)

    def backward(self, grad: Array) -> Array:
        """Return G for every summand."""
        return np.broadcast_to(grad.reshape(kept(self.shape, self.axes)), self.shape)


class Max(Function):
    """The maximum over axes; elements that tie for it share the gradient evenly."""

    def forward(self, x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
        """Return max x."""
        self.axes = axes
        y = x.max(axis=axes, keepdims=True)
        self.saved = x, y
        return y if keepdims else np.squeeze(y, axes)

    def backward(self, grad: Array) -> Array:
        """Return G, shared among the largest elements."""
        x, y = self.saved
        largest = (x == y) | np.isnan(x)
        share = largest / largest.sum(axis=self.axes, keepdims=True)
        return masked(grad.reshape(y.shape) * share.astype(grad.dtype), largest)


class Var(Function):
    """The variance over axes, divided by the count less a correction."""

    def forward(self, x: Array, axes: tuple[int, ...], correction: int, keepdims: bool) -> Array:
        """Return Σ (x − mean)² / (n − correction)."""
        self.axes, self.divisor = axes, count(x.shape, axes) - correction
        highest, lowest = x.max(axis=axes, keepdims=True), x.min(axis=axes, keepdims=True)
        mean = x.mean(axis=axes, keepdims=True, dtype=np.float64).astype(x.dtype)
        centred = x - np.where(highest == lowest, highest, mean)  # a mean of equal values may round
        self.saved = (centred,)
        return np.asarray(sum_over(centred * centred, axes, keepdims) / x.dtype.type(self.divisor))

    def backward(self, grad: Array) -> Array:
        """Return G·2·(x − mean) / (n − correction); the path through the mean adds up to 0."""
        (centred,) = self.saved
        return grad.reshape(kept(centred.shape, self.axes)) * centred * grad.dtype.type(2 / self.divisor)


class Deviation(Function):
    """The square root of a variance; its slope at 0 is taken as 0."""

    def forward(self, variance: Array) -> Array:
        """Return the square root."""
        y = np.sqrt(variance)
        self.saved = (y,)
        return y

    def backward(self, grad: Array) -> Array:
        """Return G / (2y), but 0 where y is 0: all values are equal there, and the variance has no slope."""
        (y,) = self.saved
        constant = y == 0
        return masked(grad / (2 * np.where(constant, 1, y)).astype(grad.dtype), ~constant)


@method("sum")
@takes_dim
def sum(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the sum over an axis, several axes, or all (None); over nothing it is 0."""
    check_tensors("sum", x=x)
    return Sum.apply(x, axes=axes_of(axis, x.ndim), keepdims=flag(keepdims, "keepdims"))


@method("mean")
@takes_dim
def mean(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the mean over an axis, several axes, or all (None).

    Raises
    ------
    ValueError
        When there is nothing to take the mean of.
    """
    check_tensors("mean", x=x)
    axes = axes_of(axis, x.ndim)
    return sum(x, axes, keepdims) / some(x, axes, "mean")


@method("max")
@takes_dim
def max(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the maximum over an axis, several axes, or all (None); ties share the gradient evenly."""
    check_tensors("max", x=x)
    axes = axes_of(axis, x.ndim)
    some(x, axes, "max")
    return Max.apply(x, axes=axes, keepdims=flag(keepdims, "keepdims"))


@method("min")
@takes_dim
def min(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the minimum over an axis, several axes, or all (None); ties share the gradient evenly."""
    check_tensors("min", x=x)
    return -max(-x, axis, keepdims)


@method("var")
@takes_dim
def var(x: Tensor, axis: Axis = None, correction: int = 1, keepdims: bool = False) -> Tensor:
    """Return the variance Σ (x − mean)² / (n − correction) over an axis, several axes, or all (None).

    The correction 1 (the default, as in PyTorch) gives the unbiased estimate, 0 the variance of the values themselves.

    Raises
    ------
    ValueError
        When n does not exceed the correction.
    """
    check_tensors("var", x=x)
    axes = axes_of(axis, x.ndim)
    correction = whole(correction, "correction", -LARGEST)
    if count(x.shape, axes) <= correction:
        raise ValueError(
            f"var over axis {axis} of shape {x.shape} has {count(x.shape, axes)} value(s), which must exceed the "
            f"correction (={correction}): pass correction=0 or use more values"
        )
    return Var.apply(x, axes=axes, correction=correction, keepdims=flag(keepdims, "keepdims"))


@method("std")
@takes_dim
def std(x: Tensor, axis: Axis = None, correction: int = 1, keepdims: bool = False) -> Tensor:
    """Return the standard deviation, the square root of `var`; its slope is taken as 0 where all values are equal."""
    return Deviation.apply(var(x, axis, correction, keepdims))


def some(x: Tensor, axes: tuple[int, ...], what: str) -> int:
    """Return how many elements make one element of the result; ValueError when none."""
    number = count(x.shape, axes)
    if number == 0:
        raise ValueError(f"{what} over no elements: the tensor has shape {x.shape}")
    return number
