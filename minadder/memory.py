"""Memory that one step of a training frees serves the next one.

A step frees nearly all that it allocated. Linux's C library gives large free blocks back to the system, which hands
them out anew as pages of zeros, one fault a page: with a batch of 256, LeNet-5's step met 3,500 faults and lost a
quarter of its time to them. `keep_freed` has the C library keep them instead; `import minadder` calls it.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h

KEPT = 2**31 - 1
"""How many bytes the free end of the heap may grow to before the system gets it back: the largest C int."""

ADAPTED = 32 << 20
"""Blocks of more bytes come from the system each time in programs that set nothing: `DEFAULT_MMAP_THRESHOLD_MAX`."""

OWN_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "glibc.malloc.trim_threshold", "glibc.malloc.mmap_")
"""How a user sets the same himself: environment variables, or entries of `GLIBC_TUNABLES`."""


def keep_freed() -> bool:
    """Let blocks below 2 GiB come from the heap, and keep up to 2 GiB of its free end, in the whole process.

    What a step needs at most stays the same, up to gaps between blocks; the process only holds it for longer. A user's
    own settings of these two thresholds, in `MALLOC_TRIM_THRESHOLD_`, `MALLOC_MMAP_THRESHOLD_` or `GLIBC_TUNABLES`,
    are kept.

    Returns
    -------
    Whether the C library took the settings: False with settings of the user's own, and where it is not glibc.

    Examples
    --------
    >>> from minadder import memory
    >>> isinstance(memory.keep_freed(), bool)
    True
    """
    return set_thresholds(KEPT, KEPT)


def give_back_freed() -> bool:
    """Undo `keep_freed`: give freed memory back to the system, from now on too, as a program without minadder does.

    That is one that has run for a while: glibc has then raised the two thresholds as far as it does by itself. For
    benchmarks, where other libraries shall run as their users run them.

    Returns
    -------
    Whether the C library took the settings, as for `keep_freed`.

    Examples
    --------
    >>> from minadder import memory
    >>> isinstance(memory.give_back_freed(), bool)
    True
    >>> memory.keep_freed() == memory.give_back_freed() == memory.keep_freed()
    True
    """
    taken = set_thresholds(ADAPTED, 2 * ADAPTED)
    if taken:
        ctypes.CDLL(None).malloc_trim(0)
    return taken


def set_thresholds(mmap: int, trim: int) -> bool:
    """Set from how many bytes on blocks come from the system, and how many at the heap's end go back to it."""
    given = " ".join([*os.environ, os.environ.get("GLIBC_TUNABLES", "")])
    if any(name in given for name in OWN_SETTINGS):
        return False
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  (in another C library the numbers may mean other things)
        mallopt: Any = library.mallopt
    except (OSError, TypeError, AttributeError):  # TypeError: on Windows a library needs a name
        return False
    # Setting one of them stops glibc from adapting the other to what the program does, so both are set.
    return bool(mallopt(M_MMAP_THRESHOLD, mmap)) and bool(mallopt(M_TRIM_THRESHOLD, trim))
