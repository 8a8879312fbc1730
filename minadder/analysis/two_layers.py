"""Two adder layers that compute Σ aᵢ·ReLU(‖Wᵢ − X‖₁ + bᵢ) exactly, written down instead of trained: Lemma 2."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import minadder as ma
from minadder import nn
from minadder.analysis.box import Box
from minadder.autograd import Array
from minadder.checks import instance, number, real_array

EPS = 2.0**-20
"""BN's ε where the variance is 1 − ε, both of them exact in binary, so that BN divides by exactly 1."""


def scaled_adder(filters: Array, scale: Array, bias: Array) -> tuple[nn.AdderLinear, nn.BatchNorm1d]:
    """Return an adder layer and a batch norm that compute aᵢ·‖Wᵢ − X‖₁ + bᵢ (Universal AdderNets, Def. 1).

    The adder layer gives −‖Wᵢ − X‖₁; the batch norm, in evaluation mode with mean 0 and variance 1, multiplies it with
    γᵢ = −aᵢ and adds βᵢ = bᵢ. Both are float64.

    Parameters
    ----------
    filters
        W (m, d), a row for each unit.
    scale, bias
        a and b (m,).

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import nn
    >>> from minadder.analysis import scaled_adder
    >>> net = nn.Sequential(*scaled_adder(np.array([[1.0, 2.0]]), np.array([3.0]), np.array([0.5])))
    >>> net(np.array([[0.0, 0.0]])).item()
    9.5
    """
    filters = real_array(filters, "filters")
    if filters.ndim != 2:
        raise ValueError(f"filters must have the axes (units, inputs); their shape is {filters.shape}")
    units, inputs = filters.shape
    adder, norm = nn.AdderLinear(inputs, units), nn.BatchNorm1d(units, eps=EPS)
    adder.to("float64")
    norm.to("float64")
    adder.weight.data = filters
    norm.weight.data = -real_array(scale, "scale")
    norm.bias.data = real_array(bias, "bias")
    norm.running_var[:] = 1 - EPS
    norm.eval()
    return adder, norm


def check_units(centres: npt.ArrayLike, a: npt.ArrayLike, b: npt.ArrayLike, box: Box) -> tuple[Array, Array, Array]:
    """Return W (n, d), a (n,) and b (n,) as float64 once they fit each other and the box; ValueError where not."""
    instance(box, "box", Box, "an analysis.Box")
    arrays = [real_array(array, name) for name, array in (("centres", centres), ("a", a), ("b", b))]
    if arrays[0].ndim != 2 or len(arrays[0]) == 0 or arrays[0].shape[1] != box.dimension:
        raise ValueError(f"the centres must have shape (n, {box.dimension}) as the box has, not {arrays[0].shape}")
    for name, array in (("a", arrays[1]), ("b", arrays[2])):
        if array.shape != arrays[0].shape[:1]:
            raise ValueError(f"{name} must have shape ({len(arrays[0])},), one for each centre, not {array.shape}")
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError("the centres, a and b must be finite")
    return arrays[0], arrays[1], arrays[2]


def radial_sum(points: Array, centres: Array, a: Array, b: Array) -> Array:
    """Return Σ aᵢ·ReLU(‖Wᵢ − X‖₁ + bᵢ) of points (N, d), straight from the formula: (N,)."""
    named = (("points", points), ("centres", centres), ("a", a), ("b", b))
    points, centres, a, b = (real_array(array, name) for name, array in named)
    if points.ndim != 2 or centres.shape[1:] != points.shape[1:] or a.shape != centres.shape[:1] or a.shape != b.shape:
        raise ValueError(
            f"points (N, d), centres (n, d), a (n,) and b (n,) must fit, not {points.shape}, {centres.shape}, "
            f"{a.shape}, {b.shape}"
        )
    total = np.zeros(len(points))
    for centre, height, shift in zip(centres, a, b, strict=True):
        total += height * np.maximum(np.abs(points - centre).sum(axis=1) + shift, 0.0)
    return total


