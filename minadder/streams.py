"""Telling: progress on standard error and results on standard output, whatever these streams are.

A stream may be None, closed, full, a pipe that nobody reads any more, or of an encoding that lacks a character. Nothing
told is worth the work that it tells of: what cannot be written is dropped, here and in no other place. Each line is
one write, so that those of several processes never run together.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LONGEST = 120
"""Characters that `printable` leaves of a name."""

LAYOUT = "\n\t"
"""Characters that lines may hold although they cannot be printed."""

_failed: list[str] = []
"""Why standard output could not be written; a pipe that nobody reads any more is no failure."""


def printable(text: object, longest: int = LONGEST) -> str:
    r"""Return foreign text, such as the name of a folder, in one line that does nothing to a terminal.

    Control characters, line breaks, what turns the direction of writing and undecodable bytes become escapes; of text
    longer than `longest` the middle is left out.

    Examples
    --------
    >>> from minadder.streams import printable
    >>> print(printable("cats\n\x1b[31m"))
    cats\n\x1b[31m
    """
    shown = escaped(str(text))
    half = longest // 2
    return shown if len(shown) <= longest else f"{shown[: longest - half - 1]}…{shown[-half:]}"


def escaped(text: str, kept: str = "") -> str:
    """Return text with all that cannot be printed as escapes, but the characters in `kept`."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in kept else ascii(one)[1:-1] for one in text)


def tell(text: str, file: Any = None) -> None:
    """Write a line of progress or a warning to standard error, or another file; where it cannot be, it is dropped."""
    with contextlib.suppress(OSError, ValueError):
        write(
            getattr(sys, "stderr", None) if file is None else file,
            f"{escaped(text, LAYOUT)}\n",
            errors="backslashreplace",
        )


def say(*lines: str) -> None:
    """Write lines of results to standard output, with "?" for what its encoding lacks.

    A pipe that nobody reads any more ends nothing: the files that a command leaves are worth more. What else fails is
    kept for `output_error`, so that the exit code tells of it.
    """
    try:
        write(getattr(sys, "stdout", None), "".join(f"{escaped(line, LAYOUT)}\n" for line in lines), errors="replace")
    except BrokenPipeError:
        return
    except (OSError, ValueError) as error:
        _failed.append(str(getattr(error, "strerror", None) or error))


def output_error() -> str | None:
    """Return why results could not be written to standard output since this was last asked, None where they were."""
    first = _failed[0] if _failed else None
    _failed.clear()
    return first


def write(file: Any, text: str, errors: str) -> None:
    """Write text to a stream at once, None taking anything.

    Python's own streams are written beneath their buffers: what could not be written would stay in there, fail once
    more at the end of the process, and change its exit code.

    Raises
    ------
    OSError, ValueError
        When it cannot be written: a full disk, a closed file.
    """
    if file is None:
        return
    raw = unbuffered(file)
    if raw is None:
        try:
            file.write(text)
        except UnicodeEncodeError:
            file.write(text.encode(file.encoding, errors).decode(file.encoding))
        file.flush()
        return
    file.flush()
    rest = memoryview(text.encode(file.encoding, errors))
    while rest:
        rest = rest[raw.write(rest) or 0 :]


def unbuffered(file: Any) -> Any:
    """Return the file beneath a stream of Python's own, None for those of notebooks, tests and others."""
    if type(file) is not io.TextIOWrapper or os.linesep != "\n":
        return None
    raw = getattr(file.buffer, "raw", file.buffer)
    return raw if type(raw) is io.FileIO else None


class Display(io.TextIOBase):
    """A stream for progress, as tqdm takes it, which never fails.

    Parameters
    ----------
    file
        Where to; by default standard error, whatever that is at the time.
    """

    def __init__(self, file: Any = None) -> None:
        self.file = file
        self.broken = False

    @property
    def stream(self) -> Any:
        """Where it goes now."""
        return sys.stderr if self.file is None else self.file

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """What the stream's encoding is called."""
        return getattr(self.stream, "encoding", None) or "ascii"

    def write(self, text: str) -> int:
        """Write text; when a file of the caller's fails, that is told once on standard error."""
        try:
            write(self.stream, text, errors="replace")
        except (OSError, ValueError) as error:
            if self.file is not None and not self.broken:
                tell(f"minadder: the progress can no longer be written: {error}")
            self.broken = True
        return len(text)

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        try:
            return bool(self.stream.isatty())
        except (AttributeError, OSError, ValueError):
            return False

    def fileno(self) -> int:
        """Return the descriptor, which tqdm asks for the terminal's width; OSError where there is none."""
        try:
            return int(self.stream.fileno())
        except (AttributeError, ValueError):
            raise OSError("this stream has no descriptor") from None


@contextlib.contextmanager
def filled() -> Iterator[None]:
    """Have standard streams where there are none, for what other packages write, or their processes inherit.

    Descriptors that are closed are taken too: a file of results must not get the number of standard error.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest number that is free
    before = sys.stdout, sys.stderr
    with Path(os.devnull).open("w", encoding="utf-8") as nothing:
        sys.stdout, sys.stderr = (stream if flushed(stream) else nothing for stream in before)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


def let_go() -> None:
    """Leave no standard stream with what cannot be written: Python would tell of it at the end of the process."""
    if not flushed(sys.stdout):
        sys.stdout = None
    if not flushed(sys.stderr):
        sys.stderr = None


def flushed(stream: Any) -> bool:
    """Write what is in a stream's buffer, and return whether there is a stream and that went well."""
    try:
        stream.flush()
    except (AttributeError, OSError, ValueError):
        return False
    return True
