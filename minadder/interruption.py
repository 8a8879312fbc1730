"""The process of the command `minadder`: Ctrl-C, or being told to end, is one line and an exit code, no traceback.

While the command is imported nothing needs to be put in order: a signal ends the process at once. After that the first
one raises KeyboardInterrupt, or `Terminated`, so that files are closed and other processes ended. Those that follow
while this is done are passed over; after some seconds of it, one ends the process at once.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any


class Terminated(KeyboardInterrupt):
    """The process was told to end: by `kill`, by a batch system, by a terminal that was closed."""


NAMES = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "terminated", "SIGBREAK": "terminated"}
WORDS = {getattr(signal, name): word for name, word in NAMES.items() if hasattr(signal, name)}
"""The signals that this system has, and what they do to a command."""

SECONDS_TO_END = 3.0
"""How long the work may take to end before another signal ends the process."""


class State:
    """What the handler knows: the signal that came last, and when it may end the process without more ado."""

    number: int = signal.SIGINT
    at_work = False
    end_at = 0.0


def is_command() -> bool:
    """Return whether this process was started as `minadder` or `python -m minadder`."""
    program = sys.argv[0] if getattr(sys, "argv", None) else ""
    if program != "-m":  # what it is while Python imports a package that it is to run
        return os.path.basename(program).removesuffix(".exe") == "minadder"  # noqa: PTH119
    words = sys.orig_argv
    place = next((place for place, word in enumerate(words) if word.startswith("-m")), 0)
    return "-mminadder" in (words[place], "".join(words[place : place + 2]))


def check_working_folder() -> None:
    """End this process where the folder that it was started in is gone: other packages ask for it as they are imported.

    Raises
    ------
    SystemExit
        With a line for standard error.
    """
    try:
        Path.cwd()
    except OSError as error:
        raise SystemExit(f"minadder: the working folder cannot be used ({error.strerror}): go to another one") from None


def handle_signals() -> None:
    """Have signals end this process in order, but those that are ignored, as in the background of a shell."""
    for number in WORDS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, handle)
    sys.unraisablehook = raise_again


def begin_work() -> None:
    """Have the next signal raise KeyboardInterrupt or `Terminated`."""
    handle_signals()
    State.at_work = True


def end_work() -> None:
    """Pass over Ctrl-C from now on, and other signals if one has come: Python ends in a moment, with the exit code."""
    State.at_work = False
    for number in WORDS if State.end_at else (signal.SIGINT,):
        if signal.getsignal(number) is handle:
            signal.signal(number, signal.SIG_IGN)
    # Python notes a Ctrl-C that leaves an `exec` of text, such as that of a dataclass, as one that nobody handled, and
    # ends the process by the signal in place of the exit code, unless another `exec` comes to its end.
    exec("")


def handle(number: int, frame: Any) -> None:
    """End the work, or the process."""
    State.number = number
    if State.at_work:
        State.at_work, State.end_at = False, time.monotonic() + SECONDS_TO_END
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated
    if time.monotonic() > State.end_at:
        with contextlib.suppress(OSError):
            os.write(2, f"\nminadder: {in_words()}\n".encode())
        os._exit(exit_code())


def in_words() -> str:
    """Return what the last signal did."""
    return WORDS[signal.Signals(State.number)]


def exit_code() -> int:
    """Return the exit code that tells of the last signal: 128 and its number, as shells have it."""
    return 128 + State.number


def raise_again(lost: Any) -> None:
    """Send a signal again whose exception came where Python must drop it, as in a destructor; tell of others."""
    if not isinstance(lost.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return
    State.at_work = True
    # Windows has os.kill end the process; elsewhere it also wakes the main thread.
    send = signal.raise_signal if os.name == "nt" else functools.partial(os.kill, os.getpid())
    again = threading.Timer(0.01, send, (State.number,))
    again.daemon = True
    again.start()
