"""Ctrl-C, and being told to end, while `minadder` runs as a command: one line and an exit code, never a traceback.

While the command is imported and while the process ends, nothing needs to be put in order: the process ends at once.
In between the first signal raises KeyboardInterrupt, or `Terminated`, so that files are closed and other processes
ended; a second one, for those who cannot wait for that, ends the process at once too.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import Any


class Terminated(KeyboardInterrupt):
    """The process was told to end: by `kill`, by a batch system, by the terminal that was closed."""


EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
"""128 and the signal's number, as shells have it."""

_work_can_be_ended = False
_signal: int = signal.SIGINT
"""The signal that came last."""


def is_command() -> bool:
    """Return whether this process was started as `minadder` or `python -m minadder`."""
    program = sys.argv[0] if getattr(sys, "argv", None) else ""
    if program != "-m":  # what it is while Python imports a package that it is to run
        return os.path.basename(program) == "minadder"  # noqa: PTH119
    words = sys.orig_argv
    place = next((place for place, word in enumerate(words) if word.startswith("-m")), 0)
    return "".join(words[place : place + 2]) == "-mminadder" or words[place] == "-mminadder"


def end_at_once() -> None:
    """Have signals end the process at once from now on, but those that are ignored, as in the background of a shell."""
    global _work_can_be_ended
    _work_can_be_ended = False
    for number, default in ((signal.SIGINT, signal.default_int_handler), *((n, signal.SIG_DFL) for n in TO_END)):
        if signal.getsignal(number) is default:
            signal.signal(number, handle)


def end_the_work() -> None:
    """Have the next signal raise KeyboardInterrupt or `Terminated`, also where that gets lost in a destructor."""
    global _work_can_be_ended
    end_at_once()
    _work_can_be_ended = True
    sys.unraisablehook = raise_again


TO_END = (signal.SIGTERM, signal.SIGHUP)


def handle(number: int, frame: Any) -> None:
    """End the work, or the process."""
    global _work_can_be_ended, _signal
    _signal = number
    if _work_can_be_ended:
        _work_can_be_ended = False
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated
    with contextlib.suppress(OSError):
        os.write(2, f"\nminadder: {in_words()}\n".encode())
    os._exit(exit_code())


def in_words() -> str:
    """Return what the last signal did."""
    return "interrupted" if _signal == signal.SIGINT else "terminated"


def exit_code() -> int:
    """Return the exit code that tells of the last signal."""
    return EXIT_CODES[signal.Signals(_signal)]


def raise_again(lost: Any) -> None:
    """Send a signal again whose exception was raised where Python must drop it; tell of other exceptions as usual."""
    global _work_can_be_ended
    if not isinstance(lost.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return
    _work_can_be_ended = True
    again = threading.Timer(0.01, os.kill, (os.getpid(), _signal))
    again.daemon = True
    again.start()
