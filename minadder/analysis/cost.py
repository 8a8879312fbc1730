"""What operations cost: processor cycles one after the other, and energy."""

from __future__ import annotations

from dataclasses import dataclass

from minadder.analysis.counting import Operations
from minadder.checks import choice, instance


@dataclass(frozen=True)
class Energy:
    """Picojoules of one addition and of one multiplication."""

    addition: float
    multiplication: float


ENERGY = {"float32": Energy(0.9, 3.7), "int32": Energy(0.1, 3.1), "int8": Energy(0.03, 0.2)}
"""By numbers, in a 45 nm process at 0.9 V (Horowitz, "Computing's energy problem", ISSCC 2014, Fig. 1.1.9)."""

ADDITION_CYCLES = 2
MULTIPLICATION_CYCLES = 4
"""Latencies of the VIA Nano 2000, as the papers take them (Chen et al. 2020, Sec. 4.1)."""


def cycles(operations: Operations) -> int:
    """Return the cycles of operations one after the other, 2 an addition and 4 a multiplication.

    Those are the latencies of Chen et al. 2020, Sec. 4.1: a comparison of the operations, no time that a processor
    with vectors and pipelines takes.

    Raises
    ------
    ValueError
        For XNORs, of which the papers give no cycles.

    Examples
    --------
    >>> from minadder import analysis
    >>> analysis.cycles(analysis.Operations(multiplications=435_000, additions=435_000))
    2610000
    """
    check_no_xnors(operations, "cycles")
    return MULTIPLICATION_CYCLES * operations.multiplications + ADDITION_CYCLES * operations.additions


def energy(operations: Operations, numbers: str = "float32") -> float:
    """Return the energy of operations in picojoules, by Horowitz's table for 45 nm.

    Moving the data costs more, and is not in it. With "int8" all additions are taken as ones of 8 bits, as products
    are; but a sum of many needs more bits, and an addition of 32 bits takes 0.1 pJ.

    Parameters
    ----------
    operations
        How many; see `minadder.analysis.count`.
    numbers
        "float32", "int32" or "int8".

    Raises
    ------
    ValueError
        For other numbers, or for XNORs, which the table does not hold.

    Examples
    --------
    >>> from minadder import analysis
    >>> analysis.energy(analysis.Operations(multiplications=10), "float32")
    37.0
    """
    choice(numbers, "numbers", ENERGY)
    check_no_xnors(operations, "energy")
    cost = ENERGY[numbers]
    return cost.addition * operations.additions + cost.multiplication * operations.multiplications


def check_no_xnors(operations: Operations, what: str) -> None:
    """Raise an error for what are no operations, and where there are XNORs."""
    instance(operations, "operations", Operations, "analysis.Operations, such as analysis.count(...).total() gives")
    if operations.xnors:
        raise ValueError(f"the {what} of {operations.xnors} XNORs cannot be told: the source gives none for an XNOR")
