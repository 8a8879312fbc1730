"""Variances of outputs, fits of weights, separation of features: against the formulas and against SciPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import minadder as ma
from minadder import analysis, models, nn
from minadder.analysis.variance import estimate


@pytest.mark.parametrize("entries", [1, 2, 25, 400])
@pytest.mark.parametrize(("input_variance", "filter_variance"), [(1.0, 1.0), (4.0, 0.25), (1.0, 1e-3)])
def test_variances_follow_the_laws_and_not_the_misprint(
    entries: int, input_variance: float, filter_variance: float
) -> None:
    measured = analysis.output_variance(entries, input_variance, filter_variance, samples=20_000)
    arguments = entries, input_variance, filter_variance
    for found, law in ((measured.adder, analysis.adder_variance), (measured.conv, analysis.conv_variance)):
        assert found.variance == pytest.approx(law(*arguments), abs=5 * found.error)
        assert found.error < 0.04 * found.variance
    wrong = analysis.misprinted_adder_variance(*arguments)
    assert wrong > measured.adder.variance + 50 * measured.adder.error


def test_the_laws_are_the_papers() -> None:
    assert analysis.adder_variance(10, 2.0, 3.0) == pytest.approx((1 - 2 / math.pi) * 50)
    assert analysis.conv_variance(10, 2.0, 3.0) == pytest.approx(60)
    assert analysis.misprinted_adder_variance(10, 2.0, 3.0) == pytest.approx(math.sqrt(math.pi / 2) * 50)


def test_samples_in_several_parts_are_as_many_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr("minadder.analysis.variance.NUMBERS_AT_ONCE", 70)
    monkeypatch.setattr("minadder.analysis.variance.estimate", lambda values: seen.append(values) or estimate(values))
    analysis.output_variance(9, samples=100, seed=3)
    assert [len(values) for values in seen] == [100, 100]
    assert len(np.unique(seen[0])) == 100
    assert (seen[0] < 0).all()
    assert (seen[1] > 0).any()


def test_the_seed_decides() -> None:
    same, other = (analysis.output_variance(4, samples=50, seed=seed) for seed in (1, 2))
    assert same == analysis.output_variance(4, samples=50, seed=1)
    assert same != other


def test_an_estimate_has_the_error_that_repetition_shows() -> None:
    draws = np.random.default_rng(0).standard_normal((400, 1000))
    estimates = [estimate(row) for row in draws]
    spread = np.std([one.variance for one in estimates])
    assert estimates[0].variance == pytest.approx(draws[0].var(ddof=1))
    assert np.mean([one.error for one in estimates]) == pytest.approx(spread, rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ({"entries": 0}, ValueError, "entries must be at least 1, not 0"),
        ({"entries": 1.5}, TypeError, "entries must be an int, not 1.5"),
        ({"entries": 3, "samples": 1}, ValueError, "samples must be at least 2, not 1"),
        ({"entries": 3, "input_variance": 0.0}, ValueError, "input_variance must be a number in .*, got 0.0"),
        ({"entries": 3, "filter_variance": math.nan}, ValueError, "filter_variance .* got nan"),
        ({"entries": 3, "seed": -1}, ValueError, "seed must be"),
    ],
)
def test_what_cannot_be_measured_is_named(arguments: dict[str, Any], error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        analysis.output_variance(**arguments)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(3, 300),
    st.floats(-5, 5),
    st.floats(0.01, 100),
    st.sampled_from(["laplace", "normal", "uniform"]),
)
def test_fits_are_those_of_scipy(seed: int, size: int, location: float, scale: float, kind: str) -> None:
    weights = location + scale * getattr(np.random.default_rng(seed), kind)(size=size)
    fits = analysis.fit_weights(weights.reshape(1, -1))
    middle, spread = stats.laplace.fit(weights)
    assert (fits.laplace_location, fits.laplace_scale) == pytest.approx((middle, spread))
    assert (fits.gauss_mean, fits.gauss_deviation) == pytest.approx(stats.norm.fit(weights))
    laplace, gauss = stats.laplace(middle, spread), stats.norm(fits.gauss_mean, fits.gauss_deviation)
    assert fits.laplace_log_likelihood == pytest.approx(laplace.logpdf(weights).sum(), rel=1e-6, abs=1e-6 * size)
    assert fits.gauss_log_likelihood == pytest.approx(gauss.logpdf(weights).sum(), rel=1e-6, abs=1e-6 * size)
    np.testing.assert_allclose(fits.laplace(weights), laplace.pdf(weights))
    np.testing.assert_allclose(fits.gauss(weights), gauss.pdf(weights))
    assert fits.weights == size


@pytest.mark.parametrize("seed", range(5))
def test_the_better_fit_is_the_distribution_that_was_drawn_from(seed: int) -> None:
    generator = np.random.default_rng(seed)
    assert analysis.fit_weights(generator.laplace(size=500)).better == "Laplace"
    assert analysis.fit_weights(generator.normal(size=500)).better == "Gauss"


@pytest.mark.parametrize(
    ("weights", "named"),
    [
        ([], "0 weight"),
        ([1.0], "1 weight"),
        ([2.0, 2.0, 2.0], "3 weight"),
        ([1.0, np.nan], "NaN"),
        ([1.0, np.inf], "Inf"),
    ],
)
def test_weights_that_no_distribution_fits_are_refused(weights: list[float], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        analysis.fit_weights(np.array(weights))


def test_gradient_norms_are_those_of_the_mean_loss() -> None:
    generator = np.random.default_rng(0)
    net = nn.Sequential({"fc": nn.Linear(3, 4)})
    net.to("float64")
    inputs, labels = generator.standard_normal((20, 3)), generator.integers(0, 4, 20)
    logits = net(inputs).numpy()
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wanted = np.linalg.norm((shares - np.eye(4)[labels]).T @ inputs / 20)
    assert analysis.filter_gradient_norms(net, inputs, labels) == {"fc.weight": pytest.approx(float(wanted))}
    assert all(parameter.grad is None for parameter in net.parameters())


def test_clusters_are_told_by_centre_and_rays_by_direction() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 200)
    centres = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [4.0, 4.0]])  # in one direction
    clusters = analysis.separation(centres[labels] + 0.1 * generator.standard_normal((800, 2)), labels)
    assert clusters.by_centre > 0.99
    assert clusters.by_direction < 0.6
    angles = labels * np.pi / 2 + 0.1 * generator.standard_normal(800)
    lengths = np.exp(3 * generator.standard_normal(800))
    rays = analysis.separation(lengths[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1), labels)
    assert rays.by_direction > 0.99
    assert rays.by_centre < rays.by_direction


def test_labels_need_not_be_consecutive_and_the_origin_is_no_error() -> None:
    features = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 5.0]])
    told = analysis.separation(features, np.array([7, 7, 3]))
    assert told.by_centre == 1.0


@pytest.mark.parametrize(
    ("features", "labels", "named"),
    [
        (np.zeros((3, 2)), np.zeros(2), r"\(3, 2\) and \(2,\)"),
        (np.zeros(3), np.zeros(3), r"\(3,\) and \(3,\)"),
        (np.zeros((0, 2)), np.zeros(0), r"\(0, 2\) and \(0,\)"),
        (np.full((2, 2), np.nan), np.zeros(2), "NaN"),
    ],
)
def test_features_that_do_not_fit_are_refused(features: Any, labels: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        analysis.separation(features, labels)


def opened_by_hand(net: nn.Sequential, inputs: Any) -> dict[str, float]:
    """Return the shares of channels that no input opens, module by module."""
    shares = {}
    for name, module in net.eval().named_children():
        inputs = module(inputs)
        if isinstance(module, nn.ReLU):
            array = inputs.numpy()
            shares[name] = float(np.mean([not (array[:, channel] > 0).any() for channel in range(array.shape[1])]))
    return shares


@pytest.mark.parametrize("training", [True, False])
def test_closed_channels_are_0_for_all_inputs(training: bool) -> None:
    ma.manual_seed(0)
    net = models.lenet5_bn("adder")
    state = net.state_dict()
    state["bn1.bias"][:2] = state["bn2.bias"][3:7] = -100.0
    state["bn4.weight"][:42] = state["bn4.bias"][:42] = 0.0
    net.load_state_dict(state)
    inputs = np.random.default_rng(0).standard_normal((8, 1, 32, 32)).astype(np.float32)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.momentum = 1.0  # so that one batch makes the statistics
    net(inputs)
    net.train(training)
    before = net.state_dict()
    shares = analysis.closed_channels(net, inputs)
    some = analysis.closed_channels(net, inputs[:5])
    assert all(module.training == training for module in net.modules())
    assert all((array == net.state_dict()[name]).all() for name, array in before.items())
    assert not any(module._hooks for module in net.modules())
    assert shares == opened_by_hand(net, ma.Tensor(inputs))
    assert some == opened_by_hand(net, ma.Tensor(inputs[:5]))
    assert shares == {"relu1": 2 / 6, "relu2": 4 / 16, "relu3": 0.0, "relu4": 0.5}


def test_a_relu_that_is_called_twice_counts_the_channels_of_both_calls() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.ReLU()

        def forward(self, x: Any) -> Any:
            return self.relu(self.relu(x) - 1)

    inputs = np.array([[0.5, 2.0, -1.0], [0.5, 1.0, -1.0]])
    assert analysis.closed_channels(Twice(), inputs) == {"relu": (1 + 2) / 6}
    assert analysis.closed_channels(Twice(), inputs[:1, :1])["relu"] == 0.5


def test_channels_that_nobody_can_close_are_named() -> None:
    with pytest.raises(ValueError, match=r"Sequential has no nn\.ReLU"):
        analysis.closed_channels(nn.Sequential(nn.Linear(2, 2)), np.ones((3, 2), np.float32))
    with pytest.raises(ValueError, match=r"inputs of shape \(0, 2\) open no channel"):
        analysis.closed_channels(nn.Sequential(nn.ReLU()), np.ones((0, 2), np.float32))
