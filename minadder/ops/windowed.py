"""The layers that slide filters over an image: adder2d and conv2d."""

from __future__ import annotations

import math
from typing import Any

from minadder.autograd import Array, Function
from minadder.checks import choice, fits_memory, number
from minadder.kernels.adder import cpu as adder
from minadder.kernels.adder.reference import RULES
from minadder.kernels.conv import cpu as conv
from minadder.kernels.geometry import Pair, Size, check_filters, output_size, pair
from minadder.tensor import Tensor, check_tensors


class Adder2d(Function):
    """Y = −Σ |X − F|^p over each window, with a choice of gradient rules."""

    def forward(
        self,
        x: Array,
        w: Array,
        stride: Pair,
        padding: Pair,
        dilation: Pair,
        groups: int,
        p: float,
        weight_grad: str,
        input_grad: str,
    ) -> Array:
        """Return Y (Universal AdderNets, Eq. 20; preprint 26)."""
        self.saved = x, w
        self.window = stride, padding, dilation, groups
        self.p, self.rules = p, (input_grad, weight_grad)
        return adder.forward(x, w, *self.window, p)

    def backward(self, grad: Array) -> tuple[Array | None, Array | None]:
        """Return Σ G · rule(F − X) and Σ G · rule(X − F) (Chen et al. 2020, Eqs. 4–6)."""
        x, w = self.saved
        x_grad = w_grad = None
        if self.needs_input_grad[0]:
            x_grad = adder.input_grad(grad, x, w, *self.window, self.rules[0], self.p)
        if self.needs_input_grad[1]:
            w_grad = adder.weight_grad(grad, x, w, *self.window, self.rules[1], self.p)
        return x_grad, w_grad


class AdderLinear(Function):
    """Y = −Σ |X − F|^p for rows of features: the adder layer whose images are single pixels."""

    def forward(self, x: Array, w: Array, p: float, weight_grad: str, input_grad: str) -> Array:
        """Return Y (Universal AdderNets, Eq. 20; preprint 26)."""
        self.saved = x, w
        self.p, self.rules = p, (input_grad, weight_grad)
        return adder.forward(as_pixels(x), as_pixels(w), *ONE_PIXEL, p).reshape(*x.shape[:-1], w.shape[0])

    def backward(self, grad: Array) -> tuple[Array | None, Array | None]:
        """Return Σ G · rule(F − X) and Σ G · rule(X − F) (Chen et al. 2020, Eqs. 4–6)."""
        x, w = self.saved
        g, pixels, filters = as_pixels(grad), as_pixels(x), as_pixels(w)
        x_grad = w_grad = None
        if self.needs_input_grad[0]:
            x_grad = adder.input_grad(g, pixels, filters, *ONE_PIXEL, self.rules[0], self.p).reshape(x.shape)
        if self.needs_input_grad[1]:
            w_grad = adder.weight_grad(g, pixels, filters, *ONE_PIXEL, self.rules[1], self.p).reshape(w.shape)
        return x_grad, w_grad


ONE_PIXEL: tuple[Pair, Pair, Pair, int] = (1, 1), (0, 0), (1, 1), 1
"""Stride, padding, dilation and groups of a window over a single pixel."""


def as_pixels(x: Array) -> Array:
    """Return rows of features (..., K) as images of one pixel (N, K, 1, 1)."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1], 1, 1)


class Conv2d(Function):
    """Y = Σ X·F over each window."""

    def forward(self, x: Array, w: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Array:
        """Return Y (Chen et al. 2020, Eq. 1 with S(x, f) = x·f)."""
        self.saved = x, w
        self.window = stride, padding, dilation, groups
        return conv.forward(x, w, *self.window)

    def backward(self, grad: Array) -> tuple[Array | None, Array | None]:
        """Return Σ G·F and Σ G·X (Chen et al. 2020, Eq. 3)."""
        x, w = self.saved
        x_grad = w_grad = None
        if self.needs_input_grad[0]:
            x_grad = conv.input_grad(grad, x.shape, w, *self.window)
        if self.needs_input_grad[1]:
            w_grad = conv.weight_grad(grad, x, w.shape, *self.window)
        return x_grad, w_grad


DTYPES_DIFFER = "the input is {} and the filters are {}: use .astype(...) on one of them"


def window(
    x: Tensor, w: Tensor, stride: Size, padding: Size, dilation: Size, groups: int
) -> tuple[Pair, Pair, Pair, int]:
    """Return stride, padding, dilation as pairs, and groups, once all fit the input and the filters."""
    check_filters(x.shape, w.shape, groups)
    if x.dtype != w.dtype:
        raise TypeError(DTYPES_DIFFER.format(x.dtype, w.dtype))
    pairs = pair(stride, "stride", 1), pair(padding, "padding", 0), pair(dilation, "dilation", 1)
    output = output_size((x.shape[2], x.shape[3]), (w.shape[2], w.shape[3]), *pairs)
    fits_memory((x.shape[0], w.shape[0], *output), x.dtype.itemsize, "the output")
    return (*pairs, int(groups))


def check_p(p: float) -> float:
    """Return the exponent of an adder layer as a float; TypeError or ValueError for what is no number in [1, 2]."""
    return number(p, "p", "[1, 2]")


def check_rules(p: float, weight_grad: str, input_grad: str | None) -> dict[str, Any]:
    """Return p and the gradient rules once they are found to exist; None stands for the papers' choice at that p."""
    exponent = check_p(p)
    rule = ("hardtanh" if exponent == 1 else "power") if input_grad is None else input_grad
    return {
        "p": exponent,
        "weight_grad": choice(weight_grad, "weight_grad", RULES),
        "input_grad": choice(rule, "input_grad", RULES),
    }


