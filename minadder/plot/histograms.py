"""Histograms with densities over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from minadder.plot.figure import new_figure, numbers, plain

Numbers = npt.NDArray[Any]
MOST_BINS = 100
COLOURS = ("tab:red", "tab:green")


def histograms(
    panels: Mapping[str, tuple[npt.ArrayLike, Mapping[str, Callable[[Numbers], Numbers]]]],
    title: str = "",
    xlabel: str = "weight",
) -> Any:
    """Return a figure with a histogram of each array, and densities drawn over it.

    Parameters
    ----------
    panels
        By title of a panel: an array or a tensor of any shape, and functions from places to densities by name.
    title, xlabel
        The figure's title, and what the arrays hold.

    Raises
    ------
    TypeError, ValueError
        For an empty array, NaN or Inf, and what holds no numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import plot
    >>> len(plot.histograms({"weights": (np.arange(9.0), {})}).axes)
    1
    """
    figure = new_figure(5.6 * len(panels), 4.4)
    figure.suptitle(plain(title))
    for axes, (name, (given, densities)) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        values = np.ravel(numbers(given, name))
        if not values.size or not np.isfinite(values).all():
            raise ValueError(f"the values of {name!r} are none, or hold NaN or Inf: they have no histogram")
        bins = min(MOST_BINS, max(10, round(2 * values.size ** (1 / 3))))
        axes.hist(values, bins=bins, density=True, color="tab:blue", alpha=0.45)
        places = np.linspace(values.min(), values.max(), 801)
        for (density, function), colour in zip(densities.items(), COLOURS, strict=False):
            axes.plot(places, function(places), color=colour, linewidth=1.6, label=plain(density))
        axes.set(title=plain(name), xlabel=plain(xlabel), ylabel="density")
        axes.grid(alpha=0.3)
        if densities:
            axes.legend(fontsize="small")
    return figure
