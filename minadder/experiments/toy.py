"""The toy experiments of Universal AdderNets, Sec. 5.3 (preprint 5.1): points in the plane, small nets of two layers.

The paper gives Nesterov momentum 0.9, weight decay 5e-4, 10,000 iterations, cosine from 0.1, sigmoid and cross-entropy.
`Recipe.assumed` names what it leaves open. By its recipe the points enter the nets as they are drawn.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

import minadder as ma
from minadder import data, models, nn
from minadder.autograd import Array
from minadder.experiments import side_by_side
from minadder.resume import is_number

SOLVED = 0.99
"""The accuracy from which on a net is said to solve its task."""

POINTS, ITERATIONS = 1000, 10_000

TOGETHER = 10
"""How many nets are trained as one; beyond, Python's share of the time is small already."""


@dataclass(frozen=True)
class Said:
    """What the paper says of one net: its words, and the accuracies, from least to below most, that agree with them."""

    words: str
    least: float = 0.0
    below: float = math.inf

    def agrees(self, accuracy: float) -> bool:
        """Return whether an accuracy agrees with the words."""
        return self.least <= accuracy < self.below


FAILS = Said("fails", below=SOLVED)
MISTAKES = Said("some mistakes", below=SOLVED)
MOST = Said("most right", least=0.95)
SOLVES = Said("right", least=SOLVED)


@dataclass(frozen=True)
class Task:
    """A task: its points, the numbers of hidden units that the paper tries, and what it says of each net."""

    name: str
    title: str
    points: Callable[[int, int], data.Dataset]
    hidden: tuple[int, ...]
    said: dict[tuple[str, int], Said]


TASKS = {
    task.name: task
    for task in (
        Task(
            "ball",
            "unit ball (Universal AdderNets, Fig. 4; preprint 2)",
            data.unit_ball,
            (1, 2, 3),
            {
                **{("conv", 1): FAILS, ("conv", 2): FAILS, ("conv", 3): SOLVES},
                **{("adder", n): SOLVES for n in (1, 2, 3)},
            },
        ),
        Task(
            "two-balls",
            "two balls (Universal AdderNets, Fig. 5; preprint 3)",
            data.two_balls,
            (3, 5, 10),
            {
                **{("conv", 3): MISTAKES, ("conv", 5): MISTAKES, ("conv", 10): MOST},
                **{("adder", 3): MOST, ("adder", 5): SOLVES, ("adder", 10): SOLVES},
            },
        ),
        Task(
            "xor",
            "XOR (Universal AdderNets, Fig. 6; preprint 4)",
            data.xor,
            (1, 2, 3),
            {(kind, n): SOLVES if n == 3 else FAILS for kind in ("conv", "adder") for n in (1, 2, 3)},
        ),
    )
}
"""The tasks by name."""


@dataclass(frozen=True)
class Recipe:
    """How a net is trained: full batch, Nesterov momentum 0.9, cosine from `lr` to 0, sigmoid and cross-entropy."""

    text: str
    lr: float = 0.1
    eta: float = 0.2
    weight_decay: float = 5e-4
    starts: int = 1
    """How many nets are trained; the one of the lowest loss is what the job gives."""
    scale: float = 1.0
    """What the points are divided by before they enter a net; 1 leaves them as they are, as the paper does."""

    @property
    def settings(self) -> dict[str, float]:
        """The numbers that decide what comes of a training."""
        return {name: value for name, value in asdict(self).items() if name != "text"}

    def assumed(self, points: int) -> str:
        """Return a sentence on what the paper leaves open, and how it is here."""
        drawn = "as they are drawn" if self.scale == 1 else f"divided by {self.scale:g}, which the paper does not do"
        return (
            f"The paper leaves open, and here it is: {points} points, {drawn}; all of them in each iteration (full "
            f"batch); η = {self.eta:g} for adder filters, which start from N(0, 1); scale and bias of adder layers by "
            'batch norm; the points\' "variance" of 10 or 15 as standard deviation.'
        )


