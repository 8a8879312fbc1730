"""The command line: `minadder train …`, and what else `minadder --help` lists."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

import minadder as ma
from minadder.provenance import as_typed

INTERRUPTED = 130

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


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = argparse.ArgumentParser(prog="minadder", description="Networks that measure distance instead of multiplying.")
    top.add_argument("--version", action="version", version=f"minadder {ma.__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="command")
    for name, (module, help_line) in COMMANDS.items():
        command = import_module(module)
        inner = commands.add_parser(name, help=help_line, description=f"{help_line[0].upper()}{help_line[1:]}.")
        command.add_arguments(inner)
        inner.set_defaults(run=command.run)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0, 1 for an error, 2 for wrong usage, 130 for Ctrl-C."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        options = parser().parse_args(words)  # takes a while: it imports all commands
        options.typed = as_typed(words)
        code: int = options.run(options)
    except KeyboardInterrupt:
        print("\nminadder: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (OSError, ValueError, TypeError, RuntimeError, ImportError, MemoryError) as error:
        print(f"minadder: {error_text(error)}", file=sys.stderr)
        return 1
    return code


def error_text(error: Exception) -> str:
    """Return an error's message in one paragraph, with the file that the system complained about."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, MemoryError):
        return " ".join(["the memory is not enough:", *(str(error) or "nothing more is known").split()])
    return " ".join(str(error).split())
