"""Batches of a data set, in an order that depends on nothing but the seed and the epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minadder.checks import described, flag, seed_number, shown, whole

from .dataset import Batch, Dataset, Examples
from .own import as_inputs, as_labels
from .transforms import Transform


class Loader:
    """Iterate over a data set in batches ``(inputs, labels)``: float32 ``(B, ...)`` and int64 ``(B,)``.

    The last batch is smaller where the length is not a multiple of ``batch_size``, unless ``drop_last``. A single
    example that would be left over joins the batch before it, which is then one larger: a batch norm can do nothing
    with a batch of one. Batches are contiguous and own their memory. ``transform`` is called as
    ``transform(inputs, rng)`` on each batch. The data set is a ``Dataset``, or anything else that has what
    ``Examples`` lists, such as an ``ImageFolder``.

    **Epochs.** Starting an iteration takes the epoch ``loader.epoch`` (0 at first) and counts it up, so that each
    pass is ordered anew, as PyTorch users expect, also when the pass before was abandoned halfway. The order of
    epoch e comes from (seed, e) alone, and the randomness of the data set and of ``transform`` from (seed, e, index of
    the batch): ``set_epoch(e)`` is all that it takes to resume.

    Raises ValueError for an empty data set, ``batch_size`` < 1, and ``drop_last`` with a data set smaller than one
    batch; ValueError or TypeError for a transform that returns something else than as many float32 inputs.

    >>> from minadder import data
    >>> loader = data.Loader(data.xor(10), batch_size=4, shuffle=True)
    >>> [len(labels) for inputs, labels in loader]
    [4, 4, 2]
    >>> len(loader), loader.epoch
    (3, 1)
    >>> [len(labels) for inputs, labels in data.Loader(data.xor(9), batch_size=4)]
    [4, 5]
    """

    def __init__(
        self,
        dataset: Examples,
        batch_size: int = 256,
        shuffle: bool = False,
        drop_last: bool = False,
        transform: Transform | None = None,
        seed: int = 0,
    ) -> None:
        self.dataset = check_examples(dataset, "dataset")
        self.batch_size = whole(batch_size, "batch_size", 1)
        self.shuffle = flag(shuffle, "shuffle")
        self.drop_last = flag(drop_last, "drop_last")
        if transform is not None and (isinstance(transform, type) or not callable(transform)):
            raise TypeError(
                f"transform must be a callable such as data.RandomHorizontalFlip(), or None, not {shown(transform)}"
            )
        self.transform = transform
        self.seed = seed_number(seed)
        self.epoch = 0
        if len(dataset) == 0:
            raise ValueError(f"cannot load batches from an empty data set: {dataset!r}")
        if self.drop_last and self.batch_size > len(dataset):
            raise ValueError(
                f"drop_last=True with batch_size={self.batch_size} leaves no batch of {dataset!r}: "
                f"use a batch_size of at most {len(dataset)}"
            )

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        whole, rest = divmod(len(self.dataset), self.batch_size)
        # one that is left over is no batch of its own, unless it is all there is
        return whole + (rest > 1 or whole == 0) if not self.drop_last else whole

    def __repr__(self) -> str:
        return f"Loader({self.dataset!r}, batch_size={self.batch_size}, shuffle={self.shuffle}, epoch={self.epoch})"

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that of ``epoch`` (counted from 0)."""
        self.epoch = whole(epoch, "epoch", 0)

    def __iter__(self) -> Iterator[Batch]:
        epoch = self.epoch
        self.epoch += 1
        return self._batches(epoch)

    def _batches(self, epoch: int) -> Iterator[Batch]:
        order = np.arange(len(self.dataset))
        if self.shuffle:
            order = np.random.default_rng([self.seed, epoch]).permutation(order)
        count = len(self)
        for index in range(count):
            end = (index + 1) * self.batch_size if index + 1 < count or self.drop_last else len(order)
            members = order[index * self.batch_size : end]
            # From 1, because a trailing 0 does not count in a seed: [s, e, 0] would be the order's [s, e].
            seed = (self.seed, epoch, 1 + index)
            inputs, labels = self.dataset.take(members, seed)
            if self.transform is not None:
                inputs = self._checked(self.transform(inputs, np.random.default_rng(seed)), len(labels))
            yield np.ascontiguousarray(inputs), labels

    def _checked(self, inputs: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        if not isinstance(inputs, np.ndarray) or inputs.dtype != np.float32:
            got = inputs.dtype if isinstance(inputs, np.ndarray) else type(inputs).__name__
            raise TypeError(f"transform {self.transform!r} must return a float32 array, got {got}")
        if inputs.ndim == 0 or len(inputs) != count:
            raise ValueError(
                f"transform {self.transform!r} must return as many inputs as it was given: "
                f"gave {count}, got shape {inputs.shape}"
            )
        return inputs


SMALL, SMALL_BATCH, LARGE_BATCH = 10_000, 64, 256
"""Of data sets with fewer examples than that a batch has 64, else 256, where nobody says how many."""


def usual_batch_size(count: int) -> int:
    """How many examples a batch of so many has where nobody says."""
    return SMALL_BATCH if count < SMALL else LARGE_BATCH


def check_examples(value: Examples, name: str) -> Examples:
    """Return a data set; TypeError for what lacks what ``Examples`` lists: for arrays, lists, paths, and classes."""
    lacks = [part for part in ("name", "num_classes", "shape", "__len__", "take", "subset") if not hasattr(value, part)]
    if lacks or isinstance(value, type):
        raise TypeError(
            f"{name} must be a pair (X, y) of inputs and labels, a data set such as data.Dataset(X, y), or a "
            f"data.Loader of one, not {described(value)}"
        )
    return value


def as_examples(value: Examples | tuple[Any, Any], name: str) -> Examples:
    """A data set as it is, and for a pair (X, y) the ``Dataset`` of them; TypeError for all else."""
    if isinstance(value, tuple):
        if len(value) != 2:
            raise TypeError(f"{name} must be a pair (X, y) of inputs and labels, not a tuple of {len(value)}")
        return Dataset(as_inputs(value[0], f"X of {name}"), as_labels(value[1], f"y of {name}"))
    return check_examples(value, name)


def as_loader(
    value: Loader | Examples | tuple[Any, Any], name: str, shuffle: bool = False, batch_size: int | None = None
) -> Loader:
    """A ``Loader`` as it is, and for a data set or a pair (X, y) a ``Loader``; TypeError for all else.

    ValueError for a batch size that contradicts that of a ``Loader``.
    """
    if isinstance(value, Loader):
        if batch_size not in (None, value.batch_size):
            raise ValueError(
                f"batch_size is {shown(batch_size)}, but {name} is a Loader with batches of {value.batch_size}: give "
                f"it there, or pass the data set"
            )
        return value
    examples = as_examples(value, name)
    return Loader(examples, usual_batch_size(len(examples)) if batch_size is None else batch_size, shuffle=shuffle)