RECIPES = {
    "papers": Recipe("the papers' recipe"),
    "best-of-10": Recipe(
        "best loss of ten starts; points / 10, lr 0.3, η = 1, no decay",
        lr=0.3,
        eta=1.0,
        weight_decay=0.0,
        starts=10,
        scale=10.0,
    ),
}
"""The recipes by name; the first is the papers'. The other is not: in a trial of it with the points as they are, three
adder units solved XOR from nine of ten seeds in place of ten."""


@dataclass(frozen=True)
class Job:
    """One net to train. All that its result depends on, but the library, stands here."""

    task: str
    kind: str
    hidden: int
    seed: int
    recipe: str = "papers"
    iterations: int = ITERATIONS
    points: int = POINTS

    @property
    def name(self) -> str:
        """Return a name for files."""
        return f"{self.kind}-n{self.hidden}-seed{self.seed}"


@dataclass
class Result:
    """What came of a job: accuracy on the points of the training and on fresh ones, the loss, seconds, and the net."""

    job: Job
    accuracy: float
    fresh_accuracy: float
    loss: float
    seconds: float
    state: dict[str, Any]

    @property
    def solved(self) -> bool:
        """Return whether the net solves its task, on the points of the training as in the paper's pictures."""
        return self.accuracy >= SOLVED

    def net(self) -> nn.Module:
        """Return the trained net, in evaluation mode, from points (N, 2), scaled, to logits (N, 1)."""
        net = build(self.job)
        like = net.state_dict()
        net.load_state_dict({name: np.array(self.state[name], like[name].dtype) for name in like})
        return net.eval()

    def to_json(self) -> str:
        """Return the result, and what its recipe's name stands for, as JSON text; the weights' digits are all kept."""
        return json.dumps({**asdict(self), "recipe": RECIPES[self.job.recipe].settings}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Result:
        """Return the result that `to_json` wrote; ValueError for anything else, and where its recipe was another."""
        try:
            content = json.loads(text)
            recipe = content.pop("recipe")
            result = cls(**{**content, "job": Job(**content["job"])})
            now = RECIPES[result.job.recipe].settings
            result.net()
            if not all(is_number(share, 0, 1) for share in (result.accuracy, result.fresh_accuracy)):
                raise ValueError("its accuracies are no shares")
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(f"no result of a toy experiment ({error!r})") from None
        if recipe != now:
            name = result.job.recipe
            raise ValueError(f"no result of a toy experiment by the recipe {name!r}, {now}, but by {recipe}")
        return result


def jobs(task: str, seeds: int, recipe: str = "papers", kinds: tuple[str, ...] = ("conv", "adder")) -> list[Job]:
    """Return the jobs of a task: each kind of layer, each number of hidden units, seeds from 0."""
    return [Job(task, kind, n, seed, recipe) for kind in kinds for n in TASKS[task].hidden for seed in range(seeds)]


def together(jobs: Sequence[Job]) -> list[list[Job]]:
    """Return the jobs in lists of at most `TOGETHER` that differ in their seed alone, for `train_together`."""
    alike: dict[Job, list[Job]] = {}
    for job in jobs:
        alike.setdefault(replace(job, seed=0), []).append(job)
    return [same[i : i + TOGETHER] for same in alike.values() for i in range(0, len(same), TOGETHER)]


def build(job: Job) -> nn.Sequential:
    """Return a new net of one hidden layer and one logit; the library's random generator draws its weights."""
    return models.mlp((2, job.hidden, 1), job.kind)


def training_points(job: Job) -> tuple[Array, Array]:
    """Return the points (N, 2), scaled, and the labels (N, 1) as 0.0 and 1.0, both float32."""
    points = TASKS[job.task].points(job.points, job.seed)
    return scaled(points.inputs, job), points.labels.astype(np.float32).reshape(-1, 1)


def scaled(points: Array, job: Job) -> Array:
    """Return points (N, 2) as the nets of a job's recipe see them; by the papers' recipe they are the same."""
    return points / np.float32(RECIPES[job.recipe].scale)


def fresh_points(job: Job) -> data.Dataset:
    """Return as many points again that no training has seen: those of a seed that no job has."""
    return TASKS[job.task].points(job.points, 2**32 - 1 - job.seed)


def train(job: Job) -> Result:
    """Train one net of a toy experiment.

    Parameters
    ----------
    job
        Which task, net, seed and recipe. The seed decides the points and the first weights; the same job gives the
        same numbers.

    Raises
    ------
    KeyError
        For a task or a recipe that does not exist.
    RuntimeError
        When the loss becomes NaN or Inf.

    Examples
    --------
    >>> from minadder.experiments import toy
    >>> result = toy.train(toy.Job("ball", "adder", hidden=1, seed=0, iterations=20, points=100))
    >>> 0 <= result.accuracy <= 1
    True
    """
    return train_together([job])[0]


def train_together(jobs: Sequence[Job]) -> list[Result]:
    """Train nets of jobs that differ in their seed alone, side by side in far less time; each gets its bits of `train`.

    Raises
    ------
    ValueError
        When the jobs differ in more than the seed.
    KeyError, RuntimeError
        As `train`.
    """
    begin = time.perf_counter()
    if len({replace(job, seed=0) for job in jobs}) != 1:
        raise ValueError(f"jobs that are trained together must differ in the seed alone, not {list(jobs)}")
    starts = RECIPES[jobs[0].recipe].starts
    nets = [net for job in jobs for net in first_nets(job, starts)]
    training = descent([job for job in jobs for _ in range(starts)], nets)
    training.go_on(jobs[0].iterations)
    side_by_side.parted(training.net, nets)
    losses = np.nan_to_num(training.losses(), nan=np.inf).reshape(len(jobs), starts)
    best = [number * starts + place for number, place in enumerate(losses.argmin(axis=1))]
    seconds = round((time.perf_counter() - begin) / len(jobs), 2)
    return [measured(job, nets[i], float(losses.flat[i]), seconds) for job, i in zip(jobs, best, strict=True)]


def first_nets(job: Job, starts: int) -> list[nn.Sequential]:
    """Return so many new nets, as the job's seed makes them."""
    ma.manual_seed(job.seed)
    return [build(job) for _ in range(starts)]


def descent(jobs: Sequence[Job], nets: Sequence[nn.Sequential]) -> side_by_side.Descent:
    """Return the training of nets by the recipe of their jobs."""
    recipe = RECIPES[jobs[0].recipe]
    points, labels = zip(*map(training_points, jobs), strict=True)
    return side_by_side.Descent(
        nets, jobs[0].kind, points, labels, jobs[0].iterations, recipe.lr, recipe.eta, recipe.weight_decay
    )


def measured(job: Job, net: nn.Sequential, loss: float, seconds: float) -> Result:
    """Return what came of a job, from its trained net; RuntimeError when its loss is not finite."""
    if not math.isfinite(loss):
        raise RuntimeError(
            f"the loss of {job.name} is {loss} after {job.iterations} iterations: try a lower learning rate"
        )
    net.eval()
    fresh = fresh_points(job)
    state = {name: array.tolist() for name, array in net.state_dict().items()}
    return Result(
        job,
        accuracy(net, *training_points(job)),
        accuracy(net, scaled(fresh.inputs, job), fresh.labels.reshape(-1, 1)),
        loss,
        seconds,
        state,
    )


def logits(net: nn.Module, points: Array) -> Array:
    """Return the logits (N,) of points (N, 2), which are scaled already."""
    with ma.no_grad():
        return np.array(net(ma.Tensor(points)).numpy()[:, 0])


def accuracy(net: nn.Module, points: Array, labels: Array) -> float:
    """Return the share of labels (N, 1) that the net's logits are on the right side of 0 for."""
    return float(np.mean((logits(net, points) > 0) == (labels[:, 0] > 0.5)))


def reach(points: Array) -> float:
    """Return how far a picture goes from 0 in both axes to show all but the farthest hundredth of the points."""
    return float(np.ceil(np.quantile(np.abs(points).max(axis=1), 0.99)))


def field(result: Result, reach: float, side: int = 201) -> Array:
    """Return a net's logits on a square grid (side, side) from −reach to reach; rows run from the lowest y."""
    line = scaled(np.linspace(-reach, reach, side, dtype=np.float32), result.job)
    x, y = np.meshgrid(line, line)
    return logits(result.net(), np.stack([x.ravel(), y.ravel()], axis=1)).reshape(side, side)
