"""The adder layer on the CPU. What the fast kernels compute is this plain loop over the patches of the input:

    for p in patches:
        for t in filters:
            Y[p, t] = −Σ_k |X[p, k] − F[t, k]|

`windowed.py` and its companions arrange it for the machine, and share the arrangement with the convolution.
"""

from __future__ import annotations

from minadder.autograd import Array
from minadder.kernels import windowed, windowed_input_grad, windowed_weight_grad
from minadder.kernels.geometry import Pair
from minadder.kernels.simd import FULL_PRECISION, HARDTANH, SIGN

RULE_CODES = {"exact": SIGN, "sign": SIGN, "full_precision": FULL_PRECISION, "hardtanh": HARDTANH}


def forward(x: Array, w: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Array:
    """Return Y = −Σ |X − F| over each window (Chen et al. 2020, Eq. 2). A padded cell counts |0 − F|."""
    return windowed.forward(x, w, stride, padding, dilation, groups, distance=True)


def input_grad(
    grad: Array, x: Array, w: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int, rule: str
) -> Array:
    """Return ∂L/∂X = Σ G · rule(F − X) over the windows that see each entry of X (Chen et al. 2020, Eq. 6)."""
    return windowed_input_grad.input_grad(grad, x, w, stride, padding, dilation, groups, RULE_CODES[rule])


def weight_grad(
    grad: Array, x: Array, w: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int, rule: str
) -> Array:
    """Return ∂L/∂F = Σ G · rule(X − F) over all windows (Chen et al. 2020, Eqs. 4–5). Padding counts as X = 0.

    Under the full-precision rule this is a matrix product and a sum, GᵀX − F·ΣG.
    """
    return windowed_weight_grad.weight_grad(grad, x, w, stride, padding, dilation, groups, RULE_CODES[rule])
