"""Figures that show themselves: in a notebook as a picture, by `show()` there or in a window."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import matplotlib.figure
from matplotlib import _pylab_helpers
from matplotlib.backend_bases import FigureManagerBase

from minadder import streams
from minadder.notebook import in_notebook

COSMETIC = ("Glyph .* missing from", ".*constrained_layout not applied")
"""What matplotlib warns of when a title has signs that no font has, or is longer than the figure has room for."""
DOTS_PER_INCH = 120


class Figure(matplotlib.figure.Figure):
    """A matplotlib Figure that a notebook shows as the last value of a cell, and `show()` at any time."""

    def _repr_png_(self) -> bytes:
        """Return the figure as PNG: what a notebook asks of a value that it is to show."""
        return as_png(self)

    def show(self, warn: bool = True) -> None:
        """Show the figure: in a notebook below the cell, else in a window, until that is closed.

        Where there is neither, as on a machine without a display, one line on standard error says so.

        Parameters
        ----------
        warn
            Whether that line is written.
        """
        if not shown_in_notebook(self) and not show_window(self) and warn:
            streams.tell("there is no display to show the figure on: figure.savefig('figure.png') writes it to a file")


def as_png(figure: Any) -> bytes:
    """Return a figure as PNG."""
    content = io.BytesIO()
    with quiet():
        figure.savefig(content, format="png", dpi=DOTS_PER_INCH)
    return content.getvalue()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Draw without warnings of what is merely not as beautiful as it could be."""
    with warnings.catch_warnings():
        for message in COSMETIC:
            warnings.filterwarnings("ignore", message)
        yield


def shown_in_notebook(value: Any) -> bool:
    """Show what a notebook can show below its cell, and return whether this process answers the cells of one."""
    if not in_notebook():
        return False
    import_module("IPython.display").display(value)
    return True


def show_window(figure: Figure) -> bool:
    """Show a figure in a window as pyplot does, and return whether that is possible."""
    try:
        from matplotlib import pyplot

        pyplot.get_backend()  # picks the backend of this machine, where none is chosen
        canvas = pyplot._get_backend_mod().FigureCanvas
    except (ImportError, AttributeError):  # a backend whose toolkit is not installed, or that needs a display
        return False
    if canvas.manager_class.show is FigureManagerBase.show:  # of backends that only write files
        return False
    number = max(pyplot.get_fignums(), default=0) + 1
    with quiet():
        _pylab_helpers.Gcf._set_new_active_manager(canvas.new_manager(figure, number))
        pyplot.show()
    return True
