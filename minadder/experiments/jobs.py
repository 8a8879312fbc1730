"""Trainings as dictionaries: what JSON can hold, one process can run, and a file can answer for.

A job's folder holds a checkpoint while it trains and `result.json` at the end. Both are written whole or not at all, so
that a sweep may be stopped at any moment: what is done is read, what was begun goes on from its last epoch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import minadder as ma
from minadder import callbacks, checkpoint, data, files, models, nn, optim, streams
from minadder.optim import adder_lr
from minadder.resume import check_history
from minadder.run import Callback, Epoch, Run

Job = dict[str, Any]
Result = dict[str, Any]

RECIPE: Job = {
    "network": "lenet5-bn",
    "layer": "adder",
    "full_precision_ends": False,
    "weight_grad": None,
    "input_grad": None,
    "p_until": None,
    "lr": 0.1,
    "weight_decay": 5e-4,
    "adder_lr": {"name": "AdaptiveLR", "eta": 0.2},
}
"""What jobs have unless their row says otherwise: the paper's training on MNIST (Chen et al. 2020, Sec. 4.1). A rule of
None is the layer's own.

With `full_precision_ends` the first and the last layer are those of the CNN. `p_until` is the fraction of training in
which the p of ℓp adders falls from 2 to 1; where it is None, p stays as it is."""

NETWORKS = {"lenet5-bn": models.lenet5_bn}
RESULT, CHECKPOINT = "result.json", "checkpoint.safetensors"
MOST_BYTES = 1 << 26
"""Of a result; that of 1,000 epochs has 300,000."""
SMALL_DATA = 10_000
DIVERGED = "NaN or Inf"
"""What the error of a training says whose numbers ran away."""


def make(settings: Mapping[str, Any], data_name: str, epochs: int, seed: int) -> Job:
    """Return the job of a row: the recipe, what the row changes, the data, the epochs, the seed."""
    return {**RECIPE, **settings, "data": data_name, "epochs": epochs, "seed": seed}


def build(job: Job, train: data.Dataset) -> nn.Module:
    """Return a new network for a job, its adder layers with the job's gradient rules.

    Raises
    ------
    ValueError
        For a rule where no layer has one.
    """
    sizes = train.num_classes, train.inputs.shape[1]
    net: nn.Module = NETWORKS[job["network"]]("conv" if job["full_precision_ends"] else job["layer"], *sizes)
    if job["full_precision_ends"]:
        net = nn.convert(net, job["layer"])
    for rule in ("weight_grad", "input_grad"):
        layers = [module for module in net.modules() if hasattr(module, rule)]
        if job[rule] is not None and not layers:
            raise ValueError(f"{job['layer']} layers have no {rule} to set to {job[rule]!r}")
        for layer in layers if job[rule] is not None else ():
            setattr(layer, rule, job[rule])
    return net


class Lines(Callback):
    """Writes a line for each epoch, with the job's name in front, as several jobs write at the same time."""

    def __init__(self, name: str, file: TextIO | None = None) -> None:
        self.name = name
        self.file = file

    def on_epoch_end(self, run: Run) -> None:
        """Write the epoch's line."""
        streams.tell(f"{self.name}: {callbacks.epoch_line(run.history[-1], run.epochs)}", self.file)


