"""The training loop: `fit`, the history it returns, and what callbacks see."""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from minadder import streams
from minadder.autograd import Array, no_grad
from minadder.checks import choice, described, flag, instance, whole
from minadder.data import Dataset, Loader
from minadder.data.loader import as_examples, as_loader
from minadder.diagnosis import finite, first_non_finite, warn_without_batchnorm
from minadder.evaluation import (
    Data,
    check_net,
    count_correct,
    examples_in,
    loss_or_default,
    measure,
    number_of,
    targets,
)
from minadder.files import as_path
from minadder.nn import Module, Parameter
from minadder.nn.adder import AdderLayer
from minadder.nn.batchnorm import BatchNorm
from minadder.notices import taken_by
from minadder.optim import SGD, AdaptiveLR, Cosine
from minadder.optim.exponents import LinearP
from minadder.optim.optimizer import Optimizer
from minadder.optim.schedules import PACES, Schedule
from minadder.preconditions import check_batches, check_fits
from minadder.renewal import renew_statistics
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


def fit(
    net: Module,
    train: Data,
    test: Data | float | None = None,
    *,
    epochs: int,
    optimizer: Optimizer | None = None,
    schedule: Schedule | None = None,
    p_schedule: LinearP | None = None,
    loss: Module | None = None,
    callbacks: Sequence[Callback] = (),
    resume: str | Path | None = None,
    batch_size: int | None = None,
    renew_batches: int = 10,
    verbose: bool = True,
) -> list[Epoch]:
    """Train a network; at the end, also after an error, it is in evaluation mode.

    Before the first step one example of the training and of the test data goes through the net and the loss for trial,
    so that what does not fit is found now and not after an epoch.

    Parameters
    ----------
    net
        The network, from inputs to logits.
    train
        A pair (X, y) of inputs (N, ...) and class numbers (N,), a data set, or a Loader; the first two are shuffled.
    test
        Likewise; or a number between 0 and 1, the share of the training examples that is held out for testing, by
        `data.Dataset.split`.
    epochs
        How often to go through the training data, all in all (a resumed training included).
    optimizer
        What changes the parameters; by default the papers' recipe on MNIST, as `recipe` makes it, with its schedule.
    schedule
        What sets the learning rate as training goes on, before each step or each epoch; None leaves it alone.
    p_schedule
        What sets the exponent of all adder layers as training goes on; the net must have been made with p = 2
        (`layer="adder-lp"`). None leaves it alone.
    loss
        A loss module; by default `nn.CrossEntropyLoss()`.
    callbacks
        What is told of the progress, such as `ma.callbacks.Checkpoint(path)`.
    resume
        A checkpoint to go on from. With the same arguments as before, the end has the same bits as without the break.
        More epochs than before may be asked for; a schedule is stretched over all of them then, which is told.
    batch_size
        Examples a step, where `train` is no Loader: by default 64, or 256 of 10,000 examples and more.
    renew_batches
        After each epoch, before the test, batch norm's running statistics are made anew from so many batches of the
        training data, as by `ma.renew_statistics`, since they lag behind filters that move fast. It costs as many
        forward passes, and changes nothing of the training itself. 0 leaves the running averages, as in the papers.
    verbose
        Whether progress is shown, by `ma.callbacks.Progress()`; False is silent.

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
        Of adder layers with no batch norm behind them, of adder filters without a learning rate of their own, and of an
        optimiser that holds parameters of other nets.

    Examples
    --------
    >>> import minadder as ma
    >>> from minadder import models
    >>> ma.manual_seed(0)
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]] * 5, [0, 1, 1, 0] * 5
    >>> history = ma.fit(models.mlp((2, 8, 2), "adder"), (X, y), test=0.2, epochs=2, verbose=False)
    >>> [entry["epoch"] for entry in history]
    [1, 2]
    """
    callbacks = with_progress(check_callbacks(callbacks), flag(verbose, "verbose"))
    check_net(net)
    epochs = whole(epochs, "epochs", 1)
    renew_batches = whole(renew_batches, "renew_batches", 0)
    train_loader, test_loader = loaders(train, test, batch_size)
    criterion = loss_or_default(loss)
    if optimizer is None:
        optimizer, schedule = recipe(net), Cosine() if schedule is None else schedule
    check_optimizer(optimizer, net)
    check_schedules(schedule, p_schedule)
    if resume is not None:
        instance(resume, "resume", (str, os.PathLike), "the path of a checkpoint, or None")
        resume = as_path(resume, "resume")
    with taken_by(shows_notices(callbacks)):
        check_fits(net, train_loader, criterion, "training")
        check_batches(net, train_loader)
        if test_loader is not None:
            check_fits(net, test_loader, criterion, "test")
    warn_without_batchnorm(net)
    settings = describe(net, train_loader, epochs, optimizer, schedule, p_schedule, criterion, renew_batches)
    run = Run(net, optimizer, epochs, len(train_loader), settings, train=train_loader, test=test_loader)
    if resume is not None:
        go_on(run, resume)
    if p_schedule is not None:
        set_p(net, p_schedule.p(len(run.history) / epochs))  # fails now where there is nothing to set
    try:
        with taken_by(shows_notices(callbacks)), told(callbacks, run):
            for epoch in range(len(run.history), epochs):
                if run.stopped is not None:
                    break
                run.epoch = epoch
                with np.errstate(over="ignore", invalid="ignore"):  # the checks tell what overflows, with its layer
                    train_epoch(run, train_loader, schedule, p_schedule, criterion, callbacks)
                    finish_epoch(run, train_loader, test_loader, criterion, renew_batches)
                for callback in callbacks:
                    callback.on_epoch_end(run)
    finally:
        net.eval()
    return run.history


