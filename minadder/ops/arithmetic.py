"""Arithmetic with NumPy's broadcasting: + − · / and powers."""

from __future__ import annotations

import numpy as np

from minadder.autograd import Array, Function
from minadder.kernels.sums import sum_over
from minadder.tensor import Operand, Tensor, as_tensor, method


def sum_to(grad: Array, shape: tuple[int, ...]) -> Array:
    """Add up a gradient over the axes along which an operand of this shape was broadcast."""
    if grad.shape == shape:
        return grad
    extra = grad.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(
        extra + axis for axis, size in enumerate(shape) if size == 1 and grad.shape[extra + axis] != 1
    )
    return sum_over(grad, axes).reshape(shape)


def masked(grad: Array, mask: Array) -> Array:
    """Return a gradient where the mask holds, else 0, where the gradient is infinite too: ∞·0 is NaN."""
    return np.where(mask, grad, grad.dtype.type(0))


def operands(x: Operand, y: Operand) -> tuple[Tensor, Tensor]:
    """Return both operands of a binary operation as tensors of one dtype; at least one must be a Tensor."""
    if isinstance(x, Tensor):
        return x, as_tensor(y, x)
    if isinstance(y, Tensor):
        return as_tensor(x, y), y
    raise TypeError(f"one operand must be a Tensor, not {type(x).__name__} and {type(y).__name__}: use ma.tensor(...)")


class Add(Function):
    """x + y."""

    def forward(self, x: Array, y: Array) -> Array:
        """Return x + y."""
        self.shapes = x.shape, y.shape
        return x + y

    def backward(self, grad: Array) -> tuple[Array, Array]:
        """Return G and G."""
        return sum_to(grad, self.shapes[0]), sum_to(grad, self.shapes[1])


class Subtract(Function):
    """x − y."""

    def forward(self, x: Array, y: Array) -> Array:
        """Return x − y."""
        self.shapes = x.shape, y.shape
        return x - y

    def backward(self, grad: Array) -> tuple[Array, Array]:
        """Return G and −G."""
        return sum_to(grad, self.shapes[0]), sum_to(-grad, self.shapes[1])


class Multiply(Function):
    """x · y."""

    def forward(self, x: Array, y: Array) -> Array:
        """Return x · y."""
        self.saved = x, y
        return x * y

    def backward(self, grad: Array) -> tuple[Array, Array]:
        """Return G·y and G·x."""
        x, y = self.saved
        return sum_to(grad * y, x.shape), sum_to(grad * x, y.shape)


class Divide(Function):
    """x / y."""

    def forward(self, x: Array, y: Array) -> Array:
        """Return x / y."""
        self.saved = x, y
        return x / y

    def backward(self, grad: Array) -> tuple[Array, Array]:
        """Return G / y and −G·x / y²."""
        x, y = self.saved
        return sum_to(grad / y, x.shape), sum_to(-grad * (x / y / y), y.shape)  # y² may leave the range of floats


class Power(Function):
    """x ** y."""

    def forward(self, x: Array, y: Array) -> Array:
        """Return x ** y."""
        # NumPy is fast for a number such as 2, slow for an array that holds one
        result = np.asarray(x ** float(y) if y.ndim == 0 else x**y)
        self.saved = x, y, result
        return result

    def backward(self, grad: Array) -> tuple[Array | None, Array | None]:
        """Return G·y·x^(y−1), which is 0 for y = 0, and G·x^y·ln x, which is 0 at x = 0 for y ≥ 0."""
        x, y, result = self.saved
        x_grad = y_grad = None
        if self.needs_input_grad[0]:
            zero = y == 0
            slope = (y * np.where(zero, 1, x) ** np.where(zero, 1, y - 1)).astype(x.dtype)
            x_grad = sum_to(masked(grad * slope, ~zero), x.shape)
        if self.needs_input_grad[1]:
            flat = (x == 0) & (y >= 0)
            y_grad = sum_to(masked(grad * (result * np.log(np.where(flat, 1, x))), ~flat), y.shape)
        return x_grad, y_grad


class Negative(Function):
    """−x."""

    def forward(self, x: Array) -> Array:
        """Return −x."""
        return -x

    def backward(self, grad: Array) -> Array:
        """Return −G."""
        return -grad


@method("__add__", "__radd__")
def add(x: Operand, y: Operand) -> Tensor:
    """Return x + y, broadcast."""
    return Add.apply(*operands(x, y))


@method("__sub__")
def subtract(x: Operand, y: Operand) -> Tensor:
    """Return x − y, broadcast."""
    return Subtract.apply(*operands(x, y))


@method("__mul__", "__rmul__")
def multiply(x: Operand, y: Operand) -> Tensor:
    """Return x · y entry by entry, broadcast."""
    return Multiply.apply(*operands(x, y))


@method("__truediv__")
def divide(x: Operand, y: Operand) -> Tensor:
    """Return x / y entry by entry, broadcast."""
    return Divide.apply(*operands(x, y))


@method("__pow__")
def power(x: Operand, y: Operand) -> Tensor:
    """Return x ** y entry by entry, broadcast. The gradient with respect to y needs x ≥ 0.

    Examples
    --------
    >>> import minadder as ma
    >>> x = ma.tensor([3.0], requires_grad=True)
    >>> (x**2).backward()
    >>> x.grad
    tensor([6.])
    """
    return Power.apply(*operands(x, y))


@method("__neg__")
def negative(x: Tensor) -> Tensor:
    """Return −x."""
    return Negative.apply(x)


@method("__rsub__")
def _subtract_from(y: Tensor, x: Operand) -> Tensor:
    return subtract(x, y)


@method("__rtruediv__")
def _divide_into(y: Tensor, x: Operand) -> Tensor:
    return divide(x, y)


@method("__rpow__")
def _power_of(y: Tensor, x: Operand) -> Tensor:
    return power(x, y)
