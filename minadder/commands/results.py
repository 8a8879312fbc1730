"""The folder of a command's results: tried before the work, and filled with figures that may fail behind it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from minadder import plot, streams
from minadder.files import shown
from minadder.preconditions import check_can_write


def check_folder(folder: Path, names: Sequence[str]) -> None:
    """Raise OSError unless files of these names can be written in a folder, which need not be there yet.

    Nothing is made or left behind.
    """
    if folder.exists():
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"cannot hold results ({os.strerror(errno.ENOTDIR)})", str(folder))
        for name in names:
            check_can_write(folder / name)
        return
    above = next((place for place in folder.absolute().parents if place.exists()), folder)
    try:
        check_can_write(above / ".new")  # a name that nothing has: what is tried is the folder
    except OSError as error:
        raise OSError(error.errno, f"cannot be made: {shown(above)} {error.strerror}", str(folder)) from None


def prepared(folder: Path, names: Sequence[str]) -> Path:
    """Make a folder where it is missing, and return it; OSError unless files of these names can be written in it."""
    check_folder(folder, names)
    folder.mkdir(parents=True, exist_ok=True)
    check_folder(folder, names)
    return folder


def draw(make: Callable[[], Any], path: Path) -> bool:
    """Draw a figure and save it; return whether that went well. A figure that fails costs a warning, no result."""
    try:
        plot.save_figure(make(), path)
    except Exception as error:  # drawing fails in many ways, and the numbers are kept
        reason = " ".join(str(error).split())
        streams.tell(f"minadder: warning: {shown(path)} is not drawn: {type(error).__name__}: {reason}")
        return False
    return True
