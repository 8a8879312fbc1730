"""How the exponent p of ℓp adder layers falls in training (Universal AdderNets, Sec. 3.2; preprint 4.2)."""

from __future__ import annotations

from dataclasses import dataclass

from minadder.checks import choice, number
from minadder.optim.schedules import PACES


@dataclass(frozen=True)
class LinearP:
    """p falls on a straight line from `start` to `end`, where it is when the fraction `until` of training is done.

    Afterwards it stays. It goes with every learning-rate schedule, and being a function of the fraction of training
    done, like these, it needs nothing stored to resume.

    Parameters
    ----------
    start, end
        The exponent at first and at last, in [1, 2].
    until
        Which fraction of training the way takes, in (0, 1]: 0.75, as 600 of 800 epochs, is the best of
        Universal AdderNets, Table 6.
    by
        "step" when p changes before every step, "epoch" when only before every epoch.

    Raises
    ------
    TypeError, ValueError
        For other values.

    Examples
    --------
    >>> from minadder import optim
    >>> [optim.LinearP().p(fraction) for fraction in (0, 0.375, 0.75, 1)]
    [2.0, 1.5, 1.0, 1.0]
    """

    start: float = 2.0
    end: float = 1.0
    until: float = 0.75
    by: str = "step"

    def __post_init__(self) -> None:
        for name, interval in (("start", "[1, 2]"), ("end", "[1, 2]"), ("until", "(0, 1]")):
            object.__setattr__(self, name, number(getattr(self, name), name, interval))  # the dataclass is frozen
        choice(self.by, "by", PACES)

    def p(self, fraction: float) -> float:
        """Return the exponent when this fraction of training is done, in [0, 1]."""
        done = min(1.0, number(fraction, "fraction", "[0, 1]") / self.until)
        return self.start + (self.end - self.start) * done
