"""The nets of the proofs in Universal AdderNets, built and measured: each function returns numbers for JSON.

They stand in Secs. 5.1 and 5.2 (preprint 3.2), the propositions in Sec. 3.2. Lemmas and theorems are numbered as in the
preprint: its Lemma 5 is 4 in the journal, its Theorems 4 and 6 are 6 and 5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minadder.analysis import approximation, bounded_width, propositions, two_layers
from minadder.analysis.box import Box
from minadder.autograd import Array

LIPSCHITZ = 5.0
"""The Lipschitz constant of `wave` with respect to the ℓ1 norm: the greatest slope along an axis, 1 + 4."""

WIDER = 3.0
"""How many times as wide as the proof's the tents are whose heights are fitted, so that they overlap."""

Content = dict[str, Any]


def wave(points: Array) -> Array:
    """Return |x₁ − 0.3| + sin(4·x₁)·cos(2·x₂)·… of points (N, d): smooth but for one kink."""
    x = points[:, 0]
    return np.asarray(np.abs(x - 0.3) + np.sin(4 * x) * np.cos(2 * points[:, 1:]).prod(axis=1))


def root_mean_square(errors: Array) -> float:
    """Return √(mean of squares)."""
    return float(np.sqrt(np.mean(errors**2)))


def lemma2(quick: bool, seed: int = 0) -> Content:
    """Compare nets of Lemma 2 with their formula, for random W, a, b of many sizes, and what the proof prints.

    Each net is tried at random points of the cube [−1, 1]^d and at its corners; the bound on rounding is that of
    `lemma2_rounding`.
    """
    rng = np.random.default_rng(seed)
    sizes = [(n, d) for n in (1, 4, 16, 64, 256) for d in (1, 2, 8)][: 6 if quick else None]
    trials = []
    for n, d in sizes:
        box = Box.cube(d)
        centres, a, b = rng.uniform(-1.5, 1.5, (n, d)), rng.normal(size=n), rng.uniform(-d, 1, n)
        points = np.concatenate([box.draw(200 if quick else 2000, rng), box.corners()])
        wanted = two_layers.radial_sum(points, centres, a, b)
        net = two_layers.lemma2_net(centres, a, b, box)
        trials.append(
            {
                "units": n,
                "dimension": d,
                "points": len(points),
                "largest_value": float(np.abs(wanted).max()),
                "largest_difference": float(np.abs(two_layers.outputs(net, points) - wanted).max()),
                "bound_on_rounding": two_layers.lemma2_rounding(centres, a, b, box),
                "largest_difference_as_printed": float(np.abs(as_printed(points, centres, a, b) - wanted).max()),
                "largest_difference_sign_mended": float(np.abs(as_printed(points, centres, a, b, -1) - wanted).max()),
            }
        )
    return {"seed": seed, "trials": trials, "example": lemma2_example()}


def as_printed(points: Array, centres: Array, a: Array, b: Array, sign: int = 1) -> Array:
    """Return what Lemma 2 computes as printed, by Eqs. 31 and 32 (preprint 6 and 7): (N,).

    With p₁ and p₂ the numbers of aᵢ > 0 and of others, Eq. 33 (preprint 8) takes off the constant that Eq. 32 adds: a
    sign of −1 does so too. Left is that bᵢ is not scaled.
    """
    distances = np.stack([np.abs(points - centre).sum(axis=1) for centre in centres], axis=1)
    first = np.abs(a) * distances + b
    most = float(np.abs(first).max())
    units = np.maximum(first, 0.0)
    return np.asarray(np.where(a > 0, np.abs(units + most), np.abs(units - most)).sum(axis=1) + sign * len(a) * most)


def lemma2_example() -> Content:
    """Return a small net on a line, its hidden units, its outputs and the formula's values, for the figure."""
    centres, a, b = np.array([[-0.6], [0.1], [0.5]]), np.array([1.5, -2.0, 1.0]), np.array([-0.3, -0.2, 0.1])
    box = Box.cube(1)
    points = np.linspace(-1, 1, 401)[:, None]
    net = two_layers.lemma2_net(centres, a, b, box)
    return {
        "x": points[:, 0].tolist(),
        "formula": two_layers.radial_sum(points, centres, a, b).tolist(),
        "net": two_layers.outputs(net, points).tolist(),
        "terms": [
            two_layers.radial_sum(points, centres[i : i + 1], a[i : i + 1], b[i : i + 1]).tolist() for i in range(3)
        ],
    }


