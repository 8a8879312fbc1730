"""Figures from arrays and numbers, drawn by matplotlib and returned, never shown or kept in a global state."""

from minadder.plot.curves import learning_curves
from minadder.plot.figure import save_figure
from minadder.plot.filters import filter_grid

__all__ = ["filter_grid", "learning_curves", "save_figure"]
