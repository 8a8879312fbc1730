"""The adder layer on the CPU. What the fast kernels compute is this plain loop over the patches of the input:

    for i in patches:
        for t in filters:
            Y[i, t] = −Σ_k |X[i, k] − F[t, k]|^p

`windowed.py` and its companions arrange it for the machine, and share the arrangement with the convolution. Other p
than 1 and 2 need powers (`powers.py`). Squares are computed as they stand: 2·Σ x·f − Σ x² − Σ f², which is the same on
paper and a matrix product, takes a fifth less time, but where x is close to f it loses all digits, and the sign.
"""

from __future__ import annotations

import numpy as np

from minadder.autograd import Array
from minadder.kernels import windowed, windowed_input_grad, windowed_powers, windowed_weight_grad
from minadder.kernels.adder import reference
from minadder.kernels.geometry import Pair
from minadder.kernels.simd import FULL_PRECISION, HARDTANH, SIGN

RULE_CODES = {"sign": SIGN, "full_precision": FULL_PRECISION, "hardtanh": HARDTANH}


def forward(x: Array, w: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int, p: float = 1.0) -> Array:
    """Return Y = −Σ |X − F|^p over each window (Universal AdderNets, Eq. 20; preprint 26).

    A padded cell counts |0 − F|^p.
    """
    window = stride, padding, dilation, groups
    if p in (1, 2):
        return windowed.forward(x, w, *window, exponent=int(p))
    y = windowed_powers.forward(x, w, *window, p)
    return y if all_finite(y) else reference.forward(x, w, *window, p)


def input_grad(
    grad: Array,
    x: Array,
    w: Array,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    rule: str,
    p: float = 1.0,
) -> Array:
    """Return ∂L/∂X = Σ G · rule(F − X) over the windows that see each entry of X (Chen et al. 2020, Eq. 6)."""
    window = stride, padding, dilation, groups
    code, factor = code_of(rule, p)
    if code is not None:
        return windowed_input_grad.input_grad(scaled(grad, factor), x, w, *window, code)
    x_grad = windowed_powers.input_grad(grad, x, w, *window, p - 1, factor)
    return x_grad if all_finite(x_grad) else reference.input_grad(grad, x, w, *window, rule, p)


def weight_grad(
    grad: Array,
    x: Array,
    w: Array,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    rule: str,
    p: float = 1.0,
) -> Array:
    """Return ∂L/∂F = Σ G · rule(X − F) over all windows (Chen et al. 2020, Eqs. 4–5). Padding counts as X = 0.

    Under the full-precision rule this is a matrix product and a sum, GᵀX − F·ΣG.
    """
    window = stride, padding, dilation, groups
    code, factor = code_of(rule, p)
    if code is not None:
        return windowed_weight_grad.weight_grad(scaled(grad, factor), x, w, *window, code)
    w_grad = windowed_powers.weight_grad(grad, x, w, *window, p - 1, factor)
    return w_grad if all_finite(w_grad) else reference.weight_grad(grad, x, w, *window, rule, p)


def code_of(rule: str, p: float) -> tuple[int | None, float]:
    """Return the rule in the kernels' code, None where it needs powers, and a factor of the gradient.

    "power" and "exact" are the sign at p = 1, and at p = 2 the difference, or twice the difference.
    """
    if rule not in ("power", "exact"):
        return RULE_CODES[rule], 1.0
    return {1.0: SIGN, 2.0: FULL_PRECISION}.get(p), p if rule == "exact" else 1.0


def scaled(grad: Array, factor: float) -> Array:
    """Return the gradient times a factor; itself where that is 1."""
    return grad if factor == 1 else grad * grad.dtype.type(factor)


def all_finite(values: Array) -> bool:
    """Return whether the sum of all is finite: it is not where one of them is not, and takes less time than a look."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum()))
