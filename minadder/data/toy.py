"""Points in the plane for looking at decision boundaries (Universal AdderNets, Sec. 5.3; preprint 5.1).

The paper writes "variance of 10" and "of 15"; the standard deviation must be meant, since with variance 10 one point in
77,000 would lie beyond radius 15. The points are not divided by anything.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from minadder.checks import fits_memory, seed_number, whole

from .dataset import Dataset

Points = NDArray[np.float64]
Rule = Callable[[Points], NDArray[np.int64]]  # points (M, 2) -> labels (M,), _REJECTED where redrawn

_REJECTED = -1
_BLOCK = 1024  # points drawn at once; fixed, so that a longer set begins with the shorter one


def unit_ball(n: int, seed: int = 0) -> Dataset:
    """A ball and what is far from it: label 1 inside radius 10, 0 outside radius 15.

    Universal AdderNets, Eq. 46 (preprint 34). Inputs are float32 ``(n, 2)`` from N(0, 10²) in each coordinate; a point
    between the radii is redrawn, so that a margin lies between the classes. The same seed gives the same points, and
    fewer points are the first of more. ValueError for n < 1.

    >>> from minadder import data
    >>> data.unit_ball(500)
    Dataset('unit-ball', 500 examples of shape (2,), 2 classes)
    """
    return _draw(n, seed, 10.0, _unit_ball_rule, "unit-ball")


def two_balls(n: int, seed: int = 0) -> Dataset:
    """Two balls: label 1 inside radius 10 of (10, 10) or of (−10, −10), else 0.

    Universal AdderNets, Eq. 47 (preprint 35). Inputs are float32 ``(n, 2)`` from N(0, 15²) in each coordinate, no
    margin. Otherwise as ``unit_ball``.
    """
    return _draw(n, seed, 15.0, _two_balls_rule, "two-balls")


def xor(n: int, seed: int = 0) -> Dataset:
    """Opposite quadrants: label 1 iff x·y ≥ 0, which the paper calls linear classification.

    Universal AdderNets, Eq. 48 (preprint 36). Inputs are float32 ``(n, 2)`` from N(0, 10²) in each coordinate, no
    margin. Otherwise as ``unit_ball``.
    """
    return _draw(n, seed, 10.0, _xor_rule, "xor")


def _unit_ball_rule(points: Points) -> NDArray[np.int64]:
    radius = np.hypot(points[:, 0], points[:, 1])
    return np.where(radius < 10, 1, np.where(radius > 15, 0, _REJECTED))


def _two_balls_rule(points: Points) -> NDArray[np.int64]:
    upper = np.hypot(points[:, 0] - 10, points[:, 1] - 10) < 10
    lower = np.hypot(points[:, 0] + 10, points[:, 1] + 10) < 10
    return (upper | lower).astype(np.int64)


def _xor_rule(points: Points) -> NDArray[np.int64]:
    return (points[:, 0] * points[:, 1] >= 0).astype(np.int64)


def _draw(n: int, seed: int, deviation: float, rule: Rule, name: str) -> Dataset:
    n = whole(n, "n", 1)
    fits_memory((n, 2), 8, "n points")  # float32, and the labels
    rng = np.random.default_rng(seed_number(seed))
    kept_points, kept_labels, count = [], [], 0
    while count < n:
        points = rng.normal(0.0, deviation, (_BLOCK, 2)).astype(np.float32)
        labels = rule(points.astype(np.float64))  # on the rounded points: the labels hold for what is returned
        kept = labels != _REJECTED
        kept_points.append(points[kept])
        kept_labels.append(labels[kept])
        count += int(kept.sum())
    return Dataset(np.concatenate(kept_points)[:n], np.concatenate(kept_labels)[:n], 2, name)
