"""Data sets: what a loader asks of one, and the one whose inputs and labels lie in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from minadder.checks import instance, whole

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
    """Inputs with one class label each.

    ``inputs``: float32 array ``(N, ...)``, for images ``(N, C, H, W)``. ``labels``: int64 array ``(N,)`` of
    classes ``0 … num_classes - 1``. The arrays are held, not copied. N = 0 is allowed (a ``Loader`` refuses it).

    Raises TypeError for anything but arrays of these dtypes and ValueError for shapes or labels that do not
    fit; the message names the values.

    >>> import numpy as np
    >>> from minadder.data import Dataset
    >>> points = Dataset(np.zeros((4, 2), np.float32), np.array([0, 1, 1, 0]), num_classes=2, name="points")
    >>> points
    Dataset('points', 4 examples of shape (2,), 2 classes)
    >>> len(points.subset(3))
    3
    """

    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]
    num_classes: int
    name: str

    def __post_init__(self) -> None:
        _check_array("inputs", self.inputs, np.float32)
        _check_array("labels", self.labels, np.int64)
        whole(self.num_classes, "num_classes", 1)
        instance(self.name, "name", str, "a string")
        if self.labels.ndim != 1:
            raise ValueError(f"labels must have shape (N,), got {self.labels.shape}")
        if self.inputs.ndim == 0 or len(self.inputs) != len(self.labels):
            raise ValueError(
                f"inputs and labels must have the same length: inputs have shape {self.inputs.shape}, "
                f"labels {self.labels.shape}"
            )
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < self.num_classes:
            raise ValueError(
                f"labels must lie in 0 … {self.num_classes - 1} for num_classes={self.num_classes}, "
                f"got {self.labels.min()} … {self.labels.max()}"
            )

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


def _check_array(name: str, array: object, dtype: type[np.generic]) -> None:
    wanted = np.dtype(dtype).name
    fix = f"convert with np.asarray({name}, dtype=np.{wanted})"
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array of dtype {wanted}, got {type(array).__name__}: {fix}")
    if array.dtype != dtype:
        raise TypeError(f"{name} must have dtype {wanted}, got {array.dtype}: {fix}")
