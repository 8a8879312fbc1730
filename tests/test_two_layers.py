"""Lemma 2's two adder layers: what they compute is the formula, to rounding, on random points and on the corners."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minadder import analysis, nn
from minadder.analysis import Box, two_layers
from minadder.autograd import Array
from minadder.experiments.theory import as_printed
from minadder.testing import seeds

Problem = tuple[Array, Array, Array, Box]


@st.composite
def problems(draw, lattice: bool = False) -> Problem:
    """Draw W, a, b and a box, not around 0; on the lattice all are quarters, so that sums are exact."""
    rng = np.random.default_rng(draw(seeds))
    d, n = draw(st.integers(1, 6)), draw(st.integers(1, 12))
    size = draw(st.sampled_from((0.1, 1.0, 30.0)))

    def numbers(*shape: int) -> Array:
        return rng.integers(-12, 13, shape) / 4 if lattice else size * rng.standard_normal(shape)

    low = numbers(d)
    box = Box(low, low + np.abs(numbers(d)))
    return numbers(n, d), numbers(n) * draw(st.sampled_from((-1, 0, 1))) + numbers(n), d * numbers(n), box


def points_of(box: Box) -> Array:
    return np.concatenate([box.draw(50, np.random.default_rng(0)), box.corners()])


@given(problem=problems())
def test_the_net_is_the_formula_to_rounding(problem: Problem) -> None:
    centres, a, b, box = problem
    points = points_of(box)
    wanted = analysis.radial_sum(points, centres, a, b)
    given_ = two_layers.outputs(analysis.lemma2_net(centres, a, b, box), points)
    assert np.abs(given_ - wanted).max() <= two_layers.lemma2_rounding(centres, a, b, box)


@given(problem=problems(lattice=True), constant=st.sampled_from((0.0, 2.5)))
def test_the_net_is_the_formula_exactly_on_the_lattice(problem: Problem, constant: float) -> None:
    centres, a, b, box = problem
    points = np.concatenate([np.round(points_of(box) * 4) / 4, box.corners()])
    points = box.clip(points)
    given_ = two_layers.outputs(analysis.lemma2_net(centres, a, b, box, constant), points)
    np.testing.assert_array_equal(given_, analysis.radial_sum(points, centres, a, b) + constant)


@given(problem=problems())
def test_rounding_is_told_tightly_enough_to_see_a_wrong_net(problem: Problem) -> None:
    centres, a, b, box = problem
    assert two_layers.lemma2_rounding(centres, a, b, box) <= 1e-10 * max(1.0, float(np.abs(a).sum()) * 1000)


def test_the_net_is_made_of_adder_layers_and_has_a_unit_for_each_term() -> None:
    net = analysis.lemma2_net(np.zeros((5, 3)), np.ones(5), np.zeros(5), Box.cube(3))
    assert [type(module) for module in net] == [
        nn.AdderLinear,
        nn.BatchNorm1d,
        nn.ReLU,
        nn.AdderLinear,
        nn.BatchNorm1d,
    ]
    assert net[0].weight.shape == (5, 3)
    assert net[3].weight.shape == (1, 5)


def test_the_printed_construction_is_another_function() -> None:
    centres, a, b = np.array([[0.0], [0.5]]), np.array([2.0, -1.0]), np.array([-0.5, -0.25])
    points = np.linspace(-1, 1, 9)[:, None]
    wanted = analysis.radial_sum(points, centres, a, b)
    assert np.abs(as_printed(points, centres, a, b) - wanted).max() > 0.5


def test_outside_the_box_the_net_is_another_function() -> None:
    net = analysis.lemma2_net([[0.0]], [-1.0], [0.0], Box.cube(1))
    assert two_layers.outputs(net, np.array([[1.0], [3.0]])).tolist() == [-1.0, 1.0]


@pytest.mark.parametrize(
    ("centres", "a", "b", "message"),
    [
        (np.zeros((2, 3)), [1.0, 1.0], [0.0, 0.0], r"shape \(n, 2\) as the box has, not \(2, 3\)"),
        (np.zeros((0, 2)), [], [], r"not \(0, 2\)"),
        (np.zeros((2, 2)), [1.0], [0.0, 0.0], r"a must have shape \(2,\), one for each centre, not \(1,\)"),
        (np.zeros((2, 2)), [1.0, 1.0], 0.0, r"b must have shape \(2,\), one for each centre, not \(\)"),
        (np.full((1, 2), np.nan), [1.0], [0.0], "must be finite"),
    ],
)
def test_what_does_not_fit_is_refused(centres, a, b, message) -> None:
    with pytest.raises(ValueError, match=message):
        analysis.lemma2_net(centres, a, b, Box.cube(2))


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        ([0.0], [1.0, 2.0], r"not \(1,\) and \(2,\)"),
        ([], [], r"not \(0,\) and \(0,\)"),
        ([2.0], [1.0], "at most high"),
        ([-np.inf], [1.0], "must be finite"),
    ],
)
def test_a_box_without_points_is_refused(low, high, message) -> None:
    with pytest.raises(ValueError, match=message):
        Box(low, high)


@given(seed=seeds, d=st.integers(1, 5))
def test_the_farthest_point_of_a_box_is_a_corner(seed: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    low = rng.normal(size=d)
    box = Box(low, low + rng.random(d))
    centres = rng.normal(size=(4, d))
    wanted = np.abs(box.corners()[:, None] - centres).sum(axis=2).max(axis=0)
    np.testing.assert_allclose(box.farthest(centres), wanted, rtol=1e-12)
