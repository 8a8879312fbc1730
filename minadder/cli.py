"""The command line: `minadder train …`, and what else `minadder --help` lists."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import minadder as ma
from minadder import interruption, streams
from minadder.provenance import as_typed

COMMANDS = {
    "train": ("minadder.commands.train", "train a network and keep what comes of it in a folder"),
    "count": ("minadder.commands.count", "count a network's operations, and what they cost"),
    "analyse": ("minadder.commands.analyse", "draw and measure what the papers say of such nets"),
    "toy": ("minadder.commands.toy", "train tiny nets on points in the plane, draw what they decide"),
    "theory": ("minadder.commands.theory", "build the nets of the papers' proofs, and measure them"),
    "sweep": ("minadder.commands.sweep", "do all trainings of one of the papers' tables"),
    "warmup": ("minadder.warmup", "compile all kernels now, so that no training waits for it"),
    "doctor": ("minadder.doctor", "say what minadder runs on, and what is wrong with it"),
    "bench": ("minadder.bench.command", "measure speed and memory, and PyTorch's beside them"),
}
"""The module of each command, and what `minadder --help` says of it."""


class Parser(argparse.ArgumentParser):
    """A parser whose help goes to any stream, and holds what is typed as text alone."""

    def _print_message(self, message: str, file: Any = None) -> None:
        if file is sys.stdout:
            streams.say(*message.removesuffix("\n").split("\n"))
        elif message:
            streams.tell(message.removesuffix("\n"), file)


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = Parser(prog="minadder", description="Networks that measure distance instead of multiplying.")
    top.add_argument("--version", action="version", version=f"minadder {ma.__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="command")
    for name, (module, help_line) in COMMANDS.items():
        command = import_module(module)
        inner = commands.add_parser(name, help=help_line, description=f"{help_line[0].upper()}{help_line[1:]}.")
        command.add_arguments(inner)
        inner.set_defaults(run=command.run)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    It is 0, 1 for an error, 2 for wrong usage, 130 for Ctrl-C, 143 for SIGTERM. Without arguments they are those of the
    process, whose signals and streams are taken care of too.
    """
    if arguments is not None:
        return run(arguments)
    interruption.begin_work()
    warnings.showwarning = show_warning  # type: ignore[assignment]
    try:
        with streams.filled():
            return run(sys.argv[1:])
    finally:
        interruption.end_work()
        streams.let_go()


def show_warning(message: Warning | str, *where: object) -> None:
    """Tell a warning in one line: a command's user is not helped by the place in the source."""
    streams.tell(f"minadder: warning: {message}")


def run(words: Sequence[str]) -> int:
    """Run the command of these words and return the exit code."""
    streams.output_error()  # forgotten, if it is of an earlier command
    try:
        options = parser().parse_args(words)  # takes a while: it imports all commands
        options.typed = as_typed(words)
        code: int = options.run(options)
    except KeyboardInterrupt as stop:
        rest = f"; {stop}" if str(stop) else ""
        streams.tell(f"\nminadder: {interruption.in_words()}{rest}")
        return interruption.exit_code()
    except (OSError, ValueError, TypeError, RuntimeError, ImportError, MemoryError) as error:
        streams.tell(f"minadder: {error_text(error)}")
        return 1
    except SystemExit:  # after --help, --version or wrong usage
        if all_written():
            raise
        return 1
    return code if all_written() else code or 1


def all_written() -> bool:
    """Return whether all results could be written to standard output, and tell why not."""
    why = streams.output_error()
    if why is not None:
        streams.tell(f"minadder: standard output could not be written: {why}")
    return why is None


def error_text(error: Exception) -> str:
    """Return an error's message in one paragraph, with the file that the system complained about."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{streams.escaped(str(error.filename))}: {error.strerror}"
    if isinstance(error, MemoryError):
        return " ".join(["the memory is not enough:", *(str(error) or "nothing more is known").split()])
    return " ".join(str(error).split())
