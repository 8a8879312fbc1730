"""ResNet-18 and ResNet-50 on images of 224×224: time and memory of going forward and backward.

    python benchmarks/imagenet_step.py [--batch 2]

Each network runs in a process of its own. Memory is what the process takes at its peak beyond its libraries, the
weights and the images: activations, gradients and scratch memory.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import time
from typing import Any

import numpy as np
from environment import description, write_table

import minadder as ma
from minadder import models, nn
from minadder.bench import memory
from minadder.memory import give_back_freed, keep_freed

SEED = 0
REPEATS = 5
NETWORKS = ("resnet18", "resnet50")
LAYERS = ("adder", "conv")


def step(net: nn.Module, images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Go forward and backward once, and return the seconds of each."""
    begin = time.perf_counter()
    loss = nn.CrossEntropyLoss()(net(images), labels)
    forward = time.perf_counter()
    net.zero_grad()
    loss.backward()
    return forward - begin, time.perf_counter() - forward


def measure(job: tuple[str, str, int]) -> tuple[float, float, int]:
    """Return the shortest seconds forward and backward, and the bytes at the peak, of a network with a batch."""
    name, layer, batch = job
    ma.manual_seed(SEED)
    net = models.build(name, layer)
    images = np.random.default_rng(SEED).standard_normal((batch, 3, 224, 224)).astype(np.float32)
    labels = np.arange(batch) % 1000
    step(net, images[:, :, :64, :64], labels)  # compiles what is not compiled yet
    net.zero_grad()
    gc.collect()
    give_back_freed()  # what that step took would else stay with the process, and not be counted again
    keep_freed()
    can_reset = memory.reset_high_water_mark()
    before = memory.status("VmRSS") if can_reset else memory.highest_ever()
    times = [step(net, images, labels) for _ in range(REPEATS)]
    peak = memory.status("VmHWM") if can_reset else memory.highest_ever()
    forward, backward = min(times, key=sum)
    return forward, backward, peak - before


def main() -> None:
    """Measure both networks as adder net and as CNN, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=2, help="images at once (default: %(default)s)")
    batch = parser.parse_args().batch
    lines = [
        f"One step on images of 3×224×224, batch {batch}, in training mode; the fastest of {REPEATS}",
        "",
        f"{'network':10}{'layers':8}{'forward s':>11}{'backward s':>12}{'images/s':>10}{'memory MB':>11}",
    ]
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        jobs = [(name, layer, batch) for name in NETWORKS for layer in LAYERS]
        for (name, layer, _), (forward, backward, grown) in zip(jobs, pool.imap(measure, jobs), strict=True):
            speed = batch / (forward + backward)
            lines.append(f"{name:10}{layer:8}{forward:11.3f}{backward:12.3f}{speed:10.2f}{grown / 1e6:11.0f}")
    write_table("imagenet_step.txt", description("python benchmarks/imagenet_step.py", SEED), lines)


if __name__ == "__main__":
    main()
