"""Files: paths as users write them, files that are written whole or not at all, and reading no pipe and no folder.

A file is written beside its place under a name of its own, flushed to the disk and then renamed, so that whoever reads
it, in whatever thread or process, finds the old content or the new, and a killed process leaves the old file or the
new one. What a killed writer left behind is deleted when the same file is written again: it is told from the file of a
writer that is still at work by the lock which that one holds.

Windows neither renames nor deletes a file that is open, nor puts another in its place. So a writer closes its file
before it renames it, begins anew should another writer take it for a dead one's in between, and waits a moment where a
reader, or a virus scanner, has the old one open. A reader may be told there that access is denied, in the moment of the
renaming.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import hashlib
import os
import re
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from filelock import lock_descriptor

LONGEST_NAME = 100
"""Bytes of a file's name that are still kept in the name under which it is written; most systems take 255 in all."""
NEW_FILE = 0o666
"""The permissions of a new file, of which the system takes away what the umask says."""

WINDOWS = os.name == "nt"
IN_USE = (5, 32)
"""Windows' numbers of "access is denied" and "used by another process", of which a file that is open gives either."""
PATIENCE = 2.0
"""Seconds to wait for a file that another program has open; scanners take less."""
AT_ONCE = getattr(os, "O_NONBLOCK", 0)
"""Has a pipe be opened without its other end; Windows has none among its files."""

Content = bytes | memoryview


def as_path(path: str | os.PathLike[str], name: str = "path") -> Path:
    """Return a path, with the home folder in place of `~` or `~user` at its beginning.

    Parameters
    ----------
    path
        A str, or what stands for one, such as a Path.
    name
        What messages call it.

    Raises
    ------
    TypeError
        For anything else, bytes and numbers included.
    ValueError
        When it is empty, holds a NUL or what the system cannot write in a name, or a home folder is unknown.

    Examples
    --------
    >>> from minadder.files import as_path
    >>> as_path("~/pictures") == as_path("~") / "pictures"
    True
    """
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a str or a Path, not {path!r} of type {type(path).__name__}")
    if not text:
        raise ValueError(f"{name} must name a file or a folder, but it is empty")
    if "\0" in text:
        raise ValueError(f"{name} must not hold a NUL character, but it is {text!r}")
    try:
        os.fsencode(text)
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} is {text!r}, which this system cannot have as a name ({error.reason})") from None
    place = Path(text)
    if not text.startswith("~"):  # a Path of "./~" forgets its dot, and would lead home the next time
        return Path.cwd() / place if str(place).startswith("~") else place
    try:
        return place.expanduser()
    except RuntimeError:
        user = place.parts[0]
        raise ValueError(
            f"{name} is {shown(text)}, but nobody knows the home folder that {shown(user)} stands for: write the path "
            f"out, or ./{shown(text)} for a file of that name"
        ) from None


def path_argument(text: str) -> Path:
    """Return the path in an argument of the command line, so that argparse tells what is wrong with it."""
    try:
        return as_path(text, "the path")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def shown(path: str | os.PathLike[str]) -> str:
    r"""Return a path or a name for a message: as it is, or as its repr when a terminal might obey what is in it.

    Examples
    --------
    >>> from minadder.files import shown
    >>> print(shown("cats"), shown("red \x1b[31m"))
    cats 'red \x1b[31m'
    """
    text = os.fspath(path)
    return text if text.isprintable() else repr(text)


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading; a pipe, which could keep one waiting for ever, is none.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, OSError
        When there is no such file, when it is a folder, when it cannot be read or is a pipe, a device or a socket.
    """
    place = as_path(path)
    try:
        descriptor = os.open(place, os.O_RDONLY | AT_ONCE)
    except FileNotFoundError:
        raise FileNotFoundError(f"{shown(place)}: there is no such file") from None
    except PermissionError:  # what Windows says of a folder
        check_ordinary(place.stat(), place)
        raise
    try:
        check_ordinary(os.fstat(descriptor), place)
    except OSError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def check_ordinary(status: os.stat_result, place: Path) -> None:
    """Raise OSError for all but an ordinary file."""
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a directory, not a file", str(place))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is a pipe, a device or a socket, not an ordinary file", str(place))


def read_file(path: str | os.PathLike[str], most: int) -> bytes:
    """Return a file's content.

    Raises
    ------
    OSError
        As `open_file`.
    ValueError
        When it has more than `most` bytes, of which no more are read.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(most + 1) if size <= most else b""
    if max(size, len(content)) > most:
        raise ValueError(f"{shown(path)} has {max(size, len(content))} bytes, expected are at most {most}")
    return content


