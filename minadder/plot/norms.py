"""Norms by layer, of several runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minadder.plot.figure import new_figure, numbers, plain

COLOURS = ("tab:blue", "tab:orange", "tab:green")


def norm_dots(
    layers: Sequence[str],
    norms: Mapping[str, npt.ArrayLike],
    others: Mapping[str, npt.ArrayLike],
    title: str = "",
) -> Any:
    """Return a figure of norms by layer on a logarithmic scale: a dot for each run, a line through their medians.

    Parameters
    ----------
    layers
        The layers' names.
    norms
        (runs, layers), an array or a tensor, by the kind of network.
    others
        By the same names, figures of others for the first layers, drawn as crosses.
    title
        The figure's title.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import plot
    >>> len(plot.norm_dots(["a", "b"], {"adder": np.ones((3, 2))}, {"adder": [0.5]}).axes)
    1
    """
    figure = new_figure(7, 4.6)
    axes = figure.subplots()
    places = np.arange(len(layers))
    for (name, given), colour in zip(norms.items(), COLOURS, strict=False):
        values = numbers(given, name)
        axes.plot(
            places,
            np.median(values, axis=0),
            color=colour,
            linewidth=1,
            label=f"{plain(name)}, median of {len(values)}",
        )
        for run in values:
            axes.plot(places, run, "o", color=colour, markersize=5, alpha=0.6)
        if name in others:
            known = numbers(others[name], name)
            axes.plot(places[: len(known)], known, "x", color=colour, markersize=9, label=f"{plain(name)}, paper")
    axes.set(title=plain(title), ylabel="ℓ2 norm of the filters' gradient", yscale="log", xticks=places)
    axes.set_xticklabels([plain(layer) for layer in layers])
    axes.grid(alpha=0.3, which="both", axis="y")
    figure.legend(loc="outside lower center", ncols=len(norms), fontsize="small")
    return figure
