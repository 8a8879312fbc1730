"""The papers' MNIST experiment: LeNet-5-BN as AdderNet and as CNN, 50 epochs, from the command line.

    python benchmarks/mnist_lenet5.py [--layers adder conv] [--seed 0] [--epochs 50]

Leaves in benchmarks/results, for each layer, the log, the history, the learning curves and the first-layer filters.
The recipe (Chen et al. 2020, section 4.1): batch 256, Nesterov momentum 0.9, weight decay 5e-4, cosine from 0.1, images
of 32x32; for the adder net the adaptive learning rate with eta = 0.2. Both papers' figures are 99.40 %.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from environment import RESULTS, description, write_table


def run(layer: str, seed: int, epochs: int) -> None:
    """Train one network, and keep what it leaves."""
    name = f"mnist-lenet5-bn-{layer}-seed{seed}"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        arguments = ["train", "lenet5-bn", "--layer", layer, "--data", "mnist", "--epochs", str(epochs)]
        arguments += ["--seed", str(seed), "--out", str(out)]
        result = subprocess.run(
            [sys.executable, "-m", "minadder", *arguments], capture_output=True, text=True, check=False
        )
        if result.returncode != 0:
            raise SystemExit(result.stderr)
        RESULTS.mkdir(exist_ok=True)
        for file in ("history.json", "curves.png", "filters.png"):
            shutil.copy(out / file, RESULTS / f"{name}-{file}")
        epochs_done = json.loads((out / "history.json").read_text())
    seconds = sorted(epoch["seconds"] for epoch in epochs_done)
    summary = [
        f"test accuracy after {epochs} epochs: {100 * epochs_done[-1]['test_accuracy']:.2f} % (papers: 99.40 %)",
        f"best of all epochs: {100 * max(epoch['test_accuracy'] for epoch in epochs_done):.2f} %",
        f"seconds an epoch (training and test): median {seconds[len(seconds) // 2]:.1f}, best {seconds[0]:.1f}",
    ]
    log = [line for line in (result.stdout + result.stderr).replace(str(out), f"runs/{name}").splitlines() if line]
    command = "minadder " + " ".join(arguments[:-1]) + f" runs/{name}"
    write_table(f"{name}.txt", description(command, seed), [*summary, "", *log])


def main() -> None:
    """Run the networks that the command line names."""
    parser = argparse.ArgumentParser(description="LeNet-5-BN on MNIST, AdderNet and CNN")
    parser.add_argument("--layers", nargs="+", default=["adder", "conv"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=50)
    options = parser.parse_args()
    for layer in options.layers:
        run(layer, options.seed, options.epochs)


if __name__ == "__main__":
    main()
