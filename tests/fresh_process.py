"""Running code in a new process that has a kernel cache of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import minadder

PACKAGE = Path(minadder.__file__).parent

CALL = "from minadder.kernels.plain_tiles import hardtanh; print(hardtanh(3.0, 1.0))"
"""Calls a kernel that is compiled in 0.2 s; prints 1.0."""

NOTICE = "minadder: compiling plain_tiles.hardtanh"


def start(code: str, cache: Path, package: Path = PACKAGE, **environment: str) -> subprocess.Popen[str]:
    """Start a new process that runs code, and keeps its kernels under `cache`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    kept |= {"XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(package.parent), **environment}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-W", "error", "-c", code], env=kept, cwd=package.parent, **pipes)


def finish(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """Wait for a process, which must succeed, and return its output."""
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def run(code: str, cache: Path, package: Path = PACKAGE, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new process that keeps its kernels under `cache`; it must succeed."""
    return finish(start(code, cache, package, **environment))


def folders(cache: Path) -> list[Path]:
    """Return the folders of kernels under a cache folder of the user."""
    return sorted((cache / "minadder" / "kernels").glob("minadder-*"))
