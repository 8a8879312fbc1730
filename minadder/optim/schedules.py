"""Learning-rate schedules: functions of the fraction of training done, so that resuming needs nothing stored."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from minadder.checks import choice, instance, number, shown
from minadder.optim.optimizer import Optimizer

PACES = ("step", "epoch")
"""Before what a schedule changes something: every step, or every epoch."""


class Schedule(ABC):
    """How the learning rate falls while training goes from fraction 0 to 1.

    Step t of T steps has the fraction t / T, so that the first step uses `initial_lr` itself. A schedule of your own
    inherits this class, writes `_shape`, and has an attribute `by`.

    Attributes
    ----------
    by
        "step" when the rate changes before every step, "epoch" when only before every epoch.
    """

    by: str

    def _check(self, **intervals: str) -> None:
        """Check `by`, and keep as floats the numbers that must lie in these intervals."""
        choice(self.by, "by", PACES)
        for name, interval in intervals.items():
            object.__setattr__(self, name, number(getattr(self, name), name, interval))  # the dataclasses are frozen

    @abstractmethod
    def _shape(self, fraction: float) -> float:
        """Return the factor for a fraction that was checked."""

    def factor(self, fraction: float) -> float:
        """Return what the first learning rate is multiplied by when this fraction of training is done.

        Raises
        ------
        TypeError, ValueError
            When `fraction` is no number in [0, 1].
        """
        return self._shape(number(fraction, "fraction", "[0, 1]"))

    def set_lr(self, optimizer: Optimizer, fraction: float) -> None:
        """Set the `lr` of each of the optimiser's groups to its `initial_lr` times the factor."""
        instance(optimizer, "optimizer", Optimizer, "an optimiser, such as optim.SGD(...)")
        factor = self.factor(fraction)
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from 1 to `final`: final + (1 − final)·(1 + cos(π·fraction)) / 2 (Chen et al. 2020, Sec. 4.1).

    Parameters
    ----------
    final
        The factor at the end, in [0, 1].
    by
        "step" or "epoch".

    Raises
    ------
    TypeError, ValueError
        For other values.

    Examples
    --------
    >>> from minadder import optim
    >>> [round(optim.Cosine().factor(fraction), 3) for fraction in (0, 0.25, 0.5, 1)]
    [1.0, 0.854, 0.5, 0.0]
    """

    final: float = 0.0
    by: str = "step"

    def __post_init__(self) -> None:
        self._check(final="[0, 1]")

    def _shape(self, fraction: float) -> float:
        return between(self.final, (1 + math.cos(math.pi * fraction)) / 2)


@dataclass(frozen=True)
class Polynomial(Schedule):
    """A power of what is left, from 1 to `final`: final + (1 − final)·(1 − fraction)^power.

    It is what Chen et al. 2020, Sec. 4.2, calls polynomial, without giving the power.

    Parameters
    ----------
    power
        The exponent, above 0; 1 is a straight line.
    final
        The factor at the end, in [0, 1].
    by
        "step" or "epoch".

    Raises
    ------
    TypeError, ValueError
        For other values.

    Examples
    --------
    >>> from minadder import optim
    >>> [optim.Polynomial(power=2.0).factor(fraction) for fraction in (0, 0.5, 1)]
    [1.0, 0.25, 0.0]
    """

    power: float = 1.0
    final: float = 0.0
    by: str = "step"

    def __post_init__(self) -> None:
        self._check(power="(0, inf)", final="[0, 1]")

    def _shape(self, fraction: float) -> float:
        return between(self.final, (1 - fraction) ** self.power)


@dataclass(frozen=True)
class Step(Schedule):
    """Multiply by `gamma` at each milestone: gamma to the power of the number of milestones reached.

    Parameters
    ----------
    milestones
        Fractions of training, increasing, between 0 and 1.
    gamma
        What the rate is multiplied by at each, above 0.
    by
        "step" or "epoch".

    Raises
    ------
    TypeError, ValueError
        For other values.

    Examples
    --------
    >>> from minadder import optim
    >>> [optim.Step(milestones=(0.5, 0.75), gamma=0.5).factor(fraction) for fraction in (0, 0.5, 0.7, 0.75)]
    [1.0, 0.5, 0.5, 0.25]
    """

    milestones: tuple[float, ...] = (0.5, 0.75)
    gamma: float = 0.1
    by: str = "step"

    def __post_init__(self) -> None:
        if not isinstance(self.milestones, (tuple, list)):
            raise TypeError(f"milestones must be a tuple of fractions, got {shown(self.milestones)}")
        milestones = tuple(number(each, f"milestones[{i}]", "(0, 1)") for i, each in enumerate(self.milestones))
        object.__setattr__(self, "milestones", milestones)
        increasing = all(a < b for a, b in zip(self.milestones, self.milestones[1:], strict=False))
        if not self.milestones or not increasing:
            raise ValueError(f"milestones must be one or more increasing fractions, got {self.milestones}")
        self._check(gamma="(0, inf)")

    def _shape(self, fraction: float) -> float:
        return float(self.gamma ** sum(fraction >= milestone for milestone in self.milestones))


def between(final: float, left: float) -> float:
    """Return the point between `final` (where `left` is 0) and 1 (where `left` is 1), exact at both ends."""
    return left + final * (1 - left)
