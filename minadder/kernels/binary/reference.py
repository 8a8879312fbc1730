"""The binary layer straight from its definition: the specification that the fast kernel is checked against.

X is the batch (N, C, H, W), F the filters (T, C / groups, kh, kw), α one number a filter, Y the output (N, T, H', W').
"""

from __future__ import annotations

import numpy as np

from minadder.autograd import Array
from minadder.kernels.conv import reference as conv
from minadder.kernels.geometry import Pair


def signs(x: Array) -> Array:
    """Return +1 where x ≥ 0, −1 where x < 0; NaN stays NaN."""
    found = np.where(x >= 0, 1, -1).astype(x.dtype)
    return np.where(np.isnan(x), x, found)


def forward(x: Array, w: Array, scale: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Array:
    """Return Y = α·Σ sign(X)·sign(F) over each window (Rastegari et al. 2016, Eq. 11 without K).

    A padded cell counts 0: it has no sign.
    """
    return conv.forward(signs(x), signs(w), stride, padding, dilation, groups) * scale[:, None, None]
