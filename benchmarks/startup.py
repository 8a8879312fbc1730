"""How long a start takes: the import, the first training step with compiled kernels in the cache and without, a warmup.

    python benchmarks/startup.py

Each figure is the best of several new processes, but those that begin with an empty cache: these are of one process.
The bars: at most 0.3 s for the import, 1.5 s for the first step from a warm cache, 20 s from an empty one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from environment import description, write_table

IMPORT = """
import time
import numba
begin = time.perf_counter()
import minadder
print(time.perf_counter() - begin)
"""

STEP = """
import time
import numpy as np
import minadder as ma
from minadder import models, nn, optim
net = models.lenet5_bn("adder")
optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, adder_lr=optim.AdaptiveLR(0.2))
begin = time.perf_counter()
nn.CrossEntropyLoss()(net(np.zeros((256, 1, 32, 32), np.float32)), np.zeros(256, int)).backward()
optimizer.step()
print(time.perf_counter() - begin)
"""


def process(arguments: list[str], folder: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a new process with its kernels under a folder."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "XDG_CACHE_HOME": folder},
    )


def printed(program: str, folder: str) -> float:
    """Return the seconds that a program prints."""
    return float(process(["-c", program], folder).stdout)


def warmup(folder: str) -> float:
    """Return the seconds that `minadder warmup` takes, the start of Python included."""
    begin = time.perf_counter()
    process(["-m", "minadder", "warmup"], folder)
    return time.perf_counter() - begin


def best(measure: Callable[..., float], *arguments: str) -> float:
    """Return the fewest seconds of five measurements."""
    return min(measure(*arguments) for _ in range(5))


def main() -> None:
    """Measure and write the results file."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        cold = printed(STEP, one)
        cold_warmup = warmup(other)
        lines = [
            f"import minadder beyond import numba: {best(printed, IMPORT, one):.2f} s (bar: 0.3 s)",
            f"first training step of LeNet-5-BN, kernels in the cache: {best(printed, STEP, one):.2f} s (bar: 1.5 s)",
            f"first training step of LeNet-5-BN, empty cache: {cold:.1f} s (bar: 20 s)",
            f"minadder warmup, empty cache: {cold_warmup:.1f} s",
            f"minadder warmup, kernels in the cache: {best(warmup, other):.1f} s",
        ]
    write_table("startup.txt", description("python benchmarks/startup.py"), lines)


if __name__ == "__main__":
    main()
