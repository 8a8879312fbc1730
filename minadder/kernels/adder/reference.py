"""The adder layer straight from the equations: the specification that the fast kernels are checked against.

X is the batch (N, C, H, W), F the filters (T, C / groups, kh, kw), Y the output (N, T, H', W'), G = ∂L/∂Y.
"""

from __future__ import annotations

import numpy as np

from minadder.autograd import Array
from minadder.kernels.geometry import Pair, output_size

RULES = ("exact", "sign", "full_precision", "hardtanh", "power")
"""What stands in for the derivative of −|X − F|^p; `rule_value` defines each."""


def rule_value(difference: Array, rule: str, p: float = 1.0) -> Array:
    """Return ∂Y/∂F for a difference X − F, or ∂Y/∂X for a difference F − X.

    - "exact": p·sgn(d)·|d|^(p − 1), with sgn(0) = 0;
    - "sign": sgn(d) (Chen et al. 2020, Eq. 4), which at p = 1 is the same;
    - "full_precision": the difference itself (Eq. 5);
    - "hardtanh": the difference clipped to [−1, 1] (Eqs. 6–7);
    - "power": sgn(d)·|d|^(p − 1), without the factor p (Universal AdderNets, Eq. 21; preprint 27).
    """
    if rule == "sign":
        return np.sign(difference)
    if rule == "full_precision":
        return difference
    if rule == "hardtanh":
        return np.clip(difference, -1, 1)
    if rule in ("exact", "power"):
        power = np.sign(difference) * np.abs(difference) ** (p - 1)
        return p * power if rule == "exact" else power
    raise ValueError(f"the gradient rule must be one of {', '.join(RULES)}, not {rule!r}")


def potential(difference: Array, rule: str, p: float = 1.0) -> Array:
    """Return the function of the difference whose derivative the rule is: what finite differences can confirm.

    It is |d|^p for "exact", |d| for "sign", d² / 2 for "full_precision", |d|^p / p for "power", and for "hardtanh"
    Huber's function: d² / 2 up to 1, |d| − ½ beyond.
    """
    distance = np.abs(difference)
    if rule == "sign":
        return distance
    if rule == "full_precision":
        return difference * difference / 2
    if rule == "hardtanh":
        return np.where(distance <= 1, distance * distance / 2, distance - 0.5)
    if rule in ("exact", "power"):
        return distance**p if rule == "exact" else distance**p / p
    raise ValueError(f"the gradient rule must be one of {', '.join(RULES)}, not {rule!r}")


def visit(
    x: Array, w: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> list[tuple[int, int, int, slice, slice, slice]]:
    """List what each filter entry of each group meets: (group, i, j, filters, rows and columns of padded X)."""
    out_height, out_width = output_size((x.shape[2], x.shape[3]), (w.shape[2], w.shape[3]), stride, padding, dilation)
    filters = w.shape[0] // groups
    meetings = []
    for group in range(groups):
        for i in range(w.shape[2]):
            for j in range(w.shape[3]):
                top, left = i * dilation[0], j * dilation[1]
                rows = slice(top, top + (out_height - 1) * stride[0] + 1, stride[0])
                columns = slice(left, left + (out_width - 1) * stride[1] + 1, stride[1])
                meetings.append((group, i, j, slice(group * filters, (group + 1) * filters), rows, columns))
    return meetings


def with_padding(x: Array, padding: Pair) -> Array:
    """Return x with zeros around each image."""
    return np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))


def forward(
    x: Array,
    w: Array,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    p: float = 1.0,
    rule: str = "exact",
) -> Array:
    """Return Y = −Σ |X − F|^p over each window (Universal AdderNets, Eq. 20; preprint 26).

    A padded cell counts |0 − F|^p.

    With another rule it is −Σ potential(X − F), whose true gradients are what the rule gives.
    """
    output = output_size((x.shape[2], x.shape[3]), (w.shape[2], w.shape[3]), stride, padding, dilation)
    y = np.zeros((x.shape[0], w.shape[0], *output), x.dtype)
    padded = with_padding(x, padding)
    channels = w.shape[1]
    for group, i, j, filters, rows, columns in visit(x, w, stride, padding, dilation, groups):
        for c in range(channels):
            seen = padded[:, group * channels + c, None, rows, columns]
            y[:, filters] -= potential(seen - w[filters, c, i, j, None, None], rule, p)
    return y


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
    padded = with_padding(x, padding)
    padded_grad = np.zeros_like(padded)
    channels = w.shape[1]
    for group, i, j, filters, rows, columns in visit(x, w, stride, padding, dilation, groups):
        for c in range(channels):
            seen = padded[:, group * channels + c, None, rows, columns]
            slope = rule_value(w[filters, c, i, j, None, None] - seen, rule, p)
            padded_grad[:, group * channels + c, rows, columns] += (grad[:, filters] * slope).sum(axis=1)
    height, width = x.shape[2], x.shape[3]
    return padded_grad[:, :, padding[0] : padding[0] + height, padding[1] : padding[1] + width].copy()


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
    """Return ∂L/∂F = Σ G · rule(X − F) over all windows (Chen et al. 2020, Eqs. 4–5). Padding counts as X = 0."""
    padded = with_padding(x, padding)
    w_grad = np.zeros_like(w)
    channels = w.shape[1]
    for group, i, j, filters, rows, columns in visit(x, w, stride, padding, dilation, groups):
        for c in range(channels):
            seen = padded[:, group * channels + c, None, rows, columns]
            slope = rule_value(seen - w[filters, c, i, j, None, None], rule, p)
            w_grad[filters, c, i, j] = (grad[:, filters] * slope).sum(axis=(0, 2, 3))
    return w_grad
