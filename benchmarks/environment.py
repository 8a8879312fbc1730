"""Where results lie, and what a file of them begins with."""

from __future__ import annotations

from pathlib import Path

from minadder.files import write_file
from minadder.provenance import as_lines, provenance

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("numpy", "numba", "torch")


def description(command: str, seed: int | None = None) -> dict[str, str]:
    """Return the command, the date, the versions, the CPU and the seed of a run."""
    return provenance(command, seed, PACKAGES)


def write_table(name: str, facts: dict[str, str], lines: list[str]) -> Path:
    """Write a results file: the facts, a blank line, the lines; and print it."""
    text = "\n".join([*as_lines(facts), "", *lines]) + "\n"
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / name
    write_file(path, text.encode())
    print(text, end="")
    return path
