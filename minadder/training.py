"""Training a network: `fit`, what it takes and what it checks."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from minadder.callbacks import Progress
from minadder.checks import choice, described, flag, instance, whole
from minadder.data import Dataset, Loader
from minadder.data.loader import as_examples, as_loader
from minadder.diagnosis import warn_without_batchnorm
from minadder.epochs import finish_epoch, set_p, train_epoch
from minadder.evaluation import Data, check_net, loss_or_default
from minadder.files import as_path
from minadder.nn import Module
from minadder.notices import taken_by
from minadder.optim import SGD, AdaptiveLR, Cosine
from minadder.optim.exponents import LinearP
from minadder.optim.optimizer import Optimizer
from minadder.optim.schedules import PACES, Schedule
from minadder.preconditions import check_batches, check_fits
from minadder.resume import describe, go_on
from minadder.run import Callback, Epoch, Run, told


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
    return (
        (Progress(), *callbacks) if verbose and not any(isinstance(one, Progress) for one in callbacks) else callbacks
    )


def shows_notices(callbacks: tuple[Callback, ...]) -> Callable[[str], None]:
    """Return what shows notices of compilation: the callback that shows progress, or else nothing."""
    return next((one.notice for one in callbacks if isinstance(one, Progress)), lambda text: None)


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
