"""Data sets, and the batches made of them: NumPy arrays."""

from __future__ import annotations

from minadder.checks import choice

from .cifar import cifar10, cifar100
from .dataset import Dataset, Examples
from .digits import digits
from .held_images import HeldImages
from .imagefolder import ImageFolder, imagefolder
from .loader import Loader
from .mnist import mnist, mnist5k
from .toy import two_balls, unit_ball, xor
from .transforms import Compose, RandomCrop, RandomHorizontalFlip

__all__ = [
    "BY_NAME",
    "Compose",
    "Dataset",
    "Examples",
    "HeldImages",
    "ImageFolder",
    "Loader",
    "RandomCrop",
    "RandomHorizontalFlip",
    "cifar10",
    "cifar100",
    "digits",
    "imagefolder",
    "load",
    "mnist",
    "mnist5k",
    "two_balls",
    "unit_ball",
    "xor",
]

BY_NAME = {"digits": digits, "mnist5k": mnist5k, "mnist": mnist, "cifar10": cifar10, "cifar100": cifar100}
"""The data sets that need nothing but their name."""


def load(name: str) -> tuple[Dataset, Dataset]:
    """The (train, test) sets called ``name``, a name in ``BY_NAME``. TypeError or ValueError for another.

    >>> from minadder import data
    >>> train, test = data.load("digits")
    >>> len(train), len(test)
    (1438, 359)
    """
    return BY_NAME[choice(name, "the data set", BY_NAME)]()
