"""What a file of results must say: the command, when it ran, with which versions, on what machine, from which seed."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

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


def as_lines(facts: dict[str, str]) -> list[str]:
    """Return a line for each fact, for the head of a file."""
    return [f"{name}: {value}" for name, value in facts.items()]
