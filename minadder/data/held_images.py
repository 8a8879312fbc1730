"""Small images, all of one size, held in memory as the bytes that they are in their files."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from minadder.checks import fits_memory, whole

from .dataset import Batch
from .folder_layout import Files
from .images import value_counts
from .pictures import decoded, resized
from .transforms import Transform

Scale = tuple[NDArray[np.float32], NDArray[np.float32]]  # mean and deviation of each channel, (C, 1, 1)


@dataclass(frozen=True, eq=False, repr=False)
class HeldImages:
    """Images of one size in memory, with one class label each, which a ``Loader`` takes in place of a ``Dataset``.

    ``pixels``: uint8 ``(N, C, H, W)``. ``labels``: int64 ``(N,)``. ``classes``: the names of the classes. ``scale``:
    the mean and the deviation of each channel, float32 ``(C, 1, 1)``, by which the inputs are standardised.
    ``transform``: what is done to a batch at random, None for nothing.

    ``imagefolder`` makes them.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    scale: Scale
    transform: Transform | None
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
        inputs = self._standardised(self.pixels.take(members, axis=0))
        if self.transform is not None:
            # another stream than that of the loader's transform
            inputs = self.transform(inputs, np.random.default_rng((*seed, 1)))
        return inputs, self.labels.take(members)

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


def spread(n: int, count: int) -> NDArray[np.int64]:
    """``n`` of so many numbers, spread evenly."""
    return np.arange(n) * count // max(n, 1)


def held(files: Files, channels: int, height: int, width: int) -> NDArray[np.uint8]:
    """The images in files, each as a whole brought to a size: uint8 ``(N, channels, height, width)``."""
    shape = (len(files.files), channels, height, width)
    fits_memory(shape, 1, "the array of all images")
    pixels = np.empty(shape, np.uint8)
    for image, path in zip(pixels, files.paths(), strict=True):
        image[:] = resized(decoded(path, channels), width, height)
    return pixels


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
