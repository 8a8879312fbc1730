"""Image files in folders by class: which lie where, and the split into those to train on and those to test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minadder.checks import number, seed_number
from minadder.files import check_ordinary, shown

from .split import stratified_split

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm")
TRAIN = "train"
TESTS = ("val", "valid", "validation", "test")
"""What the folder beside ``train`` may be called; the first that is there is taken."""
SHARE = 0.2
"""Of the images of each class that are held out where the folder has no images to test."""
LAYOUT = (
    "images are expected at train/<class>/<name>.jpg and val/<class>/<name>.jpg (or test/<class>/<name>.jpg), or all "
    "of them at <class>/<name>.jpg"
)


@dataclass(frozen=True, eq=False)
class Files:
    """Image files with one class label each. ``files``: their names in ``folder``, class by class."""

    folder: Path
    files: tuple[str, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def paths(self) -> Iterator[Path]:
        """Where the files are."""
        return (self.folder / file for file in self.files)

    def only(self, members: NDArray[np.int64]) -> Files:
        """Some of the files, in their order."""
        files = tuple(self.files[member] for member in members)
        return Files(self.folder, files, self.labels[members], self.classes)


@dataclass(frozen=True, eq=False)
class Split:
    """The files to train on and those to test. ``how``: how they were split, in words, empty where they lay so."""

    train: Files
    test: Files
    how: str


def find(root: Path, test: float | None, seed: int) -> Split:
    """The image files in a folder, split as its folders are, or where those are the classes, by a seed."""
    share = SHARE if test is None else number(test, "test", "(0, 1)")
    seed = seed_number(seed)
    if not root.exists():
        raise FileNotFoundError(f"there is no folder {shown(root)}: {LAYOUT}")
    if not root.is_dir():
        raise NotADirectoryError(f"{shown(root)} is a file, not a folder; unpack it, if it is an archive: {LAYOUT}")
    train, testing = parts(root)
    classes = class_names(train)
    if testing is None:
        return held_out(class_files(train, classes), share, seed)
    if test is not None:
        raise ValueError(
            f"test={test} asks for images to be held out, but {shown(root)} has a folder of images to test, "
            f"{shown(testing.name)}: leave test= away, or name {shown(train)} itself"
        )
    known = set(classes)
    unknown = [shown(name) for name in folders(testing) if name not in known]
    if unknown:
        raise ValueError(f"{shown(testing)} holds classes that {shown(train)} does not: {', '.join(unknown)}")
    return Split(class_files(train, classes), class_files(testing, classes), "")


def parts(root: Path) -> tuple[Path, Path | None]:
    """The folder of the classes to train on, and that of those to test; None where both are in the first."""
    names = folders(root)
    found = [name for name in (TRAIN, *TESTS) if name in names and not images(root / name)]
    if TRAIN not in found:  # or it is a class of that name
        return root, None
    testing = next((name for name in TESTS if name in found), None)
    beside = [name for name in names if name not in (found if testing is None else (TRAIN, *TESTS))]
    classes = [shown(name) for name in beside if images(root / name)]
    if classes:
        raise ValueError(
            f"{shown(root)} holds {TRAIN!r} and, beside it, images in {', '.join(classes)}, so that it is unclear "
            f"which folders are the classes: move one or the other away, or name {shown(root / TRAIN)} itself; {LAYOUT}"
        )
    return root / TRAIN, None if testing is None else root / testing


def class_names(folder: Path) -> tuple[str, ...]:
    """The classes, which are the names of the folders in a folder; there must be two at least."""
    classes = tuple(folders(folder))
    if not classes and images(folder):
        raise ValueError(f"{shown(folder)} holds images, but no folders, whose names are the classes: {LAYOUT}")
    if not classes:
        raise FileNotFoundError(f"{shown(folder)} holds no folders: {LAYOUT}")
    if len(classes) == 1:
        raise ValueError(
            f"{shown(folder)} holds one class alone, {shown(classes[0])}, and to tell classes apart takes two: {LAYOUT}"
        )
    return classes


def class_files(folder: Path, classes: tuple[str, ...]) -> Files:
    """The image files of each class in a folder; ValueError for a class that has none, or has them deeper down."""
    files: list[str] = []
    labels: list[int] = []
    for label, one in enumerate(classes):
        found = images(folder / one)
        check_all_files(folder / one)
        check_not_nested(folder / one)
        if not found:
            raise ValueError(f"{shown(folder / one)} holds no images ({', '.join(SUFFIXES)}): {LAYOUT}")
        files += [f"{one}/{file}" for file in found]
        labels += [label] * len(found)
    return Files(folder, tuple(files), np.array(labels, np.int64), classes)


def held_out(files: Files, share: float, seed: int) -> Split:
    """Files split by a seed: of each class the same share to test, but at least one, and one to train on."""
    counts = np.bincount(files.labels)
    single = [shown(name) for name, count in zip(files.classes, counts, strict=True) if count == 1]
    if single:
        raise ValueError(
            f"{shown(files.folder)} holds one image alone of {', '.join(single)}, and a class takes two, one to train "
            f"on and one to test: add images, or remove the folder"
        )
    train, test = map(np.sort, stratified_split(files.labels, share, seed))
    return Split(files.only(train), files.only(test), f"test={share:g} held out by seed {seed}")


def folders(folder: Path) -> list[str]:
    """The names of the folders in a folder, in alphabetical order."""
    return [entry.name for entry in entries(folder) if entry.is_dir()]


def images(folder: Path) -> list[str]:
    """The names of the image files in a folder, in alphabetical order; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return [entry.name for entry in entries(folder, SUFFIXES) if entry.is_file()]


def check_all_files(folder: Path) -> None:
    """Raise OSError for a folder, a pipe or a device that is called as an image is, and would be passed over."""
    for entry in entries(folder, SUFFIXES) if folder.is_dir() else ():
        if not entry.is_file():
            check_ordinary(entry.stat(), Path(entry.path))


def check_not_nested(folder: Path) -> None:
    """Raise ValueError where a folder in a class's folder holds images, which would be passed over."""
    if not folder.is_dir():
        return
    with os.scandir(folder) as found:
        inner = sorted(one.path for one in found if one.is_dir(follow_symlinks=False) and not one.name.startswith("."))
    for one in inner:
        if images(Path(one)):
            raise ValueError(
                f"{shown(one)} holds images, but lies in the folder of a class, which must hold those of the class "
                f"itself: move them there, or name the folder whose folders are the classes; {LAYOUT}"
            )


def entries(folder: Path, suffixes: tuple[str, ...] = ("",)) -> list[os.DirEntry[str]]:
    """What is in a folder under names with such endings, in alphabetical order, without what is hidden."""
    with os.scandir(folder) as inside:
        found = [one for one in inside if one.name.lower().endswith(suffixes) and not one.name.startswith(".")]
    for entry in found:
        if entry.is_symlink() and not Path(entry.path).exists():
            raise ValueError(f"{shown(entry.path)} is a link that leads to nothing: mend it, or remove it")
    return sorted(found, key=lambda entry: entry.name)
