"""The handwritten digits that ship with scikit-learn: real data that is always at hand."""

from __future__ import annotations

import numpy as np

from minadder.checks import seed_number

from .dataset import Dataset
from .images import resize_bilinear, split_and_standardise


def digits(seed: int = 0) -> tuple[Dataset, Dataset]:
    """The 1,797 digits of scikit-learn as (train, test): 1,438 and 359 images.

    Inputs are float32 ``(N, 1, 32, 32)``: the 8×8 images (pixels 0 … 16) resized bilinearly and standardised by
    the training set's scalar mean and standard deviation. ``seed`` draws the split, 80/20 in every class;
    the same seed gives the same split. Works offline.

    >>> from minadder import data
    >>> train, test = data.digits()
    >>> train
    Dataset('digits', 1438 examples of shape (1, 32, 32), 10 classes)
    """
    seed = seed_number(seed)
    from sklearn.datasets import load_digits  # here, because it is slow to import

    pixels, labels = load_digits(return_X_y=True)
    images = resize_bilinear(pixels.reshape(-1, 8, 8))
    return split_and_standardise(images, labels.astype(np.int64), "digits", seed)
