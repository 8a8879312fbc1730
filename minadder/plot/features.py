"""Features of two dimensions, coloured by class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from minadder.plot.figure import new_figure, numbers, plain

PARTS = "features", "labels"


def feature_scatter(panels: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]], title: str = "") -> Any:
    """Return a figure with a panel of points for each case, a colour for each class, and its number at its median.

    Both axes have one scale, so that angles are seen as they are; a cross marks the origin.

    Parameters
    ----------
    panels
        By title of a panel: features (N, 2), and class numbers (N,), arrays or tensors.
    title
        The figure's title.

    Raises
    ------
    TypeError, ValueError
        For another shape, and what holds no numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import plot
    >>> len(plot.feature_scatter({"a": (np.zeros((3, 2)), np.array([0, 1, 1]))}).axes)
    1
    """
    figure = new_figure(5.8 * len(panels), 5.6)
    figure.suptitle(plain(title))
    for axes, (name, given) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        features, labels = (numbers(values, f"{part} of {name!r}") for values, part in zip(given, PARTS, strict=True))
        if features.ndim != 2 or features.shape[1] != 2 or labels.shape != features.shape[:1]:
            raise ValueError(
                f"{name!r} needs features (N, 2) and labels (N,), not of shapes {features.shape} and {labels.shape}"
            )
        size = float(np.clip(6000 / max(len(labels), 1), 3, 16))
        for number in np.unique(labels):
            points = features[labels == number]
            colour = f"C{int(number) % 10}"
            axes.scatter(*points.T, s=size, color=colour, alpha=0.5, linewidths=0)
            axes.annotate(
                plain(int(number)),
                np.median(points, axis=0),
                ha="center",
                va="center",
                fontweight="bold",
                bbox={"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": colour, "alpha": 0.85},
            )
        axes.plot(0, 0, "+", color="black", markersize=10)
        axes.set(title=plain(name), xlabel="feature 1", ylabel="feature 2")
        axes.set_aspect("equal", adjustable="datalim")
        axes.grid(alpha=0.3)
    return figure
