"""Making a figure and saving it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from minadder.files import write_file


def new_figure(width: float, height: float) -> Any:
    """Return an empty matplotlib Figure of a size in inches, independent of pyplot's global state."""
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
    figure.savefig(content, format="png", dpi=120)
    write_file(path, content.getbuffer())
