"""Boxes [low, high] in R^d: the compact sets on which the constructions of the papers' proofs hold."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from minadder.autograd import Array
from minadder.checks import fits_memory, number, real_array, whole


@dataclass(frozen=True, eq=False)
class Box:
    """The points with low ≤ x ≤ high in each coordinate.

    Parameters
    ----------
    low, high
        Arrays (d,), kept as float64.

    Raises
    ------
    ValueError
        When they are not of one shape (d,), not finite, or low exceeds high.

    Examples
    --------
    >>> from minadder.analysis import Box
    >>> box = Box([0.0, -1.0], [1.0, 1.0])
    >>> box.farthest([[0.0, 0.0]])
    array([2.])
    """

    low: Array
    high: Array

    def __init__(self, low: npt.ArrayLike, high: npt.ArrayLike) -> None:
        ends = [real_array(low, "low"), real_array(high, "high")]
        if ends[0].ndim != 1 or ends[0].shape != ends[1].shape or ends[0].size == 0:
            raise ValueError(f"low and high must have one shape (d,), not {ends[0].shape} and {ends[1].shape}")
        if not (np.isfinite(ends).all() and (ends[0] <= ends[1]).all()):
            raise ValueError(f"low must be finite and at most high, but they are {ends[0]} and {ends[1]}")
        object.__setattr__(self, "low", ends[0])
        object.__setattr__(self, "high", ends[1])

    @classmethod
    def cube(cls, dimension: int, low: float = -1.0, high: float = 1.0) -> Box:
        """Return the box with the same ends in each coordinate."""
        dimension = whole(dimension, "dimension", 1)
        low, high = number(low, "low", "(-inf, inf)"), number(high, "high", "(-inf, inf)")
        fits_memory((2, dimension), 8, "the ends")
        return cls(np.full(dimension, low), np.full(dimension, high))

    @property
    def dimension(self) -> int:
        """The number d of coordinates."""
        return self.low.size

    @property
    def volume(self) -> float:
        """The product of the sides."""
        return float(np.prod(self.high - self.low))

    def farthest(self, points: npt.ArrayLike) -> Array:
        """Return, for each point (N, d), the largest ℓ1 distance to a point of the box, (N,)."""
        given = real_array(points, "points")
        return np.maximum(np.abs(given - self.low), np.abs(given - self.high)).sum(axis=1)

    def grown(self, margin: float) -> Box:
        """Return the box with a margin added on each side."""
        return Box(self.low - margin, self.high + margin)

    def clip(self, points: Array) -> Array:
        """Return the nearest points of the box."""
        return np.clip(points, self.low, self.high)

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        """Return points (count, d), uniform in the box."""
        return rng.uniform(self.low, self.high, (count, self.dimension))

    def corners(self) -> Array:
        """Return the 2^d corners (2^d, d)."""
        return np.array(list(product(*zip(self.low, self.high, strict=True))))

    def grid(self, side: int) -> Array:
        """Return the centres (side^d, d) of equal cells, `side` along each axis; the last coordinate runs fastest."""
        lines = [
            low + (high - low) * (np.arange(side) + 0.5) / side for low, high in zip(self.low, self.high, strict=True)
        ]
        return np.stack([axis.ravel() for axis in np.meshgrid(*lines, indexing="ij")], axis=1)
