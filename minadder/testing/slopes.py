"""Gradients against finite differences, entry by entry and along random directions; kinks are told apart.

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
from minadder.gradcheck import KINK_JUMP, Difference, report
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


def check_slopes(call: Call) -> None:
    """Raise CheckError where a gradient is not the slope, and say what kind of mistake it looks like."""
    rng = np.random.default_rng(0)
    inputs = [look_at(call, number, rng) for number in range(len(call.arrays))]
    differences = [difference for entries in inputs for difference in entries.differences]
    if differences:
        looked_at = sum(len(entries.places) for entries in inputs)
        guesses = "; ".join(suspicions(call, inputs))
        raise call.error(f"{guesses}{'. ' if guesses else ''}{described(call, differences, looked_at)}")
    for number, entries in enumerate(inputs):
        check_directions(call, number, entries, rng)


def check_directions(call: Call, number: int, entries: Entries, rng: np.random.Generator) -> None:
    """Raise CheckError unless ⟨Jv, u⟩ = ⟨v, Jᵀu⟩ for random v: backward is the adjoint of the derivative.

    Jv is the slope along v, and Jᵀu is what backward gives. Every entry takes part, but for those found on a kink.
    """
    gradient = call.plain.gradients[number]
    for _ in range(2):
        direction = np.asarray(rng.standard_normal(gradient.shape))
        for place, kink in zip(entries.places, entries.kinks, strict=True):
            if kink:
                direction[place] = 0.0
        found, ours = slope(call, number, direction), float((gradient * direction).sum())
        if not found.allows(ours):
            differences = look_at(call, number, rng, gradient.size).differences
            raise call.error(
                f"along a random direction v in input {number}, ⟨Jv, u⟩ is {found.middle:.6g} by finite differences "
                f"and ⟨v, Jᵀu⟩ is {ours:.6g} by backward: backward is not the adjoint of the derivative. "
                f"{described(call, differences, gradient.size) if differences else 'No single entry shows it.'}"
            )


def described(call: Call, differences: list[Difference], looked_at: int) -> str:
    """Return how many entries differ, the worst one, and the value that the input has there."""
    worst = max(differences, key=lambda difference: difference.size)
    value = call.arrays[worst.input][worst.place]
    return f"{report(differences, looked_at)} That entry of the input is {value:.6g}."


def suspicions(call: Call, inputs: list[Entries]) -> Iterator[str]:
    """Yield a clause for each input with a wrong gradient whose kind of mistake can be told."""
    for number, entries in enumerate(inputs):
        gradient, kept = call.plain.gradients[number], ~entries.kinks
        if not entries.differences or not kept.any():
            continue
        what, analytic, numeric = f"the gradient of input {number}", entries.analytic[kept], entries.numeric[kept]
        twins = [
            other
            for other, theirs in enumerate(inputs)
            if other != number
            and call.arrays[other].shape == gradient.shape
            and np.allclose(entries.analytic, theirs.numeric, RTOL, ATOL)
        ]
        if not analytic.any():
            yield f"{what} is 0 everywhere: it is missing"
        elif twins:
            yield f"{what} is that of input {twins[0]}: return the gradients in the order of forward's inputs"
        elif np.abs(numeric).max() < ATOL:
            yield (
                f"the output does not change with input {number}, and yet backward gives a gradient: one that differs "
                f"on purpose, as straight through a rounding, is checked against the function named by gradient_of"
            )
        elif (factor := common_factor(analytic, numeric)) is not None:
            yield f"{what} {factor_in_words(factor, gradient.size / max(1, call.upstream.size))}"


def common_factor(analytic: Array, numeric: Array) -> float | None:
    """Return the number that all of one gradient is times the other; None where there is none."""
    factor = float((analytic * numeric).sum() / (numeric * numeric).sum())
    fits = np.allclose(analytic, factor * numeric, rtol=1e-4, atol=1e-4 * float(np.abs(analytic).max()))
    return factor if fits and factor and math.isfinite(factor) else None


def factor_in_words(factor: float, share: float) -> str:
    """Return what a wrong factor may mean, where each output is made of `share` entries of the input."""
    if math.isclose(factor, -1.0, rel_tol=1e-3):
        return "has the wrong sign everywhere"
    words = f"is {factor:.6g} times what it should be, everywhere: a factor is missing or too much"
    if share != 1 and math.isclose(factor, share, rel_tol=1e-3):
        words += f". {share:g} entries make one output: if forward takes their mean, backward must divide by {share:g}"
    if share != 1 and math.isclose(factor, 1 / share, rel_tol=1e-3):
        words += f". {share:g} entries make one output: if forward adds them up, backward must not divide by {share:g}"
    return words
