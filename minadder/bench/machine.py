"""What a result must say of the machine, how many threads all parts use, and the rates of its memory and its BLAS."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Any

import numba
import numpy as np

from minadder.autograd import Array
from minadder.bench.torch_layers import torch
from minadder.jit import kernel
from minadder.provenance import provenance

MATRIX = 1024
"""The side of the square matrices whose product is the machine's matrix-product rate."""

BANDWIDTH_NUMBERS = 1 << 24
"""Floats in each of three arrays, 64 MiB: more than most caches hold."""

PACKAGES = ("numpy", "numba", "llvmlite", "torch")


def blas() -> str:
    """Return the libraries that multiply NumPy's matrices, and for which processor their kernels are."""
    from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

    infos = [info for info in threadpool_info() if info["user_api"] == "blas"]
    words = (f"{info['internal_api']} {info['version']} ({info.get('architecture', 'one kind')})" for info in infos)
    return ", ".join(sorted(set(words))) or "unknown"


def facts(command: str, seed: int) -> dict[str, Any]:
    """Return the command, the date, the versions, the CPU, the threads and the seed. No names of hosts or folders."""
    found: dict[str, Any] = {**provenance(command, seed, PACKAGES)}
    if torch is None:
        found["torch"] = "no PyTorch"
    found["blas"] = blas()
    found["threads"] = numba.get_num_threads()
    found["OMP_WAIT_POLICY"] = os.environ.get("OMP_WAIT_POLICY", "not set")
    if hasattr(os, "getloadavg"):  # Windows counts none
        found["load"] = f"{os.getloadavg()[0]:.2f} processes were waiting for {os.cpu_count()} cores in the last minute"
    return found


def most_threads() -> int:
    """Return how many threads Numba started."""
    return int(numba.config.NUMBA_NUM_THREADS)


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Let Numba, NumPy's BLAS and PyTorch use so many threads, inside a with statement.

    Raises
    ------
    ValueError
        For fewer than one, or more than Numba started.
    """
    if not 1 <= count <= most_threads():
        raise ValueError(f"threads must be 1 to {most_threads()} (NUMBA_NUM_THREADS), not {count}")
    from threadpoolctl import threadpool_limits

    before = numba.get_num_threads(), torch.get_num_threads() if torch else 0
    numba.set_num_threads(count)
    if torch:
        torch.set_num_threads(count)
    try:
        with threadpool_limits(count, user_api="blas"):
            yield
    finally:
        numba.set_num_threads(before[0])
        if torch:
            torch.set_num_threads(before[1])


@kernel(parallel=True)
def triad(x: Array, y: Array, z: Array) -> None:
    """Write x + y to z."""
    for i in numba.prange(x.size):
        z[i] = x[i] + y[i]


def bandwidth(rounds: int = 8, size: int = BANDWIDTH_NUMBERS) -> float:
    """Return G bytes a second of memory, where two arrays are read and a third is written."""
    x, y, z = (np.ones(size, np.float32) for _ in range(3))
    triad(x, y, z)
    seconds = []
    for _ in range(rounds):
        begin = time.perf_counter()
        triad(x, y, z)
        seconds.append(time.perf_counter() - begin)
    return 3 * x.nbytes / min(seconds) / 1e9


class MatrixProduct:
    """A product of two square matrices in NumPy, as a case to measure."""

    def __init__(self, side: int = MATRIX) -> None:
        self.x, self.y = (np.ones((side, side), np.float32) for _ in range(2))
        self.z = np.empty_like(self.x)

    def __call__(self) -> None:
        """Multiply."""
        np.matmul(self.x, self.y, out=self.z)

    @property
    def terms(self) -> int:
        """How many products of two numbers it takes."""
        return len(self.x) ** 3
