"""Shares of channels by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from minadder.plot.figure import new_figure, plain


def shares_by_epoch(panels: Mapping[str, Sequence[Mapping[str, float]]], ylabel: str, title: str = "") -> Any:
    """Return a figure with a panel for each training: shares in percent by epoch, a line for each name.

    Parameters
    ----------
    panels
        By title of a panel: for each epoch the shares, from 0 to 1, by name.
    ylabel, title
        What the shares are of, and the figure's title.

    Examples
    --------
    >>> from minadder import plot
    >>> len(plot.shares_by_epoch({"a": [{"relu1": 0.0}, {"relu1": 0.5}], "b": [{"relu1": 0.0}]}, "closed").axes)
    2
    """
    figure = new_figure(4.8 * len(panels), 4)
    figure.suptitle(plain(title), fontsize=11)
    row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    row[0].set_ylabel(f"{plain(ylabel)} / %")
    for axes, (name, epochs) in zip(row, panels.items(), strict=True):
        for line in epochs[0]:
            shares = [100 * float(epoch[line]) for epoch in epochs]
            axes.plot(range(1, len(epochs) + 1), shares, marker="o" if len(epochs) < 30 else "", label=plain(line))
        axes.set(xlabel="epoch", ylim=(-3, 103))
        axes.set_title(plain(name), fontsize=9)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    return figure
