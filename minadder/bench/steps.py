"""Whole training steps and epochs: LeNet-5-BN, ResNet-20, and the papers' toy experiment."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import minadder as ma
from minadder import data, models, nn, optim
from minadder.autograd import Array
from minadder.bench import torch_layers, torch_twins
from minadder.bench.timing import Effort, interleave

EPOCH_IMAGES = 60_000
LEARNING_RATE = 0.1
STEPS = Effort(rounds=8, seconds=0, runs=5)
"""40 steps, five at a time."""

FEW_STEPS = Effort(rounds=4, seconds=0, runs=2)
QUICK_STEPS = Effort(rounds=2, seconds=0, runs=2)
TOY_POINTS, TOY_ITERATIONS, TOY_PARTS = 1000, 10_000, 10

ADDER, CONV, TORCH = "adder", "conv", "torch conv"


@dataclass(frozen=True)
class Network:
    """A network to train: what it is called, the shape of its images, how it is made here and in PyTorch."""

    title: str
    image: tuple[int, int, int]
    make: Callable[[str], nn.Module]
    twin: Callable[[], Any]


LENET = Network("LeNet-5-BN", (1, 32, 32), models.lenet5_bn, torch_twins.lenet5_bn)
RESNET = Network("ResNet-20", (3, 32, 32), models.resnet20, torch_twins.resnet20)
NETWORKS = {"lenet5-bn": LENET, "resnet20": RESNET}


def endless(loader: data.Loader) -> Iterator[tuple[Array, Array]]:
    """Give a loader's batches for ever."""
    while True:
        yield from loader


class Training:
    """Steps of training by the papers' recipe, as a case to measure: a step a run, its batch gathered from the data."""

    def __init__(self, net: nn.Module, dataset: data.Dataset, batch: int, seed: int) -> None:
        self.net = net.train()
        self.batches = endless(data.Loader(dataset, batch, shuffle=True, seed=seed))
        self.optimizer = optim.SGD(
            net.parameters(),
            lr=LEARNING_RATE,
            momentum=0.9,
            nesterov=True,
            weight_decay=5e-4,
            adder_lr=optim.AdaptiveLR(0.2),
        )
        self.loss = nn.CrossEntropyLoss()

    def __call__(self) -> float:
        """Do a step, and return the loss."""
        inputs, labels = next(self.batches)
        self.optimizer.zero_grad()
        loss = self.loss(self.net(ma.Tensor(inputs)), labels)
        loss.backward()
        self.optimizer.step()
        return loss.item()


@dataclass
class Steps:
    """What was measured of a network's training steps: the seconds of each step in order, by who did it."""

    network: str
    batch: int
    data: str
    effort: Effort
    seconds: dict[str, list[float]]

    def step(self, case: str) -> float | None:
        """Return the seconds of a step in the best turn, None where it was not measured."""
        found, runs = self.seconds.get(case), self.effort.runs
        if not found:
            return None
        return min(sum(found[i : i + runs]) for i in range(0, len(found), runs)) / runs

    def epoch(self, case: str) -> float | None:
        """Return the seconds of an epoch of 60,000 images at that speed."""
        step = self.step(case)
        return None if step is None else step * EPOCH_IMAGES / self.batch

    def mean_epoch(self, case: str) -> float | None:
        """Return the same at the mean speed of all steps."""
        found = self.seconds.get(case)
        return None if not found else sum(found) / len(found) * EPOCH_IMAGES / self.batch


def generated(image: tuple[int, int, int], count: int, seed: int) -> data.Dataset:
    """Return images from N(0, 1) with labels at random."""
    rng = np.random.default_rng(seed)
    return data.Dataset(rng.standard_normal((count, *image), np.float32), rng.integers(0, 10, count), 10, "generated")


def whole_epoch(images: int, batch: int) -> Effort:
    """Return an effort of as many steps as an epoch has, five at a time."""
    return Effort(rounds=-(-images // (5 * batch)), seconds=0, runs=5)


def measure(network: Network, batch: int, dataset: data.Dataset, seed: int, effort: Effort) -> Steps:
    """Measure training steps of a network of adders, of its CNN twin, and of that in PyTorch, in turns.

    Raises
    ------
    RuntimeError
        When a loss is not finite at the end: what was measured was no training.
    """
    cases: dict[str, Callable[[], float]] = {}
    for kind in (ADDER, CONV):
        ma.manual_seed(seed)
        cases[kind] = Training(network.make(kind), dataset, batch, seed)
    if torch_layers.torch is not None:
        torch_layers.torch.manual_seed(seed)
        cases[TORCH] = torch_twins.Training(network.twin(), dataset, batch, LEARNING_RATE)
    seconds = interleave(cases, effort)
    for kind, case in cases.items():
        loss = case()
        if not math.isfinite(loss):
            raise RuntimeError(f"{network.title}, {kind}: the loss is {loss} after {len(seconds[kind])} steps")
    return Steps(network.title, batch, dataset.name, effort, seconds)


@dataclass
class Toy:
    """The seconds of the toy experiment's parts, and the accuracy that it reached on its points."""

    iterations: int
    parts: list[float]
    accuracy: float

    @property
    def seconds(self) -> float:
        """The seconds of all iterations."""
        return sum(self.parts)

    @property
    def best(self) -> float:
        """The seconds if each part had taken as long as the best one."""
        return len(self.parts) * min(self.parts)


def toy(seed: int, iterations: int = TOY_ITERATIONS, parts: int = TOY_PARTS) -> Toy:
    """Train two adder layers on the unit ball, full batch, and take the time.

    The points are those of Universal AdderNets, Sec. 5.3 (preprint 5.1), 1,000 of them. Two inputs, three hidden units,
    two outputs, batch norms; cosine from 0.1 to 0.
    """
    points = data.unit_ball(TOY_POINTS, seed)
    ma.manual_seed(seed)
    training = Training(models.mlp((2, 3, 2), "adder"), points, TOY_POINTS, seed)
    schedule = optim.Cosine()
    training()  # compiled
    each = iterations // parts
    seconds = []
    for part in range(parts):
        begin = time.perf_counter()
        for step in range(each):
            schedule.set_lr(training.optimizer, (part + step / each) / parts)
            training()
        seconds.append(time.perf_counter() - begin)
    _, accuracy = ma.evaluate(training.net, points)
    return Toy(each * parts, seconds, accuracy)
