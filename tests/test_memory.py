"""Freed memory is kept for the next step: page faults, counted in new processes, and who may forbid it."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fresh_process
import pytest

from minadder import memory

SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")

only_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")

FAULTS = """
import resource
import minadder as ma
x = ma.tensor([0.5] * 750_000, requires_grad=True)  # 3 MB, which NumPy asks no huge pages for
def step():
    y = x
    for _ in range(12):
        y = y * 0.5
    y.sum().backward()
    x.grad = None
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


GIVEN_BACK = """
import resource
import numpy as np
from minadder import memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        np.arange(5_000_000)  # 40 MB, which glibc by itself never keeps
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
found = []
for setting in (memory.keep_freed, memory.give_back_freed, memory.keep_freed):
    setting()
    faults()
    found.append(faults())
print(*found)
"""


def faults(**settings: str) -> int:
    """Return how many pages a new process is given in four steps that allocate 18,000 each."""
    kept = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    result = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, env={**kept, **settings})
    assert result.returncode == 0, result.stderr
    return int(result.stdout)


@only_glibc
def test_steps_take_no_new_pages_from_the_system() -> None:
    assert faults() < 200


@only_glibc
def test_freed_memory_goes_back_to_the_system_until_it_is_kept_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    kept, given_back, kept_again = map(int, fresh_process.run(GIVEN_BACK, tmp_path).stdout.split())
    assert kept < given_back / 4 > kept_again


@only_glibc
@pytest.mark.parametrize(
    "settings",
    [
        {"MALLOC_TRIM_THRESHOLD_": "131072"},
        {"MALLOC_MMAP_THRESHOLD_": "131072"},
        {"GLIBC_TUNABLES": "glibc.malloc.check=0:glibc.malloc.mmap_threshold=131072"},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_settings_of_the_user_are_kept(settings: dict[str, str]) -> None:
    assert faults(**settings) > 5000


@only_glibc
def test_other_tunables_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.arena_max=4")
    assert memory.keep_freed()


def no_library(name: Any) -> Any:
    raise TypeError("argument of type 'NoneType' is not iterable")


@pytest.mark.parametrize(
    "library",
    [no_library, lambda name: SimpleNamespace(mallopt=None), lambda name: SimpleNamespace(gnu_get_libc_version=None)],
    ids=["Windows", "another C library", "no mallopt"],
)
def test_without_glibc_nothing_is_set(monkeypatch: pytest.MonkeyPatch, library: Any) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(ctypes, "CDLL", library)
    assert memory.keep_freed() is False


def test_both_settings_are_made_or_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, int]] = []
    answers = iter([1, 0])

    def mallopt(name: int, value: int) -> int:
        made.append((name, value))
        return next(answers)

    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=mallopt, gnu_get_libc_version=None))
    assert memory.keep_freed() is False
    assert made == [(-3, 2**31 - 1), (-1, 2**31 - 1)]
