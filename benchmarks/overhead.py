"""Where the time of a training step goes: LeNet-5-BN on batches of 256, and a two-layer net on 1,000 points.

    python benchmarks/overhead.py

A part's figure is the best of all steps, and so is that of the whole step. What is not spent in compiled functions is
Python and NumPy: the processor time of the thread that runs Python, so that a busy machine counts less.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from environment import description, write_table
from numba.core.dispatcher import Dispatcher

import minadder as ma
from minadder import data, models, nn, optim
from minadder.autograd import reachable
from minadder.evaluation import count_correct

SEED = 0
PARTS = ("loader", "zero_grad", "forward", "loss", "item", "backward", "optimizer", "accuracy")


class Kernels:
    """Adds up what compiled functions take of Python's thread; they are replaced by timed ones for a while."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Time them inside; everything must be compiled by then."""
        modules = [module for name, module in sys.modules.items() if name.startswith("minadder.kernels.")]
        places = [(m, name, f) for m in modules for name, f in vars(m).items() if isinstance(f, Dispatcher)]
        for module, name, function in places:
            setattr(module, name, self._wrapped(function))
        try:
            yield
        finally:
            for module, name, function in places:
                setattr(module, name, function)

    def _wrapped(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            begin = time.thread_time()
            result = function(*arguments)
            self.seconds += time.thread_time() - begin
            return result

        return call


class Steps:
    """A net in training on a data set, and the time that each part of each step takes."""

    def __init__(self, net: nn.Module, dataset: data.Dataset, batch_size: int) -> None:
        self.net = net
        self.optimizer = sgd(net)
        self.loss = nn.CrossEntropyLoss()
        self.loader = data.Loader(dataset, batch_size, shuffle=True, drop_last=True, seed=SEED)
        self.batches = iter(self.loader)
        self.seconds: dict[str, float] = {}
        self.nodes = 0

    def step(self) -> dict[str, float]:
        """Do a step and return the seconds of each part."""
        self.seconds = {}
        batch = self._timed("loader", next, self.batches, None)
        if batch is None:
            self.batches = iter(self.loader)
            batch = self._timed("loader", next, self.batches)
        inputs, labels = batch
        self._timed("zero_grad", self.optimizer.zero_grad)
        outputs = self._timed("forward", self.net, ma.Tensor(inputs))
        loss = self._timed("loss", self.loss, outputs, labels)
        self._timed("item", loss.item)
        self.nodes = len(tuple(reachable(loss._node)))
        self._timed("backward", loss.backward)
        self._timed("optimizer", self.optimizer.step)
        self._timed("accuracy", count_correct, outputs, labels)
        return self.seconds

    def _timed(self, part: str, function: Callable[..., Any], *arguments: Any) -> Any:
        begin = time.perf_counter()
        result = function(*arguments)
        self.seconds[part] = time.perf_counter() - begin
        return result


def sgd(net: nn.Module) -> optim.SGD:
    """Return the optimiser of the papers."""
    return optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, adder_lr=optim.AdaptiveLR(0.2))


def images(count: int) -> data.Dataset:
    """Return random images of LeNet's size with random labels: what they show does not matter to the time."""
    rng = np.random.default_rng(SEED)
    return data.Dataset(rng.random((count, 1, 32, 32), np.float32), rng.integers(0, 10, count), 10, "random")


def lines_of(title: str, steps: Steps, count: int) -> list[str]:
    """Measure a net; return its part of the table, in µs."""
    for _ in range(5):
        steps.step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    parts = [steps.step() for _ in range(count)]
    pages = (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / count
    whole = min(sum(part.values()) for part in parts)
    around = []
    kernels = Kernels()
    with kernels.timed():
        for _ in range(count):
            kernels.seconds = 0.0
            begin = time.thread_time()
            steps.step()
            around.append(time.thread_time() - begin - kernels.seconds)
    return [
        f"{title}: µs a step",
        *(f"  {name:<22}{1e6 * min(part[name] for part in parts):>8,.0f}" for name in PARTS),
        f"  {'whole step':<22}{1e6 * whole:>8,.0f}",
        f"  {'Python and NumPy':<22}{1e6 * min(around):>8,.0f}",
        f"  {steps.nodes} operations in the graph; {pages:.1f} pages a step given by the system",
        "",
    ]


def fit_lines(dataset: data.Dataset) -> list[str]:
    """Measure `ma.fit` where each step is an epoch."""
    net = two_layers()
    loader = data.Loader(dataset, len(dataset), shuffle=True, seed=SEED)
    begin = time.perf_counter()
    history = ma.fit(net, loader, epochs=10_000, optimizer=sgd(net), renew_batches=0, verbose=False)
    seconds = time.perf_counter() - begin
    best = min(entry["seconds"] for entry in history)
    return [
        "two layers on 1,000 points by ma.fit, 10,000 epochs of one step",
        f"  {seconds:.1f} s; the best epoch {1e6 * best:,.0f} µs",
    ]


def two_layers() -> nn.Module:
    """Return the net of the toy experiments."""
    ma.manual_seed(SEED)
    return models.mlp((2, 3, 2), "adder")


def lenet() -> nn.Module:
    """Return LeNet-5-BN of adder layers."""
    ma.manual_seed(SEED)
    return models.lenet5_bn("adder")


def main() -> None:
    """Measure and write the results file."""
    points = data.unit_ball(1000, seed=SEED)
    lines = [
        *lines_of("LeNet-5-BN, batches of 256", Steps(lenet(), images(10_000), 256), 200),
        *lines_of("two layers, 1,000 points", Steps(two_layers(), points, len(points)), 3000),
        *fit_lines(points),
    ]
    write_table("overhead.txt", description("python benchmarks/overhead.py", SEED), lines)


if __name__ == "__main__":
    main()
