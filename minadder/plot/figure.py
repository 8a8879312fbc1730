"""Making a figure and saving it."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from minadder.files import write_file
from minadder.streams import printable

LONGEST_LINE = 200
COSMETIC = ("Glyph .* missing from", ".*constrained_layout not applied")
"""What matplotlib warns of when a title has signs that no font has, or is longer than the figure has room for."""


def plain(text: object) -> str:
    r"""Return text as matplotlib shows it sign by sign: dollars make no formula, escape sequences nothing at all.

    Examples
    --------
    >>> from minadder.plot.figure import plain
    >>> print(plain("$x$ \x1b[0m"))
    \$x\$ \x1b[0m
    """
    shown = "\n".join(printable(line, LONGEST_LINE) for line in str(text).split("\n")).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown  # legends leave out what begins with an underscore


def import_matplotlib() -> None:
    """Import matplotlib where the environment names a backend that is not there, as a notebook does for its processes.

    That backend is neither needed, since figures are drawn by Agg, nor changed for others.
    """
    if "matplotlib" in sys.modules or "MPLBACKEND" not in os.environ:
        return
    backend = os.environ.pop("MPLBACKEND")
    try:
        import matplotlib
    finally:
        os.environ["MPLBACKEND"] = backend
    with contextlib.suppress(ValueError):  # there is none of this name
        matplotlib.rcParams["backend"] = backend


def new_figure(width: float, height: float) -> Any:
    """Return an empty matplotlib Figure of a size in inches, independent of pyplot's global state."""
    import_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Any, path: str | Path) -> None:
    """Save a figure as PNG, whole or not at all.

    Raises
    ------
    OSError
        When the file cannot be written.
    """
    content = io.BytesIO()
    with warnings.catch_warnings():
        for message in COSMETIC:
            warnings.filterwarnings("ignore", message)
        figure.savefig(content, format="png", dpi=120)
    write_file(path, content.getbuffer())
