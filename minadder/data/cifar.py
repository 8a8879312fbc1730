"""CIFAR-10 and CIFAR-100 from their binary archives: 60,000 colour images of 32×32 each."""

from __future__ import annotations

import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from minadder.files import check_ordinary, open_file, read_file, shown

from .dataset import Dataset
from .folders import data_folders, where_to_put
from .images import value_counts

PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
COLOURS = ("red", "green", "blue")
CHANNELS, SIDE = len(COLOURS), 32
PIXELS = CHANNELS * SIDE * SIDE
_PIECE = 1 << 20  # bytes that are read at once
_MOST_PACKED = 1 << 28  # bytes of an archive that are read; the real ones have 170 million

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Archive:
    """What is known of a data set's archive.

    A file in it is a row of records: ``label_bytes`` labels, the last of which is the class, and 3,072 pixels, first
    all red ones, then the green, then the blue, each by rows.
    """

    name: str
    file: str
    md5: str
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    train_images: int
    test_images: int
    label_bytes: int
    classes: int

    def sizes(self) -> dict[str, int]:
        """How many bytes each file in it has; the training files share their images evenly, as the test files do."""
        record = self.label_bytes + PIXELS
        train = dict.fromkeys(self.train, self.train_images // len(self.train) * record)
        return train | dict.fromkeys(self.test, self.test_images // len(self.test) * record)


CIFAR10 = Archive(
    name="cifar10",
    file="cifar-10-binary.tar.gz",
    md5="c32a1d4ab5d03f1284b67883e8d87530",
    folder="cifar-10-batches-bin",
    train=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    test=("test_batch.bin",),
    train_images=50_000,
    test_images=10_000,
    label_bytes=1,
    classes=10,
)
CIFAR100 = Archive(
    name="cifar100",
    file="cifar-100-binary.tar.gz",
    md5="03b5dce01913d631647c71ecec9e9cb8",
    folder="cifar-100-binary",
    train=("train.bin",),
    test=("test.bin",),
    train_images=50_000,
    test_images=10_000,
    label_bytes=2,
    classes=100,
)


def cifar10() -> tuple[Dataset, Dataset]:
    """CIFAR-10 as (train, test): 50,000 and 10,000 images of ten classes.

    Inputs are float32 ``(N, 3, 32, 32)``, each channel standardised by its mean and standard deviation over the
    training set. They take 740 MB of memory.

    Looked for is the folder ``cifar-10-batches-bin``, else the archive ``cifar-10-binary.tar.gz``, which is read as it
    is; in ``$MINADDER_DATA``, ``$MINADDER_DATA/cifar10``, and the same in the cache folder. The archive is verified by
    its MD5. Of the files of the folder no checksums are published: verified are their sizes, and that each class has as
    many images as it should.

    Raises FileNotFoundError, saying where to get the archive and where to put it, if neither is there or a file is
    missing, and ValueError, naming the file, for one that is damaged or altered.

    The example is skipped by the doctest run because it needs the files:

    >>> from minadder import data
    >>> train, test = data.cifar10()  # doctest: +SKIP
    >>> train                         # doctest: +SKIP
    Dataset('cifar10', 50000 examples of shape (3, 32, 32), 10 classes)
    """
    return _load(CIFAR10)


def cifar100() -> tuple[Dataset, Dataset]:
    """CIFAR-100 as (train, test): 50,000 and 10,000 images of a hundred classes (the fine labels).

    As ``cifar10``, from the folder ``cifar-100-binary`` or the archive ``cifar-100-binary.tar.gz``.
    """
    return _load(CIFAR100)


def _load(archive: Archive) -> tuple[Dataset, Dataset]:
    place = find_archive(archive)
    if place is None:
        raise FileNotFoundError(
            f"{archive.name} is absent: there is no folder {archive.folder} and no {archive.file}. Get {archive.file} "
            f"from {PAGE} and put it, or what it unpacks to, into one of: {where_to_put(archive.name)}"
        )
    files = _unpacked_files(archive, place) if place.is_dir() else _packed_files(archive, place)
    missing = [name for name in archive.train + archive.test if name not in files]
    if missing:
        raise FileNotFoundError(f"{shown(place)} lacks {', '.join(missing)}. {_again(archive)}")
    train_images, train_labels = _examples(archive, place, files, archive.train)
    test_images, test_labels = _examples(archive, place, files, archive.test)
    try:
        tables = _standardising(train_images)
    except ValueError as error:
        raise ValueError(f"{shown(place)}: {error}. {_again(archive)}") from None
    return (
        Dataset(_standardised(train_images, tables), train_labels, archive.classes, archive.name),
        Dataset(_standardised(test_images, tables), test_labels, archive.classes, archive.name),
    )


def find_archive(archive: Archive) -> Path | None:
    """The unpacked folder or the archive, the first that there is; None where there is neither."""
    places = (folder / name for folder in data_folders(archive.name) for name in (archive.folder, archive.file))
    return next((place for place in places if place.exists()), None)


def _again(archive: Archive) -> str:
    return f"Get {archive.file} from {PAGE} and put it, or what it unpacks to, in its place"


def _unpacked_files(archive: Archive, folder: Path) -> dict[str, bytes]:
    """The contents of a folder's files by name, of those that there are, once their sizes are right."""
    paths = [folder / name for name in archive.sizes() if (folder / name).exists()]
    for path in paths:
        check_ordinary(path.stat(), path)
        _check_size(archive, path, path.stat().st_size)
    return {path.name: read_file(path, archive.sizes()[path.name]) for path in paths}


def _packed_files(archive: Archive, path: Path) -> dict[str, bytes]:
    """The contents of the files in an archive by name, once its checksum and their sizes are right."""
    import tarfile  # here, because few need it

    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > _MOST_PACKED:
            raise ValueError(
                f"{shown(path)} is another file: it has {size} bytes, the archive fewer than {_MOST_PACKED}. "
                f"{_again(archive)}"
            )
        digest = hashlib.md5(usedforsecurity=False)
        while piece := file.read(_PIECE):
            digest.update(piece)
        if digest.hexdigest() != archive.md5:
            raise ValueError(
                f"{shown(path)} is damaged, altered or not all there: expected MD5 {archive.md5}, found "
                f"{digest.hexdigest()} of its {file.tell()} bytes. {_again(archive)}"
            )
        file.seek(0)
        try:
            return _members(archive, path, file)
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise ValueError(f"{shown(path)} cannot be unpacked ({error}). {_again(archive)}") from None


def _members(archive: Archive, path: Path, file: BinaryIO) -> dict[str, bytes]:
    """The contents of the files in an open archive by name, once their sizes are right."""
    import tarfile

    files = {}
    wanted = {f"{archive.folder}/{name}": name for name in archive.sizes()}
    with tarfile.open(fileobj=file, mode="r|gz") as packed:  # in one go: going back would mean to unpack again
        for member in packed:
            content = packed.extractfile(member) if member.isreg() and member.name in wanted else None
            if content is not None:
                name = wanted[member.name]
                _check_size(archive, path / archive.folder / name, member.size)
                files[name] = content.read()
    return files


def _check_size(archive: Archive, path: Path, found: int) -> None:
    size, record = archive.sizes()[path.name], archive.label_bytes + PIXELS
    if found != size:
        raise ValueError(
            f"{shown(path)} has {found} bytes, expected {size} ({size // record} images of {record}). {_again(archive)}"
        )


def _examples(
    archive: Archive, place: Path, files: dict[str, bytes], names: tuple[str, ...]
) -> tuple[Bytes, NDArray[np.int64]]:
    """Images (N, 3, 32, 32) and labels (N,) of the training or the test files."""
    records = np.frombuffer(b"".join(files[name] for name in names), np.uint8)
    records = records.reshape(-1, archive.label_bytes + PIXELS)
    count = len(records)
    labels = records[:, archive.label_bytes - 1].astype(np.int64)
    found = np.bincount(labels, minlength=archive.classes)
    wanted = np.where(np.arange(len(found)) < archive.classes, count // archive.classes, 0)
    if not np.array_equal(found, wanted):
        wrong = np.flatnonzero(found != wanted)[0]
        raise ValueError(
            f"{', '.join(names)} in {shown(place)}: damaged or altered, since {found[wrong]} images of class {wrong} "
            f"are there, expected {wanted[wrong]}. {_again(archive)}"
        )
    return records[:, archive.label_bytes :].reshape(-1, CHANNELS, SIDE, SIDE), labels


def _standardising(images: Bytes) -> NDArray[np.float32]:
    """For each channel what becomes of each of the 256 pixel values: (value − mean) / standard deviation.

    ValueError, whose message begins after the file's name, for a channel in which all pixels are the same.
    """
    values = np.arange(256)
    tables = np.empty((CHANNELS, 256), np.float32)
    for channel, counts in enumerate(value_counts(images)):
        if np.count_nonzero(counts) == 1:
            raise ValueError(
                f"damaged or altered, since the {COLOURS[channel]} of all pixels is {np.flatnonzero(counts)[0]}"
            )
        mean = np.average(values, weights=counts)
        tables[channel] = (values - mean) / np.sqrt(np.average((values - mean) ** 2, weights=counts))
    return tables


def _standardised(images: Bytes, tables: NDArray[np.float32]) -> NDArray[np.float32]:
    result = np.empty(images.shape, np.float32)
    for channel in range(CHANNELS):
        result[:, channel] = tables[channel][images[:, channel]]
    return result
