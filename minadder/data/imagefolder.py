"""Images in folders by class, as ImageNet has them: read when a batch needs them, so that memory need not hold them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from minadder.checks import fits_memory, whole
from minadder.files import as_path, check_ordinary, open_file, shown

from .dataset import Batch

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm")
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "PPM")
"""Those that are decoded, whatever a file's name says: no other decoder is tried, and no other program started."""
MOST_PIXELS = 1 << 26
"""Of an image, before parts are taken: 8192×8192, which take 270 MB. The largest of ImageNet has 61 million."""
MOST_BYTES = 5 * MOST_PIXELS
"""Of a file: more than so many pixels take that are not compressed."""
MEAN = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]
"""Of the red, green and blue of ImageNet, on the scale 0 … 1."""
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]

SCALE = 0.08, 1.0
"""The least and the largest share of an image's area that a random crop takes."""
RATIO = 3 / 4, 4 / 3
"""Its least and largest width divided by height."""
TRIES = 10
SHORT_SIDE = 256 / 224
"""The short side to which an image for testing is resized, divided by the side that is cut out of its centre."""

Box = tuple[float, float, float, float]  # left, top, right, bottom
LAYOUT = "images are expected at train/<class>/<name>.jpg and val/<class>/<name>.jpg"


@dataclass(frozen=True, eq=False, repr=False)
class ImageFolder:
    """Image files with one class label each, which a ``Loader`` takes in place of a ``Dataset``.

    ``folder``: where the files are. ``files``: their names in it. ``labels``: int64 ``(N,)``. ``classes``: the names of
    the classes. ``size``: the side of the images that come of them, float32 ``(3, size, size)``, standardised by
    ImageNet's mean and deviation. ``augment``: whether a random part of each image is cut out, resized and mirrored or
    not, anew each time (He et al. 2016; Szegedy et al. 2015), or the centre, always the same.

    ``imagefolder`` makes them.
    """

    folder: Path
    files: tuple[str, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    size: int
    augment: bool
    name: str

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
        return (3, self.size, self.size)

    def take(self, members: NDArray[np.int64], seed: tuple[int, ...]) -> Batch:
        """Read some images; the random parts come from ``seed`` alone.

        Raises ValueError, naming the file, for one that cannot be read as an image.
        """
        rng = np.random.default_rng((*seed, 1))  # another stream than that of the loader's transform
        inputs = np.empty((len(members), *self.shape), np.float32)
        for number, member in enumerate(members):
            inputs[number] = self._read(self.folder / self.files[member], rng)
        return inputs, self.labels.take(members)

    def subset(self, n: int) -> ImageFolder:
        """``n`` images spread evenly over the files, which lie class by class. ValueError unless ``0 <= n <= len``."""
        n = whole(n, f"n of {self!r}.subset(n)", 0, len(self))
        members = np.arange(n) * len(self) // max(n, 1)
        return replace(self, files=tuple(self.files[member] for member in members), labels=self.labels[members])

    def _read(self, path: Path, rng: np.random.Generator) -> NDArray[np.float32]:
        try:
            with open_file(path) as content:
                image = decoded(content)
        except Exception as error:  # damaged files make decoders fail in many ways
            raise ValueError(
                f"{shown(path)} cannot be read as an image ({type(error).__name__}: {error}): put a sound copy in its "
                f"place, after which a training goes on where it was, or remove the file and start anew"
            ) from error
        box = random_box(image.width, image.height, rng) if self.augment else centre_box(image.width, image.height)
        flip = self.augment and rng.random() < 0.5
        return pixels(image, box, self.size, flip)


def decoded(content: BinaryIO) -> Any:
    """The RGB image in a file; ValueError for one that would take too much memory, or that 8 bits would cut off."""
    from PIL import Image, UnidentifiedImageError  # here, because it is slow to import

    size = os.fstat(content.fileno()).st_size
    if size > MOST_BYTES:
        raise ValueError(f"it has {size} bytes, and at most {MOST_BYTES} are read")
    try:
        opened = Image.open(content, formats=FORMATS)
    except UnidentifiedImageError:
        raise ValueError(f"it is damaged at its beginning, or none of {', '.join(FORMATS)}") from None
    with opened as file:
        if file.width * file.height > MOST_PIXELS:
            raise ValueError(f"it has {file.width}×{file.height} pixels, and at most {MOST_PIXELS} are read")
        if file.mode[0] in "IF":
            raise ValueError(f"its mode is {file.mode}, and only images of 8 bits a channel are read")
        return file.convert("RGB")


def pixels(image: Any, box: Box, size: int, flip: bool) -> NDArray[np.float32]:
    """Part of an RGB image, resized to a square, mirrored where asked, and standardised: (3, size, size)."""
    from PIL import Image

    resized = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box), np.float32)
    channels = (resized[:, ::-1] if flip else resized).transpose(2, 0, 1)
    result: NDArray[np.float32] = (channels / np.float32(255) - MEAN) / DEVIATION
    return result


