"""Whether backward gives the slopes that finite differences find: entry by entry, and along random directions."""

from __future__ import annotations

import numpy as np

from minadder.autograd import Array
from minadder.gradcheck import Difference, report
from minadder.testing.call import Call
from minadder.testing.mistakes import suspicions
from minadder.testing.slopes import Entries, Slope, look_at, slope


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
    Where the two differ, all entries are looked at: one of those left out before may be wrong, or on a kink.
    """
    size = call.arrays[number].size
    for _ in range(2):
        direction = np.asarray(rng.standard_normal(call.arrays[number].shape))
        found, ours = both_sides(call, number, direction, entries)
        if found.allows(ours):
            continue
        entries = look_at(call, number, rng, size)
        found, ours = both_sides(call, number, direction, entries)
        if entries.differences or not found.allows(ours):
            raise call.error(
                f"along a random direction v in input {number}, ⟨Jv, u⟩ is {found.middle:.6g} by finite differences "
                f"and ⟨v, Jᵀu⟩ is {ours:.6g} by backward: backward is not the adjoint of the derivative. "
                f"{described(call, entries.differences, size) if entries.differences else 'No single entry shows it.'}"
            )


def both_sides(call: Call, number: int, direction: Array, entries: Entries) -> tuple[Slope, float]:
    """Return ⟨Jv, u⟩ and ⟨v, Jᵀu⟩ for the direction v, without the entries that are known to sit on a kink."""
    v = direction.copy()
    for place, kink in zip(entries.places, entries.kinks, strict=True):
        if kink:
            v[place] = 0.0
    return slope(call, number, v), float((call.plain.gradients[number] * v).sum())


def described(call: Call, differences: list[Difference], looked_at: int) -> str:
    """Return how many entries differ, the worst one, and the value that the input has there."""
    worst = max(differences, key=lambda difference: difference.size)
    value = call.arrays[worst.input][worst.place]
    return f"{report(differences, looked_at)} That entry of the input is {value:.6g}."
