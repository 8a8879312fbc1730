"""Argument checks shared by the data package."""

from __future__ import annotations

import operator
from typing import SupportsIndex

MAX_SEED = 2**32 - 1


def whole_number(name: str, value: SupportsIndex, minimum: int, maximum: int | None = None) -> int:
    """Return ``value`` as an int that lies in ``[minimum, maximum]``.

    Raises TypeError for anything that is not a whole number (floats and booleans included) and ValueError
    for one outside the range; both name the argument and the value.

    >>> from minadder.data.checks import whole_number
    >>> whole_number("batch_size", 8, minimum=1)
    8
    """
    if isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r} of type {type(value).__name__}") from None
    if number < minimum or (maximum is not None and number > maximum):
        allowed = f"at least {minimum}" if maximum is None else f"between {minimum} and {maximum}"
        raise ValueError(f"{name} must be {allowed}, got {number}")
    return number


def seed_number(seed: SupportsIndex) -> int:
    """Return ``seed`` as an int in ``[0, 2**32)``: one 32-bit word, so that (seed, epoch) pairs never collide."""
    return whole_number("seed", seed, minimum=0, maximum=MAX_SEED)