def lemma2_net(
    centres: npt.ArrayLike, a: npt.ArrayLike, b: npt.ArrayLike, box: Box, constant: float = 0.0
) -> nn.Sequential:
    """Return two adder layers that compute Σ aᵢ·ReLU(‖Wᵢ − X‖₁ + bᵢ) + c on a box (Universal AdderNets, Lemma 2).

    The first layer has n units Uᵢ = ReLU(|aᵢ|·‖Wᵢ − X‖₁ + |aᵢ|·bᵢ). The second measures the distance from U to a
    filter that is 0 where aᵢ > 0, so that |Uᵢ − 0| = Uᵢ, and Mᵢ ≥ Uᵢ where aᵢ ≤ 0, so that |Uᵢ − Mᵢ| = Mᵢ − Uᵢ. A
    bias takes the sum of those Mᵢ off again.

    What differs from the proof as printed, which does not work:

    - Its first layer adds bᵢ, but then |aᵢ| scales only the distance: it must be |aᵢ|·bᵢ.
    - The constant (p₁ + p₂)·M has the wrong sign in Eq. 32 (preprint 7); Eq. 33 (preprint 8) takes it off.
    - Eq. 33 puts +M into the ReLU for aᵢ > 0, which would take away the kink. As ReLU is never negative, no shift is
      needed there.
    - Its M bounds |L¹|, which is more than is needed: what must be bounded is the ReLU's output, from above. Each unit
      has an Mᵢ of its own here, the value at the farthest corner of the box, since one M for all would cost digits.

    Parameters
    ----------
    centres
        W (n, d).
    a, b
        Heights and biases (n,).
    box
        Where the net shall be right; outside it is another function.
    constant
        c.

    Returns
    -------
    A net from (N, d) to (N, 1) in evaluation mode, float64. On the box it differs from the formula by rounding alone.

    Raises
    ------
    ValueError
        When the shapes do not fit each other or the box, or a number is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import analysis
    >>> net = analysis.lemma2_net([[0.0], [1.0]], [2.0, -1.0], [-0.5, 0.0], analysis.Box([-1.0], [1.0]))
    >>> net(np.array([[-1.0], [0.0], [1.0]])).tolist()
    [[-1.0], [-1.0], [1.0]]
    """
    centres, a, b = check_units(centres, a, b, box)
    constant = number(constant, "constant", "(-inf, inf)")
    heights = np.abs(a)
    most = heights * np.maximum(box.farthest(centres) + b, 0.0)
    second = np.where(a > 0, 0.0, most)
    adder1, bn1 = scaled_adder(centres, heights, heights * b)
    adder2, bn2 = scaled_adder(second[None], np.ones(1), np.array([constant - second.sum()]))
    net = nn.Sequential({"adder1": adder1, "bn1": bn1, "relu": nn.ReLU(), "adder2": adder2, "bn2": bn2})
    net.eval()
    return net


def lemma2_rounding(centres: npt.ArrayLike, a: npt.ArrayLike, b: npt.ArrayLike, box: Box) -> float:
    """Return how far rounding may bring a net of Lemma 2 from its formula on the box.

    Each of the n·d differences, n products and n terms of the last sum rounds once; the numbers are at most
    |aᵢ|·(max ‖Wᵢ − X‖₁ + max ‖X‖₁ + |bᵢ|).
    """
    centres, a, b = check_units(centres, a, b, box)
    reach = box.farthest(centres) + box.farthest(np.zeros((1, box.dimension))) + np.abs(b)
    size = float((np.abs(a) * reach).sum())
    return 4 * (a.size + box.dimension + 4) * float(np.finfo(np.float64).eps) * size


def outputs(net: nn.Module, points: Array, block: int = 4096) -> Array:
    """Return a net's outputs (N,) of points (N, d), block by block."""
    with ma.no_grad():
        parts = [net(ma.Tensor(points[i : i + block])).numpy()[:, 0] for i in range(0, len(points), block)]
    return np.concatenate(parts) if parts else np.zeros(0)
