"""Toy sets: the labels obey the paper's rules, the points its distributions, and the seed decides both."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minadder import data

Make = Callable[[int, int], data.Dataset]
MAKERS = [data.unit_ball, data.two_balls, data.xor]
SEEDS = st.integers(0, 2**32 - 1)


def unit_ball_label(x: float, y: float) -> int:
    radius = math.sqrt(x * x + y * y)
    assert radius < 10 or radius > 15, "a point lies in the margin"
    return int(radius < 10)


def two_balls_label(x: float, y: float) -> int:
    return int(math.dist((x, y), (10, 10)) < 10 or math.dist((x, y), (-10, -10)) < 10)


def xor_label(x: float, y: float) -> int:
    return int((x >= 0) == (y >= 0) or x == 0 or y == 0)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 3000), seed=SEEDS)
@pytest.mark.parametrize(
    ("make", "label", "name"),
    [
        (data.unit_ball, unit_ball_label, "unit-ball"),
        (data.two_balls, two_balls_label, "two-balls"),
        (data.xor, xor_label, "xor"),
    ],
)
def test_exactly_n_points_with_the_papers_labels(
    make: Make, label: Callable[[float, float], int], name: str, n: int, seed: int
) -> None:
    dataset = make(n, seed)
    assert dataset.inputs.shape == (n, 2)
    assert dataset.inputs.dtype == np.float32
    assert (dataset.num_classes, dataset.name) == (2, name)
    assert dataset.labels.tolist() == [label(x, y) for x, y in dataset.inputs.tolist()]


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 1500), more=st.integers(0, 1500), seed=SEEDS)
@pytest.mark.parametrize("make", MAKERS)
def test_the_seed_decides_and_fewer_points_begin_more(make: Make, n: int, more: int, seed: int) -> None:
    few, many = make(n, seed), make(n + more, seed)
    np.testing.assert_array_equal(few.inputs, many.inputs[:n])
    np.testing.assert_array_equal(few.labels, many.labels[:n])
    assert not np.array_equal(few.inputs, make(n, (seed + 1) % 2**32).inputs)


@pytest.mark.parametrize(("make", "deviation"), [(data.two_balls, 15.0), (data.xor, 10.0)])
def test_points_are_normal_with_the_papers_deviation(make: Make, deviation: float) -> None:
    points = make(50_000, 0).inputs
    assert points.std(axis=0) == pytest.approx([deviation, deviation], rel=0.02)
    assert points.mean(axis=0) == pytest.approx([0, 0], abs=0.02 * deviation)
    assert abs(np.corrcoef(points.T)[0, 1]) < 0.02


def test_the_unit_balls_shares_are_those_of_the_deviation_10() -> None:
    # The squared radius is exponential: P(r < 10) = 1 - exp(-1/2), P(r > 15) = exp(-9/8); the rest is redrawn.
    inside, outside = 1 - math.exp(-1 / 2), math.exp(-9 / 8)
    share = data.unit_ball(50_000, 0).labels.mean()
    assert share == pytest.approx(inside / (inside + outside), abs=0.01)


@pytest.mark.parametrize("make", MAKERS)
def test_faulty_arguments_are_refused_by_name(make: Make) -> None:
    with pytest.raises(ValueError, match="n must be at least 1, not 0"):
        make(0, 0)
    with pytest.raises(TypeError, match=r"n must be an int, not 1\.5"):
        make(1.5, 0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="seed must be at least 0, not -1"):
        make(5, -1)