def approximate(quick: bool, seed: int = 0, tell: Callable[[str], None] = lambda line: None) -> Content:
    """Measure how the error of Theorem 4's random tents falls with the width, on a line and in the plane.

    `rms` is the root mean square of net − f over the box, the mean of it over several draws; `fitted` is the same for
    tents of three times the radius with heights fitted by least squares. `variance` is the part that the proof's
    Eq. 43 (preprint 14) bounds: the mean square of φ_N − ψ_ε at one ε, as N grows. `tell` is told of the progress, in
    lines.
    """
    most, draws, samples = (6, 2, 500) if quick else (9, 4, 2000)
    counts = [2**k for k in range(3, most + 1)]
    content: Content = {"seed": seed, "lipschitz": LIPSCHITZ, "draws": draws, "lines": []}
    for d in (1, 2):
        content["lines"].append(error_by_width(d, counts, draws, samples, seed, tell))
    content["variance"] = variance_by_count(counts, draws, samples, seed)
    content["example"] = approximation_example(seed)
    return content


def error_by_width(
    d: int, counts: list[int], draws: int, samples: int, seed: int, tell: Callable[[str], None]
) -> Content:
    """Return the errors for numbers of tents in d dimensions, the exponents, and that of the proof, −1/(d + 2)."""
    box = Box.cube(d)
    rng = np.random.default_rng([seed, d])
    points = box.draw(samples, rng)
    wanted = wave(points)
    norm = float(np.abs(wanted).mean())
    line: Content = {"dimension": d, "widths": [], "radii": [], "rms": [], "fitted": [], "net_from_formula": 0.0}
    for count in counts:
        radius = approximation.best_radius(count, box, norm, LIPSCHITZ)
        errors, fitted = [], []
        for _ in range(draws):
            tents = approximation.random_tents(wave, box, count, radius, rng)
            net = two_layers.outputs(tents.net(box), points)
            line["net_from_formula"] = max(line["net_from_formula"], float(np.abs(net - tents(points)).max()))
            errors.append(root_mean_square(net - wanted))
            wide = approximation.random_tents(wave, box, count, WIDER * radius, rng)
            better = approximation.fitted_tents(wide, wave, box, 6 * count + 500, rng)
            fitted.append(root_mean_square(two_layers.outputs(better.net(box), points) - wanted))
        line["widths"].append(tents.width)
        line["radii"].append(radius)
        line["rms"].append(float(np.mean(errors)))
        line["fitted"].append(float(np.mean(fitted)))
        tell(f"d = {d}, {count} of {counts[-1]} tents: {draws} draws measured")
    widths = np.array(line["widths"], np.float64)
    line["exponent"] = approximation.slope(widths, np.array(line["rms"]))
    line["fitted_exponent"] = approximation.slope(widths, np.array(line["fitted"]))
    line["proof_exponent"] = -1 / (d + 2)
    return line


