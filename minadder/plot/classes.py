"""Colours and markers of classes, which people who are colour-blind can tell too."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

# Okabe and Ito, Color Universal Design (2008); yellow last, since it is faint on white.
COLOURS = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442"
MARKERS = "o", "s", "^", "D", "v", "<", ">", "p", "h", "P", "X"
MOST_CLASSES = 2 * len(COLOURS)
"""So many classes have colours of their own: behind the first come darker ones."""


def colours(count: int) -> npt.NDArray[np.float64]:
    """Return the colours of so many classes (count, 3), as shares of red, green and blue.

    Examples
    --------
    >>> from minadder.plot.classes import colours
    >>> colours(2).shape
    (2, 3)
    """
    known = np.array([[int(colour[place : place + 2], 16) for place in (1, 3, 5)] for colour in COLOURS]) / 255
    return np.concatenate([known, 0.55 * known])[:count]


def style(number: int) -> dict[str, Any]:
    """Return how the points of a class are drawn: its colour and its marker."""
    return {"color": colours(MOST_CLASSES)[number], "marker": MARKERS[number % len(MARKERS)]}


def shades(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return a colour (..., 3) for probabilities (..., C): that of the most likely class, the whiter the less sure.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder.plot.classes import shades
    >>> shades(np.array([0.5, 0.5]))
    array([1., 1., 1.])
    """
    count = probabilities.shape[-1]
    sure = (probabilities.max(axis=-1, keepdims=True) - 1 / count) / (1 - 1 / count)
    own = colours(count)[probabilities.argmax(axis=-1)]
    return 1 - STRONGEST * np.clip(sure, 0, 1) * (1 - own)


STRONGEST = 0.6
"""Of its colour, this much is shown where a class is certain: points in full colour stand out."""
