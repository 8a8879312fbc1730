"""Which distribution a layer's weights follow: Laplace's or Gauss's (Chen et al. 2020, Fig. 4)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from minadder.autograd import Array
from minadder.checks import real_array


@dataclass(frozen=True)
class WeightFits:
    """Both distributions with the parameters of greatest likelihood; log-likelihoods are natural, over all weights."""

    weights: int
    laplace_location: float
    laplace_scale: float
    laplace_log_likelihood: float
    gauss_mean: float
    gauss_deviation: float
    gauss_log_likelihood: float

    @property
    def better(self) -> str:
        """The one of greater likelihood, "Laplace" or "Gauss"; both have two parameters."""
        return "Laplace" if self.laplace_log_likelihood > self.gauss_log_likelihood else "Gauss"

    def laplace(self, x: Array) -> Array:
        """Return the Laplace distribution's density."""
        return np.exp(-np.abs(x - self.laplace_location) / self.laplace_scale) / (2 * self.laplace_scale)

    def gauss(self, x: Array) -> Array:
        """Return the normal distribution's density."""
        scaled = (x - self.gauss_mean) / self.gauss_deviation
        return np.exp(-(scaled**2) / 2) / (self.gauss_deviation * math.sqrt(2 * math.pi))


def fit_weights(weights: Array) -> WeightFits:
    """Fit a Laplace and a normal distribution to weights by maximum likelihood.

    The Laplace distribution's location is the median, its scale b the mean distance from it; the log-likelihood is
    −n·(ln 2b + 1). The normal distribution has the mean and the deviation σ; its is −n·(ln √(2π)σ + ½).

    Parameters
    ----------
    weights
        An array of any shape.

    Raises
    ------
    ValueError
        For fewer than 2 weights, weights that are all the same, NaN or Inf.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import analysis
    >>> analysis.fit_weights(np.random.default_rng(0).laplace(size=1000)).better
    'Laplace'
    """
    values = real_array(weights, "weights").ravel()
    if not np.isfinite(values).all():
        raise ValueError("the weights hold NaN or Inf: no distribution fits")
    if values.size < 2 or values.min() == values.max():
        raise ValueError(f"{values.size} weight(s) with no two different values: no distribution fits")
    location, mean = float(np.median(values)), float(values.mean())
    scale, deviation = float(np.abs(values - location).mean()), float(values.std())
    return WeightFits(
        values.size,
        location,
        scale,
        -values.size * (math.log(2 * scale) + 1),
        mean,
        deviation,
        -values.size * (math.log(math.sqrt(2 * math.pi) * deviation) + 0.5),
    )
