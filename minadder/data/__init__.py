"""Data sets as NumPy arrays, and the batches made of them."""

from __future__ import annotations

from .dataset import Dataset
from .digits import digits
from .loader import Loader
from .mnist import mnist, mnist5k
from .toy import two_balls, unit_ball, xor
from .transforms import Compose, RandomCrop, RandomHorizontalFlip

__all__ = [
    "Compose",
    "Dataset",
    "Loader",
    "RandomCrop",
    "RandomHorizontalFlip",
    "digits",
    "load",
    "mnist",
    "mnist5k",
    "two_balls",
    "unit_ball",
    "xor",
]

_BY_NAME = {"digits": digits, "mnist5k": mnist5k, "mnist": mnist}


def load(name: str) -> tuple[Dataset, Dataset]:
    """The (train, test) sets called ``name``: "digits", "mnist5k" or "mnist". ValueError for another name.

    >>> from minadder import data
    >>> train, test = data.load("digits")
    >>> len(train), len(test)
    (1438, 359)
    """
    if name not in _BY_NAME:
        raise ValueError(f"unknown data set {name!r}, expected one of: {', '.join(_BY_NAME)}")
    return _BY_NAME[name]()
