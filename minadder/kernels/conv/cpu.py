"""Convolution on the CPU. What the fast kernels compute is this plain loop over the patches of the input:

    for p in patches:
        for t in filters:
            Y[p, t] = Σ_k X[p, k] · F[t, k]

`windowed.py` and its companions arrange it for the machine, and share the arrangement with the adder layer.
"""

from __future__ import annotations

import numpy as np

from minadder.autograd import Array
from minadder.kernels import windowed, windowed_input_grad, windowed_weight_grad
from minadder.kernels.geometry import Pair
from minadder.kernels.simd import PRODUCT


def forward(x: Array, w: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Array:
    """Return Y = Σ X·F over each window."""
    return windowed.forward(x, w, stride, padding, dilation, groups, exponent=0)


def input_grad(
    grad: Array, x_shape: tuple[int, ...], w: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    """Return ∂L/∂X = Σ G·F over the windows that see each entry of X."""
    x = np.empty(x_shape, w.dtype)
    return windowed_input_grad.input_grad(grad, x, w, stride, padding, dilation, groups, PRODUCT)


def weight_grad(
    grad: Array, x: Array, w_shape: tuple[int, ...], stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    """Return ∂L/∂F = Σ G·X over all windows."""
    w = np.zeros(w_shape, x.dtype)
    return windowed_weight_grad.weight_grad(grad, x, w, stride, padding, dilation, groups, PRODUCT)
