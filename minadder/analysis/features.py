"""How classes lie in a space of features: as clusters, or as directions (Chen et al. 2020, Fig. 1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minadder.autograd import Array
from minadder.checks import real_array


@dataclass(frozen=True)
class Separation:
    """How many examples their class's centre, or its direction from the origin, is the nearest to; in [0, 1]."""

    by_centre: float
    by_direction: float


def separation(features: Array, labels: Array) -> Separation:
    """Return how well classes are told apart by distance, and how well by angle.

    A class's centre is the median of its features, which the ℓ1 distance to them is least from; an example belongs to
    the class whose centre is nearest in ℓ1. A class's direction is the mean of its features scaled to length 1; an
    example belongs to the class with which it makes the smallest angle at the origin.

    Parameters
    ----------
    features
        (N, D).
    labels
        Class numbers (N,).

    Raises
    ------
    ValueError
        When the shapes do not fit, there are no examples, or features hold NaN or Inf.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import analysis
    >>> features = np.array([[1.0, 0.1], [9.0, 0.5], [0.2, 1.0], [0.5, 9.0]])
    >>> analysis.separation(features, np.array([0, 0, 1, 1]))
    Separation(by_centre=1.0, by_direction=1.0)
    """
    features, labels = real_array(features, "features"), real_array(labels, "labels")
    if features.ndim != 2 or labels.shape != features.shape[:1] or not len(labels):
        raise ValueError(
            f"features (N, D) and labels (N,) must fit and not be empty, not {features.shape} and {labels.shape}"
        )
    if not np.isfinite(features).all():
        raise ValueError("the features hold NaN or Inf")
    classes, numbers = np.unique(labels, return_inverse=True)
    members = [features[numbers == number] for number in range(len(classes))]
    centres = np.stack([np.median(rows, axis=0) for rows in members])
    directions = unit(np.stack([unit(rows).mean(axis=0) for rows in members]))
    nearest = np.abs(features[:, None] - centres).sum(axis=2).argmin(axis=1)
    foremost = (unit(features) @ directions.T).argmax(axis=1)
    return Separation(float(np.mean(nearest == numbers)), float(np.mean(foremost == numbers)))


def unit(rows: Array) -> Array:
    """Return rows scaled to length 1; a row of zeros stays."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths == 0, 1.0, lengths)
