"""Decision boundaries in the plane: where a net says yes, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minadder.plot.figure import new_figure, numbers, plain

YES, NO = "tab:red", "tab:blue"


@dataclass(frozen=True)
class Panel:
    """What one net says: its logits (S, S) on a square grid, whose rows run from the lowest y.

    Parameters
    ----------
    title, logits
        Its title, and the logits.
    points, labels
        The data that it was trained on, (N, 2) and (N,), the labels 0 or 1. All are arrays or tensors; arrays are kept.

    Raises
    ------
    TypeError, ValueError
        For other shapes, and what holds no numbers.
    """

    title: str
    logits: npt.NDArray[Any]
    points: npt.NDArray[Any]
    labels: npt.NDArray[Any]

    def __post_init__(self) -> None:
        for name in ("logits", "points", "labels"):
            object.__setattr__(self, name, numbers(getattr(self, name), name))
        if self.points.ndim != 2 or self.points.shape[1] != 2 or self.labels.shape != self.points.shape[:1]:
            shapes = f"{self.points.shape} and {self.labels.shape}"
            raise ValueError(f"points must have shape (N, 2) and labels (N,), not {shapes}")
        if self.logits.ndim != 2 or self.logits.shape[0] != self.logits.shape[1]:
            raise ValueError(f"the logits of {self.title!r} must be a square grid, not {self.logits.shape}")


def decision_figure(rows: Sequence[tuple[str, Sequence[Panel]]], reach: float, title: str = "") -> Any:
    """Return a figure of the first panel's data and, beside it, what nets say everywhere: a row for each kind of net.

    Red is the probability of label 1 above ½, blue below; the black line is where the net is undecided.

    Parameters
    ----------
    rows
        For each row its name and its panels.
    reach
        The panels show x and y from −reach to reach, and the logits are of such a grid.
    title
        The figure's title.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import plot
    >>> x, y = np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 5))
    >>> panel = plot.Panel("n = 1", x, points=np.array([[0.5, 0.5], [-0.5, 0.5]]), labels=np.array([1, 0]))
    >>> len(plot.decision_figure([("a net", [panel])], reach=1.0).axes)
    2
    """
    columns = max(len(panels) for _, panels in rows)
    figure = new_figure(2.9 * (columns + 1), 2.9 * len(rows) + 0.7)
    figure.suptitle(plain(title))
    grid = figure.add_gridspec(len(rows), columns + 1)
    data = figure.add_subplot(grid[:, 0])
    first = rows[0][1][0]
    scatter(data, first, size=5.0)
    data.set_title(f"training data: {len(first.points)} points", fontsize=10)
    square(data, reach)
    for number, (name, panels) in enumerate(rows):
        for place, panel in enumerate(panels):
            axes = figure.add_subplot(grid[number, place + 1])
            draw_panel(axes, panel, reach)
            scatter(axes, panel, size=1.0)
            axes.set_title(plain(panel.title), fontsize=10)
            square(axes, reach)
            axes.set(xticklabels=[], yticklabels=[])
            if place == 0:
                axes.set_ylabel(plain(name), fontsize=11)
    return figure


def draw_panel(axes: Any, panel: Panel, reach: float) -> None:
    """Draw the probabilities as colours, and the boundary as a line where there is one."""
    logits = np.asarray(panel.logits, np.float64)
    probability = 0.5 * (1 + np.tanh(logits / 2))  # the sigmoid without overflow
    box = (-reach, reach, -reach, reach)
    axes.imshow(probability, cmap="RdBu_r", vmin=0, vmax=1, origin="lower", extent=box, alpha=0.55)
    if logits.min() < 0 < logits.max():
        line = np.linspace(-reach, reach, len(logits))
        axes.contour(line, line, logits, levels=[0.0], colors="black", linewidths=1.2)


def scatter(axes: Any, panel: Panel, size: float) -> None:
    """Draw a panel's points, each label in its colour."""
    for label, colour in ((0, NO), (1, YES)):
        chosen = panel.points[panel.labels == label]
        axes.scatter(chosen[:, 0], chosen[:, 1], s=size, color=colour, linewidths=0, label=f"label {label}")


def square(axes: Any, reach: float) -> None:
    """Show the same square in each panel."""
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axes.tick_params(labelsize=8)


def accuracy_strips(strips: Sequence[tuple[str, Sequence[float]]], bar: float, title: str = "") -> Any:
    """Return a figure of accuracies by net: a dot for each seed, a line for the median, and the bar of a solved task.

    Parameters
    ----------
    strips
        For each net its name and the accuracies of its seeds, in [0, 1].
    bar
        The accuracy from which on the task is solved.
    title
        The figure's title.

    Examples
    --------
    >>> from minadder import plot
    >>> len(plot.accuracy_strips([("a net", [0.5, 1.0])], 0.99).axes)
    1
    """
    figure = new_figure(1.35 * len(strips) + 1.6, 4.2)
    figure.suptitle(plain(title))
    axes = figure.subplots()
    axes.axhline(100 * bar, color="grey", linestyle="--", linewidth=1, label=f"solved: {100 * bar:g} %")
    for place, (_, accuracies) in enumerate(strips):
        values = 100 * np.sort(np.asarray(accuracies, np.float64))
        offsets = np.linspace(-0.22, 0.22, len(values)) if len(values) > 1 else np.zeros(1)
        axes.plot(place + offsets, values, "o", markersize=5, color="tab:blue", alpha=0.7)
        axes.hlines(np.median(values), place - 0.35, place + 0.35, color="black", linewidth=1.5)
    axes.set_xticks(range(len(strips)), [plain(name) for name, _ in strips])
    axes.set(ylabel="accuracy / %", ylim=(None, 101))
    axes.grid(alpha=0.3, axis="y")
    axes.plot([], [], color="black", label="median")
    axes.plot([], [], "o", color="tab:blue", label="one seed each, in order")
    axes.legend(loc="lower right", fontsize=8)
    return figure
