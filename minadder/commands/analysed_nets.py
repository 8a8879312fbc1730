"""The nets that `minadder analyse` looks into: of files, or trained as AdderNet and as CNN."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import minadder as ma
from minadder import callbacks, checkpoint, data, models, nn, optim, streams
from minadder.autograd import Array
from minadder.run import Callback

KINDS = {"adder": "AdderNet", "conv": "CNN"}
QUICK_EXAMPLES = 400
QUICK_EPOCHS = 2
SMALL_DATA = 10_000
MOST_OF_A_NAME = 30
"""Characters of a name that tables and titles have room for."""


def load(options: argparse.Namespace) -> tuple[data.Dataset, data.Dataset]:
    """Return the training and the test data, for a quick run a few of each."""
    train, test = data.load(options.data)
    if options.quick:
        return train.subset(min(QUICK_EXAMPLES, len(train))), test.subset(min(QUICK_EXAMPLES, len(test)))
    return train, test


def chosen_weights(options: argparse.Namespace) -> tuple[dict[str, Array], str]:
    """Return the weights that the options name, by net, and how those nets came about, for titles.

    They are of the files, or of LeNet-5-BN trained as both nets.
    """
    if options.files:
        names = unique([name_of(file) for file in options.files])
        arrays = [weight_of(checkpoint.read_arrays(file)[0], options.weight, file) for file in options.files]
        return dict(zip(names, arrays, strict=True)), ""
    train, test = load(options)
    found = {}
    for kind, name in KINDS.items():
        ma.manual_seed(options.seed)
        net = models.lenet5_bn(kind, train.num_classes, train.inputs.shape[1])
        weight_of(net.state_dict(), options.weight, name)  # so that a wrong name fails now
        fit(net, name, train, test, options)
        found[name] = weight_of(net.state_dict(), options.weight, name)
    return found, f", LeNet-5-BN, {train.name}, {epochs(options)} epochs"


def name_of(file: Path) -> str:
    """Return what to call the net in a file: the folder's name where the file has the name that all have."""
    name = file.parent.resolve().name if file.stem == "net" else file.stem
    return streams.printable(name, MOST_OF_A_NAME)


def unique(names: Sequence[str]) -> list[str]:
    """Return names with a number behind those that were there before."""
    return [name if names.index(name) == place else f"{name} {place + 1}" for place, name in enumerate(names)]


def weight_of(arrays: dict[str, Array], weight: str, where: Path | str) -> Array:
    """Return an array of a layer's filters by its name; ValueError with the names of those there are."""
    names = sorted(name for name, array in arrays.items() if array.ndim > 1)
    if weight not in names:
        what = (
            f"{weight}" if weight not in arrays else f"filters {weight}, only an array of shape {arrays[weight].shape}"
        )
        there = ", ".join(names) or "none, it holds no weights"
        raise ValueError(f"{where} has no {what}: choose by --weight one of {there}")
    return arrays[weight]


def epochs(options: argparse.Namespace) -> int:
    """Return for how many epochs nets are trained."""
    return QUICK_EPOCHS if options.quick else int(options.epochs)


def fit(
    net: nn.Module,
    name: str,
    train: data.Dataset,
    test: data.Dataset,
    options: argparse.Namespace,
    eta: float = 0.2,
    weight_decay: float = 5e-4,
    more: Sequence[Callback] = (),
) -> float:
    """Train a net as the paper does on MNIST (Chen et al. 2020, Sec. 4.1), and return its accuracy on the test data.

    Data of few examples have smaller batches.
    """
    batch_size = 16 if options.quick else 64 if len(train) < SMALL_DATA else 256
    rule = optim.AdaptiveLR(eta)
    ma.fit(
        net,
        data.Loader(train, batch_size, shuffle=True, seed=options.seed),
        epochs=epochs(options),
        optimizer=optim.SGD(
            net.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=weight_decay, adder_lr=rule
        ),
        schedule=optim.Cosine(),
        callbacks=[callbacks.Progress(), *more],
        renew_batches=0,
    )
    accuracy = ma.evaluate(net, data.Loader(test, 1000))[1]
    streams.say(f"{name}: test accuracy {100 * accuracy:.2f} % after {epochs(options)} epochs")
    return accuracy
