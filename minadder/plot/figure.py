"""Making a figure and saving it."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

import numpy.typing as npt

from minadder.checks import array_like, described
from minadder.files import write_file
from minadder.streams import printable

LONGEST_LINE = 200


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
    """Return an empty matplotlib Figure of a size in inches, independent of pyplot's global state.

    It is a `minadder.plot.shown.Figure`, which notebooks show.
    """
    import_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from minadder.plot.shown import Figure

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
    from minadder.plot.shown import as_png

    write_file(path, as_png(figure))


def numbers(values: Any, name: str) -> npt.NDArray[Any]:
    """Return an array of real numbers of an array, nested lists, or what stands for an array, such as a tensor.

    Raises
    ------
    TypeError, ValueError
        For what holds others, and lists of unequal lengths.

    Examples
    --------
    >>> import minadder as ma
    >>> from minadder.plot.figure import numbers
    >>> numbers(ma.tensor([[1.0, 2.0]]), "points").shape
    (1, 2)
    """
    array = array_like(values, name)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, not {described(values)}")
    return array
