"""How good a network is on data: its mean loss, its accuracy, and top-5 accuracy where there are many classes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from minadder.autograd import Array, no_grad
from minadder.data import Dataset, Loader
from minadder.nn import BCEWithLogitsLoss, CrossEntropyLoss, Module
from minadder.tensor import Tensor

MANY_CLASSES = 100
"""From so many classes on the top-5 accuracy is told, as it is of ImageNet's 1000."""


class Measured(NamedTuple):
    """The mean loss, the accuracy, and the top-5 accuracy where there are many classes, None elsewhere."""

    loss: float
    accuracy: float
    top5: float | None


def evaluate(net: Module, data: Loader | Dataset, loss: Module | None = None) -> tuple[float, float]:
    """Return the mean loss and the accuracy of a network on data, in evaluation mode; its mode is left as it was."""
    return measure(net, data, loss)[:2]


def measure(net: Module, data: Loader | Dataset, loss: Module | None = None) -> Measured:
    """Return what `evaluate` does, and the top-5 accuracy."""
    loader = data if isinstance(data, Loader) else Loader(data)
    criterion = CrossEntropyLoss() if loss is None else loss
    total, correct, among_five, seen = 0.0, 0, 0, 0
    many = False
    with evaluating(net), no_grad():
        for inputs, labels in loader:
            outputs = net(Tensor(inputs))
            value = criterion(outputs, targets(criterion, labels, outputs)).item()
            total += value * examples_in(criterion, len(labels))
            correct += count_correct(outputs, labels)
            many = outputs.ndim == 2 and outputs.shape[1] >= MANY_CLASSES
            among_five += count_among_first(outputs.numpy(), labels, 5) if many else 0
            seen += len(labels)
    return Measured(total / seen, correct / seen, among_five / seen if many else None)


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
        return labels.reshape(outputs.shape).astype(outputs.dtype)
    return labels


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
