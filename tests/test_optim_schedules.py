"""Schedules: their closed forms, their ends, what they do to an optimiser, and what they refuse."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minadder import optim
from minadder.nn.parameter import Parameter
from minadder.tensor import Tensor

fractions = st.floats(0.0, 1.0)
finals = st.floats(0.0, 1.0)
powers = st.floats(0.1, 5.0)


@given(fraction=fractions, final=finals, power=powers)
def test_closed_forms(fraction: float, final: float, power: float) -> None:
    cosine = final + (1 - final) * 0.5 * (1 + math.cos(math.pi * fraction))
    assert optim.Cosine(final).factor(fraction) == pytest.approx(cosine, rel=1e-12, abs=1e-15)
    polynomial = final + (1 - final) * (1 - fraction) ** power
    assert optim.Polynomial(power, final).factor(fraction) == pytest.approx(polynomial, rel=1e-12, abs=1e-15)


@given(final=finals, power=powers)
def test_they_start_at_one_and_end_at_final_exactly(final: float, power: float) -> None:
    for schedule in (optim.Cosine(final), optim.Polynomial(power, final)):
        assert (schedule.factor(0), schedule.factor(1)) == (1.0, final)


@given(one=fractions, other=fractions, final=finals, power=powers)
def test_they_never_rise(one: float, other: float, final: float, power: float) -> None:
    early, late = sorted((one, other))
    for schedule in (optim.Cosine(final), optim.Polynomial(power, final), optim.Step()):
        assert schedule.factor(early) >= schedule.factor(late) - 1e-15


@given(
    milestones=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=4, unique=True).map(sorted),
    gamma=st.floats(0.1, 2.0),
    fraction=fractions,
)
def test_step_counts_the_milestones_reached(milestones: list[float], gamma: float, fraction: float) -> None:
    expected = 1.0
    for milestone in milestones:
        if milestone <= fraction:
            expected *= gamma
    schedule = optim.Step(tuple(milestones), gamma)
    assert schedule.factor(fraction) == pytest.approx(expected, rel=1e-12)
    assert schedule.factor(milestones[0]) == gamma


def test_the_defaults() -> None:
    assert optim.Cosine() == optim.Cosine(final=0.0, by="step")
    assert optim.Polynomial() == optim.Polynomial(power=1.0, final=0.0, by="step")
    assert optim.Step() == optim.Step(milestones=(0.5, 0.75), gamma=0.1, by="step")
    assert repr(optim.Cosine(by="epoch")) == "Cosine(final=0.0, by='epoch')"


def test_set_lr_starts_from_each_groups_first_rate() -> None:
    groups = [{"params": [Parameter(np.zeros(1))]}, {"params": [Parameter(np.zeros(1))], "lr": 2.0}]
    optimizer = optim.SGD(groups, lr=0.5)
    for fraction in (0.5, 0.5, 0.0, 1.0):  # nothing is remembered: order and repetition do not matter
        optim.Polynomial(final=0.5).set_lr(optimizer, fraction)
        assert [group["lr"] for group in optimizer.param_groups] == [0.5 * (1 - fraction / 2), 2 * (1 - fraction / 2)]
    assert [group["initial_lr"] for group in optimizer.param_groups] == [0.5, 2.0]


def test_a_rate_of_zero_at_the_end_is_a_step_that_changes_nothing() -> None:
    parameter = Parameter(np.ones(2, np.float32))
    optimizer = optim.SGD([parameter], lr=0.1, momentum=0.9)
    parameter.grad = Tensor(np.ones(2, np.float32))
    optim.Cosine().set_lr(optimizer, 1.0)
    optimizer.step()
    np.testing.assert_array_equal(parameter.numpy(), [1, 1])


@pytest.mark.parametrize("schedule", [optim.Cosine(), optim.Polynomial(), optim.Step()])
@pytest.mark.parametrize("fraction", [-0.001, 1.001, math.nan, math.inf])
def test_fractions_outside_are_refused(schedule: optim.Schedule, fraction: float) -> None:
    optimizer = optim.SGD([Parameter(np.zeros(1))], lr=0.5)
    with pytest.raises(ValueError, match=rf"fraction must be a number in \[0, 1\], got {fraction}$"):
        schedule.factor(fraction)
    with pytest.raises(ValueError, match=f"got {fraction}$"):
        schedule.set_lr(optimizer, fraction)
    assert optimizer.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: optim.Cosine(by="batch"), ValueError, "by must be one of 'step', 'epoch', not 'batch'"),
        (lambda: optim.Polynomial(by="Step"), ValueError, "not 'Step'"),
        (lambda: optim.Step(by=None), ValueError, "not None"),
        (lambda: optim.Cosine(final=-0.1), ValueError, r"final must be a number in \[0, 1\], got -0.1"),
        (lambda: optim.Polynomial(final=1.5), ValueError, "final .* got 1.5"),
        (lambda: optim.Cosine(final="0"), TypeError, "final .* got '0' of type str"),
        (lambda: optim.Polynomial(power=0), ValueError, r"power must be a number in \(0, inf\), got 0$"),
        (lambda: optim.Polynomial(power=-2.0), ValueError, "power .* got -2.0"),
        (lambda: optim.Step(milestones=(0.5, 0.5)), ValueError, r"increasing fractions, got \(0\.5, 0\.5\)"),
        (lambda: optim.Step(milestones=(0.7, 0.5)), ValueError, r"increasing fractions, got \(0\.7, 0\.5\)"),
        (lambda: optim.Step(milestones=()), ValueError, r"one or more increasing fractions, got \(\)"),
        (
            lambda: optim.Step(milestones=(0.0, 0.5)),
            ValueError,
            r"milestones\[0\] must be a number in \(0, 1\), got 0.0",
        ),
        (lambda: optim.Step(milestones=(0.5, 30)), ValueError, r"milestones\[1\] .* got 30"),
        (lambda: optim.Step(milestones=0.5), TypeError, "milestones must be a tuple of fractions, got 0.5"),
        (lambda: optim.Step(gamma=0.0), ValueError, r"gamma must be a number in \(0, inf\), got 0.0"),
        (lambda: optim.Step(gamma=-0.1), ValueError, "gamma .* got -0.1"),
    ],
)
def test_wrong_arguments_are_refused_by_value(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
