"""Batch normalisation: each channel brought to mean 0 and variance 1, then scaled by γ and shifted by β."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minadder.arrays import plain
from minadder.autograd import Array, Function
from minadder.checks import flag, number
from minadder.kernels.batchnorm import cpu as kernels
from minadder.tensor import Tensor, check_tensors


def by_channel(x: Array) -> Array:
    """Return x (N, C) or (N, C, ...) as (N, C, L)."""
    return x.reshape(x.shape[0], x.shape[1], -1 if x.size else 0)


class BatchNormTrain(Function):
    """Batch normalisation by the statistics of the batch, with or without a ReLU behind it."""

    def forward(self, x: Array, gamma: Array, beta: Array, eps: float, relu: bool, statistics: list[Array]) -> Array:
        """Return γ·(x − μ) / √(σ² + ε) + β (Chen et al. 2020, Eq. 10, with ε); μ and σ² are put into `statistics`."""
        y, mean, var = kernels.forward_train(by_channel(x), gamma, beta, eps, relu)
        y = y.reshape(x.shape)
        statistics += [mean.copy(), var.copy()]  # the caller's own
        self.saved = (x, gamma, y) if relu else (x, gamma)
        self.statistics = mean, var
        self.eps = eps
        return y

    def backward(self, grad: Array) -> tuple[Array, Array, Array]:
        """Return the gradients with respect to x, γ and β; x acts through μ and σ² too.

        Chen et al. 2020, Eq. 11 (Universal AdderNets, Eq. 25; preprint 31) is meant to be that of x. As printed it is
        not: it has 1/m² for 1/m, xᵢ − xⱼ for xᵢ − μ and, inside the brackets, σ for σ².
        """
        return gradients(kernels.backward_train, grad, self.saved, self.statistics, self.eps)


class BatchNormEval(Function):
    """Batch normalisation by fixed statistics, with or without a ReLU behind it."""

    def forward(self, x: Array, gamma: Array, beta: Array, mean: Array, var: Array, eps: float, relu: bool) -> Array:
        """Return γ·(x − mean) / √(var + ε) + β."""
        y = kernels.forward_eval(by_channel(x), gamma, beta, mean, var, eps, relu).reshape(x.shape)
        self.saved = (x, gamma, y) if relu else (x, gamma)
        self.statistics = mean.copy(), var.copy()  # the layer's running statistics change later
        self.eps = eps
        return y

    def backward(self, grad: Array) -> tuple[Array, Array, Array]:
        """Return the gradients with respect to x, γ and β."""
        return gradients(kernels.backward_eval, grad, self.saved, self.statistics, self.eps)


def gradients(
    backward: Callable[..., tuple[Array, Array, Array]],
    grad: Array,
    saved: tuple[Array, ...],
    statistics: tuple[Array, Array],
    eps: float,
) -> tuple[Array, Array, Array]:
    """Return the gradients with respect to x, γ and β, from what the forward pass saved: x, γ and behind a ReLU y."""
    x, gamma = saved[:2]
    y = by_channel(saved[2]) if len(saved) > 2 else None
    x_grad, gamma_grad, beta_grad = backward(by_channel(grad), by_channel(x), y, gamma, *statistics, eps)
    return x_grad.reshape(x.shape), gamma_grad, beta_grad


def check(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> None:
    """Raise ValueError or TypeError unless x (N, C, ...) and the parameters (C,) fit together."""
    if x.ndim < 2:
        raise ValueError(f"the input must have the axes (batch, channels, ...); its shape is {x.shape}")
    if gamma.shape != (x.shape[1],) or beta.shape != (x.shape[1],):
        raise ValueError(
            f"the input of shape {x.shape} has {x.shape[1]} channels, but weight and bias have shapes {gamma.shape} "
            f"and {beta.shape}"
        )
    if not x.dtype == gamma.dtype == beta.dtype:
        raise TypeError(f"the input is {x.dtype}, weight and bias are {gamma.dtype} and {beta.dtype}: use .astype(...)")
    number(eps, "eps", "(0, inf)")


def batch_norm_train(
    x: Tensor, gamma: Tensor, beta: Tensor, eps: float = 1e-5, relu: bool = False
) -> tuple[Tensor, Array, Array]:
    """Return γ·(x − μ) / √(σ² + ε) + β with the mean μ and the variance σ² of the batch (Chen et al. 2020, Eq. 10).

    The paper has no ε.

    Parameters
    ----------
    x
        The input (N, C, ...); the statistics are taken over all axes but C.
    gamma, beta
        The scale and the shift, of shape (C,).
    eps
        Added to the variance, so that a constant channel does not divide by 0.
    relu
        Whether to return the maximum of that and 0. One operation in place of two: nothing is stored in between, and
        the gradient passes both in the same loops.

    Returns
    -------
    The output, and the mean and the biased variance of the batch as arrays (C,) of float64.

    Raises
    ------
    ValueError
        When the shapes do not fit, or a channel has a single value: its variance says nothing.
    """
    check_tensors("batch_norm_train", x=x, gamma=gamma, beta=beta)
    check(x, gamma, beta, eps)
    values = x.size // x.shape[1] if x.shape[1] else 0
    if values < 2:
        raise ValueError(
            f"batch norm in training needs more than 1 value per channel; the input's shape is {x.shape}. "
            f"Use a larger batch, or eval()"
        )
    statistics: list[Array] = []
    y = BatchNormTrain.apply(x, gamma, beta, eps=eps, relu=flag(relu, "relu"), statistics=statistics)
    return y, statistics[0], statistics[1]


def batch_norm_eval(
    x: Tensor, gamma: Tensor, beta: Tensor, mean: Array, var: Array, eps: float = 1e-5, relu: bool = False
) -> Tensor:
    """Return γ·(x − mean) / √(var + ε) + β with given statistics, arrays (C,) of the dtype of x.

    With `relu` the maximum of that and 0, in the same operation.

    Raises
    ------
    ValueError, TypeError
        When the shapes or the dtypes do not fit.
    """
    check_tensors("batch_norm_eval", x=x, gamma=gamma, beta=beta)
    check(x, gamma, beta, eps)
    for name, values in (("mean", mean), ("var", var)):
        if not isinstance(values, np.ndarray) or values.dtype != x.dtype:
            what = f"an array of {values.dtype}" if isinstance(values, np.ndarray) else type(values).__name__
            raise TypeError(f"{name} must be an array of {x.dtype}, as the input is, not {what}")
        plain(values, name)
        if values.shape != gamma.shape:
            raise ValueError(f"{name} must have shape {gamma.shape}, one value per channel, not {values.shape}")
    return BatchNormEval.apply(x, gamma, beta, mean=mean, var=var, eps=eps, relu=flag(relu, "relu"))
