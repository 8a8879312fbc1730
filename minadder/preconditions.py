"""What a training needs, found out before its first step: that files can be written, that net, data and loss fit."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from minadder import random
from minadder.autograd import Array, no_grad
from minadder.data import Loader
from minadder.evaluation import evaluating, targets
from minadder.files import as_path, where_to_write
from minadder.nn import BCEWithLogitsLoss, CrossEntropyLoss, Module
from minadder.nn.batchnorm import BatchNorm
from minadder.tensor import Tensor


def check_can_write(path: str | Path) -> None:
    """Raise OSError unless a file can be written at a path, as far as that can be known; nothing is left behind.

    Examples
    --------
    >>> from minadder.preconditions import check_can_write
    >>> check_can_write("no such folder/net.safetensors")
    Traceback (most recent call last):
    ...
    FileNotFoundError: [Errno 2] cannot be written (No such file or directory): 'no such folder/net.safetensors'
    """
    place = as_path(path)
    try:
        with tempfile.TemporaryFile(dir=where_to_write(place)[0].parent) as file:
            file.write(b"x")
    except OSError as error:
        raise OSError(error.errno, f"cannot be written ({error.strerror})", str(place)) from None


def check_fits(net: Module, loader: Loader, loss: Module, what: str) -> None:
    """Raise unless a net takes a loader's examples and a loss takes what comes of them: one is tried in evaluation.

    The net and the library's random generator are left as they were.

    Parameters
    ----------
    net, loader, loss
        What must fit together.
    what
        What the data are called: "training" or "test".

    Raises
    ------
    ValueError, TypeError
        When they do not fit.
    """
    first = Loader(loader.dataset, batch_size=1, transform=loader.transform, seed=loader.seed)
    inputs, labels = next(iter(first))
    with untouched(net), no_grad(), np.errstate(all="ignore"):
        try:
            outputs = net(Tensor(inputs))
        except (ValueError, TypeError) as error:
            raise type(error)(f"the net does not take the {what} data {loader.dataset!r}: {error}") from error
        check_labels(outputs, loader, loss, what)
        shape = loss(outputs, targets(loss, labels, outputs)).shape
    if math.prod(shape) != 1 or getattr(loss, "reduction", None) == "none":
        raise ValueError(f"{loss!r} gives no single number for a batch (of one, {shape}): take reduction='mean'")


def check_labels(outputs: Tensor, loader: Loader, loss: Module, what: str) -> None:
    """Raise ValueError when the outputs of one example cannot stand for all labels of the data."""
    labels = getattr(loader.dataset, "labels", None)
    highest = int(labels.max()) if isinstance(labels, np.ndarray) and labels.size else loader.dataset.num_classes - 1
    if isinstance(loss, CrossEntropyLoss) and (outputs.ndim != 2 or outputs.shape[1] <= highest):
        raise ValueError(
            f"the {what} data {loader.dataset!r} have labels up to {highest}, for which cross-entropy needs outputs "
            f"(N, {highest + 1}) or wider; those of the net have shape {outputs.shape} for one example"
        )
    if isinstance(loss, BCEWithLogitsLoss) and (outputs.size != 1 or highest > 1):
        raise ValueError(
            f"the binary loss needs one logit an example and labels 0 and 1: the net's outputs have shape "
            f"{outputs.shape} for one example, the labels of the {what} data {loader.dataset!r} go up to {highest}"
        )


def check_batches(net: Module, loader: Loader) -> None:
    """Raise ValueError when a batch norm of the net would get a single value a channel in training."""
    if min(len(loader.dataset), loader.batch_size) > 1:
        return
    first = Loader(loader.dataset, batch_size=1, transform=loader.transform, seed=loader.seed)
    alone: list[str] = []
    handles = [
        module.register_forward_hook(
            lambda module, given, output, path=path: alone.append(path) if single(given[0]) else None  # type: ignore[misc]
        )
        for path, module in net.named_modules()
        if isinstance(module, BatchNorm)
    ]
    try:
        with untouched(net), no_grad(), np.errstate(all="ignore"):
            net(Tensor(next(iter(first))[0]))
    finally:
        for handle in handles:
            handle.remove()
    if alone:
        why = "the training data hold one example" if len(loader.dataset) == 1 else "batch_size is 1"
        raise ValueError(
            f"{why}, and {', '.join(alone)} of the net cannot normalise a single value a channel: batch norm needs "
            f"batches of two examples or more"
        )


def single(value: Tensor | Array) -> bool:
    """Return whether an array (1, C, ...) has one value for each channel."""
    return len(value.shape) < 3 or all(side == 1 for side in value.shape[2:])


@contextmanager
def untouched(net: Module) -> Iterator[None]:
    """Put the net into evaluation for a trial, and leave modes, buffers and the random generator as they were."""
    buffers = [(array, array.copy()) for _, array in net.named_buffers()]
    state = random.generator_state()
    try:
        with evaluating(net):
            yield
    finally:
        random.set_generator_state(state)
        for array, before in buffers:
            array[...] = before
