"""Data sets: what a loader asks of one, and the one whose inputs and labels lie in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from minadder.checks import instance, number, seed_number, whole

from .own import as_inputs, as_labels
from .split import stratified_split

Batch = tuple[NDArray[np.float32], NDArray[np.int64]]


class Examples(Protocol):
    """What a ``Loader`` asks of a data set; ``Dataset`` has it, and ``ImageFolder``."""

    @property
    def name(self) -> str:
        """What to call it."""

    @property
    def num_classes(self) -> int:
        """Labels are ``0 … num_classes - 1``."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""

    def __len__(self) -> int:
        """The number of examples."""

    def take(self, members: NDArray[np.int64], seed: tuple[int, ...]) -> Batch:
        """Inputs ``(B, ...)`` and labels ``(B,)`` of some examples, in memory of their own.

        What is random about them comes from ``seed`` alone.
        """

    def subset(self, n: int) -> Examples:
        """``n`` examples that are a fair sample. ValueError unless ``0 <= n <= len``."""


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Inputs with one class label each, such as your own: ``Dataset(X, y)``.

    ``inputs``: numbers ``(N, ...)``, a row for each example, for images ``(N, C, H, W)``: an array, a list, a tensor or
    a pandas DataFrame. ``labels``: class numbers ``(N,)`` in ``0 … num_classes - 1``, of which the highest says how
    many there are, unless ``num_classes`` does. ``name``: what to call it. Afterwards ``inputs`` is an array of float32
    and ``labels`` of int64; those that are so already are held, not copied. N = 0 is allowed (a ``Loader`` refuses it).

    Raises TypeError for what is no number and ValueError for shapes or labels that do not fit; the message names the
    values, and how to number classes that have names.

    >>> from minadder.data import Dataset
    >>> points = Dataset([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0], name="XOR")
    >>> points
    Dataset('XOR', 4 examples of shape (2,), 2 classes)
    >>> len(points.subset(3))
    3
    """

    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]
    num_classes: int = None  # type: ignore[assignment]  # an int once it is made
    name: str = "data"

    def __post_init__(self) -> None:
        instance(self.name, "name", str, "a string")
        inputs, labels = as_inputs(self.inputs), as_labels(self.labels)
        if len(inputs) != len(labels):
            raise ValueError(
                f"inputs and labels must have the same length: inputs have shape {inputs.shape}, labels {labels.shape}"
            )
        highest = int(labels.max()) if labels.size else 0
        classes = highest + 1 if self.num_classes is None else whole(self.num_classes, "num_classes", 1)
        if highest >= classes:
            raise ValueError(
                f"labels must lie in 0 … {classes - 1} for num_classes={classes}, got {labels.min()} … {highest}"
            )
        for name, value in (("inputs", inputs), ("labels", labels), ("num_classes", classes)):
            object.__setattr__(self, name, value)  # the dataclass is frozen

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, {len(self)} examples of shape {self.shape}, {self.num_classes} classes)"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return self.inputs.shape[1:]

    def take(self, members: NDArray[np.int64], seed: tuple[int, ...]) -> Batch:
        """Copies of the inputs and labels of some examples; nothing about them is random."""
        # take copies small rows faster than [members] does
        return self.inputs.take(members, axis=0), self.labels.take(members)

    def subset(self, n: int) -> Dataset:
        """The first ``n`` examples, sharing memory with this data set. ValueError unless ``0 <= n <= len``.

        The data sets of this package are in mixed order, so their first examples are a fair sample.
        """
        n = whole(n, f"n of {self!r}.subset(n)", 0, len(self))
        return Dataset(self.inputs[:n], self.labels[:n], self.num_classes, self.name)

    def split(self, test: float, seed: int = 0) -> tuple[Dataset, Dataset]:
        """Two data sets (train, test), in mixed order, of which the second has a share of each class's examples.

        ``test``: the share, between 0 and 1; of a class of two examples or more each has one at least. ``seed``: what
        decides who is in it. ValueError where a data set would be empty.

        >>> from minadder import data
        >>> data.xor(100).split(0.2)
        (Dataset('xor', 80 examples of shape (2,), 2 classes), Dataset('xor', 20 examples of shape (2,), 2 classes))
        """
        share = number(test, "test", "(0, 1)")
        parts = stratified_split(self.labels, share, seed_number(seed)) if len(self) else ((), ())
        train, held_out = (np.asarray(part, np.int64) for part in parts)
        if not (len(train) and len(held_out)):
            raise ValueError(
                f"test={share:g} of {self!r} leaves {len(train)} for training and {len(held_out)} for testing"
            )
        return self._of(train), self._of(held_out)

    def _of(self, members: NDArray[np.int64]) -> Dataset:
        return Dataset(self.inputs[members], self.labels[members], self.num_classes, self.name)
