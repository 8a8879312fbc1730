"""How speed changes with the batch, the channels and the threads."""

from __future__ import annotations

from dataclasses import dataclass

from minadder.bench import torch_layers
from minadder.bench.layers import arrays, our_cases
from minadder.bench.machine import most_threads, threads
from minadder.bench.shapes import Layer
from minadder.bench.timing import Case, Effort, best, interleave

BATCHES = (1, 4, 16, 64, 256)
CHANNELS = (4, 8, 16, 32, 64, 128)
QUICK_BATCHES, QUICK_CHANNELS = (1, 4), (4, 8)
FIXED_BATCH, FIXED_CHANNELS, SIDE = 64, 32, 16
"""What stays while the other changes: ResNet-20's second stage."""

CASES = ("adder forward", "adder forward+backward", "torch conv forward+backward")


@dataclass
class Scaled:
    """Seconds of each run of a layer, by case, with a number of threads."""

    varied: str
    layer: Layer
    threads: int
    seconds: dict[str, list[float]]

    def speed(self, case: str) -> float | None:
        """Return G elements a second, where a pass forward and backward takes three per pair; None if not measured."""
        if case not in self.seconds:
            return None
        passes = 3 if "backward" in case else 1
        return passes * self.layer.elements / best(self.seconds[case]) / 1e9


def stage(batch: int, channels: int) -> Layer:
    """Return a 3×3 layer of as many filters as channels."""
    return Layer("scaling", f"{batch}×{channels}", (batch, channels, SIDE, SIDE), (channels, channels, 3, 3), padding=1)


def measure(seed: int, effort: Effort, quick: bool = False, count: int | None = None) -> list[Scaled]:
    """Measure a 3×3 layer for several batches and several numbers of channels, with 1 thread and with all.

    Parameters
    ----------
    seed, effort
        Of the arrays' numbers; how long each case is measured.
    quick
        Whether two small sizes are enough.
    count
        What "all threads" means, by default as many as Numba started.
    """
    batches, channels = (QUICK_BATCHES, QUICK_CHANNELS) if quick else (BATCHES, CHANNELS)
    variations = [("batch", stage(batch, FIXED_CHANNELS)) for batch in batches]
    variations += [("channels", stage(4 if quick else FIXED_BATCH, number)) for number in channels]
    found = []
    for varied, layer in variations:
        inputs = arrays(layer, seed)
        cases: dict[str, Case] = {name: case for name, case in our_cases(layer, *inputs).items() if name in CASES}
        if torch_layers.torch is not None:
            cases[CASES[2]] = torch_layers.Pass(torch_layers.convolution, layer, inputs, True)
        for number in sorted({1, count or most_threads()}):
            with threads(number):
                found.append(Scaled(varied, layer, number, interleave(cases, effort)))
    return found


def efficiency(found: list[Scaled], one: Scaled, case: str) -> float | None:
    """Return the speed with all threads over that with one, divided by the threads; None without either."""
    all_threads = max(
        (entry for entry in found if (entry.varied, entry.layer) == (one.varied, one.layer)),
        key=lambda entry: entry.threads,
    )
    speeds = one.speed(case), all_threads.speed(case)
    if speeds[0] is None or speeds[1] is None:
        return None
    return speeds[1] / speeds[0] / all_threads.threads
