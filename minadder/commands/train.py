"""The command `minadder train`: train a network by the papers' recipe and keep what comes of it in a folder."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import minadder as ma
from minadder import callbacks, checkpoint, data, models, nn, optim, plot
from minadder.nn.convert import KINDS

INTERRUPTED = 130
NETWORKS = ("lenet5-bn", "mlp")
DATA = ("digits", "mnist5k", "mnist")
RESULTS = ("net.safetensors", "history.json", "curves.png", "filters.png")
HIDDEN_UNITS = 100
SMALL_DATA = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.description = (
        "Train a network with the papers' recipe: Nesterov momentum 0.9, weight decay 5e-4, cosine from --lr to 0, "
        "adaptive learning rate for adder filters. Leaves in the folder the net, a checkpoint, the history, the "
        "learning curves and the first layer's filters."
    )
    parser.add_argument("network", choices=NETWORKS, help=f"the network; mlp has one hidden layer of {HIDDEN_UNITS}")
    parser.add_argument(
        "--layer", choices=tuple(KINDS), default="adder", help="the kind of its layers (default: %(default)s)"
    )
    parser.add_argument("--data", choices=DATA, default="digits", help="the data set (default: %(default)s)")
    parser.add_argument(
        "--epochs", type=positive_int, default=50, help="how often to go through the data (%(default)s)"
    )
    parser.add_argument("--out", type=Path, required=True, help="the folder for what comes of it")
    parser.add_argument("--resume", action="store_true", help="go on from the folder's checkpoint, if there is one")
    parser.add_argument("--seed", type=seed, default=0, help="of weights and order of the data (%(default)s)")
    parser.add_argument(
        "--batch-size",
        type=positive_int,
        help=f"examples a step (256, or 64 for data of fewer than {SMALL_DATA} examples)",
    )
    parser.add_argument("--lr", type=positive_float, default=0.1, help="the learning rate at the start (%(default)s)")
    parser.add_argument(
        "--p-until",
        type=fraction,
        default=0.75,
        help="for adder-lp: the fraction of training in which p falls from 2 to 1 (%(default)s)",
    )
    parser.add_argument(
        "--eta", type=positive_float, default=0.2, help="the adaptive learning rate's eta (%(default)s)"
    )


def positive_int(text: str) -> int:
    """Return an integer of at least 1."""
    return in_range(int, text, 1, "an integer of at least 1")


def seed(text: str) -> int:
    """Return an integer of at least 0."""
    return in_range(int, text, 0, "an integer of at least 0")


def positive_float(text: str) -> float:
    """Return a finite number above 0."""
    value: float = in_range(float, text, 0, "a finite number above 0")
    if value == 0 or value == float("inf"):
        raise argparse.ArgumentTypeError(f"must be a finite number above 0, not {text}")
    return value


def fraction(text: str) -> float:
    """Return a number in (0, 1]."""
    value: float = in_range(float, text, 0, "a number above 0, at most 1")
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number above 0, at most 1, not {text}")
    return value


def in_range(kind: type, text: str, least: float, wanted: str) -> Any:
    """Return a number that is not below `least`."""
    try:
        value = kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be {wanted}, not {text!r}") from None
    if not value >= least:
        raise argparse.ArgumentTypeError(f"must be {wanted}, not {text}")
    return value


def build(network: str, layer: str, train: data.Dataset) -> nn.Module:
    """Return a new network for the data."""
    if network == "mlp":
        return models.mlp((int(np.prod(train.inputs.shape[1:])), HIDDEN_UNITS, train.num_classes), layer)
    return models.lenet5_bn(layer, train.num_classes, train.inputs.shape[1])


def check_folder(folder: Path, resume: bool) -> Path | None:
    """Return the checkpoint to go on from, None to start anew."""
    last = folder / "checkpoint.safetensors"
    if not last.exists():
        foreign = next((name for name in RESULTS if (folder / name).exists()), None)
        if foreign is not None:
            raise FileExistsError(
                f"{folder} holds {foreign} but no checkpoint to go on from: choose another --out, or move the file away"
            )
        if resume:
            print(f"{folder} holds no checkpoint yet: starting anew", file=sys.stderr)
        return None
    if not resume:
        raise FileExistsError(f"{folder} holds a training already: go on with --resume, or choose another --out")
    return last


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes from training in a folder; the system lets go when the process ends, however it ends."""
    place = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(
                f"another process is training in {folder}: wait for it or stop it, or choose another --out"
            ) from None
        except OSError as error:  # network file systems may have no locks for folders
            print(f"{folder} cannot be locked ({error.strerror}): let no other process train in it", file=sys.stderr)
        yield
    finally:
        os.close(place)


def run(options: argparse.Namespace) -> int:
    """Train a network and leave the results in the folder; return the exit code, 130 after Ctrl-C."""
    try:
        train(options)
    except KeyboardInterrupt:
        kept = options.out / "checkpoint.safetensors"
        rest = f"go on with --resume from {kept}" if kept.exists() else "no epoch was finished, so nothing is kept"
        print(f"\nminadder: interrupted; {rest}", file=sys.stderr)
        return INTERRUPTED
    return 0


def train(options: argparse.Namespace) -> None:
    """Train a network and leave the results in the folder."""
    train_data, test_data = data.load(options.data)
    options.out.mkdir(parents=True, exist_ok=True)
    with alone_in(options.out):
        train_in(options, train_data, test_data)


def train_in(options: argparse.Namespace, train_data: data.Dataset, test_data: data.Dataset) -> None:
    """Train a network in a folder that no other process trains in."""
    resume = check_folder(options.out, options.resume)
    batch_size = options.batch_size or (64 if len(train_data) < SMALL_DATA else 256)
    ma.manual_seed(options.seed)
    net = build(options.network, options.layer, train_data)
    last = options.out / "checkpoint.safetensors"
    history = ma.fit(
        net,
        data.Loader(train_data, batch_size, shuffle=True, seed=options.seed),
        data.Loader(test_data, 1000),
        epochs=options.epochs,
        optimizer=optim.SGD(
            net.parameters(),
            lr=options.lr,
            momentum=0.9,
            nesterov=True,
            weight_decay=5e-4,
            adder_lr=optim.AdaptiveLR(options.eta),
        ),
        schedule=optim.Cosine(),
        p_schedule=optim.LinearP(until=options.p_until) if options.layer == "adder-lp" else None,
        callbacks=(callbacks.Checkpoint(last), callbacks.Progress()),
        resume=resume,
    )
    ma.save(net, options.out / "net.safetensors")
    checkpoint.write_file(options.out / "history.json", (json.dumps(history, indent=1) + "\n").encode())
    name = f"{options.network}, {options.layer} layers, {options.data}"
    plot.save_figure(plot.learning_curves(history, name), options.out / "curves.png")
    first = next(parameter for parameter in net.parameters() if parameter.ndim > 1)
    # a fully-connected filter has an entry for each pixel: it is shown as an image too
    filters = first.numpy().reshape(-1, *train_data.inputs.shape[1:]) if first.ndim == 2 else first.numpy()
    plot.save_figure(plot.filter_grid(filters, f"filters of the first layer: {name}"), options.out / "filters.png")
    accuracy = history[-1]["test_accuracy"] or 0.0
    print(f"test accuracy {100 * accuracy:.2f} % after epoch {options.epochs}; results in {options.out}")
