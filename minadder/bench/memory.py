"""The memory that a training step takes at its peak, each network in a process of its own.

What is measured is the growth of the process's resident memory: the kernel's high-water mark (VmHWM) over some steps,
less what was resident (VmRSS) before them, when the libraries were loaded, the net and the images made, and a step with
two images had compiled or loaded what steps need. So batches, activations, their gradients and scratch memory count;
programs, weights and the optimiser's buffers do not. Where the high-water mark cannot be reset, the process's
highest ever (`ru_maxrss`) stands for it, which is the same unless start-up took more than the steps.

    python -m minadder.bench.memory lenet5-bn adder 256 2
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SEED = 0
STEPS = 3
MEGABYTE = 1e6


@dataclass
class Memory:
    """Bytes resident before the steps, and at their peak."""

    network: str
    kind: str
    batch: int
    before: int
    peak: int
    method: str

    @property
    def growth(self) -> int:
        """What the steps took at their peak."""
        return self.peak - self.before


def can_measure() -> bool:
    """Return whether this system tells a process's peak memory; of Windows that is not asked."""
    return sys.platform != "win32"


def status(field: str) -> int:
    """Return a field of /proc/self/status in bytes.

    Raises
    ------
    OSError
        Where there is no such file.
    """
    for line in Path("/proc/self/status").read_text("utf-8", "replace").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status holds no {field}")


def highest_ever() -> int:
    """Return the most bytes that were ever resident in this process.

    Raises
    ------
    OSError
        On Windows.
    """
    if sys.platform == "win32":
        raise OSError("Windows is not asked for a process's peak memory")
    import resource

    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found if sys.platform == "darwin" else found * 1024


def reset_high_water_mark() -> bool:
    """Let VmHWM start anew from what is resident now; False where the system does not allow it."""
    try:
        Path("/proc/self/clear_refs").write_text("5", "ascii")
    except OSError:
        return False
    return True


def measure_here(name: str, kind: str, batch: int) -> dict[str, Any]:
    """Take the steps in this process, and return bytes before, at the peak, and the method."""
    import minadder as ma
    from minadder.bench import steps, torch_layers, torch_twins

    network = steps.NETWORKS[name]
    dataset = steps.generated(network.image, batch, SEED)
    small = dataset.subset(2)
    if kind == steps.TORCH:
        torch_layers.torch.manual_seed(SEED)
        net = network.twin()
        torch_twins.Training(net, small, 2, steps.LEARNING_RATE)()
        training: Any = torch_twins.Training(net, dataset, batch, steps.LEARNING_RATE)
    else:
        ma.manual_seed(SEED)
        ours = network.make(kind)
        steps.Training(ours, small, 2, SEED)()
        training = steps.Training(ours, dataset, batch, SEED)
    can_reset = reset_high_water_mark()
    before = status("VmRSS") if can_reset else highest_ever()
    for _ in range(STEPS):
        training()
    return {
        "before": before,
        "peak": status("VmHWM") if can_reset else highest_ever(),
        "method": "VmHWM after a reset" if can_reset else "ru_maxrss, never reset",
    }


def measure(name: str, kind: str, batch: int, threads: int) -> Memory:
    """Return the memory of a network's steps, measured in a new process.

    Raises
    ------
    RuntimeError
        When the process fails; the message ends as its error output does.
    """
    command = [sys.executable, "-m", "minadder.bench.memory", name, kind, str(batch), str(threads)]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if result.returncode != 0:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"the memory of {name}, {kind}, batch {batch} could not be measured: {last}")
    return Memory(name, kind, batch, **json.loads(result.stdout.splitlines()[-1]))


def main(arguments: list[str]) -> None:
    """Measure what the command line names, and print it as JSON."""
    from minadder.bench import machine

    name, kind, batch, threads = arguments
    with machine.threads(int(threads)):
        print(json.dumps(measure_here(name, kind, int(batch))))


if __name__ == "__main__":
    main(sys.argv[1:])