def variance_by_count(counts: list[int], draws: int, samples: int, seed: int) -> Content:
    """Return the mean square of φ_N − ψ_ε in the plane at one ε for numbers N of tents, and the exponent."""
    box, radius = Box.cube(2), 0.5
    rng = np.random.default_rng([seed, 3])
    points = box.draw(samples // 4, rng)
    mean = approximation.smoothed(wave, box, points, radius, side=41)
    errors = []
    for count in counts:
        found = [approximation.random_tents(wave, box, count, radius, rng) for _ in range(4 * draws)]
        errors.append(float(np.mean([np.mean((tents(points) - mean) ** 2) for tents in found])))
    exponent = approximation.slope(np.array(counts, np.float64), np.array(errors))
    return {"radius": radius, "tents": counts, "mean_square": errors, "exponent": exponent}


def approximation_example(seed: int) -> Content:
    """Return f on a line and nets of two widths, for the figure."""
    box = Box.cube(1)
    rng = np.random.default_rng([seed, 4])
    points = np.linspace(-1, 1, 401)[:, None]
    norm = float(np.abs(wave(points)).mean())
    nets = []
    for count in (16, 1024):
        tents = approximation.random_tents(
            wave, box, count, approximation.best_radius(count, box, norm, LIPSCHITZ), rng
        )
        nets.append({"width": tents.width, "y": two_layers.outputs(tents.net(box), points).tolist()})
    return {"x": points[:, 0].tolist(), "f": wave(points).tolist(), "nets": nets}


def theorem6(quick: bool, seed: int = 0) -> Content:
    """Build deep nets of bounded width for staircases of growing fineness, and measure them on a grid.

    `l1` is the mean of |net − f| over the box (the integral of Theorem 6 divided by its volume), and
    `largest_difference` that of the adder net from the fully-connected one that it replaces, layer by layer.
    """
    cells = {1: (4, 8, 16), 2: (2, 4)} if quick else {1: (4, 8, 16, 32, 64, 128), 2: (2, 4, 8, 12)}
    content: Content = {"nets": [], "random_layers": random_layers(quick, seed)}
    for d, numbers in cells.items():
        box, side = Box.cube(d), (801 if d == 1 else 61)
        points = box.grid(side)
        wanted = wave(points)
        for number in numbers:
            # at a corner where four cells meet, ramps of 0.5 would leave a hole
            layers = bounded_width.staircase(wave, box, number, ramp=0.5 if d == 1 else 0.1)
            net = bounded_width.adder_net(layers, box)
            found = two_layers.outputs(net, points)
            linear = two_layers.outputs(bounded_width.linear_net(layers), points)
            entry = {
                "dimension": d,
                "cells": number**d,
                "adder_layers": 2 * len(layers),
                "width": bounded_width.widest(net),
                "width_allowed": 2 * (d + 5),
                "l1": float(np.abs(found - wanted).mean()),
                "largest_difference": float(np.abs(found - linear).max()),
            }
            if d == 1 and number in (8, 32):
                entry |= {"x": points[:, 0].tolist(), "y": found.tolist()}
            if d == 2 and number == numbers[-1]:
                entry |= {"image": found.reshape(side, side).tolist()}
            content["nets"].append(entry)
    return content


def random_layers(quick: bool, seed: int) -> list[Content]:
    """Compare random fully-connected layers, weights the same or zero, with their two adder layers (Lemma 5)."""
    rng = np.random.default_rng([seed, 5])
    found = []
    for d, m in ((1, 1), (2, 3), (8, 8)) if quick else ((1, 1), (2, 3), (8, 8), (32, 16), (128, 64)):
        box = Box.cube(d, -2.0, 3.0)
        layer = bounded_width.SameOrZero(rng.normal(size=m), rng.random((m, d)) < 0.5, rng.normal(size=m))
        net = bounded_width.adder_net([layer], box)
        points = box.draw(500, rng)
        wanted = points @ layer.weights.T + layer.bias
        given = np.asarray(net(points).numpy())
        found.append(
            {
                "inputs": d,
                "outputs": m,
                "hidden_units": bounded_width.widest(net),
                "largest_value": float(np.abs(wanted).max()),
                "largest_difference": float(np.abs(given - wanted).max()),
            }
        )
    return found


def descents(quick: bool, seed: int = 0) -> Content:
    """Run the iterations of Propositions 1 and 2: ‖x − f‖₁ by step, for both gradients, y below and above 0."""
    steps = 100 if quick else 400
    n = 16
    rng = np.random.default_rng([seed, 6])
    x, start = rng.normal(size=n), rng.normal(size=n)
    content: Content = {"seed": seed, "dimension": n, "runs": [], "above": []}
    cases = [("sign", 0.1), ("sign", 0.01), *(("full_precision", rate) for rate in (0.1, 0.5, 1.5, 1.9, 2.1))]
    for rule, rate in cases:
        filters = propositions.descend(x, start, rate, steps, rule)
        content["runs"].append(
            {
                "weight_grad": rule,
                "rate": rate,
                "distances": propositions.distances(filters, x).tolist(),
                "coordinate": (filters[:, 0] - x[0]).tolist(),
            }
        )
    target = 5.0
    for rule, rate in (("sign", 0.01), ("full_precision", 0.1), ("full_precision", 0.5)):
        filters = propositions.descend(x, start, rate, steps, rule, target)
        content["above"].append(
            {
                "weight_grad": rule,
                "rate": rate,
                "target": target,
                "distances": propositions.distances(filters, x).tolist(),
            }
        )
    return content
