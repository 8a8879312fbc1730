"""Figures from arrays and numbers, drawn by matplotlib and returned: a notebook shows them, and so does `show()`.

No figure is kept in pyplot's global state. Functions that look into nets are called from here too; they live in
`minadder.looking`, and are imported when they are first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from minadder.plot.channels import shares_by_epoch
from minadder.plot.curves import learning_curves
from minadder.plot.decision import Panel, accuracy_strips, decision_figure
from minadder.plot.features import feature_scatter
from minadder.plot.figure import save_figure
from minadder.plot.histograms import histograms
from minadder.plot.images import filter_grid
from minadder.plot.norms import norm_dots
from minadder.plot.sweeps import curves_beside, lines_beside, points_beside
from minadder.plot.variance import variance_panels

if TYPE_CHECKING:
    from minadder.looking.boundary import decision_boundary
    from minadder.looking.confusion import confusion_matrix
    from minadder.looking.film import Film
    from minadder.looking.filters import filters
    from minadder.looking.graph import graph

__all__ = [
    "Film",
    "Panel",
    "accuracy_strips",
    "confusion_matrix",
    "curves_beside",
    "decision_boundary",
    "decision_figure",
    "feature_scatter",
    "filter_grid",
    "filters",
    "graph",
    "histograms",
    "learning_curves",
    "lines_beside",
    "norm_dots",
    "points_beside",
    "save_figure",
    "shares_by_epoch",
    "variance_panels",
]

_LOOKING = {
    "Film": "film",
    "confusion_matrix": "confusion",
    "decision_boundary": "boundary",
    "filters": "filters",
    "graph": "graph",
}
"""Where in `minadder.looking` what looks into nets is found."""


def __getattr__(name: str) -> Any:
    if name not in _LOOKING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"minadder.looking.{_LOOKING[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
