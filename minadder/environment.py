"""Environment variables: what they may be, and the folder of the user's cache that they name."""

from __future__ import annotations

import os
from pathlib import Path

from minadder.files import as_path
from minadder.streams import printable

WIDTHS = ("0", "128", "256", "512")
"""What `$MINADDER_VECTOR_BITS` may be."""
MOST_THREADS = 4096
"""What `$NUMBA_NUM_THREADS` may be; with some more than that OpenMP crashes."""


def check() -> None:
    """Raise ValueError for a variable with which nothing works, before Numba meets it."""
    vector_bits()
    check_threads()
    for name in ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR"):
        if os.environ.get(name):
            as_path(os.environ[name], name)


def check_for_command() -> None:
    """End this process likewise, with a line for standard error."""
    try:
        check()
    except ValueError as error:
        raise SystemExit(f"minadder: {error}") from None


def vector_bits() -> int | None:
    """Return `$MINADDER_VECTOR_BITS`, None where it is unset; ValueError for another width than kernels know."""
    chosen = os.environ.get("MINADDER_VECTOR_BITS")
    if chosen not in (None, *WIDTHS):
        raise ValueError(f"MINADDER_VECTOR_BITS must be 0, 128, 256 or 512, not '{printable(chosen)}'")
    return None if chosen is None else int(chosen)


def check_threads() -> None:
    """Raise ValueError unless `$NUMBA_NUM_THREADS` is unset or a number of threads that can be started."""
    chosen = os.environ.get("NUMBA_NUM_THREADS", "1")
    try:
        threads = int(chosen)
    except ValueError:
        threads = 0
    if not 1 <= threads <= MOST_THREADS:
        raise ValueError(
            f"NUMBA_NUM_THREADS must be a whole number from 1 to {MOST_THREADS}, not '{printable(chosen)}': unset it "
            "for one thread a core"
        )


def cache_root() -> Path | None:
    """Return the folder under which minadder keeps what it can make again: compiled kernels and fetched data.

    It is `$XDG_CACHE_HOME/minadder`, or `~/.cache/minadder` where that is unset. None where it is unset and the user
    has no home folder, as one of a container may have none.

    Raises
    ------
    ValueError
        When `$XDG_CACHE_HOME` begins with `~` and nobody knows that home folder.
    """
    named = os.environ.get("XDG_CACHE_HOME")
    base = as_path(named, "XDG_CACHE_HOME") if named else Path()
    if not base.is_absolute():  # the XDG specification tells to ignore a relative path
        try:
            base = Path.home() / ".cache"
        except RuntimeError:
            return None
    return base / "minadder" if base.is_absolute() else None  # HOME may be anything
