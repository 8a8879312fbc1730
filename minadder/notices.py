"""Notices of what takes time once, such as the compilation of a kernel, and who shows them.

Where nothing else shows progress, each is a line on standard error; in a notebook all are one line, which changes. Who
shows progress takes them over meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from minadder.notebook import LiveLine, in_notebook
from minadder.streams import tell

_takers: list[Callable[[str], None]] = []
_line = LiveLine()


def notice(text: str) -> None:
    """Show a notice: by the one who took them over last, else in a line."""
    if _takers:
        _takers[-1](text)
    elif in_notebook():
        _line.write(text)
    else:
        tell(text)


@contextmanager
def taken_by(taker: Callable[[str], None]) -> Iterator[None]:
    """Have notices go to a function meanwhile.

    Examples
    --------
    >>> from minadder.notices import notice, taken_by
    >>> with taken_by(print):
    ...     notice("compiling …")
    compiling …
    """
    _takers.append(taker)
    try:
        yield
    finally:
        _takers.remove(taker)
