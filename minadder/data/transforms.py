"""Random changes to a batch of images during training.

A transform is a callable ``(batch, rng) -> batch`` on arrays ``(N, C, H, W)`` of any dtype, vectorised over the
batch; every image draws its own change. It never alters its input. All randomness comes from the
``np.random.Generator`` it is given, so the same generator state gives the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from minadder.checks import fits_memory, instance, number, shown, sizes, whole

Images = NDArray[Any]
Transform = Callable[[Images, np.random.Generator], Images]

AUTO, NONE, MIRROR = "auto", "none", "-mirror"
AUGMENTS = (AUTO, "shift", f"shift{MIRROR}", "crop", f"crop{MIRROR}", NONE)
"""What may be done at random to images for training; ``imagefolder`` says what each is."""


@dataclass(frozen=True)
class RandomCrop:
    """Pad each image with zeros by ``padding`` on all four sides, then cut out a random ``size``×``size`` window.

    As torchvision's ``RandomCrop(size, padding)``; ``size`` may be (height, width) too. It acts on standardised images,
    where 0 is the mean grey.
    ValueError if the padded image is smaller than the window.

    >>> import numpy as np
    >>> from minadder.data import RandomCrop
    >>> RandomCrop(32, padding=4)(np.ones((5, 3, 32, 32)), np.random.default_rng(0)).shape
    (5, 3, 32, 32)
    """

    size: int | tuple[int, int]
    padding: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.size, tuple) and len(self.size) == 2:
            sizes(self.size, "size")
        else:
            whole(self.size, "size", 1)
        whole(self.padding, "padding", 0)

    def __call__(self, batch: Images, rng: np.random.Generator) -> Images:
        _check(batch, rng)
        sides = (self.padding, self.padding)
        height, width = (side + 2 * self.padding for side in batch.shape[2:])
        window = self.size if isinstance(self.size, tuple) else (self.size, self.size)
        if window[0] > height or window[1] > width:
            raise ValueError(
                f"RandomCrop(size={self.size}, padding={self.padding}) does not fit into images of "
                f"{batch.shape[2]}×{batch.shape[3]}, padded {height}×{width}"
            )
        fits_memory((*batch.shape[:2], height, width), batch.itemsize, "the padded images")
        padded = np.pad(batch, ((0, 0), (0, 0), sides, sides))
        windows = sliding_window_view(padded, window, axis=(2, 3))
        count = len(batch)
        top = rng.integers(height - window[0] + 1, size=count)
        left = rng.integers(width - window[1] + 1, size=count)
        return windows[np.arange(count), :, top, left]


@dataclass(frozen=True)
class RandomHorizontalFlip:
    """Mirror each image left to right with probability ``p``. As torchvision's ``RandomHorizontalFlip``.

    >>> import numpy as np
    >>> from minadder.data import RandomHorizontalFlip
    >>> RandomHorizontalFlip(p=1.0)(np.array([[[[1, 2, 3]]]]), np.random.default_rng(0))
    array([[[[3, 2, 1]]]])
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        number(self.p, "p", "[0, 1]")

    def __call__(self, batch: Images, rng: np.random.Generator) -> Images:
        _check(batch, rng)
        flipped = rng.random(len(batch)) < self.p
        return np.where(flipped[:, None, None, None], batch[..., ::-1], batch)


@dataclass(frozen=True)
class Compose:
    """Apply ``transforms`` one after the other, all drawing from the same generator.

    >>> import numpy as np
    >>> from minadder.data import Compose, RandomCrop, RandomHorizontalFlip
    >>> augment = Compose([RandomCrop(8, padding=1), RandomHorizontalFlip()])
    >>> augment(np.ones((2, 1, 8, 8)), np.random.default_rng(0)).shape
    (2, 1, 8, 8)
    """

    transforms: Sequence[Transform]

    def __post_init__(self) -> None:
        if not isinstance(self.transforms, (tuple, list)) or not all(map(callable, self.transforms)):
            raise TypeError(
                f"transforms must be a list of callables such as RandomHorizontalFlip(), not {shown(self.transforms)}"
            )

    def __call__(self, batch: Images, rng: np.random.Generator) -> Images:
        for transform in self.transforms:
            batch = transform(batch, rng)
        return batch


def shifted(augment: str, shape: tuple[int, ...]) -> Compose | None:
    """What shifts images of a shape at random, and mirrors them, by a name in ``AUGMENTS``; None for those of others.

    They are shifted by up to an eighth of their shorter side. With ``"shift-mirror"`` and CIFAR's 32×32 that is what
    He et al. 2016, Sec. 4.2, do.

    >>> from minadder.data.transforms import shifted
    >>> shifted("shift", (1, 28, 28))
    Compose(transforms=[RandomCrop(size=28, padding=3)])
    """
    if not augment.startswith("shift"):
        return None
    height, width = shape[-2:]
    crop = RandomCrop(height if height == width else (height, width), padding=max(min(height, width) // 8, 1))
    return Compose([crop, RandomHorizontalFlip()] if augment.endswith(MIRROR) else [crop])


def _check(batch: Images, rng: np.random.Generator) -> None:
    instance(batch, "a batch of images", np.ndarray, "a NumPy array")
    instance(rng, "rng", np.random.Generator, "a NumPy generator, such as np.random.default_rng(0)")
    if batch.ndim != 4:
        raise ValueError(f"a batch of images has shape (N, C, H, W), got {batch.shape}")
