"""Pictures one after the other: shown by a notebook, saved as GIF or as a page that plays them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minadder import streams
from minadder.checks import shown
from minadder.files import as_path, write_file

SUFFIXES = ".gif", ".html"
FRAME_SECONDS = 0.1
LAST_SECONDS = 2.0
DOTS_PER_INCH = 100
SIGNS = {
    "minus": "−",
    "fast-backward": "«",
    "step-backward": "‹",
    "play fa-flip-horizontal": "◂",
    "pause": "‖",
    "play": "▸",
    "step-forward": "›",
    "fast-forward": "»",
    "plus": "+",
}
"""What stands on the player's buttons, in place of pictures that matplotlib's page fetches from the web."""


class Movie:
    """A figure that changes.

    A notebook shows it as the last value of a cell, with buttons to play and to step.

    Parameters
    ----------
    figure
        The figure.
    draw
        `draw(number)` draws the picture of a number onto it.
    frames
        The number of pictures.
    """

    def __init__(self, figure: Any, draw: Callable[[int], None], frames: int) -> None:
        self.figure = figure
        self.draw = draw
        self.frames = frames

    def save(self, path: str | Path) -> None:
        """Write the movie to a file, whole or not at all: as GIF, or as HTML of which a browser makes a player.

        Raises
        ------
        ValueError
            When the path ends neither with .gif nor with .html.
        OSError
            When the file cannot be written.
        """
        place = as_path(path)
        suffix = place.suffix.lower()
        if suffix not in SUFFIXES:
            raise ValueError(f"a movie is saved as {' or '.join(SUFFIXES)}, and {shown(str(path))} ends with neither")
        write_file(place, self.as_gif() if suffix == ".gif" else self.as_html().encode())

    def as_gif(self) -> bytes:
        """Return the movie as GIF; it stops for a while at the end, and begins anew."""
        from PIL import Image

        images = []
        for number in range(self.frames):
            self.draw(number)
            images.append(Image.fromarray(self.pixels()).quantize(128))
        milliseconds = [round(1000 * FRAME_SECONDS)] * (self.frames - 1) + [round(1000 * LAST_SECONDS)]
        content = io.BytesIO()
        images[0].save(content, "GIF", save_all=True, append_images=images[1:], duration=milliseconds, loop=0)
        return content.getvalue()

    def pixels(self) -> Any:
        """Return what the figure shows now as an array (height, width, 3) of bytes."""
        self.figure.set_dpi(DOTS_PER_INCH)
        self.figure.canvas.draw()
        return np.array(self.figure.canvas.buffer_rgba())[..., :3]

    def as_html(self) -> str:
        """Return the movie as HTML that needs no other file."""
        from matplotlib import rc_context
        from matplotlib.animation import FuncAnimation

        with rc_context({"animation.embed_limit": float("inf")}):
            animation = FuncAnimation(
                self.figure, self.draw, frames=self.frames, interval=1000 * FRAME_SECONDS, init_func=lambda: None
            )
            page = animation.to_jshtml(default_mode="once")
        page = re.sub(r'<link rel="stylesheet"\s+href="https:[^>]*>', "", page)
        return re.sub(r'<i class="fa fa-([\w -]+)"></i>', lambda icon: SIGNS.get(icon[1], icon[1]), page)

    def _repr_html_(self) -> str:
        """Return the player: what a notebook asks of a value that it is to show."""
        return self.as_html()

    def show(self) -> None:
        """Show the movie in a notebook; elsewhere one line on standard error says how to save it."""
        from minadder.plot.shown import shown_in_notebook

        if not shown_in_notebook(self):
            streams.tell("a movie is shown in a notebook: movie.save('movie.gif') or 'movie.html' writes it to a file")
