"""Convolution straight from its definition: the specification that the fast kernels are checked against.

X is the batch (N, C, H, W), F the filters (T, C / groups, kh, kw), Y the output (N, T, H', W'), G = ∂L/∂Y. As in all of
deep learning the filter is not flipped, so this is a cross-correlation (Chen et al. 2020, Eq. 1 with S(x, f) = x·f).
"""

from __future__ import annotations

import numpy as np

from minadder.autograd import Array
from minadder.kernels.adder.reference import visit, with_padding
from minadder.kernels.geometry import Pair, output_size


def forward(x: Array, w: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Array:
    """Return Y = Σ X·F over each window."""
    output = output_size((x.shape[2], x.shape[3]), (w.shape[2], w.shape[3]), stride, padding, dilation)
    y = np.zeros((x.shape[0], w.shape[0], *output), x.dtype)
    padded = with_padding(x, padding)
    channels = w.shape[1]
    for group, i, j, filters, rows, columns in visit(x, w, stride, padding, dilation, groups):
        for c in range(channels):
            seen = padded[:, group * channels + c, None, rows, columns]
            y[:, filters] += seen * w[filters, c, i, j, None, None]
    return y


def input_grad(
    grad: Array, x_shape: tuple[int, ...], w: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    """Return ∂L/∂X = Σ G·F over the windows that see each entry of X."""
    padded_grad = with_padding(np.zeros(x_shape, w.dtype), padding)
    channels = w.shape[1]
    for group, i, j, filters, rows, columns in visit(padded_grad, w, stride, (0, 0), dilation, groups):
        for c in range(channels):
            part = (grad[:, filters] * w[filters, c, i, j, None, None]).sum(axis=1)
            padded_grad[:, group * channels + c, rows, columns] += part
    height, width = x_shape[2], x_shape[3]
    return padded_grad[:, :, padding[0] : padding[0] + height, padding[1] : padding[1] + width].copy()


def weight_grad(
    grad: Array, x: Array, w_shape: tuple[int, ...], stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    """Return ∂L/∂F = Σ G·X over all windows."""
    w_grad = np.zeros(w_shape, x.dtype)
    padded = with_padding(x, padding)
    channels = w_shape[1]
    for group, i, j, filters, rows, columns in visit(padded, w_grad, stride, (0, 0), dilation, groups):
        for c in range(channels):
            seen = padded[:, group * channels + c, None, rows, columns]
            w_grad[filters, c, i, j] = (grad[:, filters] * seen).sum(axis=(0, 2, 3))
    return w_grad
