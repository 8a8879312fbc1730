"""Tasks on all threads: each runs once, with its arguments, also when the machine code comes from the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fresh_process import folders, run
from hypothesis import given
from hypothesis import strategies as st
from numba.core import config

from minadder.autograd import Array
from minadder.jit import kernel
from minadder.kernels.tasks import call_tasks, on_threads


@kernel
def add_row(task: int, x: Array, columns: int, y: Array, one: float) -> None:
    """Add the sum of a row of x to an element of y: a task for the tests."""
    total = y[task]
    for j in range(columns):
        total += x[task, j] * one
    y[task] = total


add_rows = on_threads(add_row)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(rows=st.integers(0, 40), columns=st.integers(0, 5))
def test_each_task_runs_once(dtype: Any, rows: int, columns: int) -> None:
    x = np.arange(rows * columns, dtype=dtype).reshape(rows, columns)
    y = np.arange(rows, dtype=dtype)
    add_rows(rows, x, x.shape[1], y, x.dtype.type(1))
    np.testing.assert_array_equal(y, np.arange(rows) + x.sum(axis=1))


@pytest.mark.parametrize("setting", ["DISABLE_JIT", "BOUNDSCHECK"])
def test_without_the_compiler_or_with_checks_the_tasks_run_here(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.setattr(config, setting, 1)
    x, y = np.ones((3, 2)), np.zeros(3)
    on_threads(add_row)(3, x, x.shape[1], y, 1.0)  # 1.0 has no dtype: nothing is compiled for it
    assert y.tolist() == [2.0, 2.0, 2.0]


@pytest.mark.skipif(bool(config.DISABLE_JIT or config.BOUNDSCHECK), reason="the tasks run here")
def test_read_only_arguments_compile_nothing_more() -> None:
    x, y = np.ones((3, 2)), np.zeros(3)
    add_rows(3, x, x.shape[1], y, np.float64(1))
    before = len(call_tasks.signatures), len(add_row.signatures)  # type: ignore[attr-defined]
    x.flags.writeable = False
    add_rows(3, x, x.shape[1], y, np.float64(1))
    fresh = on_threads(add_row)
    fresh(3, x, x.shape[1], y, np.float64(1))
    assert y.tolist() == [6.0, 6.0, 6.0]
    assert (len(call_tasks.signatures), len(add_row.signatures)) == before  # type: ignore[attr-defined]


CALL = """
import numpy as np
from minadder.kernels.adder import cpu
x, w = np.ones((16, 8, 16, 16), np.float32), np.full((8, 8, 5, 5), 3, np.float32)
print(np.unique(cpu.forward(x, w, (1, 1), (0, 0), (1, 1), 1)).tolist())
"""
"""Runs a layer large enough for all threads; each window has 200 differences of 2."""


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled under NUMBA_DISABLE_JIT=1")
@pytest.mark.parametrize("lost", ["nothing", "windowed.forward_task", "tasks.call_tasks"])
def test_a_loop_from_the_cache_finds_the_task(tmp_path: Path, lost: str) -> None:
    """The loop and the task may have been compiled by different processes."""
    assert run(CALL, tmp_path).stdout == "[-400.0]\n"
    (folder,) = folders(tmp_path)
    deleted = list(folder.glob(f"{lost}-*"))
    for file in deleted:
        file.unlink()
    assert len(deleted) == (lost != "nothing")
    again = run(CALL, tmp_path)
    assert again.stdout == "[-400.0]\n"
    assert again.stderr.count("compiling") == len(deleted)
