"""Small images, all of one size, held in memory as the bytes that they are in their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minadder.checks import fits_memory, whole

from .dataset import Batch
from .images import value_counts
from .pictures import MODES, channels_in, opened, random_part, resized
from .transforms import MIRROR, shifted

SMALL = 64
"""The longest side of images that are held in memory."""

Scale = tuple[NDArray[np.float32], NDArray[np.float32]]  # mean and deviation of each channel, (C, 1, 1)


@dataclass(frozen=True, eq=False, repr=False)
class HeldImages:
    """Images of one size in memory, with one class label each, which a ``Loader`` takes in place of a ``Dataset``.

    ``pixels``: uint8 ``(N, C, H, W)``. ``labels``: int64 ``(N,)``. ``classes``: the names of the classes. ``scale``:
    the mean and the deviation of each channel, float32 ``(C, 1, 1)``, by which the inputs are standardised.
    ``augment``: what is done at random, anew each time, a name in ``AUGMENTS`` other than ``"auto"``.

    ``imagefolder`` makes them.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    scale: Scale
    augment: str
    name: str

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"HeldImages({self.name!r}, {len(self)} images of shape {self.shape}, {self.num_classes} classes)"

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.classes)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return self.pixels.shape[1:]

    @property
    def inputs(self) -> NDArray[np.float32]:
        """All images as a network takes them, float32 ``(N, C, H, W)``, standardised, with nothing random done."""
        return self._standardised(self.pixels)

    def take(self, members: NDArray[np.int64], seed: tuple[int, ...]) -> Batch:
        """Some images; what is random about them comes from ``seed`` alone."""
        rng = np.random.default_rng((*seed, 1))  # another stream than that of the loader's transform
        pixels = self.pixels.take(members, axis=0)
        if self.augment.startswith("crop"):
            pixels = random_parts(pixels, self.augment.endswith(MIRROR), rng)
        inputs, shift = self._standardised(pixels), shifted(self.augment, self.shape)
        return (inputs if shift is None else shift(inputs, rng)), self.labels.take(members)

    def subset(self, n: int) -> HeldImages:
        """``n`` images spread evenly over the files, which lie class by class. ValueError unless ``0 <= n <= len``."""
        members = spread(whole(n, f"n of {self!r}.subset(n)", 0, len(self)), len(self))
        return replace(self, pixels=self.pixels[members], labels=self.labels[members])

    def _standardised(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        mean, deviation = self.scale
        inputs = pixels.astype(np.float32)
        inputs -= mean
        inputs /= deviation
        return inputs


@dataclass(frozen=True, eq=False)
class SmallImages:
    """Images as they come from their files. ``side``: their height and width there. ``pixels``: ``(N, C, H, W)``."""

    side: tuple[int, int]
    pixels: NDArray[np.uint8]


def spread(n: int, count: int) -> NDArray[np.int64]:
    """``n`` of so many numbers, spread evenly."""
    return np.arange(n) * count // max(n, 1)


def small_images(paths: Sequence[Path], channels: int | None, size: int | None) -> SmallImages | None:
    """Images in files, each as a whole brought to size×size where that is given; None unless all are small and alike.

    No more of them are read than it takes to know that. Those without colours have 1 channel, unless ``channels`` is
    given.
    """
    pixels: list[NDArray[np.uint8]] = []
    first = None
    for path in paths:
        with opened(path) as image:
            first = first or (image.height, image.width)
            if (image.height, image.width) != first or max(first) > SMALL:
                return None
            height, width = (size, size) if size else first
            pixels.append(resized(image.convert(MODES[channels or channels_in(image)]), width, height))
        if len(pixels) == 1:
            fits_memory((len(paths), *pixels[0].shape), 1, "the array of all images")
    return None if first is None else SmallImages(first, stacked(pixels))


def stacked(images: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Images of which some may have 1 channel and others 3, which all have then, in one array."""
    pixels = np.empty((len(images), max(map(len, images)), *images[0].shape[1:]), np.uint8)
    for row, image in zip(pixels, images, strict=True):
        row[:] = image
    return pixels


def random_parts(pixels: NDArray[np.uint8], mirror: bool, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A random part of each image of a batch (N, C, H, W), resized to what the image was."""
    from PIL import Image

    height, width = pixels.shape[2:]
    images = (Image.fromarray(one[0] if len(one) == 1 else one.transpose(1, 2, 0)) for one in pixels)
    return np.stack([random_part(image, width, height, mirror, rng) for image in images])


def scale_of(pixels: NDArray[np.uint8]) -> Scale:
    """The mean and the deviation of each channel.

    Where all pixels of a channel are the same, 255 stands for its deviation, so that other images can have other ones.

    >>> import numpy as np
    >>> from minadder.data.held_images import scale_of
    >>> mean, deviation = scale_of(np.array([[[[0, 0]], [[7, 9]]]], np.uint8))
    >>> mean.ravel(), deviation.ravel()
    (array([0., 8.], dtype=float32), array([255.,   1.], dtype=float32))
    """
    counts, values = value_counts(pixels), np.arange(256)
    mean = counts @ values / counts.sum(axis=1)
    square = (counts * (values - mean[:, None]) ** 2).sum(axis=1) / counts.sum(axis=1)
    deviation = np.where(square > 0, np.sqrt(square), 255)
    return mean.astype(np.float32)[:, None, None], deviation.astype(np.float32)[:, None, None]
