"""Approximating a Lipschitz function on a box by two adder layers, as the proof of Theorem 4 does.

That is Universal AdderNets, Theorem 6 (preprint 4).

The proof lays N tents of the ℓ1 norm, cones of radius ε and height 1, at random places. Two hidden units make a tent,
since for distances x ≥ 0 it is max(0, 1 − x/ε) = 1 − ReLU(x)/ε + ReLU(x − ε)/ε. The proof takes three, ReLU(x + ε) as
well, and needs no constant for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minadder import nn
from minadder.analysis.box import Box
from minadder.analysis.two_layers import lemma2_net
from minadder.autograd import Array
from minadder.checks import described, fits_memory, instance, number, real_array, whole

Function = Callable[[Array], Array]
"""A function from points (N, d) to values (N,)."""

UNITS_A_TENT = 2
CANDIDATES = 20_000


@dataclass(frozen=True)
class Tents:
    """A sum of tents Σ hᵢ·max(0, 1 − ‖Wᵢ − X‖₁/ε): centres W (N, d), heights h (N,), radius ε."""

    centres: Array
    heights: Array
    radius: float

    @property
    def width(self) -> int:
        """How many hidden units the net has."""
        return UNITS_A_TENT * len(self.heights)

    def features(self, points: Array) -> Array:
        """Return the value of each tent of height 1 at points (M, d): (M, N)."""
        distances = np.zeros((len(points), len(self.heights)))
        for axis in range(points.shape[1]):
            distances += np.abs(points[:, axis, None] - self.centres[None, :, axis])
        return np.maximum(0.0, 1.0 - distances / self.radius)

    def __call__(self, points: Array) -> Array:
        """Return the sum at points (M, d), straight from the formula."""
        values = [self.features(points[i : i + 512]) @ self.heights for i in range(0, len(points), 512)]
        return np.concatenate(values)

    def net(self, box: Box) -> nn.Sequential:
        """Return two adder layers that compute the sum on a box, by Lemma 2; float64, in evaluation mode."""
        slope = self.heights / self.radius
        a = np.concatenate([-slope, slope])
        b = np.concatenate([np.zeros_like(slope), np.full_like(slope, -self.radius)])
        return lemma2_net(np.concatenate([self.centres] * 2), a, b, box, constant=float(self.heights.sum()))


def tent_volume(dimension: int) -> float:
    """Return c₀ = ∫ max(0, 1 − ‖X‖₁) dX over R^d, which is 2^d / (d + 1)!.

    Examples
    --------
    >>> from minadder.analysis.approximation import tent_volume
    >>> tent_volume(1), tent_volume(2)
    (1.0, 0.6666666666666666)
    """
    return 2.0**dimension / math.factorial(dimension + 1)


def random_tents(function: Function, box: Box, count: int, radius: float, rng: np.random.Generator) -> Tents:
    """Return the tents of the proof of Theorem 4: centres drawn from |f| / ‖f‖₁, heights ±‖f‖₁ / (c₀·N·ε^d).

    Their sum has the mean ψ_ε, f smoothed by a tent (Eqs. 39–42; preprint 10–13). The proof has f on all of R^d;
    here f is continued beyond the box by its value at the nearest point of the box, as far as tents reach. That keeps
    the Lipschitz constant. ‖f‖₁ over the box grown by ε is estimated from 20,000 uniform points (or 10·N),
    and the centres are drawn from those.

    Parameters
    ----------
    function
        f, from points (N, d) to values (N,). It is called with points of the box only.
    box
        Where f shall be approximated.
    count, radius
        N and ε.
    rng
        What draws.

    Raises
    ------
    ValueError
        When N or ε is not above 0, or f is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import analysis
    >>> box = analysis.Box([-1.0], [1.0])
    >>> tents = analysis.random_tents(lambda x: 1 + x[:, 0], box, 4000, 0.2, np.random.default_rng(0))
    >>> bool(np.abs(tents(np.array([[0.0], [0.5]])) - [1, 1.5]).max() < 0.2)
    True
    """
    check_sampling(function, box, rng)
    count, radius = whole(count, "count", 1), number(radius, "radius", "(0, inf)")
    fits_memory((count, box.dimension), 80, "the candidates for tents")
    around = box.grown(radius)
    candidates = around.draw(max(CANDIDATES, 10 * count), rng)
    values = values_of(function, box.clip(candidates))
    size = np.abs(values)
    if not size.any():
        return Tents(candidates[:count], np.zeros(count), radius)
    norm = around.volume * float(size.mean())
    chosen = rng.choice(len(candidates), count, p=size / size.sum())
    height = norm / (tent_volume(box.dimension) * count * radius**box.dimension)
    return Tents(candidates[chosen], np.sign(values[chosen]) * height, radius)


def fitted_tents(tents: Tents, function: Function, box: Box, samples: int, rng: np.random.Generator) -> Tents:
    """Return the same tents with the heights that are best in the mean square at so many points of the box.

    Directions in which the heights hardly count, below a hundredth of the largest singular value, are left out: where
    few points lie under a tent its height would otherwise be anything.
    """
    instance(tents, "tents", Tents, "analysis.Tents, such as analysis.random_tents(...) gives")
    check_sampling(function, box, rng)
    samples = whole(samples, "samples", 1)
    fits_memory((samples, len(tents.heights)), 8, "the tents at the samples")
    points = box.draw(samples, rng)
    heights = np.linalg.lstsq(tents.features(points), values_of(function, points), rcond=1e-2)[0]
    return Tents(tents.centres, heights, tents.radius)


def check_sampling(function: Function, box: Box, rng: np.random.Generator) -> None:
    """Raise TypeError unless it is a function on a box, and a generator of NumPy's."""
    check_function(function, box)
    instance(rng, "rng", np.random.Generator, "a NumPy generator, such as np.random.default_rng(0)")


