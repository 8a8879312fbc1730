"""From raw pixels to the standardised 32×32 inputs that the networks take."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .dataset import Dataset
from .split import stratified_split

SIDE = 32  # the LeNet family is defined on 32×32 grey images
_CHUNK = 4096  # images per float64 temporary, so that statistics need little memory


def pad_to_side(images: ArrayLike) -> NDArray[np.float32]:
    """Centre images ``(N, H, W)`` on a background of 0: float32 ``(N, 1, 32, 32)``.

    >>> import numpy as np
    >>> from minadder.data.images import pad_to_side
    >>> pad_to_side(np.ones((1, 28, 28)))[0, 0, :3, :3]
    array([[0., 0., 0.],
           [0., 0., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    pixels = np.asarray(images)
    count, height, width = pixels.shape
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    padded = np.zeros((count, 1, SIDE, SIDE), np.float32)
    padded[:, 0, top : top + height, left : left + width] = pixels
    return padded


def resize_bilinear(images: ArrayLike, side: int = SIDE) -> NDArray[np.float32]:
    """Resize square images ``(N, S, S)`` to float32 ``(N, 1, side, side)`` by bilinear interpolation.

    Pixel centres are aligned as in PyTorch's ``interpolate(mode="bilinear", align_corners=False)``: output
    pixel i samples the input at (i + ½)·S/side − ½, and positions beyond the border repeat the edge.

    >>> import numpy as np
    >>> from minadder.data.images import resize_bilinear
    >>> resize_bilinear(np.array([[[0, 8], [0, 8]]]), side=4)[0, 0, 0]
    array([0., 2., 6., 8.], dtype=float32)
    """
    pixels = np.asarray(images, np.float32)
    weights = _bilinear_weights(pixels.shape[-1], side)
    resized: NDArray[np.float32] = weights @ pixels @ weights.T
    return resized[:, None]


def _bilinear_weights(source: int, target: int) -> NDArray[np.float32]:
    """The (target, source) matrix whose row i holds the two weights of output pixel i."""
    position = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    distance = np.abs(position[:, None] - np.arange(source))
    weights: NDArray[np.float32] = np.maximum(1 - distance, 0).astype(np.float32)
    return weights


def standardise(train: NDArray[np.float32], test: NDArray[np.float32]) -> None:
    """Subtract the mean of ``train`` and divide by its standard deviation (two scalars), in place in both.

    ValueError where ``train`` is empty or all of its pixels are the same, or one is NaN or infinite.
    """
    if not train.size:
        raise ValueError(f"images of the shape {train.shape} hold no pixels by whose mean to standardise")
    least, most = train.min(), train.max()
    if not -np.inf < least < most < np.inf:
        raise ValueError(f"pixels must differ and be finite to be standardised; these lie between {least} and {most}")
    mean = train.mean(dtype=np.float64)
    chunks = (train[start : start + _CHUNK] for start in range(0, len(train), _CHUNK))
    mean_square = sum(np.square(chunk, dtype=np.float64).sum() for chunk in chunks) / train.size
    std = np.sqrt(mean_square - mean**2)
    for images in (train, test):
        images -= np.float32(mean)
        images /= np.float32(std)


def value_counts(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How often each of the 256 values is in each channel of images ``(N, C, H, W)``: ``(C, 256)``."""
    counts = np.zeros((images.shape[1], 256), np.int64)
    for channel, row in enumerate(counts):
        for start in range(0, len(images), _CHUNK):
            row += np.bincount(images[start : start + _CHUNK, channel].ravel(), minlength=256)
    return counts


def split_and_standardise(
    images: NDArray[np.float32], labels: NDArray[np.int64], name: str, seed: int
) -> tuple[Dataset, Dataset]:
    """Ten-class (train, test) sets: a stratified 80/20 split, standardised by the training part."""
    train_index, test_index = stratified_split(labels, test_fraction=0.2, seed=seed)
    train, test = images[train_index], images[test_index]
    standardise(train, test)
    return Dataset(train, labels[train_index], 10, name), Dataset(test, labels[test_index], 10, name)
