"""How long a start takes: the import, and the first training step with compiled kernels in the cache and without.

    python benchmarks/startup.py

Each figure is the best of several new processes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

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


def best(program: str, repeats: int, **environment: str) -> float:
    """Return the fewest seconds that a program prints."""
    seconds = []
    for _ in range(repeats):
        result = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, **environment},
        )
        seconds.append(float(result.stdout))
    return min(seconds)


def main() -> None:
    """Measure and write the results file."""
    with tempfile.TemporaryDirectory() as folder:
        cold = best(STEP, 1, XDG_CACHE_HOME=folder)
        lines = [
            f"import minadder beyond import numba: {best(IMPORT, 5):.2f} s",
            f"first training step of LeNet-5-BN, kernels in the cache: {best(STEP, 5, XDG_CACHE_HOME=folder):.2f} s",
            f"first training step of LeNet-5-BN, empty cache: {cold:.1f} s",
        ]
    write_table("startup.txt", description("python benchmarks/startup.py"), lines)


if __name__ == "__main__":
    main()
