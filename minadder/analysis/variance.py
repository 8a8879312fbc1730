"""How the variance of a layer's output grows with its filters: adders and products (Chen et al. 2020, Sec. 3.3)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from minadder import ops
from minadder.autograd import Array, no_grad
from minadder.checks import fits_memory, number, seed_number, whole
from minadder.tensor import Tensor

NUMBERS_AT_ONCE = 2_000_000


def conv_variance(entries: int, input_variance: float, filter_variance: float) -> float:
    """Return K·Var[X]·Var[F], the variance of Σ X·F for K normal entries of mean 0 (Chen et al. 2020, Eq. 8).

    Examples
    --------
    >>> from minadder.analysis.variance import conv_variance
    >>> conv_variance(9, 2.0, 0.5)
    9.0
    """
    entries, input_variance, filter_variance = check_variances(entries, input_variance, filter_variance)
    return entries * input_variance * filter_variance


def adder_variance(entries: int, input_variance: float, filter_variance: float) -> float:
    """Return (1 − 2/π)·K·(Var[X] + Var[F]), the variance of −Σ |X − F| (Chen et al. 2020, Eq. 9).

    X − F is normal with variance s² = Var[X] + Var[F]; its magnitude has the mean s·√(2/π), so the variance
    s² − s²·2/π. Universal AdderNets, Eq. 23 (preprint 29) has √(π/2) in place of 1 − 2/π, 3.4 times too much.

    Examples
    --------
    >>> from minadder.analysis.variance import adder_variance
    >>> round(adder_variance(1, 0.5, 0.5), 4)
    0.3634
    """
    entries, input_variance, filter_variance = check_variances(entries, input_variance, filter_variance)
    return (1 - 2 / math.pi) * entries * (input_variance + filter_variance)


def misprinted_adder_variance(entries: int, input_variance: float, filter_variance: float) -> float:
    """Return √(π/2)·K·(Var[X] + Var[F]), as Universal AdderNets, Eq. 23 (preprint 29) has it; it is wrong."""
    entries, input_variance, filter_variance = check_variances(entries, input_variance, filter_variance)
    return math.sqrt(math.pi / 2) * entries * (input_variance + filter_variance)


def check_variances(entries: int, input_variance: float, filter_variance: float) -> tuple[int, float, float]:
    """Return K and both variances once they are above 0; TypeError or ValueError for others."""
    variances = (("input_variance", input_variance), ("filter_variance", filter_variance))
    x_variance, f_variance = (number(value, name, "(0, inf)") for name, value in variances)
    return whole(entries, "entries", 1), x_variance, f_variance


@dataclass(frozen=True)
class Estimate:
    """A variance that was measured, and its standard error."""

    variance: float
    error: float


@dataclass(frozen=True)
class OutputVariance:
    """The variances of an adder layer's and a convolution's output with K entries a filter."""

    entries: int
    input_variance: float
    filter_variance: float
    adder: Estimate
    conv: Estimate


def output_variance(
    entries: int, input_variance: float = 1.0, filter_variance: float = 1.0, samples: int = 100_000, seed: int = 0
) -> OutputVariance:
    """Measure the variance of both layers' outputs for normal inputs and filters of mean 0, drawn anew for each output.

    The outputs are those of `ma.ops.adder2d` and `ma.ops.conv2d`, in groups of one filter and one place each, so that
    they are independent of one another.

    Parameters
    ----------
    entries
        K, the entries of a filter.
    input_variance, filter_variance
        Var[X] and Var[F].
    samples
        How many outputs, at least 2. The relative error is about √(2 / samples).
    seed
        Of what is drawn.

    Raises
    ------
    TypeError, ValueError
        For sizes or variances that are out of range.

    Examples
    --------
    >>> from minadder import analysis
    >>> measured = analysis.output_variance(9, samples=2000)
    >>> abs(measured.adder.variance / analysis.adder_variance(9, 1.0, 1.0) - 1) < 0.2
    True
    """
    entries, input_variance, filter_variance = check_variances(entries, input_variance, filter_variance)
    samples = whole(samples, "samples", 2)
    fits_memory((entries,), 32, "one window and filter")
    generator = np.random.default_rng(seed_number(seed))
    outputs: dict[str, list[Array]] = {"adder": [], "conv": []}
    most = max(NUMBERS_AT_ONCE // entries, 1)
    with no_grad():
        for begin in range(0, samples, most):
            groups = min(most, samples - begin)
            x = Tensor(generator.normal(0, math.sqrt(input_variance), (1, groups * entries, 1, 1)))
            w = Tensor(generator.normal(0, math.sqrt(filter_variance), (groups, entries, 1, 1)))
            outputs["adder"].append(ops.adder2d(x, w, groups=groups).numpy().ravel())
            outputs["conv"].append(ops.conv2d(x, w, groups=groups).numpy().ravel())
    adder, conv = (estimate(np.concatenate(outputs[kind])) for kind in ("adder", "conv"))
    return OutputVariance(entries, input_variance, filter_variance, adder, conv)


def estimate(values: Array) -> Estimate:
    """Return the variance of a distribution and its standard error, √((m₄ − s⁴) / n), from independent values."""
    deviations = values - values.mean()
    variance = float(deviations @ deviations) / (len(values) - 1)
    fourth = float(np.mean(deviations**4))
    return Estimate(variance, math.sqrt(max(fourth - variance**2, 0.0) / len(values)))
