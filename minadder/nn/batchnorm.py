"""Batch normalisation layers: BatchNorm1d, BatchNorm2d."""

from __future__ import annotations

from typing import Any

import numpy as np

from minadder import ops
from minadder.autograd import Array
from minadder.checks import fits_memory, flag, number, whole
from minadder.kernels.batchnorm.cpu import update_running
from minadder.nn.module import Module, as_input
from minadder.nn.parameter import Parameter
from minadder.tensor import Tensor


class BatchNorm(Module):
    """What BatchNorm1d and BatchNorm2d share, as in PyTorch; use one of those.

    Parameters
    ----------
    num_features
        The channels C of the input (N, C, ...).
    eps
        Added to the variance.
    momentum
        The weight of the newest batch in the running statistics.

    Attributes
    ----------
    weight, bias
        γ and β (C,), 1 and 0 at the start.
    running_mean, running_var
        The statistics for evaluation, arrays (C,), 0 and 1 at the start. The variance is the unbiased one.
    num_batches_tracked
        The batches seen in training; kept for PyTorch's state dicts.
    """

    axes: tuple[int, ...]
    running_mean: Array
    running_var: Array
    num_batches_tracked: Array

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.num_features = channels = whole(num_features, "num_features", 1)
        self.eps = number(eps, "eps", "(0, inf)")
        self.momentum = number(momentum, "momentum", "(0, 1]")
        fits_memory((4, channels), 4, "the weights and the statistics")
        self.weight = Parameter(np.ones(channels, np.float32))
        self.bias = Parameter(np.zeros(channels, np.float32))
        self.register_buffer("running_mean", np.zeros(channels, np.float32))
        self.register_buffer("running_var", np.ones(channels, np.float32))
        self.register_buffer("num_batches_tracked", np.array(0, np.int64))

    def forward(self, x: Any, relu: bool = False) -> Tensor:
        """Normalise x (N, C, ...) by the batch's statistics in training, by the running ones in evaluation.

        With `relu` return the maximum of that and 0, as a ReLU behind the layer would, in one operation.
        """
        x, relu = as_input(x), flag(relu, "relu")
        if x.ndim not in self.axes:
            raise ValueError(f"the input must have {' or '.join(map(str, self.axes))} axes; its shape is {x.shape}")
        if not self.training:
            return ops.batch_norm_eval(x, self.weight, self.bias, self.running_mean, self.running_var, self.eps, relu)
        y, mean, var = ops.batch_norm_train(x, self.weight, self.bias, self.eps, relu)
        batches = self.num_batches_tracked  # changed in place: an assignment to the module would be checked each time
        batches += 1
        update_running(self.running_mean, self.running_var, mean, var, x.size // x.shape[1], self.momentum)
        return y

    def extra_repr(self) -> str:
        """Return the channels and the constants."""
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"


class BatchNorm1d(BatchNorm):
    """Batch normalisation of x (N, C) or (N, C, L): γ·(x − μ) / √(σ² + ε) + β (Chen et al. 2020, Eq. 10, with ε).

    As PyTorch's with `affine` and `track_running_stats` True: eps 1e-5, momentum 0.1, unbiased running variance.

    Examples
    --------
    >>> import minadder as ma
    >>> from minadder import nn
    >>> nn.BatchNorm1d(1)(ma.tensor([[1.0], [3.0]])).tolist()
    [[-0.9999949932098389], [0.9999949932098389]]
    """

    axes = (2, 3)


class BatchNorm2d(BatchNorm):
    """Batch normalisation of x (N, C, H, W): γ·(x − μ) / √(σ² + ε) + β (Chen et al. 2020, Eq. 10, with ε).

    As PyTorch's with `affine` and `track_running_stats` True: eps 1e-5, momentum 0.1, unbiased running variance.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import nn
    >>> nn.BatchNorm2d(3)(np.zeros((2, 3, 4, 4), np.float32)).shape
    (2, 3, 4, 4)
    """

    axes = (4,)
