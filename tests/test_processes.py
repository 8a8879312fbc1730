"""Kernels in forked processes and in several threads of Python: the same bits, and no process that hangs or dies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fresh_process import PACKAGE
from numba.core import config

pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT or config.BOUNDSCHECK), reason="kernels run on one thread then")

STEP = """
import hashlib, os, sys, threading
import numpy as np
import minadder as ma
from minadder import models, nn, optim

def step(number):
    net = models.lenet5_bn(layer="conv" if number % 2 else "adder")
    rng = np.random.default_rng(number)
    for parameter in net.parameters():
        parameter.data = rng.standard_normal(parameter.shape).astype(np.float32)
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9, adder_lr=optim.AdaptiveLR())
    x, y = rng.standard_normal((64, 1, 32, 32)).astype(np.float32), rng.integers(0, 10, 64)
    nn.CrossEntropyLoss()(net(x), y).backward()
    optimizer.step()
    return hashlib.sha256(b"".join(array.tobytes() for array in net.state_dict().values())).hexdigest()

wanted = [step(number) for number in range(4)] if __name__ == "__main__" else None
"""
"""A step of training large enough for all threads, and its bits as this process computes them."""

FORKED = """
import multiprocessing
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map(step, range(4)) == wanted
child = os.fork()
if child == 0:
    os._exit(0 if step(0) == wanted[0] else 3)
assert os.waitpid(child, 0)[1] == 0
"""

THREADS = """
found = {}
def work(number):
    found[number] = [step(number) for _ in range(3)]
threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert all(found[number] == [wanted[number]] * 3 for number in range(4)), found
"""

SPAWNED = """
import multiprocessing
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(step, range(4)) == wanted
"""

JOBLIB = """
import joblib
assert joblib.Parallel(n_jobs=2)(joblib.delayed(step)(number) for number in range(4)) == wanted
assert joblib.Parallel(n_jobs=2, prefer="threads")(joblib.delayed(step)(number) for number in range(4)) == wanted
"""

FORKED_FIRST = """
child = os.fork()  # before any kernel has run: this child may have threads of its own
if child == 0:
    from minadder.kernels import tasks
    step(0)
    os._exit(0 if tasks._Threads.started else 3)
assert os.waitpid(child, 0)[1] == 0
"""


def run(program: str, folder: Path, *options: str, **environment: str) -> None:
    """Run a program as a file in a new process of two threads, which must end well."""
    file = folder / "program.py"
    file.write_text(program, encoding="utf-8")
    given = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "NUMBA_NUM_THREADS": "2", **environment}
    result = subprocess.run(
        [sys.executable, *options, str(file)], env=given, capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
@pytest.mark.parametrize("case", ["forked", "threads"])
def test_a_step_of_training_beside_others(case: str, layer: str, tmp_path: Path) -> None:
    program = {"forked": FORKED, "threads": THREADS}[case]
    run(STEP + program, tmp_path, NUMBA_THREADING_LAYER=layer)


@pytest.mark.parametrize("program", [SPAWNED, JOBLIB], ids=["spawned", "joblib"])
def test_a_step_of_training_in_workers(program: str, tmp_path: Path) -> None:
    run(STEP + program, tmp_path)


def test_a_process_that_was_forked_before_the_first_kernel_has_threads(tmp_path: Path) -> None:
    run(STEP.partition("wanted = ")[0] + FORKED_FIRST, tmp_path)
