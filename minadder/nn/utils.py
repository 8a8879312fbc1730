"""What is done to parameters between `backward` and the optimiser's step: clip_grad_norm_."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from minadder.autograd import Array
from minadder.checks import flag, number
from minadder.kernels.optim import cpu as kernels
from minadder.optim.groups import in_order
from minadder.tensor import Tensor, check_tensors


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale the gradients of all parameters in place, by one factor, so that their norm is at most `max_norm`.

    The factor is min(1, max_norm / (norm + 1e-6)), as in PyTorch (Pascanu et al. 2013, Algorithm 1).

    Parameters
    ----------
    parameters
        The parameters, such as `net.parameters()`, or one; those without a gradient are passed over.
    max_norm
        The largest norm, at least 0.
    norm_type
        The p of the norm, above 0; `math.inf` for the largest absolute value.
    error_if_nonfinite
        Whether a norm of NaN or infinity is an error; else the gradients become NaN, or 0 and NaN.

    Returns
    -------
    Tensor
        The norm of all gradients, as if they were one row, before they were scaled; 0 without any.

    Raises
    ------
    RuntimeError
        For a norm of NaN or infinity with `error_if_nonfinite`; no gradient is changed then.
    TypeError, ValueError
        For what are no tensors, or a number outside the ranges above.

    Examples
    --------
    >>> import minadder as ma
    >>> from minadder import nn
    >>> w = ma.tensor([3.0, 4.0], requires_grad=True)
    >>> (w * w / 2).sum().backward()
    >>> nn.utils.clip_grad_norm_([w], max_norm=1.0)
    tensor(5.)
    >>> w.grad.numpy().round(3)
    array([0.6, 0.8], dtype=float32)
    """
    listed = [parameters] if isinstance(parameters, Tensor) else in_order(parameters, "parameters", "Parameters")
    for parameter in listed:
        check_tensors("clip_grad_norm_", **{"each parameter": parameter})
    largest = number(max_norm, "max_norm", "[0, inf]")
    power = number(norm_type, "norm_type", "(0, inf]")
    strict = flag(error_if_nonfinite, "error_if_nonfinite")
    gradients = [parameter.grad for parameter in listed if parameter.grad is not None]
    with np.errstate(all="ignore"):
        total = norm([gradient._array for gradient in gradients], power)
        if strict and not math.isfinite(total):
            raise RuntimeError(
                f"the gradients' norm is {total}: look for the first layer that gives NaN or Inf, or pass "
                f"error_if_nonfinite=False to scale by it anyhow"
            )
        factor = largest / (total + 1e-6)
        for gradient in gradients:
            if not factor >= 1:
                gradient._change(lambda target: np.multiply(target, target.dtype.type(factor), out=target))
        dtype = gradients[0].dtype if gradients else np.dtype(np.float32)
        return Tensor(np.array(total, dtype))


def norm(arrays: list[Array], power: float) -> float:
    """Return the norm of all numbers in some arrays, added up in float64."""
    if power == math.inf:
        return float(np.max([np.abs(array).max() for array in arrays if array.size], initial=0.0))
    if power == 2:
        return math.sqrt(sum(kernels.square_sum(array) for array in arrays))
    return float(np.sum([np.sum(np.abs(array.astype(np.float64)) ** power) for array in arrays]) ** (1 / power))
