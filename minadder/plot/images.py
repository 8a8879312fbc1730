"""The filters of a layer as small images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from minadder.plot.figure import new_figure, numbers, plain

MOST_FILTERS = 64


def filter_grid(filters: npt.ArrayLike, title: str = "") -> Any:
    """Return a figure of filters side by side on one colour scale, symmetric around 0.

    Parameters
    ----------
    filters
        (T, C, kh, kw), an array or a tensor. Each filter is one image, the mean over its channels; of more
        than 64 the first 64 are shown. Filters of fully-connected layers (T, K) are shown as one image, a row for each.
    title
        The figure's title.

    Raises
    ------
    TypeError, ValueError
        For another number of axes, no filters, NaN or Inf, and what holds no numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import plot
    >>> len(plot.filter_grid(np.zeros((6, 1, 5, 5))).axes)
    7
    """
    weights = numbers(filters, "filters")
    if weights.ndim not in (2, 4) or weights.size == 0:
        raise ValueError(f"filters must have shape (T, C, kh, kw) or (T, K) and not be empty, not {weights.shape}")
    if not np.isfinite(weights).all():
        raise ValueError(f"filters hold NaN or Inf, {np.count_nonzero(~np.isfinite(weights))} of {weights.size}")
    images = weights[None] if weights.ndim == 2 else weights[:MOST_FILTERS].mean(axis=1)
    columns = min(len(images), 8)
    rows = math.ceil(len(images) / columns)
    figure = new_figure(1.4 * columns + 1.2, 1.5 * rows + 0.6) if len(images) > 1 else new_figure(7, 5)
    figure.suptitle(plain(title))
    reach = float(np.abs(images).max()) or 1.0
    shown = None
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, image in zip(grid, images, strict=False):
        shown = axes.imshow(
            image, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect="equal" if len(images) > 1 else "auto"
        )
        axes.set(xticks=[], yticks=[])
    for axes in grid[len(images) :]:
        axes.remove()
    figure.colorbar(shown, ax=list(grid[: len(images)]), shrink=0.8, label="weight")
    return figure
