"""A training under way, as callbacks see it, what its history says, and how callbacks are told."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypedDict

from minadder import streams
from minadder.data import Loader
from minadder.nn import Module
from minadder.optim.optimizer import Optimizer


class Epoch(TypedDict):
    """What the history says of one epoch. Accuracies lie in [0, 1]; the test values are None without test data.

    The share of test examples whose label is among the five largest logits, `test_top5_accuracy`, is told where there
    are many classes (see `minadder.evaluation`), and None elsewhere.
    """

    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    test_loss: float | None
    test_accuracy: float | None
    test_top5_accuracy: float | None
    seconds: float


@dataclass
class Run:
    """A training under way, as callbacks see it."""

    net: Module
    optimizer: Optimizer
    epochs: int
    steps_per_epoch: int
    settings: dict[str, Any]
    history: list[Epoch] = field(default_factory=list)
    epoch: int = 0
    """The epoch under way, counted from 0."""
    step: int = 0
    """The steps done in it."""
    loss: float = math.nan
    """The mean training loss of the epoch so far."""
    accuracy: float = math.nan
    """The training accuracy of the epoch so far."""
    train: Loader | None = None
    """The training data."""
    test: Loader | None = None
    """The test data, None without."""
    stopped: str | None = None
    """Why the training ends after the epoch under way, None while it does not."""
    begin: float = 0.0
    """When the epoch under way began, by `time.perf_counter`."""

    def stop(self, why: str = "stopped by a callback") -> None:
        """End the training after the epoch under way, which is evaluated and recorded as any other."""
        self.stopped = why


class Callback:
    """Is told how a training goes. A subclass writes those of the methods that it needs."""

    def on_train_begin(self, run: Run) -> None:
        """Called before the first step; `run.history` holds the epochs of an earlier process.

        What the callback will need later is best tried here: an error ends the training before it has cost anything.
        """

    def on_step_end(self, run: Run) -> None:
        """Called after each step."""

    def on_epoch_end(self, run: Run) -> None:
        """Called after each epoch; its entry is the last of `run.history`."""

    def on_train_end(self, run: Run) -> None:
        """Called at the end, also when an error or Ctrl-C ends the training, if `on_train_begin` had no error."""


@contextmanager
def told(callbacks: Sequence[Callback], run: Run) -> Iterator[None]:
    """Tell callbacks of the beginning, and of the end, whatever comes between, all that have begun.

    Of several errors the first is raised: one at the end does not hide the one that ended the training.
    """
    begun: list[Callback] = []
    try:
        for callback in callbacks:
            callback.on_train_begin(run)
            begun.append(callback)
        yield
    except BaseException:
        tell_errors(end_errors(begun, run))
        raise
    errors = end_errors(begun, run)
    tell_errors(errors[1:])
    if errors:
        raise errors[0]


def end_errors(callbacks: Sequence[Callback], run: Run) -> list[Exception]:
    """Tell callbacks of the end, and return the errors with which they fail."""
    errors = []
    for callback in callbacks:
        try:
            callback.on_train_end(run)
        except Exception as error:
            errors.append(error)
    return errors


def tell_errors(errors: Sequence[Exception]) -> None:
    """Tell of errors of callbacks that another error stands before."""
    for error in errors:
        streams.tell(f"minadder: a callback's on_train_end fails too: {error!r}")
