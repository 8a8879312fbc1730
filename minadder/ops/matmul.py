"""Matrix products, by NumPy's BLAS on one thread: matmul with its broadcasting, and the linear layer's x·Wᵀ + b."""

from __future__ import annotations

from minadder import blas
from minadder.autograd import Array, Function
from minadder.ops.arithmetic import operands, sum_to
from minadder.tensor import Operand, Tensor, check_tensors, method


class MatMul(Function):
    """The matrix product of stacks of matrices (..., n, k) and (..., k, m)."""

    def forward(self, x: Array, y: Array) -> Array:
        """Return x @ y."""
        self.saved = x, y
        return blas.product(x, y)

    def backward(self, grad: Array) -> tuple[Array | None, Array | None]:
        """Return G·yᵀ and xᵀ·G."""
        x, y = self.saved
        x_grad = y_grad = None
        if self.needs_input_grad[0]:
            x_grad = sum_to(blas.product(grad, y.swapaxes(-1, -2)), x.shape)
        if self.needs_input_grad[1]:
            y_grad = sum_to(blas.product(x.swapaxes(-1, -2), grad), y.shape)
        return x_grad, y_grad


@method("__matmul__")
def matmul(x: Operand, y: Operand) -> Tensor:
    """Return the matrix product x @ y, as NumPy's: stacks of matrices broadcast, vectors are a row or a column.

    Raises
    ------
    ValueError
        When the inner sizes differ, or an operand has no axis.

    Examples
    --------
    >>> import minadder as ma
    >>> ma.tensor([[1.0, 2.0]]) @ ma.tensor([3.0, 4.0])
    tensor([11.])
    """
    one, other = operands(x, y)
    if one.ndim == 0 or other.ndim == 0:
        raise ValueError(f"matmul needs operands with axes; the shapes are {one.shape} and {other.shape}")
    left = one.unsqueeze(0) if one.ndim == 1 else one
    right = other.unsqueeze(1) if other.ndim == 1 else other
    if left.shape[-1] != right.shape[-2]:
        raise ValueError(
            f"matmul needs equal inner sizes: shapes {one.shape} and {other.shape} give {left.shape[-1]} and "
            f"{right.shape[-2]}"
        )
    product = MatMul.apply(left, right)
    if one.ndim == 1:
        product = product.squeeze(-2)
    return product.squeeze(-1) if other.ndim == 1 else product


@method("__rmatmul__")
def _matmul_from(y: Tensor, x: Operand) -> Tensor:
    return matmul(x, y)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x·Wᵀ + b for x (..., in), weight (out, in), bias (out,)."""
    check_tensors("linear", x=x, weight=weight, **({} if bias is None else {"bias": bias}))
    if weight.ndim != 2:
        raise ValueError(f"the weight must have the axes (out, in); its shape is {weight.shape}")
    if x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"the input's last axis must have size {weight.shape[1]}, as the weight of shape {weight.shape} has; "
            f"the input's shape is {x.shape}"
        )
    product = matmul(x, weight.T)
    return product if bias is None else product + bias
