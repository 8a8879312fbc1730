"""Finite differences of a function, at single entries and along directions; kinks are told apart.

The output is weighted by a random gradient u. One entry x of an input is moved by ±ε, and every output has a slope to
the left of x and one to the right. Where they agree, backward must give Σ u·slope. Where they do not, x sits on a kink
and there is no derivative: any slope in between is a convention, and passes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from minadder.autograd import Array
from minadder.gradcheck import KINK_JUMP, Difference
from minadder.testing.call import Call

STEP = 2.0**-20
"""The step ε for values up to 1; for larger ones as much larger."""

RTOL, ATOL, NOISE = 1e-5, 1e-7, 1e-9
"""Gradients may differ by ATOL + RTOL·Σ|u·slope| + NOISE·Σ|u·output|: what is cut off, and what is rounded."""

MOST = 64
"""So many entries of each input are looked at singly; random directions take in all of them."""


class Slope(NamedTuple):
    """The slopes of the weighted output on both sides, the least and the largest in between, and what may be amiss."""

    left: float
    right: float
    low: float
    high: float
    kink: bool
    tolerance: float

    @property
    def middle(self) -> float:
        """The central difference."""
        return (self.left + self.right) / 2

    def allows(self, gradient: float) -> bool:
        """Return whether this may be the gradient: the slope, or on a kink any slope in between."""
        if self.kink:
            return self.low - self.tolerance <= gradient <= self.high + self.tolerance
        return abs(gradient - self.middle) <= self.tolerance


def slope(call: Call, number: int, direction: Array) -> Slope:
    """Return the slope of the weighted output where input `number` moves along a direction."""
    array = call.arrays[number]
    reach = float(np.abs(array[direction != 0]).max(initial=1.0))
    step = STEP * 2.0 ** math.ceil(math.log2(reach))

    def at(distance: float) -> Array:
        return call.with_input(number, array + distance * direction).differentiated(number)

    middle = at(0.0)
    left, right = (middle - at(-step)) / step, (at(step) - middle) / step
    jumps = np.abs(right - left) > KINK_JUMP * np.maximum(1.0, np.maximum(np.abs(left), np.abs(right)))
    weighted = np.array([left * call.upstream, right * call.upstream])
    size = float(np.abs(weighted.mean(axis=0)).sum())
    noise = float(np.abs(middle * call.upstream).sum())
    return Slope(
        left=float(weighted[0].sum()),
        right=float(weighted[1].sum()),
        low=float(weighted.min(axis=0).sum()),
        high=float(weighted.max(axis=0).sum()),
        kink=bool(jumps.any()),
        tolerance=ATOL + RTOL * size + NOISE * noise,
    )


class Entries(NamedTuple):
    """What was found at the entries of one input that were looked at: both gradients, and which sit on a kink."""

    places: list[tuple[int, ...]]
    analytic: Array
    numeric: Array
    kinks: Array
    differences: list[Difference]


def some_places(rng: np.random.Generator, shape: tuple[int, ...], most: int) -> Iterator[tuple[int, ...]]:
    """Yield the indices of an array's entries, at most so many of them, picked at random."""
    for flat in sorted(rng.permutation(math.prod(shape))[:most]):
        yield tuple(int(i) for i in np.unravel_index(flat, shape))


def look_at(call: Call, number: int, rng: np.random.Generator, most: int = MOST) -> Entries:
    """Compare the gradient of one input with finite differences, entry by entry."""
    gradient = call.plain.gradients[number]
    places, slopes, differences = list(some_places(rng, gradient.shape, most)), [], []
    for place in places:
        direction = np.zeros(gradient.shape)
        direction[place] = 1.0
        found, analytic = slope(call, number, direction), float(gradient[place]) + 0.0  # −0 is shown as 0
        slopes.append(found)
        if not found.allows(analytic):
            differences.append(Difference(number, place, analytic, found.middle, found.left, found.right))
    return Entries(
        places,
        np.array([gradient[place] for place in places]),
        np.array([found.middle for found in slopes]),
        np.array([found.kink for found in slopes], bool),
        differences,
    )
