"""Measuring several things side by side, so that what disturbs the machine disturbs all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

Case = Callable[[], object]

MOST_RUNS = 50
"""In a turn. More of a few microseconds each would only make long lists."""


@dataclass(frozen=True)
class Effort:
    """How long things are measured.

    Parameters
    ----------
    rounds
        How often each case gets its turn.
    seconds
        How long a turn lasts at least: the case runs again until so much time is gone, or it has run 50 times.
    runs
        How often the case runs in a turn at least.
    """

    rounds: int = 5
    seconds: float = 0.1
    runs: int = 1

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.runs < 1:
            raise ValueError(f"rounds and runs must be at least 1, not {self.rounds} and {self.runs}")


THOROUGH = Effort()
"""At least 5 runs a case, and 0.5 s or 250 runs."""

QUICK = Effort(rounds=2, seconds=0.004)


def interleave(cases: Mapping[str, Case], effort: Effort = THOROUGH) -> dict[str, list[float]]:
    """Run the cases in turns A B C, A B C, … and return the seconds of each run.

    Each case runs once before, unmeasured, so that nothing is compiled and no memory new afterwards. A case that is a
    context manager is entered for each of its turns, outside the time.

    Examples
    --------
    >>> from minadder.bench.timing import Effort, interleave
    >>> turns = []
    >>> cases = {"A": lambda: turns.append("A"), "B": lambda: turns.append("B")}
    >>> seconds = interleave(cases, Effort(rounds=2, seconds=0))
    >>> "".join(turns), len(seconds["A"])
    ('ABABAB', 2)
    """
    for case in cases.values():
        with around(case):
            case()
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(effort.rounds):
        for name, case in cases.items():
            spent, runs = 0.0, 0
            with around(case):
                while runs < effort.runs or (spent < effort.seconds and runs < MOST_RUNS):
                    begin = time.perf_counter()
                    case()
                    seconds[name].append(time.perf_counter() - begin)
                    spent, runs = spent + seconds[name][-1], runs + 1
    return seconds


def around(case: Case) -> AbstractContextManager[object]:
    """Return what to enter for a turn of a case: the case, where it is a context manager."""
    return case if isinstance(case, AbstractContextManager) else nullcontext()


def best(seconds: list[float]) -> float:
    """Return the shortest time: the one that other work on the machine disturbed least.

    Raises
    ------
    ValueError
        When nothing was measured.
    """
    if not seconds:
        raise ValueError("nothing was measured")
    return min(seconds)
