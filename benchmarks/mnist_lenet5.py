"""The papers' MNIST experiment: LeNet-5-BN as AdderNet and as CNN, 50 epochs, from the command line.

    python benchmarks/mnist_lenet5.py [--layers adder conv] [--seeds 0 1 2 3 4] [--epochs 50]

Leaves in benchmarks/results, for each layer and seed, the log and the history, for seed 0 also the learning curves and
the first-layer filters, and over all seeds of a layer the mean and the standard deviation.
The recipe (Chen et al. 2020, Sec. 4.1): batch 256, Nesterov momentum 0.9, weight decay 5e-4, cosine from 0.1, images
of 32x32; for the adder net the adaptive learning rate with eta = 0.2. Both papers' figures are 99.40 %.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from environment import RESULTS, description, write_table


def run(layer: str, seed: int, epochs: int) -> tuple[float, float]:
    """Train one network, keep what it leaves, and return its test accuracy in percent and the seconds it took."""
    name = f"mnist-lenet5-bn-{layer}-seed{seed}"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        arguments = [
            "train",
            "lenet5-bn",
            "--layer",
            layer,
            "--data",
            "mnist",
            "--epochs",
            str(epochs),
            "--renew-batches",
            "0",
        ]
        arguments += ["--seed", str(seed), "--out", str(out)]
        begin = time.perf_counter()
        result = subprocess.run(
            [sys.executable, "-m", "minadder", *arguments], capture_output=True, text=True, check=False
        )
        duration = time.perf_counter() - begin
        if result.returncode != 0:
            raise SystemExit(result.stderr)
        RESULTS.mkdir(exist_ok=True)
        for file in ("history.json", "curves.png", "filters.png") if seed == 0 else ("history.json",):
            shutil.copy(out / file, RESULTS / f"{name}-{file}")
        epochs_done = json.loads((out / "history.json").read_text())
    seconds = sorted(epoch["seconds"] for epoch in epochs_done)
    summary = [
        f"test accuracy after {epochs} epochs: {100 * epochs_done[-1]['test_accuracy']:.2f} % (papers: 99.40 %)",
        f"best of all epochs: {100 * max(epoch['test_accuracy'] for epoch in epochs_done):.2f} %",
        f"seconds an epoch (training and test): median {seconds[len(seconds) // 2]:.1f}, best {seconds[0]:.1f}",
        f"seconds for the command: {duration:.0f}",
    ]
    log = [line for line in (result.stdout + result.stderr).replace(str(out), f"runs/{name}").splitlines() if line]
    command = "minadder " + " ".join(arguments[:-1]) + f" runs/{name}"
    write_table(f"{name}.txt", description(command, seed), [*summary, "", *log])
    return 100 * epochs_done[-1]["test_accuracy"], duration


def write_summary(layer: str, epochs: int, results: dict[int, tuple[float, float]]) -> None:
    """Write the accuracies of all seeds, their mean and their standard deviation."""
    accuracies = [accuracy for accuracy, _ in results.values()]
    lines = [f"seed {seed}: {accuracy:.2f} %, {seconds:.0f} s" for seed, (accuracy, seconds) in results.items()]
    deviation = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
    lines.append(
        f"mean of {len(accuracies)} seeds after {epochs} epochs: {statistics.mean(accuracies):.3f} ± {deviation:.3f} % "
        f"(standard deviation of a run); papers: 99.40 %, one run"
    )
    seeds = " ".join(map(str, results))
    command = f"python benchmarks/mnist_lenet5.py --layers {layer} --seeds {seeds} --epochs {epochs}"
    write_table(f"mnist-lenet5-bn-{layer}.txt", description(command), lines)


def main() -> None:
    """Run the networks that the command line names."""
    parser = argparse.ArgumentParser(description="LeNet-5-BN on MNIST, AdderNet and CNN")
    parser.add_argument("--layers", nargs="+", default=["adder", "conv"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=50)
    options = parser.parse_args()
    for layer in options.layers:
        results = {}
        for seed in options.seeds:
            results[seed] = run(layer, seed, options.epochs)
            write_summary(layer, options.epochs, results)


if __name__ == "__main__":
    main()
