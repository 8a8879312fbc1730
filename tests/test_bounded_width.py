"""Lemma 5's pairs of adder layers compute fully-connected ones, and Theorem 6's deep nets of them approximate."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minadder import analysis, nn
from minadder.analysis import Box, bounded_width, two_layers
from minadder.autograd import Array
from minadder.experiments.theory import LIPSCHITZ, wave
from minadder.testing import seeds


def random_layer(source: np.random.Generator, d: int, m: int, lattice: bool = False) -> analysis.SameOrZero:
    """Return a layer with weights of any sign, now and then with a row of zeros."""
    if lattice:
        scale, bias = source.integers(-8, 9, m) / 2, source.integers(-8, 9, m) / 4
    else:
        scale, bias = source.normal(size=m), source.normal(size=m)
    return analysis.SameOrZero(scale, source.random((m, d)) < source.choice((0.0, 0.3, 0.7, 1.0), (m, 1)), bias)


def random_box(source: np.random.Generator, d: int, lattice: bool = False) -> Box:
    """Return a box that need not hold 0."""
    low = source.integers(-8, 9, d) / 4 if lattice else 3 * source.normal(size=d)
    return Box(low, low + (source.integers(0, 9, d) / 4 if lattice else source.random(d)))


@given(seed=seeds, d=st.integers(1, 6), m=st.integers(1, 6))
def test_two_adder_layers_are_a_fully_connected_one_exactly_on_the_lattice(seed: int, d: int, m: int) -> None:
    source = np.random.default_rng(seed)
    layer, box = random_layer(source, d, m, lattice=True), random_box(source, d, lattice=True)
    points = np.concatenate([box.corners(), box.clip(np.round(box.draw(30, source) * 4) / 4)])
    net = nn.Sequential(analysis.lemma5_layers(layer, box))
    np.testing.assert_array_equal(net(points).numpy(), points @ layer.weights.T + layer.bias)
    assert net[0].weight.shape == (2 * m + 2, d)
    assert net[3].weight.shape == (m, 2 * m + 2)


@given(seed=seeds, depth=st.integers(1, 6))
def test_an_adder_net_is_its_fully_connected_net(seed: int, depth: int) -> None:
    source = np.random.default_rng(seed)
    sizes = source.integers(1, 7, depth + 1)
    layers = [random_layer(source, d, m) for d, m in pairwise(sizes.tolist())]
    box = random_box(source, int(sizes[0]))
    points = np.concatenate([box.draw(40, source), box.corners()])
    given_ = analysis.adder_net(layers, box)(points).numpy()
    wanted = analysis.linear_net(layers)(points).numpy()
    plain = points
    for number, layer in enumerate(layers):
        plain = (np.maximum(plain, 0.0) if number else plain) @ layer.weights.T + layer.bias
    np.testing.assert_allclose(wanted, plain, rtol=1e-12, atol=1e-12 * np.abs(plain).max())
    ranges = [1.0]
    inside = box
    for layer in layers:
        inside = layer.range(Box(np.maximum(inside.low, 0), np.maximum(inside.high, 0)) if len(ranges) > 1 else inside)
        ranges.append(float(np.abs([inside.low, inside.high]).max()))
    np.testing.assert_allclose(given_, wanted, rtol=0, atol=1e-12 * max(ranges) * 10)


@given(seed=seeds, d=st.integers(1, 5), m=st.integers(1, 5))
def test_the_range_of_a_layer_is_what_the_corners_reach(seed: int, d: int, m: int) -> None:
    source = np.random.default_rng(seed)
    layer, box = random_layer(source, d, m), random_box(source, d)
    found, wanted = layer.range(box), box.corners() @ layer.weights.T + layer.bias
    np.testing.assert_allclose(found.low, wanted.min(axis=0), atol=1e-12)
    np.testing.assert_allclose(found.high, wanted.max(axis=0), atol=1e-12)


def staircase_by_formula(points: Array, box: Box, cells: int, ramp: float) -> Array:
    """Return the sum of trapezia that the staircase is, straight from its description."""
    size = (box.high - box.low) / cells
    spread = ramp * size.min()
    total = np.zeros(len(points))
    for centre, height in zip(box.grid(cells), wave(box.grid(cells)), strict=True):
        low, high = centre - size / 2, centre + size / 2
        low = np.where(np.isclose(low, box.low), low, low + spread / 2)
        high = np.where(np.isclose(high, box.high), high, high - spread / 2)
        distance = (np.maximum(low - points, 0) + np.maximum(points - high, 0)).sum(axis=1)
        total += height * np.maximum(1 - distance / spread, 0)
    return total


@pytest.mark.parametrize(("d", "cells", "ramp"), [(1, 1, 1.0), (1, 5, 0.5), (1, 4, 1.0), (2, 3, 0.25), (3, 2, 0.5)])
def test_a_staircase_net_is_the_staircase(d: int, cells: int, ramp: float) -> None:
    box = Box.cube(d, -1.0, 1.5)
    layers = analysis.staircase(wave, box, cells, ramp)
    net = analysis.adder_net(layers, box)
    points = np.concatenate([box.draw(200, np.random.default_rng(0)), box.corners(), box.grid(cells)])
    wanted = staircase_by_formula(points, box, cells, ramp)
    np.testing.assert_allclose(two_layers.outputs(net, points), wanted, atol=1e-10)
    assert len(layers) == 1 + cells**d * (2 * d + 1) + 2
    assert bounded_width.widest(analysis.linear_net(layers)) <= d + 4
    assert bounded_width.widest(net) <= 2 * (d + 5)


def test_a_finer_staircase_is_nearer() -> None:
    box = Box.cube(1)
    points = box.grid(500)
    for cells in (8, 32):
        net = analysis.adder_net(analysis.staircase(wave, box, cells, 0.5), box)
        assert np.abs(two_layers.outputs(net, points) - wave(points)).max() <= LIPSCHITZ * 2 / cells


def test_cells_where_the_function_is_0_take_no_layers() -> None:
    box = Box.cube(1)
    layers = analysis.staircase(lambda x: np.where(x[:, 0] > 0, 1.0, 0.0), box, 4, 0.5)
    assert len(layers) == 1 + 2 * 3 + 2
    points = np.array([[-0.9], [-0.2], [0.3], [0.8]])
    np.testing.assert_allclose(two_layers.outputs(analysis.adder_net(layers, box), points), [0, 0, 1, 1], atol=1e-12)
    nothing = analysis.staircase(lambda x: np.zeros(len(x)), box, 4, 0.5)
    np.testing.assert_allclose(two_layers.outputs(analysis.adder_net(nothing, box), points), np.zeros(4), atol=1e-13)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"scale and bias \(m,\), not \(1, 2\), \(2,\) and \(1,\)"):
        analysis.SameOrZero([1.0, 2.0], [[True, False]], [0.0])
    with pytest.raises(ValueError, match="must be finite"):
        analysis.SameOrZero([np.inf], [[True]], [0.0])
    layer = analysis.SameOrZero([1.0], [[True, True]], [0.0])
    with pytest.raises(ValueError, match="the layer has 2 inputs, but the box has dimension 3"):
        analysis.lemma5_layers(layer, Box.cube(3))
    with pytest.raises(ValueError, match="the layer has 2 inputs, but the box has dimension 1"):
        analysis.adder_net([layer, layer], Box.cube(2))
    for cells, ramp, named in ((0, 0.5, "cells .* not 0"), (3, 0.0, "ramp .* got 0.0"), (3, 1.5, "ramp .* got 1.5")):
        with pytest.raises(ValueError, match=named):
            analysis.staircase(wave, Box.cube(1), cells, ramp)
