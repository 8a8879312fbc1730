"""What binary networks are made of (Rastegari et al. 2016): signs forward, a straight-through gradient backward."""

from __future__ import annotations

import numpy as np

from minadder.autograd import Array, Function
from minadder.kernels.binary import cpu as binary
from minadder.kernels.binary.reference import signs
from minadder.kernels.conv import cpu as conv
from minadder.kernels.geometry import Pair, Size
from minadder.kernels.sums import sum_over
from minadder.ops.arithmetic import masked
from minadder.ops.windowed import DTYPES_DIFFER, window
from minadder.tensor import Tensor, check_tensors


class Binarize(Function):
    """+1 or −1 by sign, with the gradient of the identity clipped to [−1, 1]."""

    def forward(self, x: Array) -> Array:
        """Return +1 where x ≥ 0, −1 where x < 0; NaN stays NaN."""
        self.saved = (x,)
        return signs(x)

    def backward(self, grad: Array) -> Array:
        """Return G where |x| ≤ 1, else 0 (the straight-through estimator)."""
        (x,) = self.saved
        return masked(grad, np.abs(x) <= 1)


class BinaryConv2d(Function):
    """Y = α·(sign(X) ⊛ sign(F)), counted bit by bit forward."""

    def forward(
        self, x: Array, w: Array, scale: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int
    ) -> Array:
        """Return Y (Rastegari et al. 2016, Eq. 11 without K)."""
        self.saved = x, w, scale
        self.window = stride, padding, dilation, groups
        return binary.forward(x, w, scale, *self.window)

    def backward(self, grad: Array) -> tuple[Array | None, Array | None, Array | None]:
        """Return the gradients of a convolution of the signs, straight through them where |x| ≤ 1 and |f| ≤ 1."""
        x, w, scale = self.saved
        filters, factors = signs(w), scale[:, None, None, None]
        x_grad = w_grad = scale_grad = None
        if self.needs_input_grad[0]:
            x_grad = masked(conv.input_grad(grad, x.shape, filters * factors, *self.window), np.abs(x) <= 1)
        if self.needs_input_grad[1] or self.needs_input_grad[2]:
            unscaled = conv.weight_grad(grad, signs(x), w.shape, *self.window)
            w_grad = masked(unscaled * factors, np.abs(w) <= 1)
            scale_grad = sum_over(unscaled * filters, (1, 2, 3))
        return x_grad, w_grad, scale_grad


def binarize(x: Tensor) -> Tensor:
    """Return +1 where x ≥ 0 and −1 elsewhere; the gradient passes straight through where |x| ≤ 1.

    Examples
    --------
    >>> import minadder as ma
    >>> ma.ops.binarize(ma.tensor([-0.5, 0.0, 2.0]))
    tensor([-1.,  1.,  1.])
    """
    return Binarize.apply(x)


def binary_conv2d(
    x: Tensor,
    w: Tensor,
    scale: Tensor,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Return Y = α·Σ sign(X)·sign(F) over each window (Rastegari et al. 2016, Eq. 11 without K); sign(0) is +1.

    Forward the signs are packed into bits, and 64 products are a XOR and a count of ones. That gives the same bits as
    `scale.reshape(-1, 1, 1) * conv2d(binarize(x), binarize(w))`, and the gradients are those of that expression.

    Parameters
    ----------
    x
        The input (N, C, H, W), float32 or float64. Its gradient passes straight through the sign where |x| ≤ 1.
    w
        The filters (T, C / groups, kh, kw), of the same dtype; their gradient likewise.
    scale
        α (T,), of the same dtype: one factor a filter.
    stride, padding, dilation, groups
        As in `adder2d`. A padded cell counts 0, as if its sign were 0.

    Raises
    ------
    ValueError, TypeError
        As in `adder2d`, and for a scale of another shape.

    Examples
    --------
    >>> import minadder as ma
    >>> x, w = ma.tensor([[[[1.0, -2.0, 4.0]]]]), ma.tensor([[[[0.5, 0.5]]]])
    >>> ma.ops.binary_conv2d(x, w, ma.tensor([0.5]), padding=(0, 1))
    tensor([[[[0.5, 0. , 0. , 0.5]]]])
    """
    check_tensors("binary_conv2d", x=x, w=w, scale=scale)
    sizes = window(x, w, stride, padding, dilation, groups)
    if scale.shape != (w.shape[0],):
        raise ValueError(f"the scale must have shape ({w.shape[0]},), one per filter, not {scale.shape}")
    if scale.dtype != w.dtype:
        raise TypeError(f"the scale is {scale.dtype} and the filters are {w.dtype}: use .astype(...) on one of them")
    return BinaryConv2d.apply(x, w, scale, stride=sizes[0], padding=sizes[1], dilation=sizes[2], groups=sizes[3])


def binary_linear(x: Tensor, w: Tensor, scale: Tensor) -> Tensor:
    """Return Y = α·Σ sign(X)·sign(W) for x (..., in), weights w (out, in) and a scale α (out,).

    It is `binary_conv2d` on images of one pixel.

    Examples
    --------
    >>> import minadder as ma
    >>> x, w = ma.tensor([[1.0, -2.0]]), ma.tensor([[0.5, 0.5], [0.5, -0.5]])
    >>> ma.ops.binary_linear(x, w, ma.tensor([1.0, 0.5]))
    tensor([[0., 1.]])
    """
    check_tensors("binary_linear", x=x, w=w, scale=scale)
    if w.ndim != 2:
        raise ValueError(f"the weights must have the axes (out, in); their shape is {w.shape}")
    if x.ndim == 0 or x.shape[-1] != w.shape[1]:
        raise ValueError(
            f"the input's last axis must have size {w.shape[1]}, as the weight of shape {w.shape} has; "
            f"the input's shape is {x.shape}"
        )
    if x.dtype != w.dtype:
        raise TypeError(DTYPES_DIFFER.format(x.dtype, w.dtype))
    rows = x.reshape(x.size // max(1, x.shape[-1]), x.shape[-1], 1, 1)
    return binary_conv2d(rows, w.reshape(*w.shape, 1, 1), scale).reshape(*x.shape[:-1], w.shape[0])
