"""Images in folders by class: one's own, small ones as CIFAR has them, or large ones as ImageNet has."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minadder.checks import choice, fits_memory, whole
from minadder.files import as_path, shown

from .dataset import Batch
from .folder_layout import Files, Split, find
from .held_images import SMALL, HeldImages, scale_of, small_images, spread
from .pictures import MODES, centre_box, channels_of, decoded, random_part, resized, standardised
from .transforms import AUGMENTS, AUTO, MIRROR, NONE, shifted

SIZE = 224
"""The side to which other images are brought where no size is named, as the papers do with ImageNet."""


@dataclass(frozen=True, eq=False, repr=False)
class ImageFolder:
    """Image files with one class label each, read batch by batch, which a ``Loader`` takes in place of a ``Dataset``.

    ``folder``: where the files are. ``files``: their names in it. ``labels``: int64 ``(N,)``. ``classes``: the names of
    the classes. ``size``: the side of the images that come of them, float32 ``(channels, size, size)``, standardised by
    ImageNet's mean and deviation. ``augment``: what is done at random, anew each time, a name in ``AUGMENTS`` other
    than ``"auto"``: for ``"crop"`` a random part of each image is cut out and resized (He et al. 2016; Szegedy et al.
    2015), else the centre. ``channels``: 3 for colours, 1 for grey.

    ``imagefolder`` makes them.
    """

    folder: Path
    files: tuple[str, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    size: int
    augment: str
    name: str
    channels: int = 3

    def __len__(self) -> int:
        return len(self.files)

    def __repr__(self) -> str:
        return f"ImageFolder({self.name!r}, {len(self)} images of shape {self.shape}, {self.num_classes} classes)"

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.classes)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return (self.channels, self.size, self.size)

    def take(self, members: NDArray[np.int64], seed: tuple[int, ...]) -> Batch:
        """Read some images; what is random about them comes from ``seed`` alone.

        Raises ValueError, naming the file, for one that cannot be read as an image.
        """
        rng = np.random.default_rng((*seed, 1))  # another stream than that of the loader's transform
        inputs = np.empty((len(members), *self.shape), np.float32)
        for number, member in enumerate(members):
            inputs[number] = self._read(self.folder / self.files[member], rng)
        shift = shifted(self.augment, self.shape)
        return (inputs if shift is None else shift(inputs, rng)), self.labels.take(members)

    def subset(self, n: int) -> ImageFolder:
        """``n`` images spread evenly over the files, which lie class by class. ValueError unless ``0 <= n <= len``."""
        members = spread(whole(n, f"n of {self!r}.subset(n)", 0, len(self)), len(self))
        return replace(self, files=tuple(self.files[member] for member in members), labels=self.labels[members])

    def _read(self, path: Path, rng: np.random.Generator) -> NDArray[np.float32]:
        image, size = decoded(path, self.channels), self.size
        if self.augment.startswith("crop"):
            return standardised(random_part(image, size, size, self.augment.endswith(MIRROR), rng))
        return standardised(resized(image, size, size, centre_box(image.width, image.height)))


def imagefolder(
    path: str | os.PathLike[str],
    size: int | None = None,
    *,
    channels: int | None = None,
    augment: str | None = AUTO,
    test: float | None = None,
    seed: int = 0,
) -> tuple[HeldImages, HeldImages] | tuple[ImageFolder, ImageFolder]:
    """Images in folders by class as (train, test), for ``Loader`` and ``ma.fit``; the classes are the folders' names.

    **Where.** At ``train/<class>/*.jpg`` and, beside it, ``val/<class>/*.jpg`` or ``test/<class>/*.jpg`` (the first
    that there is of ``val``, ``valid``, ``validation``, ``test``). Or all of them at ``<class>/*.jpg``: then a share
    of each class is held out, ``test``, by default 0.2, but one image at least, which ``seed`` draws. Classes are
    numbered by their names in alphabetical order. Read are JPEG, PNG, BMP, WebP and PPM of 8 bits a channel. Files with
    other endings, and files and folders whose name begins with a dot, are passed over. ``~`` at the beginning of the
    path is the home folder.

    **Small images**, all of one size of at most 64×64, are held in memory (``HeldImages``) at their size or, where a
    ``size`` of at most 64 is given, resized as a whole to size×size. They are standardised by the mean and the
    deviation of each channel over those to train on.

    **All others** are read when a batch needs them (``ImageFolder``) and brought to size×size, by default 224×224: the
    centre is taken (7/8 of the short side). They are standardised by ImageNet's mean and deviation.

    ``channels``: inputs are ``(N, 1, H, W)`` where all images, those to test included, are grey or black and white,
    else ``(N, 3, H, W)``; 1 makes all grey, and 3 gives all three channels. Palettes and CMYK count as colours;
    transparency is dropped. Where it is not given, the beginnings of files are read until a colour is found, so of grey
    ones all.

    ``augment``: what is done at random to the images for training, anew each time:

    - ``"shift-mirror"``: as with CIFAR (He et al. 2016, Sec. 4.2), shifted by up to an eighth of the shorter side,
      which is 4 pixels of 32, and mirrored left to right or not. ``"shift"``: never mirrored, as is right for digits,
      letters, and all else that is another thing in a mirror.
    - ``"crop-mirror"``: as with ImageNet, a random part is resized, and mirrored or not. ``"crop"``: never mirrored.
    - ``"none"`` or None: nothing.
    - ``"auto"``: small images are shifted, of all others parts are taken; colours are mirrored, and grey ones are not.

    The name of the sets, which their repr shows, says what was chosen.

    Raises FileNotFoundError for a folder without that layout, and ValueError, which names the folder, for one with
    both, for one class alone, for a class without images, with a single one where some are to be held out, or that only
    ``val`` has, for images in folders within a class's, for ``test`` where the folder has images to test, and for a
    link that leads to nothing. A file that is no image, which the ValueError names, is found when it is read.

    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from PIL import Image
    >>> from minadder import data
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("cat", "dog"):
    ...         place = pathlib.Path(folder, "pets", name)
    ...         place.mkdir(parents=True)
    ...         for number in range(5):
    ...             Image.new("RGB", (32, 32), (number, 2, 3)).save(place / f"{number}.png")
    ...     train, test = data.imagefolder(f"{folder}/pets")
    ...     large, _ = data.imagefolder(f"{folder}/pets", size=224)
    ...     inputs, labels = next(iter(data.Loader(large)))
    >>> train
    HeldImages('imagefolder pets at 32×32, shift-mirror, test=0.2 held out by seed 0', 8 images of shape (3, 32, 32), \
2 classes)
    >>> test.classes, test.labels
    (('cat', 'dog'), array([0, 1]))
    >>> inputs.shape
    (8, 3, 224, 224)
    """
    root = as_path(path)
    if size is not None:
        size = whole(size, "size", 1)
        fits_memory((3, size, size), 4, "an image")
    if channels is not None and whole(channels, "channels") not in MODES:
        raise ValueError(
            f"channels must be 1 for grey, 3 for colours, or None for what the images have, not {channels}"
        )
    chosen = NONE if augment is None else choice(augment, "augment", AUGMENTS)
    split = find(root, test, seed)
    paths = [*split.train.paths(), *split.test.paths()]
    small = small_images(paths, channels, size) if size is None or size <= SMALL else None
    channels = small.pixels.shape[1] if small else channels or channels_of(paths)
    if chosen == AUTO:
        chosen = ("shift" if small else "crop") + (MIRROR if channels == 3 else "")
    if small is None:
        return from_files(split, root, size or SIZE, channels, chosen)
    return in_memory(split, small.pixels, full_name(root, split, small.pixels.shape[1:], chosen, small.side), chosen)


def from_files(split: Split, root: Path, size: int, channels: int, augment: str) -> tuple[ImageFolder, ImageFolder]:
    """The sets whose images are read batch by batch."""
    name = full_name(root, split, (channels, size, size), augment)

    def images(files: Files, augment: str) -> ImageFolder:
        return ImageFolder(files.folder, files.files, files.labels, files.classes, size, augment, name, channels)

    return images(split.train, augment), images(split.test, NONE)


def in_memory(split: Split, pixels: NDArray[np.uint8], name: str, augment: str) -> tuple[HeldImages, HeldImages]:
    """The sets whose images are held, those to train on first; they are standardised by these."""
    train, test = np.split(pixels, [len(split.train.files)])
    scale, classes = scale_of(train), split.train.classes
    return (
        HeldImages(train, split.train.labels, classes, scale, augment, name),
        HeldImages(test, split.test.labels, classes, scale, NONE, name),
    )


def full_name(
    root: Path, split: Split, shape: tuple[int, ...], augment: str, before: tuple[int, int] | None = None
) -> str:
    """What the sets are called: all that a training depends on, but what is as with ImageNet, which goes unsaid.

    ``before``: the size that the images have in their files, where they are held in memory.
    """
    mirrored_parts = f"crop{MIRROR}"
    size, resized_from = (f"{height}×{width}" for height, width in (shape[1:], before or shape[1:]))
    parts = [
        f"imagefolder {shown(root.resolve().name)} at {size}",
        f"resized from {resized_from}" if resized_from != size else "",
        "grey" if shape[0] == 1 else "",
        {mirrored_parts: mirrored_parts if before else "", NONE: "nothing random"}.get(augment, augment),
        split.how,
    ]
    return ", ".join(filter(None, parts))
