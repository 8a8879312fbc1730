"""Variances of outputs against the entries of a filter, measured and by formula."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from minadder.plot.figure import new_figure, numbers, plain

Numbers = npt.ArrayLike
COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red")


def variance_panels(
    entries: Sequence[int],
    panels: Mapping[str, tuple[Mapping[str, tuple[Numbers, Numbers]], Mapping[str, Numbers]]],
    title: str = "",
) -> Any:
    """Return a figure with a panel for each case: dots with two standard errors for what was measured, lines for laws.

    Parameters
    ----------
    entries
        K, the entries of a filter.
    panels
        By title of a panel: what was measured by name, as (variances, standard errors), and the laws' values by name:
        arrays or tensors.
        A law has the colour of what was measured under the same beginning of its name, before a colon; others are
        dashed in grey.
    title
        The figure's title.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import plot
    >>> ones = np.ones(2)
    >>> figure = plot.variance_panels([1, 9], {"a panel": ({"adder": (ones, 0.1 * ones)}, {"adder: a law": ones})})
    >>> len(figure.axes)
    1
    """
    figure = new_figure(5.6 * len(panels), 4.8)
    figure.suptitle(plain(title))
    for axes, (name, (measured, laws)) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        colours = dict(zip(measured, COLOURS, strict=False))
        for law, values in laws.items():
            known = law.partition(":")[0] in measured
            colour = colours[law.partition(":")[0]] if known else "grey"
            axes.plot(
                entries,
                numbers(values, law),
                color=colour,
                linestyle="-" if known else "--",
                linewidth=1.2,
                label=plain(law),
            )
        for kind, (values, errors) in measured.items():
            axes.errorbar(
                entries,
                numbers(values, kind),
                2 * numbers(errors, kind),
                fmt="o",
                markersize=5,
                color=colours[kind],
                label=f"{plain(kind)}: measured",
            )
        axes.set(
            title=plain(name),
            xlabel="entries of a filter, K",
            ylabel="variance of the output",
            xscale="log",
            yscale="log",
        )
        axes.grid(alpha=0.3)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize="small")
    return figure
