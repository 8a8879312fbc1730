"""What a file of results must say: the command, when it ran, with which versions, on what machine, from which seed."""

from __future__ import annotations

import datetime
import platform
import shlex
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from numba.core import config

import minadder
from minadder import machine

PACKAGES = ("numpy", "numba")
"""The packages whose versions every result depends on."""


def provenance(command: str, seed: int | None = None, packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Return the command, the date, the versions, the processor, the threads and the seed, but no name of a folder.

    Parameters
    ----------
    command
        What a reader must type to get the result.
    seed
        Of all that was drawn; left out where it is None, as in commands that name their seeds.
    packages
        The packages whose versions matter.

    Examples
    --------
    >>> from minadder.provenance import provenance
    >>> list(provenance("minadder count lenet5-bn"))
    ['command', 'date', 'python', 'minadder', 'numpy', 'numba', 'cpu', 'threads']
    """
    found = {
        "command": command,
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        "minadder": minadder.__version__,
        **{package: installed(package) for package in packages},
        "cpu": machine.cpu_name(),
        "threads": str(config.NUMBA_NUM_THREADS),
    }
    return found if seed is None else {**found, "seed": str(seed)}


def installed(package: str) -> str:
    """Return the version of a package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def as_typed(words: Sequence[str]) -> str:
    """Return the command of these words without the folder that it writes to; of absolute paths the last part.

    Examples
    --------
    >>> from minadder.provenance import as_typed
    >>> as_typed(["sweep", "eta", "--out", "runs/a", "--seeds", "0", "1"])
    'minadder sweep eta --seeds 0 1'
    """
    kept: list[str] = []
    left_out = False
    for word in words:
        if not left_out and word != "--out" and not word.startswith("--out="):
            kept.append(Path(word).name if Path(word).is_absolute() else word)
        left_out = word == "--out"
    return " ".join(["minadder", *map(quoted, kept)])


def quoted(word: str) -> str:
    r"""Return a word as a shell takes it, in one line whatever is in it.

    Examples
    --------
    >>> from minadder.provenance import quoted
    >>> print(quoted("two words"), quoted("a\nb"))
    'two words' $'a\x0ab'
    """
    if word.isprintable():
        return shlex.quote(word)
    shown = [one if one.isprintable() and one not in "\\'" else escaped_bytes(one) for one in word]
    return f"$'{''.join(shown)}'"


def escaped_bytes(sign: str) -> str:
    """Return the bytes of a sign, of which a lone surrogate stands for one that is no text, as a shell's escapes."""
    undecoded = "\udc80" <= sign <= "\udcff"
    return "".join(
        f"\\x{byte:02x}" for byte in sign.encode("utf-8", "surrogateescape" if undecoded else "surrogatepass")
    )


def with_head(command: str, lines: Sequence[str]) -> bytes:
    """Return a file of results: what it must say, an empty line, the lines."""
    return ("\n".join([*as_lines(provenance(command)), "", *lines]).rstrip() + "\n").encode()


def as_lines(facts: dict[str, str]) -> list[str]:
    """Return a line for each fact, for the head of a file."""
    return [f"{name}: {value}" for name, value in facts.items()]