def recipe(net: Module) -> Optimizer:
    """Return the optimiser that a training has where none is given, the papers' on MNIST (Chen et al. 2020, Sec. 4.1).

    It goes with `optim.Cosine()`. Adder filters have an adaptive learning rate of η = 0.2.
    """
    return SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4, adder_lr=AdaptiveLR(eta=0.2))


def loaders(train: Data, test: Data | float | None, batch_size: int | None) -> tuple[Loader, Loader | None]:
    """Return the loaders of the training and of the test data, once part of the first is held out where asked for."""
    if isinstance(test, (int, float)):
        if isinstance(train, Loader):
            raise TypeError(
                f"test={test} holds out a share of the training data, which must be a pair (X, y) or a data set then, "
                f"not a Loader: split its data set, as by train, test = data.Dataset(X, y).split({test})"
            )
        examples = as_examples(train, "train")
        if not isinstance(examples, Dataset):
            raise TypeError(f"test={test} can hold out a share of a pair (X, y) or a data.Dataset, not of {examples!r}")
        train, test = examples.split(test)
    train_loader = as_loader(train, "train", shuffle=True, batch_size=batch_size)
    return train_loader, None if test is None else as_loader(test, "test")


def with_progress(callbacks: tuple[Callback, ...], verbose: bool) -> tuple[Callback, ...]:
    """Return the callbacks with one that shows progress, where that is wanted and none of them does."""
    from minadder.callbacks import Progress  # which imports this file

    return (
        (Progress(), *callbacks) if verbose and not any(isinstance(one, Progress) for one in callbacks) else callbacks
    )


def shows_notices(callbacks: tuple[Callback, ...]) -> Callable[[str], None]:
    """Return what shows notices of compilation: the callback that shows progress, or else nothing."""
    return next((one.notice for one in callbacks if hasattr(one, "notice")), lambda text: None)


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
    schedule: Schedule | None,
    p_schedule: LinearP | None,
    loss: Module,
    callbacks: Sequence[Callback],
) -> None:
    """Go through the training data once."""
    run.begin = time.perf_counter()
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


def finish_epoch(run: Run, train: Loader, test: Loader | None, loss: Module, renew_batches: int) -> None:
    """Renew batch norm's statistics, check the net, evaluate, and add to the history."""
    check_state(run)
    if renew_batches:
        renew_statistics(run.net, train, renew_batches)
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
            "seconds": time.perf_counter() - run.begin,
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
    """Raise an error unless it is an optimiser of parameters of the net, and warn where some are not the net's."""
    instance(optimizer, "optimizer", Optimizer, "an optimiser, such as optim.SGD(net.parameters(), lr=0.1)")
    own = set(net.parameters())
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    foreign = [parameter for parameter in held if parameter not in own]
    if len(foreign) == len(held):
        raise ValueError(
            f"optimizer changes no parameter of the net, a {type(net).__name__}: make it of net.parameters(), "
            f"after what makes the net anew, such as nn.convert"
        )
    if foreign:
        warnings.warn(
            f"{len(foreign)} of the optimizer's {len(held)} parameters, the first of shape {foreign[0].shape}, are "
            f"none of the net's and will not change: make it of net.parameters(), after what replaces layers",
            UserWarning,
            stacklevel=3,
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
