"""How good a network is on data: its mean loss, its accuracy, and top-5 accuracy where there are many classes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Union

import numpy as np

from minadder.autograd import Array, no_grad
from minadder.checks import instance
from minadder.data import Examples, Loader
from minadder.data.loader import as_loader
from minadder.nn import BCEWithLogitsLoss, CrossEntropyLoss, Module
from minadder.tensor import Tensor

MANY_CLASSES = 100
"""From so many classes on the top-5 accuracy is told, as it is of ImageNet's 1000."""


Data = Union[Loader, Examples, "tuple[Any, Any]"]
"""What stands for data: a Loader, a data set, or a pair (X, y)."""


class Measured(NamedTuple):
    """The mean loss, the accuracy, and the top-5 accuracy where there are many classes, None elsewhere."""

    loss: float
    accuracy: float
    top5: float | None


class Evaluation(NamedTuple):
    """The mean loss, and the accuracy in [0, 1]."""

    loss: float
    accuracy: float


def evaluate(net: Module, data: Data, loss: Module | None = None) -> Evaluation:
    """Return the mean loss and the accuracy of a network on data, in evaluation mode; its mode is left as it was.

    Parameters
    ----------
    net
        The network.
    data
        A pair (X, y), a data set, or a Loader of one.
    loss
        A loss module; by default `nn.CrossEntropyLoss()`.

    Examples
    --------
    >>> import minadder as ma
    >>> from minadder import nn
    >>> net = nn.Linear(2, 2, bias=False)
    >>> net.weight.data = [[1.0, 0.0], [0.0, 1.0]]
    >>> ma.evaluate(net, ([[3, 1], [1, 3]], [0, 0])).accuracy
    0.5
    """
    return Evaluation(*measure(net, data, loss)[:2])


def measure(net: Module, data: Data, loss: Module | None = None) -> Measured:
    """Return what `evaluate` does, and the top-5 accuracy."""
    check_net(net)
    loader = as_loader(data, "data")
    criterion = loss_or_default(loss)
    total, correct, among_five, seen = 0.0, 0, 0, 0
    many = False
    with evaluating(net), no_grad():
        for inputs, labels in loader:
            outputs = net(Tensor(inputs))
            value = number_of(criterion(outputs, targets(criterion, labels, outputs))).item()
            total += value * examples_in(criterion, len(labels))
            correct += count_correct(outputs, labels)
            many = outputs.ndim == 2 and outputs.shape[1] >= MANY_CLASSES
            among_five += count_among_first(outputs.numpy(), labels, 5) if many else 0
            seen += len(labels)
    return Measured(total / seen, correct / seen, among_five / seen if many else None)


def check_net(net: Module) -> None:
    """Raise TypeError for what is no network."""
    instance(net, "net", Module, "a network (an nn.Module)")


def loss_or_default(loss: Module | None) -> Module:
    """Return a loss module, for None the cross-entropy; TypeError for a name, a function or a class."""
    if loss is None:
        return CrossEntropyLoss()
    return instance(loss, "loss", Module, "a loss module, such as nn.CrossEntropyLoss(), or None")


@contextmanager
def evaluating(net: Module) -> Iterator[None]:
    """Put a net into evaluation mode, and each of its modules back into its own mode at the end."""
    modes = [(module, module.training) for module in net.modules()]
    try:
        net.eval()
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def examples_in(loss: Module, count: int) -> int:
    """Return for how many of a batch's examples the loss's value stands as a mean: 1 where it is their sum."""
    return 1 if getattr(loss, "reduction", "mean") == "sum" else count


def targets(loss: Module, labels: Array, outputs: Tensor) -> Array:
    """Return labels as the loss takes them: class numbers, or for the binary loss 0 and 1 in the outputs' shape."""
    if isinstance(loss, BCEWithLogitsLoss):
        if outputs.size != len(labels):
            raise ValueError(
                f"BCEWithLogitsLoss needs one logit for each example, but the net gives outputs of shape "
                f"{outputs.shape} for {len(labels)}: use nn.CrossEntropyLoss(), or a last layer of 1 unit"
            )
        return labels.reshape(outputs.shape).astype(outputs.dtype)
    return labels


def number_of(result: Tensor) -> Tensor:
    """Return what a loss gave, once it is a Tensor of one number; TypeError or ValueError for another."""
    instance(result, "the loss's output", Tensor, "a Tensor of one number")
    if result.size != 1:
        raise ValueError(f"the loss's output must be a Tensor of one number, but its shape is {result.shape}")
    return result


def count_correct(outputs: Tensor, labels: Array) -> int:
    """Return how many labels the outputs name: by the largest logit, or the sign of a single one."""
    logits = outputs.numpy()
    guesses = logits.reshape(-1) > 0 if logits.size == len(labels) else logits.argmax(axis=1)
    return int(np.count_nonzero(guesses == labels))


def count_among_first(logits: Array, labels: Array, first: int) -> int:
    """Return how many labels are among so many of the largest logits; of equal logits the earlier class comes first.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder.evaluation import count_among_first
    >>> logits = np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]])
    >>> [count_among_first(logits, np.array([2, 2]), first) for first in (1, 2, 3)]
    [0, 1, 2]
    """
    own = logits[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(logits.shape[1]) < labels[:, None]
    before = ~(logits <= own) | ((logits == own) & earlier)  # NaN stands before all others and is never first
    return int(np.count_nonzero(before.sum(axis=1) < first))
