"""Boxes that arrows join."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minadder.plot.figure import new_figure, plain
from minadder.plot.layers import lay_out

FONT = 9.0
LINE_INCHES = 0.16
PADDING = 0.22
MARGIN = 0.25
STRAIGHT = 8
"""How much more an arrow between operations weighs than others: the net's backbone is to be straight."""

COLOURS = {
    "result": "#F4C27A",
    "operation": "#DCE6F2",
    "parameter": "#CDE8D5",
    "input": "#F7E3EC",
    "constant": "#F2F2F2",
}
"""The colours of the kinds of boxes."""


@dataclass(frozen=True)
class Box:
    """A box: its kind, one of `COLOURS`, and what it says, line by line."""

    kind: str
    lines: tuple[str, ...]


def box_figure(boxes: Sequence[Box], arrows: Sequence[tuple[int, int]], title: str = "") -> Any:
    r"""Return a figure of boxes and arrows, which lead down, laid out by graphviz where that is installed.

    Parameters
    ----------
    boxes, arrows
        The boxes, and pairs of numbers of boxes: where an arrow begins, and where it ends. They form no circle.
    title
        The figure's title.

    Examples
    --------
    >>> from minadder.plot.boxes import Box, box_figure
    >>> figure = box_figure([Box("input", ("x", "(2, 3)")), Box("result", ("Sum", "()"))], [(0, 1)])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['x\n(2, 3)', 'Sum\n()']
    """
    figure = new_figure(1, 1)  # sized below: texts are measured first
    texts = ["\n".join(plain(line) for line in box.lines) for box in boxes]
    sizes = np.array([box_size(text) for text in texts])
    weights = [STRAIGHT if boxes[begin].kind == "operation" else 1 for begin, _ in arrows]
    layout = lay_out(sizes, arrows, weights)
    corners = np.concatenate([layout.centres - sizes / 2, layout.centres + sizes / 2, *layout.curves])
    low, high = corners.min(axis=0) - MARGIN, corners.max(axis=0) + MARGIN
    figure.set_size_inches(*(high - low + (0, 0.3 if title else 0)))
    figure.suptitle(plain(title), fontsize=11)
    axes = figure.subplots()
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    axes.set_axis_off()
    for points in layout.curves:
        draw_arrow(axes, points)
    for box, text, centre, size in zip(boxes, texts, layout.centres, sizes, strict=True):
        draw_box(axes, text, centre, size, COLOURS[box.kind], dashed=box.kind == "constant")
    return figure


def box_size(text: str) -> tuple[float, float]:
    """Return the width and the height in inches of a box around text."""
    from matplotlib.textpath import TextPath

    widths = [TextPath((0, 0), line, size=FONT).get_extents().width / 72 for line in text.split("\n") if line.strip()]
    return max(widths, default=0.0) + PADDING, LINE_INCHES * (1 + text.count("\n")) + PADDING * 0.6


def draw_box(axes: Any, text: str, centre: npt.NDArray[Any], size: npt.NDArray[Any], colour: str, dashed: bool) -> None:
    """Draw a box and its text."""
    from matplotlib.patches import FancyBboxPatch

    corner = tuple(centre - size / 2)
    edge: dict[str, Any] = {"edgecolor": "#777777", "linewidth": 0.8, "linestyle": "--" if dashed else "-"}
    edge |= {"boxstyle": "round,pad=0,rounding_size=0.06", "facecolor": colour, "zorder": 2}
    axes.add_patch(FancyBboxPatch(corner, *size, **edge))
    axes.text(*centre, text, ha="center", va="center", fontsize=FONT, linespacing=1.15, zorder=3)


def draw_arrow(axes: Any, points: npt.NDArray[Any]) -> None:
    """Draw an arrow along a Bézier curve."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    codes = [Path.MOVETO] + [Path.CURVE4] * (len(points) - 1)
    path = Path(points, codes)
    axes.add_patch(FancyArrowPatch(path=path, arrowstyle="-|>", mutation_scale=9, color="#555555", linewidth=0.9))