def check_function(function: Function, box: Box) -> None:
    """Raise TypeError unless it is a function on a box."""
    if not callable(function):
        raise TypeError(f"function must be a function of points (N, d), not {described(function)}")
    instance(box, "box", Box, "an analysis.Box")


def smoothed(function: Function, box: Box, points: Array, radius: float, side: int) -> Array:
    """Return ψ_ε at points (M, d): the mean of f under a tent around each, by a grid of side^d places."""
    offsets = Box.cube(box.dimension).grid(side)
    weights = np.maximum(0.0, 1.0 - np.abs(offsets).sum(axis=1))
    total = np.zeros(len(points))
    for offset, weight in zip(offsets[weights > 0], weights[weights > 0], strict=True):
        total += weight * values_of(function, box.clip(points + radius * offset))
    return total / weights.sum()


def values_of(function: Function, points: Array) -> Array:
    """Return a function's values as float64 (N,), once they are that and finite."""
    values = real_array(function(points), "what the function gives")
    if values.shape != points.shape[:1] or not np.isfinite(values).all():
        raise ValueError(
            f"the function must give one finite number for each of {len(points)} points; it gave shape {values.shape}"
            + ("" if np.isfinite(values).all() else ", with NaN or Inf")
        )
    return values


def best_radius(count: int, box: Box, norm: float, lipschitz: float) -> float:
    """Return the ε that balances both parts of the mean square error, ε²·L₁² and ‖f‖₁·|f| / (N·ε^d).

    They are those of Eq. 45 (preprint 16). So ε is proportional to N^(−1/(d+2)), and the mean square error to
    N^(−2/(d+2)).

    Parameters
    ----------
    count
        N.
    box
        The box, for its dimension and volume.
    norm
        The mean of |f| over the box.
    lipschitz
        L₁, with respect to the ℓ1 norm.
    """
    d = box.dimension
    constant = box.volume * norm**2 / (tent_volume(d) * lipschitz**2)
    return float((constant / count) ** (1 / (d + 2)))


def slope(widths: Array, errors: Array) -> float:
    """Return the exponent s of errors ∝ widths^s, fitted to their logarithms.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder.analysis.approximation import slope
    >>> round(slope(np.array([1.0, 10.0, 100.0]), np.array([5.0, 0.5, 0.05])), 6)
    -1.0
    """
    return float(np.polyfit(np.log(widths), np.log(errors), 1)[0])
