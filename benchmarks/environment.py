"""What a results file must say: when, with which versions, on which machine."""

from __future__ import annotations

import datetime
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numba

RESULTS = Path(__file__).parent / "results"


def cpu_name() -> str:
    """Return the processor's name."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def description(command: str, seed: int | None = None) -> dict[str, str]:
    """Return the command, the date, the versions, the CPU and the seed of a run."""
    facts = {"command": command, "date": datetime.date.today().isoformat(), "python": platform.python_version()}
    for package in ("minadder", "numpy", "numba", "torch"):
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    facts["cpu"] = f"{cpu_name()}, {numba.config.NUMBA_NUM_THREADS} threads"
    if seed is not None:
        facts["seed"] = str(seed)
    return facts


def write_table(name: str, facts: dict[str, str], lines: list[str]) -> Path:
    """Write a results file: the facts, a blank line, the lines; and print it."""
    text = "\n".join([*(f"{key}: {value}" for key, value in facts.items()), "", *lines]) + "\n"
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / name
    path.write_text(text)
    print(text, end="")
    return path
