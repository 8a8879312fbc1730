"""The training loop: `fit`, the history it returns, and what callbacks see."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from minadder import streams
from minadder.autograd import Array, no_grad
from minadder.checks import choice, described, instance, whole
from minadder.data import Dataset, Loader
from minadder.data.loader import as_loader
from minadder.diagnosis import finite, first_non_finite, warn_without_batchnorm
from minadder.evaluation import check_net, count_correct, examples_in, loss_or_default, measure, number_of, targets
from minadder.files import as_path
from minadder.nn import Module, Parameter
from minadder.nn.adder import AdderLayer
from minadder.nn.batchnorm import BatchNorm
from minadder.optim.exponents import LinearP
from minadder.optim.optimizer import Optimizer
from minadder.optim.schedules import PACES, Schedule
from minadder.preconditions import check_batches, check_fits
from minadder.resume import describe, go_on
from minadder.tensor import Tensor


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


def fit(
    net: Module,
    train: Loader | Dataset,
    test: Loader | Dataset | None = None,
    *,
    epochs: int,
    optimizer: Optimizer,
    schedule: Schedule | None = None,
    p_schedule: LinearP | None = None,
    loss: Module | None = None,
    callbacks: Sequence[Callback] = (),
    resume: str | Path | None = None,
) -> list[Epoch]:
    """Train a network; at the end, also after an error, it is in evaluation mode.

    Before the first step one example of the training and of the test data goes through the net and the loss for trial,
    so that what does not fit is found now and not after an epoch.

    Parameters
    ----------
    net
        The network, from inputs to logits.
    train, test
        Loaders; a Dataset stands for its Loader with the defaults, shuffled for training.
    epochs
        How often to go through the training data, all in all (a resumed training included).
    optimizer
        What changes the parameters.
    schedule
        What sets the learning rate as training goes on, before each step or each epoch; None leaves it alone.
    p_schedule
        What sets the exponent of all adder layers as training goes on; the net must have been made with p = 2
        (`layer="adder-lp"`). None leaves it alone.
    loss
        A loss module; by default `nn.CrossEntropyLoss()`.
    callbacks
        What is told of the progress, such as `ma.callbacks.Progress()` and `ma.callbacks.Checkpoint(path)`.
    resume
        A checkpoint to go on from. With the same arguments as before, the end has the same bits as without the break.

    Returns
    -------
    The history, a dictionary for each epoch: epoch, lr, train_loss, train_accuracy, test_loss, test_accuracy,
    test_top5_accuracy (of 100 classes and more, else None), seconds.

    Raises
    ------
    TypeError
        For an argument of another kind than those above.
    ValueError
        For fewer than one epoch, no data, data that the net or the loss does not take, batches of one example where
        there is batch norm, an optimiser of another net, or a checkpoint of another training.
    RuntimeError
        When the training loss, the test loss or a parameter becomes NaN or Inf; the message names the first layer
        responsible. Callbacks are not told of that epoch, so that the last checkpoint stays a sound one.

    Warns
    -----
    UserWarning
        Of adder layers with no batch norm behind them.

    Examples
    --------
    >>> import minadder as ma
    >>> from minadder import data, models, optim
    >>> ma.manual_seed(0)
    >>> net = models.mlp((2, 3, 2), "adder")
    >>> history = ma.fit(net, data.unit_ball(200), epochs=2, optimizer=optim.SGD(net.parameters(), lr=0.1))
    >>> [entry["epoch"] for entry in history]
    [1, 2]
    """
    check_net(net)
    epochs = whole(epochs, "epochs", 1)
    train_loader = as_loader(train, "train", shuffle=True)
    test_loader = None if test is None else as_loader(test, "test")
    criterion = loss_or_default(loss)
    check_optimizer(optimizer, net)
    check_schedules(schedule, p_schedule)
    callbacks = check_callbacks(callbacks)
    if resume is not None:
        instance(resume, "resume", (str, os.PathLike), "the path of a checkpoint, or None")
        resume = as_path(resume, "resume")
    check_fits(net, train_loader, criterion, "training")
    check_batches(net, train_loader)
    if test_loader is not None:
        check_fits(net, test_loader, criterion, "test")
    warn_without_batchnorm(net)
    settings = describe(net, train_loader, epochs, optimizer, schedule, p_schedule, criterion)
    run = Run(net, optimizer, epochs, len(train_loader), settings)
    if resume is not None:
        go_on(run, resume)
    if p_schedule is not None:
        set_p(net, p_schedule.p(len(run.history) / epochs))  # fails now where there is nothing to set
    try:
        with told(callbacks, run):
            for epoch in range(len(run.history), epochs):
                run.epoch = epoch
                with np.errstate(over="ignore", invalid="ignore"):  # the checks tell what overflows, with its layer
                    train_epoch(run, train_loader, test_loader, schedule, p_schedule, criterion, callbacks)
                for callback in callbacks:
                    callback.on_epoch_end(run)
    finally:
        net.eval()
    return run.history


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


def train_epoch(
    run: Run,
    train: Loader,
    test: Loader | None,
    schedule: Schedule | None,
    p_schedule: LinearP | None,
    loss: Module,
    callbacks: Sequence[Callback],
) -> None:
    """Go through the training data once, evaluate, and add to the history."""
    begin = time.perf_counter()
    run.net.train()
    train.set_epoch(run.epoch)
    total, correct, seen = 0.0, 0, 0
    for run.step, (inputs, labels) in enumerate(train):
        if schedule is not None:
            schedule.set_lr(run.optimizer, fraction_done(run, schedule.by))
        if p_schedule is not None:
            set_p(run.net, p_schedule.p(fraction_done(run, p_schedule.by)))
        value, outputs = train_step(run, inputs, labels, loss)
        total += value * examples_in(loss, len(labels))
        correct += count_correct(outputs, labels)
        seen += len(labels)
        run.step, run.loss, run.accuracy = run.step + 1, total / seen, correct / seen
        for callback in callbacks:
            callback.on_step_end(run)
    check_state(run)
    test_loss, test_accuracy, test_top5 = (None, None, None) if test is None else measure(run.net, test, loss)
    if test is not None and test_loss is not None and not math.isfinite(test_loss):
        raise RuntimeError(
            f"the test loss is {test_loss} after epoch {run.epoch + 1}. The first layer to give NaN or Inf is "
            f"{blame_on_test(run.net, test, loss)}. Try a lower learning rate, or look at the data"
        )
    run.history.append(
        {
            "epoch": run.epoch + 1,
            "lr": float(run.optimizer.param_groups[0]["lr"]),
            "train_loss": run.loss,
            "train_accuracy": run.accuracy,
            "test_loss": test_loss,
            "test_accuracy": test_accuracy,
            "test_top5_accuracy": test_top5,
            "seconds": time.perf_counter() - begin,
        }
    )


def fraction_done(run: Run, by: str) -> float:
    """Return the fraction of training that is done, for what changes by step or only by epoch."""
    return (run.epoch + (run.step / run.steps_per_epoch if by == "step" else 0)) / run.epochs


def set_p(net: Module, p: float) -> None:
    """Set the exponent of all adder layers; ValueError where there is none."""
    layers = [module for module in net.modules() if isinstance(module, AdderLayer)]
    if not layers:
        raise ValueError(f"{type(net).__name__} has no adder layers whose p a p_schedule could set")
    for layer in layers:
        layer.set_p(p)


def train_step(run: Run, inputs: Array, labels: Array, loss: Module) -> tuple[float, Tensor]:
    """Do one step on a batch, and return the loss and the outputs."""
    run.optimizer.zero_grad()
    outputs = run.net(Tensor(inputs))
    result = number_of(loss(outputs, targets(loss, labels, outputs)))
    value = result.item()
    if not math.isfinite(value):
        raise RuntimeError(
            f"the loss is {value} in epoch {run.epoch + 1}, step {run.step + 1} of {run.steps_per_epoch}. The first "
            f"layer to give NaN or Inf is {first_non_finite(run.net, Tensor(inputs))}. "
            f"Try a lower learning rate, or look at the data"
        )
    result.backward()
    run.optimizer.step()
    return value, outputs


def check_state(run: Run) -> None:
    """Raise RuntimeError when the last step broke the net, which no training loss of this epoch has shown."""
    broken = []
    for path, module in run.net.named_modules():
        values: dict[str, Any] = {name: value for name, value in vars(module).items() if isinstance(value, Parameter)}
        if isinstance(module, BatchNorm):
            values.update(running_mean=module.running_mean, running_var=module.running_var)
        broken += [f"{path}.{name}" if path else name for name, value in values.items() if not finite(value)]
    if broken:
        raise RuntimeError(
            f"after epoch {run.epoch + 1}, {', '.join(broken)} of the net hold NaN or Inf. Try a lower learning rate, "
            f"or look at the data"
        )


def blame_on_test(net: Module, test: Loader, loss: Module) -> str:
    """Return which layer is the first to give NaN or Inf on the first batch of test data with such a loss."""
    net.eval()
    with no_grad():
        for inputs, labels in test:
            outputs = net(Tensor(inputs))
            if not finite(loss(outputs, targets(loss, labels, outputs))):
                return first_non_finite(net, Tensor(inputs))
    return "none for a single batch, so it is the sum over all"


def check_optimizer(optimizer: Optimizer, net: Module) -> None:
    """Raise an error unless it is an optimiser of parameters of the net."""
    instance(optimizer, "optimizer", Optimizer, "an optimiser, such as optim.SGD(net.parameters(), lr=0.1)")
    own = set(net.parameters())
    if not any(parameter in own for group in optimizer.param_groups for parameter in group["params"]):
        raise ValueError(
            f"optimizer changes no parameter of the net, a {type(net).__name__}: make it of net.parameters(), "
            f"after what makes the net anew, such as nn.convert"
        )


def check_schedules(schedule: Schedule | None, p_schedule: LinearP | None) -> None:
    """Raise an error unless they are schedules of the learning rate and of p, or None."""
    if schedule is not None:
        instance(schedule, "schedule", Schedule, "a schedule of the learning rate, such as optim.Cosine(), or None")
        choice(getattr(schedule, "by", None), f"by of the schedule {type(schedule).__name__}", PACES)
    if p_schedule is not None:
        instance(p_schedule, "p_schedule", LinearP, "optim.LinearP(), or None")


def check_callbacks(callbacks: Sequence[Callback]) -> tuple[Callback, ...]:
    """Return callbacks as a tuple; TypeError for a single one and for what is none."""
    try:
        given = tuple(callbacks)
    except TypeError:
        raise TypeError(
            f"callbacks must be a list of callbacks, such as [callbacks.Progress()], not {described(callbacks)}"
        ) from None
    for index, callback in enumerate(given):
        instance(callback, f"callbacks[{index}]", Callback, "a callback, such as callbacks.Progress()")
    return given