def adder2d(
    x: Tensor,
    w: Tensor,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
    p: float = 1.0,
    weight_grad: str = "full_precision",
    input_grad: str | None = None,
) -> Tensor:
    """Return the adder layer's output Y = −Σ |X − F|^p over each window (Universal AdderNets, Eq. 20; preprint 26).

    Parameters
    ----------
    x
        The input (N, C, H, W), float32 or float64.
    w
        The filters (T, C / groups, kh, kw), of the same dtype.
    stride, padding, dilation
        An int or a pair (height, width). A padded cell is 0 and counts |0 − F|^p.
    groups
        Into how many groups channels and filters are divided; each group sees only its own channels.
    p
        The exponent, in [1, 2]: 1 is the ℓ1 distance of Chen et al. 2020, 2 the square of the ℓ2 distance; no root is
        taken. For the accuracy of p between, see `minadder/kernels/powers.py`: 8e-7 of each power in float32.
    weight_grad, input_grad
        What stands in for ∂Y/∂F and ∂Y/∂X, chosen independently. With d = X − F for the filter and d = F − X for the
        input: "exact" is p·sgn(d)·|d|^(p − 1), "sign" is sgn(d) (Chen et al. 2020, Eq. 4), "full_precision" is d
        (Eq. 5), "hardtanh" is d clipped to [−1, 1] (Eqs. 6–7), "power" is sgn(d)·|d|^(p − 1) (Universal AdderNets,
        Eq. 21; preprint 27; both print no sgn). Only "exact" is the derivative of Y. The default is the papers' choice:
        full precision for the filter, and for the input (None) HardTanh at p = 1 and the power at other p.

    Returns
    -------
    The output (N, T, H', W'), never above 0; H' = floor((H + 2·padding − dilation·(kh − 1) − 1) / stride) + 1.

    Raises
    ------
    ValueError
        When the shapes do not fit, groups do not divide, the window exceeds the input, p lies outside [1, 2], or a
        rule is unknown.
    TypeError
        When the dtypes differ.

    Examples
    --------
    >>> import minadder as ma
    >>> x = ma.tensor([[[[1.0, 2.0, 4.0]]]])
    >>> w = ma.tensor([[[[1.0, 1.0]]]])
    >>> ma.ops.adder2d(x, w)
    tensor([[[[-1., -4.]]]])
    >>> ma.ops.adder2d(x, w, p=2)
    tensor([[[[ -1., -10.]]]])
    """
    check_tensors("adder2d", x=x, w=w)
    sizes = window(x, w, stride, padding, dilation, groups)
    return Adder2d.apply(
        x,
        w,
        stride=sizes[0],
        padding=sizes[1],
        dilation=sizes[2],
        groups=sizes[3],
        **check_rules(p, weight_grad, input_grad),
    )


def adder_linear(
    x: Tensor, w: Tensor, p: float = 1.0, weight_grad: str = "full_precision", input_grad: str | None = None
) -> Tensor:
    """Return Y = −Σ |X − F|^p for x (..., in) and filters w (out, in): the adder layer of window size 1.

    p and the rules are those of `adder2d`.

    Examples
    --------
    >>> import minadder as ma
    >>> ma.ops.adder_linear(ma.tensor([[1.0, 2.0]]), ma.tensor([[0.0, 0.0], [1.0, 1.0]]))
    tensor([[-3., -1.]])
    """
    check_tensors("adder_linear", x=x, w=w)
    if w.ndim != 2:
        raise ValueError(f"the filters must have the axes (out, in); their shape is {w.shape}")
    if x.ndim == 0 or x.shape[-1] != w.shape[1]:
        raise ValueError(
            f"the input's last axis must have size {w.shape[1]}, as the filters of shape {w.shape} have; "
            f"the input's shape is {x.shape}"
        )
    if 0 in w.shape:
        raise ValueError(f"the filters must not be empty; their shape is {w.shape}")
    if x.dtype != w.dtype:
        raise TypeError(DTYPES_DIFFER.format(x.dtype, w.dtype))
    return AdderLinear.apply(x, w, **check_rules(p, weight_grad, input_grad))


def conv2d(
    x: Tensor,
    w: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Return the convolution Y = Σ X·F over each window, plus a bias per filter.

    Parameters
    ----------
    x
        The input (N, C, H, W), float32 or float64.
    w
        The filters (T, C / groups, kh, kw), of the same dtype; not flipped.
    bias
        A tensor (T,), or None.
    stride, padding, dilation, groups
        As in `adder2d`.

    Raises
    ------
    ValueError, TypeError
        As in `adder2d`.

    Examples
    --------
    >>> import minadder as ma
    >>> x = ma.tensor([[[[1.0, 2.0, 4.0]]]])
    >>> w = ma.tensor([[[[1.0, 1.0]]]])
    >>> ma.ops.conv2d(x, w)
    tensor([[[[3., 6.]]]])
    """
    check_tensors("conv2d", x=x, w=w, **({} if bias is None else {"bias": bias}))
    sizes = window(x, w, stride, padding, dilation, groups)
    y = Conv2d.apply(x, w, stride=sizes[0], padding=sizes[1], dilation=sizes[2], groups=sizes[3])
    if bias is None:
        return y
    if bias.shape != (w.shape[0],):
        raise ValueError(f"the bias must have shape ({w.shape[0]},), one per filter, not {bias.shape}")
    return y + bias.reshape(-1, 1, 1)
