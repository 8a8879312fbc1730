"""Going on with a training: what must be the same as before, and putting back what was kept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minadder import checkpoint
from minadder.data import Loader
from minadder.nn import Module
from minadder.optim.exponents import LinearP
from minadder.optim.optimizer import Optimizer
from minadder.optim.schedules import Schedule

if TYPE_CHECKING:
    from minadder.training import Run


def describe(
    net: Module,
    train: Loader,
    epochs: int,
    optimizer: Optimizer,
    schedule: Schedule | None,
    p_schedule: LinearP | None,
    loss: Module,
) -> dict[str, Any]:
    """Return what must be the same when a training is resumed, as JSON can hold it."""
    groups = optimizer.state_dict()["groups"]
    hyperparameters = {
        # lr is what the schedule last made of initial_lr; the shapes are the net's
        ("lr" if name == "initial_lr" else name) + (f" of group {number}" if len(groups) > 1 else ""): value
        for number, group in enumerate(groups)
        for name, value in group.items()
        if name not in ("lr", "shapes")
    }
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
        **hyperparameters,
        "schedule": description(schedule),
        "p_schedule": description(p_schedule),
        "loss": description(loss),
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
    """Bring a run to where a checkpoint was written, once it is of the same training."""
    arrays, state = checkpoint.read_training(path)
    progress = state["progress"]
    if not isinstance(progress, dict) or set(progress) != {"settings", "history"}:
        raise ValueError(f"{path} was not written by ma.callbacks.Checkpoint: it lacks the settings and the history")
    for name in [*run.settings, *(progress["settings"].keys() - run.settings.keys())]:
        before, now = progress["settings"].get(name), run.settings.get(name)
        if before != now:
            one, other = first_difference(before, now)
            why = " (the learning rates of all epochs depend on how many there are)" if name == "epochs" else ""
            raise ValueError(
                f"{path} is of another training: its {name} is {one!r}, now it is {other!r}{why}. "
                f"Resume with the same settings, or start a new training"
            )
    checkpoint.restore_training(arrays, state, run.net, run.optimizer)
    run.history = progress["history"]
