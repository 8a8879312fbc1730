"""The nets that `minadder analyse` looks into: of files, or trained as AdderNet and as CNN."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import minadder as ma
from minadder import callbacks, checkpoint, data, models, nn, optim
from minadder.autograd import Array

KINDS = {"adder": "AdderNet", "conv": "CNN"}
QUICK_EXAMPLES = 400
SMALL_DATA = 10_000


def load(options: argparse.Namespace) -> tuple[data.Dataset, data.Dataset]:
    """Return the training and the test data; of the digits a few for a quick run."""
    if options.quick:
        train, test = data.load("digits")
        return train.subset(QUICK_EXAMPLES), test
    return data.load(options.data)


def chosen_weights(options: argparse.Namespace) -> dict[str, Array]:
    """Return the weights that the options name, of the files, or of LeNet-5-BN trained as both nets."""
    if options.files:
        names = unique([file.parent.resolve().name if file.stem == "net" else file.stem for file in options.files])
        return {
            name: weight_of(checkpoint.read_arrays(file)[0], options.weight, file)
            for name, file in zip(names, options.files, strict=True)
        }
    train, test = load(options)
    found = {}
    for kind, name in KINDS.items():
        ma.manual_seed(options.seed)
        net = models.lenet5_bn(kind, train.num_classes, train.inputs.shape[1])
        weight_of(net.state_dict(), options.weight, name)  # so that a wrong name fails now
        fit(net, name, train, test, options)
        found[name] = weight_of(net.state_dict(), options.weight, name)
    return found


def unique(names: Sequence[str]) -> list[str]:
    """Return names with a number behind those that were there before."""
    return [name if names.index(name) == place else f"{name} {place + 1}" for place, name in enumerate(names)]


def weight_of(arrays: dict[str, Array], weight: str, where: Path | str) -> Array:
    """Return an array by its name; ValueError with the names of the weights there are."""
    if weight not in arrays:
        names = ", ".join(sorted(name for name, array in arrays.items() if array.ndim > 1))
        raise ValueError(f"{where} has no {weight}: choose by --weight one of {names or 'none, it holds no weights'}")
    return arrays[weight]


def fit(net: nn.Module, name: str, train: data.Dataset, test: data.Dataset, options: argparse.Namespace) -> float:
    """Train a net by the papers' recipe (Chen et al. 2020, section 4.1), and return its accuracy on the test data."""
    epochs = 2 if options.quick else options.epochs
    batch_size = 16 if options.quick else 64 if len(train) < SMALL_DATA else 256
    optimizer = optim.SGD(
        net.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4, adder_lr=optim.AdaptiveLR(0.2)
    )
    ma.fit(
        net,
        data.Loader(train, batch_size, shuffle=True, seed=options.seed),
        epochs=epochs,
        optimizer=optimizer,
        schedule=optim.Cosine(),
        callbacks=[callbacks.Progress()],
    )
    accuracy = ma.evaluate(net, data.Loader(test, 1000))[1]
    print(f"{name}: test accuracy {100 * accuracy:.2f} % after {epochs} epochs")
    return accuracy
