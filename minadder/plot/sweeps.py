"""Accuracies of several trainings beside the papers': lines over a number, points, and curves by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from statistics import mean, stdev
from typing import Any

import numpy as np
import numpy.typing as npt

from minadder.plot.figure import new_figure, numbers, plain

OURS, PAPERS = "tab:blue", "tab:gray"
COLOURS = "orange", "brown", "red", "cyan", "gray", "olive", "pink", "purple", "blue", "green"
CURVES = tuple(f"tab:{colour}" for colour in COLOURS)


def middle_and_spread(values: Sequence[npt.ArrayLike]) -> tuple[list[float], list[float]]:
    """Return the means, NaN for no value, and the standard deviations, 0 for fewer than two values."""
    lists = [numbers(some, "accuracies").tolist() for some in values]
    means = [mean(some) if some else float("nan") for some in lists]
    return means, [stdev(some) if len(some) > 1 else 0.0 for some in lists]


def lines_beside(
    places: npt.ArrayLike,
    ours: Sequence[npt.ArrayLike],
    papers: npt.ArrayLike,
    title: str,
    headings: tuple[str, str],
    label: str,
    logarithmic: bool = False,
) -> Any:
    """Return a figure of two panels: measured accuracies over a number, and the papers', each on its own scale.

    Parameters
    ----------
    places
        The number of each setting.
    ours
        For each, the measured accuracies in percent, one a seed.
    papers
        For each, the papers' accuracy in percent.
    title, headings, label
        The figure's title, those of the panels, and the name of the number.
    logarithmic
        Whether the number's axis is.

    Examples
    --------
    >>> from minadder import plot
    >>> len(plot.lines_beside([0.1, 0.2], [[90.0, 91.0], [92.0]], [99.0, 99.4], "title", ("ours", "theirs"), "η").axes)
    2
    """
    at, theirs = numbers(places, "places").tolist(), numbers(papers, "papers").tolist()
    figure = new_figure(10, 4)
    figure.suptitle(plain(title), fontsize=11)
    means, deviations = middle_and_spread(ours)
    panels = figure.subplots(1, 2)
    for axes, heading, values, spread, colour in zip(
        panels, headings, (means, theirs), (deviations, [0.0] * len(theirs)), (OURS, PAPERS), strict=True
    ):
        axes.errorbar(at, values, spread if any(spread) else None, color=colour, marker="o", capsize=4)
        for place, value, deviation in zip(at, values, spread, strict=True):
            if value == value:
                text = f"{value:.2f}"
                axes.annotate(
                    text, (place, value + deviation), (0, 7), textcoords="offset points", ha="center", fontsize=8
                )
        if logarithmic:
            axes.set_xscale("log")
        axes.set_xticks(at, [f"{place:g}" for place in at])
        axes.minorticks_off()
        axes.margins(x=0.1, y=0.2)
        axes.set(xlabel=plain(label), ylabel="test accuracy / %")
        axes.set_title(plain(heading), fontsize=9)
        axes.grid(alpha=0.3)
    return figure


def points_beside(
    labels: Sequence[str],
    ours: Sequence[npt.ArrayLike],
    papers: Sequence[float | None],
    title: str,
    headings: tuple[str, str],
) -> Any:
    """Return a figure of two panels of points: measured accuracies, and the papers', each on its own scale.

    Parameters
    ----------
    labels
        The name of each setting.
    ours
        For each, the measured accuracies in percent, one a seed.
    papers
        For each, the papers' accuracy in percent, or None.
    title, headings
        The figure's title, and those of the panels.

    Examples
    --------
    >>> from minadder import plot
    >>> len(plot.points_beside(["CNN", "BNN"], [[90.0], [80.0, 82.0]], [92.9, None], "title", ("ours", "theirs")).axes)
    2
    """
    figure = new_figure(10, 1.4 + 0.42 * len(labels))
    figure.suptitle(plain(title), fontsize=11)
    panels = figure.subplots(1, 2, sharey=True)
    means, deviations = middle_and_spread(ours)
    theirs = [float("nan") if value is None else value for value in papers]
    draw_points(panels[0], labels, means, deviations, headings[0], OURS)
    draw_points(panels[1], labels, theirs, [0.0] * len(theirs), headings[1], PAPERS)
    return figure


def draw_points(
    axes: Any, labels: Sequence[str], values: Sequence[float], deviations: Sequence[float], heading: str, colour: str
) -> None:
    """Draw a point for each setting with its value, from above down."""
    known = [value for value in values if value == value]
    places = np.arange(len(labels))
    spread = deviations if any(deviations) else None
    axes.errorbar(values, places, xerr=spread, fmt="o", markersize=7, capsize=3, color=colour)
    for place, value, deviation in zip(places, values, deviations, strict=True):
        text = "–" if value != value else f"{value:.2f}"
        at = min(known, default=0.0) if value != value else value + deviation
        axes.annotate(text, (at, place), (7, 0), textcoords="offset points", va="center", fontsize=8)
    low, high = min(known, default=0.0), max(known, default=100.0)
    reach = max(high - low, 0.5)
    axes.set_xlim(low - 0.15 * reach - max(deviations), high + 0.3 * reach + max(deviations))
    begin, end = axes.get_xlim()
    axes.set_xticks([tick for tick in axes.get_xticks() if begin <= tick <= min(100, end)])
    axes.set_yticks(places, [plain(label) for label in labels], fontsize=9)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlabel("test accuracy / %")
    axes.set_title(plain(heading), fontsize=9)
    axes.grid(alpha=0.3)


def curves_beside(
    labels: Sequence[str],
    curves: Sequence[Sequence[npt.ArrayLike]],
    ours: Sequence[npt.ArrayLike],
    papers: Sequence[float | None],
    title: str,
    headings: tuple[str, str],
) -> Any:
    """Return a figure of mean test accuracy by epoch, and of bars: the accuracies at the end above the papers'.

    Parameters
    ----------
    labels
        The name of each setting.
    curves
        For each setting and seed, the test accuracy in percent by epoch.
    ours
        For each, the accuracies at the end in percent, one a seed.
    papers
        For each, the papers' accuracy in percent, or None.
    title, headings
        The figure's title, and what was measured and what the papers measured.

    Examples
    --------
    >>> from minadder import plot
    >>> figure = plot.curves_beside(["sign"], [[[50.0, 60.0]]], [[60.0]], [97.7], "title", ("ours", "theirs"))
    >>> len(figure.axes)
    2
    """
    figure = new_figure(11, 3 + 0.3 * len(labels))
    figure.suptitle(plain(title), fontsize=11)
    by_epoch, bars = figure.subplots(1, 2)
    for label, some, colour in zip(labels, curves, cycle(CURVES), strict=False):
        seeds = [numbers(values, "accuracies").tolist() for values in some]
        over_seeds = [mean(values) for values in zip(*seeds, strict=False)]  # as far as the shortest goes
        by_epoch.plot(range(1, len(over_seeds) + 1), over_seeds, color=colour, linewidth=1.2, label=plain(label))
    by_epoch.set(xlabel="epoch", ylabel="test accuracy, mean of the seeds / %", ylim=(0, 102))
    by_epoch.xaxis.get_major_locator().set_params(integer=True)
    by_epoch.set_title(plain(headings[0]), fontsize=9)
    by_epoch.grid(alpha=0.3)
    by_epoch.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)
    places, (means, deviations) = np.arange(len(labels)), middle_and_spread(ours)
    theirs = [float("nan") if value is None else value for value in papers]
    for shift, values, spread, colour, name in (
        (-0.2, means, deviations, OURS, headings[0]),
        (0.2, theirs, [0.0] * len(theirs), PAPERS, headings[1]),
    ):
        bars.barh(places + shift, values, 0.38, xerr=spread if any(spread) else None, color=colour, label=plain(name))
        for place, value, deviation in zip(places, values, spread, strict=True):
            text = "–" if value != value else f"{value:.2f}"
            at = (0.0 if value != value else value + deviation, place + shift)
            bars.annotate(text, at, (4, 0), textcoords="offset points", va="center", fontsize=8)
    bars.set_yticks(places, [plain(label) for label in labels], fontsize=9)
    bars.set(xlabel="test accuracy / %", xlim=(0, 118), ylim=(len(labels) - 0.5, -0.5))
    bars.grid(alpha=0.3, axis="x")
    bars.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    return figure