def random_box(width: int, height: int, rng: np.random.Generator) -> Box:
    """A random part of an image: its area uniform in ``SCALE``, the logarithm of its ratio in that of ``RATIO``.

    As torchvision's ``RandomResizedCrop``: after ten draws that did not fit, the largest part around the centre whose
    ratio is allowed.

    >>> import numpy as np
    >>> from minadder.data.imagefolder import random_box
    >>> left, top, right, bottom = random_box(300, 200, np.random.default_rng(0))
    >>> 0 <= left < right <= 300 and 0 <= top < bottom <= 200
    True
    """
    for _ in range(TRIES):
        area = width * height * rng.uniform(*SCALE)
        ratio = math.exp(rng.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
            return (left, top, left + w, top + h)
    return around_centre(width, height, min(width, height * RATIO[1]), min(height, width / RATIO[0]))


def centre_box(width: int, height: int) -> Box:
    """The square around the centre that is left when the short side is resized to 256 and 224×224 are cut out.

    >>> from minadder.data.imagefolder import centre_box
    >>> centre_box(512, 256)
    (144.0, 16.0, 368.0, 240.0)
    """
    side = min(width, height) / SHORT_SIDE
    return around_centre(width, height, side, side)


def around_centre(width: int, height: int, w: float, h: float) -> Box:
    """The part of width w and height h in the middle of an image."""
    left, top = (width - w) / 2, (height - h) / 2
    return (left, top, left + w, top + h)


def imagefolder(path: str | os.PathLike[str], size: int = 224) -> tuple[ImageFolder, ImageFolder]:
    """A folder of images as (train, test), in ImageNet's layout: ``train/<class>/*.jpg`` and ``val/<class>/*.jpg``.

    Classes are numbered by their folders' names in alphabetical order. Inputs are float32 ``(N, 3, size, size)``,
    standardised by ImageNet's mean and deviation of each channel: for training a random part of each image, resized and
    mirrored at random; for testing the centre (7/8 of the short side). Images are read when a batch needs them. Files
    with other endings than those of images, and files and folders whose name begins with a dot, are passed over. ``~``
    at the beginning of the path is the home folder.

    Raises FileNotFoundError for a folder without that layout, and ValueError for a class without images or one that
    only ``val`` has, and for a link that leads to nothing, and OSError for a folder, a pipe or a device that is called
    as an image is; a file that is no image is found when it is read.

    >>> import pathlib, tempfile
    >>> from PIL import Image
    >>> from minadder import data
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for place in ("train/cat", "train/dog", "val/cat", "val/dog"):
    ...         (pathlib.Path(folder) / place).mkdir(parents=True)
    ...         Image.new("RGB", (40, 30)).save(pathlib.Path(folder) / place / "1.png")
    ...     train, test = data.imagefolder(folder, size=32)
    ...     inputs, labels = next(iter(data.Loader(train)))
    >>> train.classes, inputs.shape, labels
    (('cat', 'dog'), (2, 3, 32, 32), array([0, 1]))
    """
    root = as_path(path)
    size = whole(size, "size", 1)
    fits_memory((3, size, size), 4, "an image")
    for part in ("train", "val"):
        if not (root / part).is_dir():
            raise FileNotFoundError(f"{shown(root)} has no folder {part!r}: {LAYOUT}")
    classes = tuple(_folders(root / "train"))
    if not classes:
        raise FileNotFoundError(f"{shown(root / 'train')} holds no folders: {LAYOUT}")
    known = set(classes)
    unknown = [shown(name) for name in _folders(root / "val") if name not in known]
    if unknown:
        raise ValueError(
            f"{shown(root / 'val')} holds classes that {shown(root / 'train')} does not: {', '.join(unknown)}"
        )
    name = f"imagefolder {shown(root.resolve().name)} at {size}×{size}"
    return (
        _images(root / "train", classes, size, True, name),
        _images(root / "val", classes, size, False, name),
    )


def _folders(folder: Path) -> Iterator[str]:
    """The names of the folders in a folder, in alphabetical order."""
    return (entry.name for entry in _entries(folder) if entry.is_dir())


def _images(folder: Path, classes: tuple[str, ...], size: int, augment: bool, name: str) -> ImageFolder:
    files: list[str] = []
    labels: list[int] = []
    for label, one in enumerate(classes):
        found = _files(folder / one)
        if not found:
            raise ValueError(f"{shown(folder / one)} holds no images ({', '.join(SUFFIXES)}): {LAYOUT}")
        files += [f"{one}/{file}" for file in found]
        labels += [label] * len(found)
    return ImageFolder(folder, tuple(files), np.array(labels, np.int64), classes, size, augment, name)


def _files(folder: Path) -> list[str]:
    """The names of the image files in a folder, in alphabetical order; none where there is no such folder."""
    if not folder.is_dir():
        return []
    found = _entries(folder, SUFFIXES)
    for entry in found:
        if not entry.is_file():
            check_ordinary(entry.stat(), Path(entry.path))
    return [entry.name for entry in found]


def _entries(folder: Path, suffixes: tuple[str, ...] = ("",)) -> list[os.DirEntry[str]]:
    """What is in a folder under names with such endings, in alphabetical order, without what is hidden."""
    with os.scandir(folder) as entries:
        found = [one for one in entries if one.name.lower().endswith(suffixes) and not one.name.startswith(".")]
    for entry in found:
        if entry.is_symlink() and not Path(entry.path).exists():
            raise ValueError(f"{shown(entry.path)} is a link that leads to nothing: mend it, or remove it")
    return sorted(found, key=lambda entry: entry.name)
