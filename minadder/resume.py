"""Going on with a training: what must be the same as before, and putting back what was kept."""

from __future__ import annotations

import math
import re
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minadder import checkpoint
from minadder.autograd import Array
from minadder.data import Loader
from minadder.files import as_path, shown
from minadder.nn import Module
from minadder.optim.exponents import LinearP
from minadder.optim.optimizer import Optimizer
from minadder.optim.schedules import Schedule

if TYPE_CHECKING:
    from minadder.run import Run

ANY, SHARE = (-math.inf, math.inf), (0, 1)
RECORDED = {
    "lr": (0, math.inf, False),
    "train_loss": (*ANY, False),
    "train_accuracy": (*SHARE, False),
    "test_loss": (*ANY, True),
    "test_accuracy": (*SHARE, True),
    "test_top5_accuracy": (*SHARE, True),
    "seconds": (0, math.inf, False),
}
"""What the history says of each epoch beside its number: between what the values lie, and whether there may be none, as
without test data, and in the histories of earlier versions."""


def describe(
    net: Module,
    train: Loader,
    epochs: int,
    optimizer: Optimizer,
    schedule: Schedule | None,
    p_schedule: LinearP | None,
    loss: Module,
    renew_batches: int,
) -> dict[str, Any]:
    """Return what must be the same when a training is resumed, as JSON can hold it."""
    return {
        "net": description(net),
        "data": f"{train.dataset.name}, {len(train.dataset)} examples",
        "batch_size": train.batch_size,
        "shuffle": train.shuffle,
        "drop_last": train.drop_last,
        "transform": description(train.transform),
        "data seed": train.seed,
        "epochs": epochs,
        "optimizer": type(optimizer).__name__,
        **hyperparameters(optimizer.state_dict()["groups"]),
        "schedule": description(schedule),
        "p_schedule": description(p_schedule),
        "loss": description(loss),
        "renew_batches": renew_batches,
    }


def hyperparameters(groups: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the settings in an optimiser's groups by name, as its state has them."""
    return {
        # lr is what the schedule last made of initial_lr; the shapes are the net's
        ("lr" if name == "initial_lr" else name) + (f" of group {number}" if len(groups) > 1 else ""): value
        for number, group in enumerate(groups)
        for name, value in group.items()
        if name not in ("lr", "shapes")
    }


def description(value: Any) -> str:
    """Return the repr without memory addresses, which are others in each process."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def first_difference(before: Any, now: Any) -> tuple[Any, Any]:
    """Return what differs: the first different lines of two long texts, else the values themselves."""
    if not (isinstance(before, str) and isinstance(now, str)):
        return before, now
    lines = zip(before.splitlines(), now.splitlines(), strict=False)
    return next(((one.strip(), other.strip()) for one, other in lines if one != other), (before, now))


def go_on(run: Run, path: str | Path) -> None:
    """Bring a run to where a checkpoint was written, once it is of the same training.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, OSError
        When there is no such file, when it is a folder, when it cannot be read.
    ValueError
        When it is damaged, of another training, or holds what no training leaves; nothing is changed then.
    """
    place = as_path(path, "resume")
    arrays, state = checkpoint.read_training(place, checkpoint.most_for(run.net))
    progress = state["progress"]
    if not isinstance(progress, dict) or set(progress) != {"settings", "history"}:
        raise ValueError(
            f"{shown(place)} was not written by ma.callbacks.Checkpoint: it lacks the settings and the history"
        )
    try:
        check_settings(progress["settings"], run.settings)
        check_history(progress["history"], run.epochs)
        check_groups(state["optimizer"], run.settings)
        check_numbers(arrays)
    except ValueError as error:
        raise ValueError(f"{shown(place)} {error}") from None
    try:
        checkpoint.restore_training(arrays, state, run.net, run.optimizer)
    except ValueError as error:
        raise ValueError(f"{shown(place)}: {error}") from None
    run.history = progress["history"]
    warn_of_stretched(progress["settings"].get("epochs"), run.settings)


def warn_of_stretched(before: Any, now: dict[str, Any]) -> None:
    """Warn that schedules are now of another number of epochs, where they are."""
    schedules = [f"{name} {now[name]}" for name in ("schedule", "p_schedule") if now[name] != repr(None)]
    if before != now["epochs"] and schedules:
        warnings.warn(
            f"the training was to have {before} epochs and now has {now['epochs']}: its {' and its '.join(schedules)} "
            f"goes on as if there had been {now['epochs']} from the start",
            UserWarning,
            stacklevel=4,
        )


def check_settings(before: Any, now: dict[str, Any]) -> None:
    """Raise ValueError for settings of another training; its message begins after the file's name.

    The number of epochs may be another: those that are done are only fewer or more of all.
    """
    if not isinstance(before, dict):
        raise ValueError(f"holds no settings of a training, but {before!r:.200}")
    for name in [*now, *(before.keys() - now.keys())]:
        if name != "epochs" and before.get(name) != now.get(name):
            one, other = first_difference(before.get(name), now.get(name))
            raise ValueError(
                f"is of another training: its {name} is {one!r}, now it is {other!r}. "
                f"Resume with the same settings, or start a new training"
            )


def check_groups(optimizer: Any, now: dict[str, Any]) -> None:
    """Raise ValueError where an optimiser's state has other settings than the training that it is of."""
    groups = optimizer.get("groups") if isinstance(optimizer, dict) else None
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        raise ValueError(f"holds no groups of an optimiser, but {groups!r:.200}")
    for name, kept in hyperparameters(groups).items():
        if name in now and kept != now[name]:
            raise ValueError(
                f"was altered: the {name} of its optimiser is {kept!r:.200}, that of its training {now[name]!r:.200}"
            )


def check_numbers(arrays: dict[str, Array]) -> None:
    """Raise ValueError for NaN in what a training is to go on from; none that is sound leaves any."""
    broken = [name for name, array in arrays.items() if array.dtype.kind == "f" and np.isnan(array).any()]
    if broken:
        raise ValueError(f"holds NaN in {', '.join(map(shown, broken))}: it was altered; start a new training")


def check_history(history: Any, epochs: int) -> None:
    """Raise ValueError for all but a history of at most so many epochs; its message begins after the file's name."""
    if not isinstance(history, list):
        raise ValueError(f"holds no history of epochs, but {history!r:.200}")
    if len(history) > epochs:
        raise ValueError(f"is of a training that has done {len(history)} epochs, more than the {epochs} of this one")
    for number, entry in enumerate(history, start=1):
        if not isinstance(entry, dict) or type(entry.get("epoch")) is not int or entry["epoch"] != number:
            raise ValueError(f"holds a history whose epoch {number} is {entry!r:.200}")
        for name, (low, high, optional) in RECORDED.items():
            value = entry.get(name)
            if not (value is None and optional) and not is_number(value, low, high):
                raise ValueError(f"holds a history with {name} {value!r:.200} in epoch {number}")


def is_number(value: Any, low: float, high: float) -> bool:
    """Return whether a value is a finite number between two others."""
    return type(value) in (int, float) and low <= value <= high and abs(value) <= sys.float_info.max
