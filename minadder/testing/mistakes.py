"""What kind of mistake a wrong gradient looks like, in words."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from minadder.autograd import Array
from minadder.testing.call import Call
from minadder.testing.slopes import ATOL, RTOL, Entries


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
