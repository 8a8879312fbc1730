"""Theorem 4's random tents: nets compute them, their mean is the smoothed function, their error falls as it must."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minadder import analysis
from minadder.analysis import Box, approximation, two_layers
from minadder.autograd import Array
from minadder.experiments.theory import LIPSCHITZ, wave
from minadder.testing import seeds


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(seed=seeds, d=st.integers(1, 4), count=st.integers(1, 20), radius=st.floats(0.05, 3.0))
def test_the_net_of_tents_is_the_sum_of_tents(seed: int, d: int, count: int, radius: float) -> None:
    source = rng(seed)
    box = Box.cube(d)
    tents = analysis.Tents(source.uniform(-1, 1, (count, d)), source.normal(size=count), radius)
    points = np.concatenate([box.draw(50, source), box.corners(), box.clip(tents.centres)])
    given_ = two_layers.outputs(tents.net(box), points)
    size = np.abs(tents.heights).sum() * (1 + d / radius)
    np.testing.assert_allclose(given_, tents(points), rtol=0, atol=1e-13 * max(1.0, size))
    assert tents.net(box)[0].weight.shape == (2 * count, d)


def test_a_tent_is_1_at_its_centre_and_0_from_its_radius_on() -> None:
    tent = analysis.Tents(np.array([[0.5, 0.0]]), np.array([3.0]), 0.5)
    assert tent(np.array([[0.5, 0.0], [0.75, 0.0], [0.5, 0.5], [0.0, 0.25]])).tolist() == [3.0, 1.5, 0.0, 0.0]


@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_volume_under_a_tent(d: int) -> None:
    points = Box.cube(d).grid(60)
    mean = float(np.maximum(0.0, 1 - np.abs(points).sum(axis=1)).mean())
    assert approximation.tent_volume(d) == pytest.approx(mean * 2**d, rel=2e-3)


@pytest.mark.parametrize("d", [1, 2])
def test_the_mean_of_random_tents_is_the_smoothed_function(d: int) -> None:
    box, radius = Box.cube(d), 0.4
    points = box.draw(40, rng(1))
    tents = [analysis.random_tents(wave, box, 2000, radius, rng(seed)) for seed in range(30)]
    found = np.stack([tent(points) for tent in tents])
    wanted = approximation.smoothed(wave, box, points, radius, side=201 if d == 1 else 61)
    error = found.std(axis=0) / math.sqrt(len(tents))
    assert np.abs((found.mean(axis=0) - wanted) / error).max() < 5


@pytest.mark.parametrize("d", [1, 2])
def test_four_times_as_many_tents_of_one_radius_have_a_quarter_of_the_variance(d: int) -> None:
    box, radius = Box.cube(d), 0.4
    points = box.draw(100, rng(1))

    def variance(count: int) -> float:
        found = [analysis.random_tents(wave, box, count, radius, rng(seed))(points) for seed in range(60)]
        return float(np.var(found, axis=0).mean())

    assert variance(100) / variance(400) == pytest.approx(4, rel=0.3)


def test_smoothing_errs_by_no_more_than_the_proof_says() -> None:
    box = Box.cube(1)
    points = box.grid(200)
    for radius in (0.05, 0.2):
        smooth = approximation.smoothed(wave, box, points, radius, side=401)
        assert np.abs(smooth - wave(points)).max() <= radius * LIPSCHITZ / 3 * 1.01  # c₁ / c₀ = 1/3 on a line


@pytest.mark.parametrize("d", [1, 2])
def test_fitted_heights_are_better_than_the_proofs(d: int) -> None:
    box = Box.cube(d)
    points = box.draw(500, rng(2))
    tents = analysis.random_tents(wave, box, 100, 0.4, rng())
    fitted = analysis.fitted_tents(tents, wave, box, 1000, rng(1))

    def error(some: analysis.Tents) -> float:
        return float(np.sqrt(np.mean((some(points) - wave(points)) ** 2)))

    assert error(fitted) < 0.5 * error(tents)
    np.testing.assert_array_equal(fitted.centres, tents.centres)


def test_a_function_of_zero_is_approximated_by_zero() -> None:
    box = Box.cube(2)
    tents = analysis.random_tents(lambda x: np.zeros(len(x)), box, 5, 0.5, rng())
    assert not two_layers.outputs(tents.net(box), box.corners()).any()


def test_the_function_is_asked_in_the_box_only() -> None:
    box = Box([1.0], [2.0])

    def root(points: Array) -> Array:
        assert (points >= 1).all()
        assert (points <= 2).all()
        return np.sqrt(points[:, 0] - 1)

    analysis.random_tents(root, box, 5, 3.0, rng())


@pytest.mark.parametrize(
    ("count", "radius", "function", "message"),
    [
        (0, 1.0, wave, "count must be at least 1, not 0"),
        (3, 0.0, wave, "radius must be .* got 0.0"),
        (3, 1.0, lambda x: x, r"it gave shape \(20000, 1\)"),
        (3, 1.0, lambda x: np.full(len(x), np.nan), "with NaN or Inf"),
    ],
)
def test_what_cannot_be_approximated_is_refused(count, radius, function, message) -> None:
    with pytest.raises(ValueError, match=message):
        analysis.random_tents(function, Box.cube(1), count, radius, rng())
