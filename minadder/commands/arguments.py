"""Numbers of the command line: what `add_argument` takes as `type`."""

from __future__ import annotations

import argparse
from typing import Any

from minadder.checks import MAX_SEED


def positive_int(text: str) -> int:
    """Return an integer of at least 1."""
    return in_range(int, text, 1, "an integer of at least 1")


def natural(text: str) -> int:
    """Return an integer of at least 0."""
    return in_range(int, text, 0, "an integer of at least 0")


def seed(text: str) -> int:
    """Return an integer of at least 0 that a loader takes as its seed."""
    wanted = f"an integer from 0 to {MAX_SEED}"
    value: int = in_range(int, text, 0, wanted)
    if value > MAX_SEED:
        raise argparse.ArgumentTypeError(f"must be {wanted}, not {text}")
    return value


def positive_float(text: str) -> float:
    """Return a finite number above 0."""
    value: float = in_range(float, text, 0, "a finite number above 0")
    if value == 0 or value == float("inf"):
        raise argparse.ArgumentTypeError(f"must be a finite number above 0, not {text}")
    return value


def fraction(text: str) -> float:
    """Return a number in (0, 1]."""
    value: float = in_range(float, text, 0, "a number above 0, at most 1")
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number above 0, at most 1, not {text}")
    return value


def in_range(kind: type, text: str, least: float, wanted: str) -> Any:
    """Return a number that is not below `least`."""
    try:
        value = kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be {wanted}, not {text!r}") from None
    if not value >= least:
        raise argparse.ArgumentTypeError(f"must be {wanted}, not {text}")
    return value
