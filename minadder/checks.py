"""Checks of arguments, the same at every door: each error names the argument, what was given and what is wanted.

What passes comes back as the rest of the library takes it: an int for a NumPy integer, a float for any real number.
Every other module may import this one, so it imports none of them.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

LARGEST = 2**63 - 1
"""The largest size that an array can have: more is no machine integer."""

MAX_SEED = 2**32 - 1
"""Seeds of the data are one 32-bit word each, so that the pairs (seed, epoch) never collide."""

SHOWN = 200
"""So many characters of a value are shown."""

Kind = TypeVar("Kind")


def shown(value: Any) -> str:
    """Return a value as a message shows it: its repr, cut where it is long.

    Examples
    --------
    >>> from minadder.checks import shown
    >>> shown("3"), shown(10**400)
    ("'3'", 'an integer of 1329 bits')
    """
    if isinstance(value, int) and abs(value) >> 128:  # Python writes no integers of more than 4300 digits
        return f"an integer of {value.bit_length()} bits"
    try:
        text = repr(value)
    except ValueError:  # such an integer inside
        return f"one of type {type(value).__name__}"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def whole(value: Any, name: str, least: int | None = None, most: int | None = LARGEST) -> int:
    """Return a whole number from `least` to `most` as an int.

    Raises
    ------
    TypeError
        For everything but integers of Python or NumPy: for booleans, floats, strings and arrays.
    ValueError
        For an integer outside the range.

    Examples
    --------
    >>> from minadder.checks import whole
    >>> whole(8, "batch_size", 1)
    8
    >>> whole(0, "batch_size", 1)
    Traceback (most recent call last):
    ...
    ValueError: batch_size must be at least 1, not 0
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an int, not {shown(value)}")
    number = int(value)
    if least is not None and number < least:
        raise ValueError(f"{name} must be at least {least}, not {shown(number)}")
    if most is not None and number > most:
        raise ValueError(f"{name} must be at most {most}, not {shown(number)}")
    return number


def sizes(value: Any, name: str) -> tuple[int, ...]:
    """Return a sequence of ints of at least 1 as a tuple; TypeError or ValueError for another, naming the part.

    Examples
    --------
    >>> from minadder.checks import sizes
    >>> sizes([3, 32, 32], "input_shape")
    (3, 32, 32)
    """
    given = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(given, Sequence) or isinstance(given, (str, bytes)):
        raise TypeError(f"{name} must be a tuple or a list of ints, such as (3, 32, 32), not {shown(value)}")
    return tuple(whole(size, f"{name}[{i}]", 1) for i, size in enumerate(given))


def seed_number(value: Any) -> int:
    """Return a seed of the data as an int in [0, 2³²); TypeError or ValueError for another."""
    return whole(value, "seed", 0, MAX_SEED)


def number(value: Any, name: str, interval: str) -> float:
    """Return a real number as a float when it lies in an interval such as "[0, 1)" or "(0, inf)".

    Raises
    ------
    TypeError
        When the value is no real number: arrays and booleans are none.
    ValueError
        When it lies outside the interval; NaN lies outside all, and "inf)" excludes infinity.

    Examples
    --------
    >>> from minadder.checks import number
    >>> number(0.9, "momentum", "[0, 1)")
    0.9
    >>> number(1.5, "momentum", "[0, 1)")
    Traceback (most recent call last):
    ...
    ValueError: momentum must be a number in [0, 1), got 1.5
    """
    # each step of an optimiser checks several, which are floats
    if type(value) is not float and (isinstance(value, bool) or not isinstance(value, Real)):
        raise TypeError(f"{name} must be a number in {interval}, got {shown(value)} of type {type(value).__name__}")
    low, high = ends(interval)
    try:
        result = float(value)
    except OverflowError:  # an int or a fraction beyond 1.8e308
        result = math.nan
    above = result >= low if interval[0] == "[" else result > low
    below = result <= high if interval[-1] == "]" else result < high
    if not (above and below):
        raise ValueError(f"{name} must be a number in {interval}, got {shown(value)}")
    return result


@cache
def ends(interval: str) -> tuple[float, float]:
    """Return the ends of an interval such as "[0, inf)"; each step of an optimiser asks for several."""
    low, high = interval[1:-1].split(",")
    return float(low), float(high)


def flag(value: Any, name: str) -> bool:
    """Return True or False, NumPy's too; TypeError for what merely counts as true, such as "no"."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def choice(value: Any, name: str, choices: Iterable[str]) -> str:
    """Return a string that is one of the choices; ValueError, which lists them, for everything else.

    Examples
    --------
    >>> from minadder.checks import choice
    >>> choice("max", "reduction", ("mean", "sum"))
    Traceback (most recent call last):
    ...
    ValueError: reduction must be one of 'mean', 'sum', not 'max'
    """
    names = tuple(choices)
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, names))}, not {shown(value)}")
    return value


def instance(value: Kind, name: str, kind: type[Any] | tuple[type[Any], ...], wanted: str) -> Kind:
    """Return an object of a class; TypeError for another, which says what is `wanted`, such as "an nn.Module".

    Examples
    --------
    >>> from minadder.checks import instance
    >>> instance(dict, "state", dict, "a dictionary")
    Traceback (most recent call last):
    ...
    TypeError: state must be a dictionary, not the class dict: make one with dict(...)
    """
    if isinstance(value, kind):
        return value
    hint = f": make one with {value.__name__}(...)" if isinstance(value, type) and issubclass(value, kind) else ""
    raise TypeError(f"{name} must be {wanted}, not {described(value)}{hint}")


def described(value: Any) -> str:
    """Return a value as a message shows it, and its type."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"{shown(value)} of type {type(value).__name__}"


def array_like(value: Any, name: str) -> NDArray[Any]:
    """Return what NumPy can take for an array, such as nested lists; ValueError for lists of unequal lengths."""
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be an array, not {shown(value)}: {error}") from None


def real_array(value: Any, name: str) -> NDArray[np.float64]:
    """Return a copy of real numbers as an array of float64; TypeError or ValueError for what holds others."""
    array = array_like(value, name)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, not {described(value)}")
    return array.astype(np.float64)


def fits_memory(shape: tuple[int, ...], itemsize: int, what: str) -> None:
    """Raise MemoryError when an array of a shape takes more bytes than this machine has, before it is asked for.

    Systems promise memory that they do not have, and end the process when it is used.
    """
    needed, there = math.prod(shape) * itemsize, memory()
    if needed > there:
        raise MemoryError(
            f"{what} of shape {shape} would take {needed:,} bytes and this machine has {there:,}: make it smaller"
        )


@cache
def memory() -> int:
    """Return the bytes of memory of this machine; where the system does not tell, the most that can be addressed."""
    if not hasattr(os, "sysconf"):  # Windows, which promises no memory that it lacks
        return sys.maxsize
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return sys.maxsize