def write_file(path: str | os.PathLike[str], *pieces: Content) -> None:
    """Write a file whole or not at all.

    A new file has the permissions that the umask leaves, one that is replaced keeps its own. Links stay: the file that
    one leads to is written. Any number of threads and processes may write the same file at the same time.

    Parameters
    ----------
    path
        The file.
    pieces
        What it shall hold, one after the other.

    Raises
    ------
    OSError
        When it cannot be written, or is a folder, a pipe or a device; what was there before, if anything, is untouched.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from minadder.files import write_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_file(f"{folder}/note.txt", b"one ", b"line")
    ...     [(file.name, file.read_bytes()) for file in pathlib.Path(folder).iterdir()]
    [('note.txt', b'one line')]
    """
    place = as_path(path)
    try:
        target, mode = where_to_write(place)
        delete_remains(target)
        replace(target, pieces, mode)
    except OSError as error:
        raise OSError(error.errno, f"cannot write ({error.strerror or error})", str(place)) from None
    with contextlib.suppress(OSError):  # the file is there; not every system lets folders be opened and flushed
        flush_folder(target.parent)


def where_to_write(place: Path) -> tuple[Path, int | None]:
    """Return the file that a path leads to, through links, and its permissions; None where there is no file yet."""
    target = Path(os.path.realpath(place))
    try:
        status = place.stat()  # fails for links that lead in a circle
    except FileNotFoundError:
        return target, None
    check_ordinary(status, place)
    if any(is_open_as(descriptor, status) for descriptor in (1, 2)):  # as /dev/stdout: what is printed would be lost
        raise OSError(errno.EINVAL, "what the program prints goes there", str(place))
    if WINDOWS and not status.st_mode & stat.S_IWUSR:  # elsewhere that hinders nobody from replacing it
        raise PermissionError(errno.EACCES, "it is read-only", str(place))
    return target, status.st_mode & 0o777


def is_open_as(descriptor: int, status: os.stat_result) -> bool:
    """Return whether a descriptor is open and belongs to a file."""
    try:
        return os.path.samestat(os.fstat(descriptor), status)
    except OSError:
        return False


def replace(target: Path, pieces: Sequence[Content], mode: int | None) -> None:
    """Write a file beside its place, then put it there; whatever interrupts this, nothing is left behind."""
    while True:
        descriptor, part = new_part(target, NEW_FILE if mode is None else mode | stat.S_IWUSR)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for piece in pieces:
                    file.write(piece)
                file.flush()
                if mode is not None and os.fstat(descriptor).st_mode & 0o777 != mode:  # by the umask
                    os.chmod(descriptor if os.chmod in os.supports_fd else part, mode)  # noqa: PTH101
                os.fsync(descriptor)
            move(part, target)
            return
        except BaseException as error:
            lost = isinstance(error, FileNotFoundError) and not part.exists()  # deleted since its lock is gone
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            if not lost:
                raise


def new_part(target: Path, mode: int) -> tuple[int, Path]:
    """Return the descriptor and the path of a new file beside another, locked so that it is known to be in use."""
    while True:
        part = target.with_name(f".{short_name(target)}.{os.urandom(8).hex()}.part")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with contextlib.suppress(OSError):  # some network file systems have no locks; nothing is deleted there
            lock_descriptor(descriptor)
        if part.exists():
            return descriptor, part
        os.close(descriptor)  # taken for a dead writer's, and deleted, before it was locked


def move(part: Path, target: Path) -> None:
    """Put a file in another's place; where Windows says that this one is open, wait for a moment.

    Raises
    ------
    PermissionError
        When it stays open.
    """
    end = time.monotonic() + PATIENCE
    while True:
        try:
            part.replace(target)
            return
        except PermissionError as error:
            if getattr(error, "winerror", None) not in IN_USE:
                raise
            if time.monotonic() > end:
                raise PermissionError(error.errno, f"{error.strerror}: another program may have it open") from None
        time.sleep(0.01)


def delete_remains(target: Path) -> None:
    """Delete what killed writers of a file left beside it, also those of versions that gave it no number."""
    parts = re.compile(rf"\.{re.escape(short_name(target))}\.([0-9a-f]{{16}}\.)?part", re.DOTALL)
    with contextlib.suppress(OSError):  # a folder that may not be listed
        for name in filter(parts.fullmatch, os.listdir(target.parent)):  # noqa: PTH208  (names are enough)
            with contextlib.suppress(OSError):  # gone, or with Windows open in its writer
                delete_unlocked(target.with_name(name))


def delete_unlocked(part: Path) -> None:
    """Delete a file unless another descriptor has it locked."""
    descriptor = os.open(part, os.O_RDWR | AT_ONCE | getattr(os, "O_NOFOLLOW", 0))
    try:
        unlocked = lock_descriptor(descriptor, blocking=False)
    finally:
        os.close(descriptor)
    if unlocked:
        part.unlink()


def short_name(target: Path) -> str:
    """Return a file's name, or one that stands for it where little could be added to it."""
    encoded = os.fsencode(target.name)
    if len(encoded) <= LONGEST_NAME:
        return target.name
    return f"{target.name[:20]}-{hashlib.sha256(encoded).hexdigest()[:16]}"


def flush_folder(folder: Path) -> None:
    """Have the disk hold a folder's names, so that a new one survives a power cut too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
