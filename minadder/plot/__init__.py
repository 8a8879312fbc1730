"""Figures from arrays and numbers, drawn by matplotlib and returned, never shown or kept in a global state."""

from minadder.plot.channels import shares_by_epoch
from minadder.plot.curves import learning_curves
from minadder.plot.decision import Panel, accuracy_strips, decision_figure
from minadder.plot.features import feature_scatter
from minadder.plot.figure import save_figure
from minadder.plot.filters import filter_grid
from minadder.plot.histograms import histograms
from minadder.plot.norms import norm_dots
from minadder.plot.sweeps import curves_beside, lines_beside, points_beside
from minadder.plot.variance import variance_panels

__all__ = [
    "Panel",
    "accuracy_strips",
    "curves_beside",
    "decision_figure",
    "feature_scatter",
    "filter_grid",
    "histograms",
    "learning_curves",
    "lines_beside",
    "norm_dots",
    "points_beside",
    "save_figure",
    "shares_by_epoch",
    "variance_panels",
]
