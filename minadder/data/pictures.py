"""Images: from their files, which may hold anything, to numbers, and the parts that are cut out of them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from minadder.files import open_file, shown

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "PPM")
"""Those that are decoded, whatever a file's name says: no other decoder is tried, and no other program started."""
MOST_PIXELS = 1 << 26
"""Of an image, before parts are taken: 8192×8192, which take 270 MB. The largest of ImageNet has 61 million."""
MOST_BYTES = 5 * MOST_PIXELS
"""Of a file: more than so many pixels take that are not compressed."""
MODES = {1: "L", 3: "RGB"}
"""Pillow's name for images of so many channels."""
GREY_MODES = ("1", "L", "LA", "La")
"""Pillow's names for what has no colour: black and white, grey, and grey with transparency."""
MEAN = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]
"""Of the red, green and blue of ImageNet, on the scale 0 … 1."""
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]
STANDARD = {1: (MEAN.mean(keepdims=True), DEVIATION.mean(keepdims=True)), 3: (MEAN, DEVIATION)}
"""The mean and the deviation for images of so many channels: for grey ones, the mean of the three."""

SCALE = 0.08, 1.0
"""The least and the largest share of an image's area that a random crop takes."""
RATIO = 3 / 4, 4 / 3
"""Its least and largest width divided by height."""
TRIES = 10
SHORT_SIDE = 256 / 224
"""The short side to which an image for testing is resized, divided by the side that is cut out of its centre."""

Box = tuple[float, float, float, float]  # left, top, right, bottom


def channels_of(paths: Iterable[Path]) -> int:
    """The channels of images, 1 where all are grey; no more files are opened than it takes to find a colour."""
    for path in paths:
        with opened(path) as image:
            if channels_in(image) == 3:
                return 3
    return 1


def channels_in(image: Any) -> int:
    """1 for an image that has no colours by its mode, else 3."""
    return 1 if image.mode in GREY_MODES else 3


def decoded(path: Path, channels: int) -> Any:
    """The image in a file, in grey (1 channel) or colours (3). ValueError, naming it, for one that cannot be read.

    Palettes and CMYK become red, green and blue, colours become grey by their brightness; transparency is dropped.
    """
    with opened(path) as image:
        return image.convert(MODES[channels])


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open an image file, of which no pixels are read yet; whatever goes wrong with it becomes a ValueError."""
    try:
        with open_file(path) as content, checked(content) as image:
            yield image
    except Exception as error:  # damaged files make decoders fail in many ways
        raise ValueError(
            f"{shown(path)} cannot be read as an image ({type(error).__name__}: {error}): put a sound copy in its "
            f"place, after which a training goes on where it was, or remove the file and start anew"
        ) from error


def checked(content: BinaryIO) -> Any:
    """The image in an open file; ValueError for one that would take too much memory, or that 8 bits would cut off."""
    from PIL import Image, UnidentifiedImageError  # here, because it is slow to import

    size = os.fstat(content.fileno()).st_size
    if size > MOST_BYTES:
        raise ValueError(f"it has {size} bytes, and at most {MOST_BYTES} are read")
    try:
        image = Image.open(content, formats=FORMATS)
    except UnidentifiedImageError:
        raise ValueError(f"it is damaged at its beginning, or none of {', '.join(FORMATS)}") from None
    if image.width * image.height > MOST_PIXELS:
        raise ValueError(f"it has {image.width}×{image.height} pixels, and at most {MOST_PIXELS} are read")
    if image.mode[0] in "IF":
        raise ValueError(f"its mode is {image.mode}, and only images of 8 bits a channel are read")
    return image


def resized(image: Any, width: int, height: int, box: Box | None = None) -> NDArray[np.uint8]:
    """An image or the part of it in a box, resized: (channels, height, width)."""
    from PIL import Image

    pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, box=box))
    return pixels.reshape(height, width, -1).transpose(2, 0, 1)


def random_part(image: Any, width: int, height: int, mirror: bool, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A random part of an image, resized, and mirrored or not where asked: (channels, height, width)."""
    pixels = resized(image, width, height, random_box(image.width, image.height, rng))
    return pixels[:, :, ::-1] if mirror and rng.random() < 0.5 else pixels


def standardised(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """An image (channels, height, width) by ImageNet's mean and deviation."""
    mean, deviation = STANDARD[len(pixels)]
    result: NDArray[np.float32] = (pixels.astype(np.float32) / np.float32(255) - mean) / deviation
    return result


def random_box(width: int, height: int, rng: np.random.Generator) -> Box:
    """A random part of an image: its area uniform in ``SCALE``, the logarithm of its ratio in that of ``RATIO``.

    As torchvision's ``RandomResizedCrop``: after ten draws that did not fit, the largest part around the centre whose
    ratio is allowed.

    >>> import numpy as np
    >>> from minadder.data.pictures import random_box
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

    >>> from minadder.data.pictures import centre_box
    >>> centre_box(512, 256)
    (144.0, 16.0, 368.0, 240.0)
    """
    side = min(width, height) / SHORT_SIDE
    return around_centre(width, height, side, side)


def around_centre(width: int, height: int, w: float, h: float) -> Box:
    """The part of width w and height h in the middle of an image."""
    left, top = (width - w) / 2, (height - h) / 2
    return (left, top, left + w, top + h)