def run_job(job: Job, folder: Path, more: Sequence[Callback] = ()) -> Result:
    """Run a job, or go on with it, unless its result is there already; return the result.

    Parameters
    ----------
    job
        What `make` returns.
    folder
        Where its checkpoint and its result lie; the name is what lines of progress begin with.
    more
        Callbacks beside those that keep checkpoints and write lines.

    Returns
    -------
    A dictionary: job; history, as `ma.fit` returns it; and diverged, the message of the error that ended a training
    whose numbers became NaN or Inf, else None.

    Raises
    ------
    ValueError
        When the folder holds another job's result or checkpoint.
    """
    known = read_result(folder, job)
    if known is not None:
        return known
    folder.mkdir(parents=True, exist_ok=True)
    last = folder / CHECKPOINT
    train, test = data.load(job["data"])
    ma.manual_seed(job["seed"])
    net = build(job, train)
    diverged, history = None, Kept()
    try:
        ma.fit(
            net,
            data.Loader(train, 64 if len(train) < SMALL_DATA else 256, shuffle=True, seed=job["seed"]),
            data.Loader(test, 1000),
            epochs=job["epochs"],
            optimizer=optim.SGD(
                net.parameters(),
                lr=job["lr"],
                momentum=0.9,
                nesterov=True,
                weight_decay=job["weight_decay"],
                adder_lr=adder_lr.from_description(job["adder_lr"]) or optim.IncreasedLR(1),
            ),
            schedule=optim.Cosine(),
            p_schedule=None if job["p_until"] is None else optim.LinearP(until=job["p_until"]),
            callbacks=(callbacks.Checkpoint(last), history, Lines(folder.name), *more),
            resume=last if last.exists() else None,
            renew_batches=0,
            verbose=False,
        )
    except RuntimeError as error:
        if DIVERGED not in str(error):
            raise
        diverged = str(error)
    result = {"job": job, "diverged": diverged, "history": history.epochs}
    files.write_file(folder / RESULT, as_text(result).encode())
    return result


def check_checkpoint(folder: Path, job: Job) -> None:
    """Raise ValueError when the folder's checkpoint, if any, is damaged, or plainly not of this job.

    `ma.fit` compares all settings, but not before it is the job's turn.
    """
    last = folder / CHECKPOINT
    if not last.exists():
        return
    progress = checkpoint.read_training(last)[1].get("progress")
    settings = progress.get("settings", {}) if isinstance(progress, dict) else {}
    for name, now in (("epochs", job["epochs"]), ("data seed", job["seed"])):
        before = settings.get(name)
        if before != now:
            raise ValueError(
                f"{files.shown(last)} is of another training: its {name} is {before!r}, now it is {now!r}. "
                f"Choose another folder with --out, or move the file away"
            )


class Kept(Callback):
    """Keeps the epochs that were finished, also those of a training that ends with an error."""

    def __init__(self) -> None:
        self.epochs: list[Epoch] = []

    def on_train_begin(self, run: Run) -> None:
        """Look at the run's history, which grows with it."""
        self.epochs = run.history


def digest(result: Result) -> str:
    """Return the SHA-256 of a result as JSON."""
    return hashlib.sha256(json.dumps(result, sort_keys=True).encode()).hexdigest()


def as_text(result: Result) -> str:
    """Return a result as JSON with its digest."""
    return json.dumps({**result, "sha256": digest(result)}, indent=1) + "\n"


def check_form(result: Result) -> None:
    """Raise KeyError, TypeError or ValueError for what is no result, although its checksum is right."""
    if not isinstance(result["job"], dict) or not isinstance(result["diverged"], str | None):
        raise TypeError("what it says of the job is of another form")
    check_history(result["history"], result["job"]["epochs"])
    if result["diverged"] is None and len(result["history"]) < result["job"]["epochs"]:
        raise ValueError("it ends before its last epoch")


def read_result(folder: Path, job: Job) -> Result | None:
    """Return a job's result, None where there is none; a damaged file is named on stderr and counts as none.

    Raises
    ------
    ValueError
        When it is another job's.
    """
    path = folder / RESULT
    if not path.exists():
        return None
    try:
        result: Result = json.loads(files.read_file(path, MOST_BYTES))
        if digest({name: value for name, value in result.items() if name != "sha256"}) != result["sha256"]:
            raise ValueError("its checksum is wrong")
        check_form(result)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        streams.tell(f"minadder: {files.shown(path)} is damaged ({why}): the job is done again")
        return None
    del result["sha256"]
    for name in [*job, *(result["job"].keys() - job.keys())]:
        before, now = result["job"].get(name), job.get(name)
        if before != now:
            raise ValueError(
                f"{files.shown(path)} is the result of another job: its {name} is {before!r}, now it is {now!r}. "
                f"Choose another folder with --out, or move the file away"
            )
    return result
