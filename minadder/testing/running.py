"""Running a function of tensors on arrays, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minadder.autograd import Array, Function
from minadder.tensor import Tensor


class Result(NamedTuple):
    """The output of a function and the gradients of its inputs; None for an input of which none was asked."""

    output: Array
    gradients: list[Any]


class HandOver(Function):
    """The identity, which hands back a gradient of one's choice: that array itself, however it lies in memory."""

    def forward(self, y: Array, upstream: Array) -> Array:
        """Return y itself."""
        self.upstream = upstream
        return y

    def backward(self, grad: Array) -> Array:
        """Return the chosen gradient."""
        return self.upstream


def forward(
    function: Callable[..., Any],
    arrays: Sequence[Array],
    options: Mapping[str, Any],
    needed: Sequence[bool] | None = None,
) -> tuple[list[Tensor], Tensor]:
    """Run a function of tensors on arrays, which are wrapped and not copied; return its inputs and its output."""
    wanted = (True,) * len(arrays) if needed is None else needed
    tensors = [Tensor(array, requires_grad=need) for array, need in zip(arrays, wanted, strict=True)]
    return tensors, function(*tensors, **options)


def run(
    function: Callable[..., Any],
    arrays: Sequence[Array],
    options: Mapping[str, Any],
    upstream: Array,
    needed: Sequence[bool] | None = None,
) -> Result:
    """Run a function of tensors on arrays, which are wrapped and not copied, and go backward from `upstream`.

    Parameters
    ----------
    function
        From tensors and options to a tensor.
    arrays, options
        What it is called with.
    upstream
        The gradient with respect to its output, whose shape it has; it is cast to the output's dtype where it has
        another one. Else the function's backward gets this very array.
    needed
        Of which inputs a gradient is asked; None: of all.

    Returns
    -------
    The output, and the gradients in the order of the inputs: 0 where the function does not use an input.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import ops, testing
    >>> testing.run(ops.multiply, [np.array([2.0]), np.array([5.0])], {}, np.ones(1))
    Result(output=array([10.]), gradients=[array([5.]), array([2.])])
    """
    tensors, output = forward(function, arrays, options, needed)
    return Result(output.numpy(), go_back(tensors, output, upstream))


def go_back(tensors: Sequence[Tensor], output: Tensor, upstream: Array) -> list[Any]:
    """Go backward from an output with `upstream` as its gradient, that very array, and return the inputs' gradients."""
    handed = HandOver.apply(output, upstream=upstream.astype(output.dtype, copy=False))
    handed.backward(np.zeros(output.shape, output.dtype))
    return [gradient(tensor) for tensor in tensors]


def gradient(tensor: Tensor) -> Array | None:
    """Return a tensor's gradient: 0 where none has reached it, None where none was asked for."""
    if tensor.grad is not None:
        return tensor.grad.numpy()
    return np.zeros_like(tensor.numpy()) if tensor.requires_grad else None
