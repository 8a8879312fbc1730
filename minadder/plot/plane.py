"""A plane of two inputs: which class is chosen where, how sure that is, and the points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minadder.plot.classes import shades, style
from minadder.plot.figure import new_figure, plain

Numbers = npt.NDArray[Any]
Box = tuple[float, float, float, float]

AXIS_LABELS = "x₁", "x₂"
MARGIN = 0.12
"""What is left around the points, of their range."""
SMALLEST_SPAN = 1e-6
"""Points that differ by less, of their size, lie on a line, which is drawn as wide as it is long."""
MOST_UNEQUAL = 3.0
"""Axes whose ranges differ by no more than this have one scale, so that circles are round."""


@dataclass(frozen=True)
class Plane:
    """Points of classes, and the box around them that a figure shows.

    Parameters
    ----------
    points
        (N, 2).
    labels
        (N,) the number of each point's class; None where it is unknown.
    classes
        The classes' names.
    axis_labels
        What the two inputs are called.
    """

    points: Numbers
    labels: Numbers | None
    classes: Sequence[str]
    axis_labels: tuple[str, str] = AXIS_LABELS

    @property
    def box(self) -> Box:
        """The box (left, right, low, high) that is shown: the points and a margin."""
        least, most = self.points.min(axis=0), self.points.max(axis=0)
        centre, span = (least + most) / 2, most - least
        least_span = SMALLEST_SPAN * np.maximum(np.abs(centre), SMALLEST_SPAN)
        wide = span > least_span
        other = np.maximum(span[wide].max(), least_span) if wide.any() else np.maximum(np.abs(centre), 1.0)
        span = np.where(wide, span, other)
        reach = span * (0.5 + MARGIN)
        (left, low), (right, high) = centre - reach, centre + reach
        return float(left), float(right), float(low), float(high)

    def grid(self, steps: int) -> Numbers:
        """Return the points (steps², 2) of a grid over the box, whose rows run from the lowest."""
        left, right, low, high = self.box
        x, y = np.meshgrid(np.linspace(left, right, steps), np.linspace(low, high, steps))
        return np.stack([x.ravel(), y.ravel()], axis=1)


def plane_figure(plane: Plane) -> Any:
    """Return a figure with empty axes of a size that suits the plane."""
    left, right, low, high = plane.box
    ratio = (high - low) / (right - left)
    round_circles = 1 / MOST_UNEQUAL <= ratio <= MOST_UNEQUAL
    width = 5.2 / max(ratio, 1.0) if round_circles else 5.2
    height = width * ratio if round_circles else 4.2
    figure = new_figure(width + 1.9, height + 0.8)
    figure.subplots().set(box_aspect=height / width, anchor="NW")  # from the corner on the layout is exact at once
    return figure


def draw_plane(axes: Any, plane: Plane, scores: Numbers, probabilities: Numbers, title: str) -> None:
    """Draw what is decided in a plane onto axes: shades, the lines where the decision changes, points and a legend.

    Parameters
    ----------
    axes
        matplotlib's axes, which are cleared.
    plane
        The points.
    scores, probabilities
        (S, S, C) on a grid over the plane, whose rows run from the lowest; the class of the largest score is chosen.
    title
        What stands above.
    """
    axes.clear()
    left, right, low, high = box = plane.box
    axes.imshow(shades(probabilities), origin="lower", extent=box, interpolation="bilinear", aspect="auto")
    x, y = np.linspace(left, right, scores.shape[1]), np.linspace(low, high, scores.shape[0])
    for lead in leads(scores):
        axes.contour(x, y, lead, levels=[0.0], colors="#222222", linewidths=1.4)
    draw_points(axes, plane)
    axes.set(xlim=(left, right), ylim=(low, high))
    axes.set(xlabel=plain(plane.axis_labels[0]), ylabel=plain(plane.axis_labels[1]))
    axes.set_title(plain(title), fontsize=11)
    for legend in tuple(axes.figure.legends):
        legend.remove()
    axes.figure.legend(loc="outside right upper", frameon=False, handletextpad=0.2, markerscale=1.3)


def leads(scores: Numbers) -> list[Numbers]:
    """Return by how much each class leads over all others (S, S), where some points but not all are its.

    The last class is left out: where it begins another ends.
    """
    found = []
    for number in range(scores.shape[-1] - 1):
        lead = scores[..., number] - np.delete(scores, number, axis=-1).max(axis=-1)
        if lead.min() < 0 < lead.max():
            found.append(lead)
    return found


def draw_points(axes: Any, plane: Plane) -> None:
    """Draw the points, each class in its colour and marker; points of no known class in black."""
    size = float(np.clip(9000 / len(plane.points), 6, 34))
    edges = {"s": size, "edgecolors": "white", "linewidths": 0.6 if size > 12 else 0.3}
    if plane.labels is None:
        axes.scatter(*plane.points.T, color="#222222", **edges)
    for number, name in enumerate(plane.classes):
        chosen = plane.points[plane.labels == number] if plane.labels is not None else plane.points[:0]
        axes.scatter(*chosen.T, label=plain(name), **style(number), **edges)
