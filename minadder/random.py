"""The library's random numbers: one generator, seeded by `manual_seed`."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from minadder.checks import whole

_generator = np.random.Generator(np.random.PCG64())


def manual_seed(seed: int) -> None:
    """Seed the generator that draws initial weights, so that the same program gives the same bits.

    Parameters
    ----------
    seed
        An integer of at least 0.

    Raises
    ------
    TypeError, ValueError
        For anything else.

    Examples
    --------
    >>> import minadder as ma
    >>> ma.manual_seed(0)
    """
    _generator.bit_generator.state = np.random.PCG64(whole(seed, "seed", 0, most=None)).state


def generator() -> np.random.Generator:
    """Return the library's random generator."""
    return _generator


def generator_state() -> dict[str, Any]:
    """Return the generator's state: a dictionary of strings and integers, which JSON can hold."""
    return dict(_generator.bit_generator.state)


def set_generator_state(state: dict[str, Any]) -> None:
    """Put the generator back into a state that `generator_state` returned.

    Raises
    ------
    ValueError
        For anything else; the generator stays as it is.
    """
    check_generator_state(state)
    _generator.bit_generator.state = state


def check_generator_state(state: Any) -> None:
    """Raise ValueError for all but what `generator_state` returns."""
    spare = np.random.PCG64()
    try:
        spare.state = state
        same = json.dumps(state, sort_keys=True) == json.dumps(dict(spare.state), sort_keys=True)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise ValueError(f"not the state of a random generator of NumPy's PCG64 ({error!r})") from None
    if not same:  # NumPy takes numbers of other types and sizes, and makes something of them
        raise ValueError(f"not the state of a random generator of NumPy's PCG64: {state!r:.200}")
