"""Checks of hyperparameters: a number in an interval."""

from __future__ import annotations

from functools import cache
from numbers import Real
from typing import Any


def number(value: Any, name: str, interval: str) -> float:
    """Return a real number as a float when it lies in an interval such as "[0, 1)" or "(0, inf)".

    Raises
    ------
    TypeError
        When the value is no real number.
    ValueError
        When it lies outside the interval; NaN lies outside all, and "inf)" excludes infinity.

    Examples
    --------
    >>> number(0.9, "momentum", "[0, 1)")
    0.9
    >>> number(1.5, "momentum", "[0, 1)")
    Traceback (most recent call last):
    ...
    ValueError: momentum must be a number in [0, 1), got 1.5
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number in {interval}, got {value!r} of type {type(value).__name__}")
    low, high = ends(interval)
    result = float(value)
    above = result >= low if interval[0] == "[" else result > low
    below = result <= high if interval[-1] == "]" else result < high
    if not (above and below):
        raise ValueError(f"{name} must be a number in {interval}, got {value}")
    return result


@cache
def ends(interval: str) -> tuple[float, float]:
    """Return the ends of an interval such as "[0, inf)"; each step of an optimiser asks for several."""
    low, high = interval[1:-1].split(",")
    return float(low), float(high)
