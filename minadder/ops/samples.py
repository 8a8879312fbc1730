"""Inputs to check an operation on: shapes, sizes and options are drawn, values lie on a dyadic lattice.

Plain random floats sit on or beside a kink surprisingly often. Here inputs are halves and filters halves plus a
quarter, so that every |x − f| stays at least ¼ away from the kinks at 0 and ±1, sums and products are exact in float32,
and all ways to compute an operation must agree bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from minadder.autograd import Array
from minadder.kernels.adder.reference import RULES
from minadder.kernels.geometry import Pair

Choice = TypeVar("Choice")


@dataclass(frozen=True)
class Sample:
    """Arguments for one call of an operation: arrays that become tensors, and options."""

    arrays: tuple[Array, ...]
    options: dict[str, Any] = field(default_factory=dict)


class Draw:
    """A source of random choices. Property-based tests override `integer` with choices that can be shrunk.

    Parameters
    ----------
    rng
        The generator of the values.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def integer(self, low: int, high: int) -> int:
        """Return an integer from low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    def pick(self, options: Sequence[Choice]) -> Choice:
        """Return one of the options."""
        return options[self.integer(0, len(options) - 1)]

    def shape(self, least: int = 0, most: int = 3, smallest: int = 1) -> tuple[int, ...]:
        """Return a shape of `least` to `most` axes."""
        return tuple(self.integer(smallest, 4) for _ in range(self.integer(least, most)))

    def pair(self, low: int, high: int) -> Pair:
        """Return a pair of integers from low to high."""
        return self.integer(low, high), self.integer(low, high)

    def halves(self, shape: tuple[int, ...], reach: int = 6) -> Array:
        """Return float64 values from ½ℤ between −reach / 2 and reach / 2."""
        return np.asarray(self.rng.integers(-reach, reach + 1, shape) / 2)

    def quarters(self, shape: tuple[int, ...], reach: int = 6) -> Array:
        """Return float64 values from ½ℤ + ¼: never 0, 1 or −1, and never a half."""
        return np.asarray(self.halves(shape, reach) + 0.25)

    def positive(self, shape: tuple[int, ...]) -> Array:
        """Return float64 values from ½ℤ + ¼ above 0."""
        return np.asarray(np.abs(self.quarters(shape)))

    def distinct(self, shape: tuple[int, ...]) -> Array:
        """Return float64 values from ½ℤ of which no two are equal."""
        size = int(np.prod(shape, dtype=int))
        return np.asarray((self.rng.permutation(size).reshape(shape) - size // 2) / 2)

    def broadcastable(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return two shapes that broadcast together."""
        full = self.shape()
        parts = []
        for _ in range(2):
            shape = tuple(1 if self.integer(0, 3) == 0 else size for size in full)
            parts.append(shape[self.integer(0, len(shape)) if self.integer(0, 1) else 0 :])
        return parts[0], parts[1]

    def axis(self, ndim: int) -> int | tuple[int, ...] | None:
        """Return an axis, several, or None, for a tensor of so many axes."""
        if ndim == 0 or self.integer(0, 3) == 0:
            return None
        if self.integer(0, 1):
            return self.integer(-ndim, ndim - 1)
        return tuple(axis for axis in range(ndim) if self.integer(0, 1))


def unary(draw: Draw) -> Sample:
    """One tensor of any shape, away from 0 and ±1."""
    return Sample((draw.quarters(draw.shape()),))


def unary_positive(draw: Draw) -> Sample:
    """One tensor of any shape, above 0."""
    return Sample((draw.positive(draw.shape()),))


def binary(draw: Draw) -> Sample:
    """Two tensors that broadcast and never tie; the second is never 0."""
    one, other = draw.broadcastable()
    return Sample((draw.halves(one), draw.quarters(other)))


def powers(draw: Draw) -> Sample:
    """Bases above 0, and exponents."""
    one, other = draw.broadcastable()
    return Sample((draw.positive(one), draw.halves(other, reach=4)))


def clipped(draw: Draw) -> Sample:
    """A tensor, and limits that no value meets."""
    low, high = sorted(draw.pair(-2, 2))
    limits = {"low": draw.pick((None, float(low))), "high": draw.pick((None, float(high)))}
    return Sample((draw.quarters(draw.shape()),), limits)


def chosen(draw: Draw) -> Sample:
    """Two tensors, and a condition."""
    one, other = draw.broadcastable()
    shape = np.broadcast_shapes(one, other)
    return Sample((draw.halves(one), draw.halves(other)), {"condition": draw.halves(shape) > 0})


def reduced(draw: Draw) -> Sample:
    """A tensor of distinct values, axes, and whether they are kept."""
    shape = draw.shape()
    return Sample((draw.distinct(shape),), {"axis": draw.axis(len(shape)), "keepdims": bool(draw.integer(0, 1))})


def spread(draw: Draw) -> Sample:
    """The same with at least two values for each result, and a correction."""
    shape = draw.shape(least=1, smallest=2)
    axis = draw.pick((None, 0, -1))
    options = {"axis": axis, "correction": draw.integer(0, 1), "keepdims": bool(draw.integer(0, 1))}
    return Sample((draw.distinct(shape),), options)


def reshaped(draw: Draw) -> Sample:
    """A tensor, and another shape for its elements."""
    shape = draw.shape()
    size = int(np.prod(shape, dtype=int))
    return Sample((draw.halves(shape),), {"shape": draw.pick(((size,), (-1, 1), (1, size, 1), shape))})


def transposed(draw: Draw) -> Sample:
    """A tensor, and an order of its axes."""
    shape = draw.shape(least=1)
    return Sample((draw.halves(shape),), {"axes": tuple(int(axis) for axis in draw.rng.permutation(len(shape)))})


def broadcast(draw: Draw) -> Sample:
    """A tensor, and a shape that it broadcasts to."""
    full = draw.shape()
    start = draw.integer(0, len(full))
    shape = tuple(1 if draw.integer(0, 2) == 0 else size for size in full[start:])
    return Sample((draw.halves(shape),), {"shape": full})


def indexed(draw: Draw) -> Sample:
    """A tensor (≥ 2 axes), and an index: numbers, slices, integer arrays with repeats, bool arrays, None, …"""
    shape = draw.shape(least=2, smallest=2)
    rows = np.array([draw.integer(-shape[0], shape[0] - 1) for _ in range(3)])
    index: Any = draw.pick(
        (
            draw.integer(-shape[0], shape[0] - 1),
            (slice(None), draw.integer(0, shape[1] - 1)),
            (slice(None, None, 2), slice(1, None)),
            slice(None, None, -1),
            (..., 0),
            (None, 0),
            rows,
            (slice(None), rows % shape[1]),
            draw.halves(shape) > 0,
            slice(0, 0),
        )
    )
    return Sample((draw.halves(shape),), {"index": index})


def joined(draw: Draw) -> Sample:
    """Two or three tensors that differ along one axis, and that axis."""
    shape = list(draw.shape(least=1))
    axis = draw.integer(0, len(shape) - 1)
    arrays = []
    for _ in range(draw.integer(2, 3)):
        shape[axis] = draw.integer(0, 3)
        arrays.append(draw.halves(tuple(shape)))
    return Sample(tuple(arrays), {"axis": axis})


def stacked(draw: Draw) -> Sample:
    """Two tensors of one shape, and where the new axis goes."""
    shape = draw.shape()
    return Sample((draw.halves(shape), draw.halves(shape)), {"axis": draw.integer(0, len(shape))})


def matrices(draw: Draw) -> Sample:
    """Two stacks of matrices that broadcast, or vectors."""
    n, k, m = (draw.integer(1, 4) for _ in range(3))
    one = draw.pick(((k,), (n, k), (2, n, k), (1, n, k), (3, 2, n, k)))
    other = draw.pick(((k,), (k, m), (2, k, m), (3, 1, k, m) if len(one) == 4 else (1, k, m)))
    return Sample((draw.halves(one), draw.quarters(other)))


def rows_and_weight(draw: Draw) -> Sample:
    """Rows (..., in), and weights (out, in) that never tie with them."""
    inputs = draw.integer(1, 7)
    batch = draw.shape(least=1, most=2)
    return Sample((draw.halves((*batch, inputs)), draw.quarters((draw.integer(1, 6), inputs))))


def adder_rows(draw: Draw) -> Sample:
    """The same with gradient rules."""
    return Sample(rows_and_weight(draw).arrays, rules(draw))


def rules(draw: Draw) -> dict[str, Any]:
    """An exponent whose powers are exact, and gradient rules, one for the filter and one for the input."""
    return {"p": draw.pick((1.0, 2.0)), "weight_grad": draw.pick(RULES), "input_grad": draw.pick(RULES)}


def adder_powers(draw: Draw) -> Sample:
    """Images and filters with gradient rules, and an exponent between 1 and 2."""
    sample = adder_images(draw)
    return Sample(sample.arrays, {**sample.options, "p": draw.pick((1.1, 1.5, 1.9))})


def images_and_filters(draw: Draw) -> Sample:
    """Images and filters that never tie, with any stride, padding, dilation and groups that fit."""
    groups = draw.pick((1, 1, 2, 3))
    kernel, stride, padding, dilation = draw.pair(1, 3), draw.pair(1, 3), draw.pair(0, 2), draw.pair(1, 2)
    least = [max(1, d * (k - 1) + 1 - 2 * p) for k, p, d in zip(kernel, padding, dilation, strict=True)]
    height, width = (size + draw.integer(0, 4) for size in least)
    channels, filters = groups * draw.integer(1, 3), groups * draw.integer(1, 5)
    x = draw.halves((draw.integer(1, 3), channels, height, width))
    w = draw.quarters((filters, channels // groups, *kernel))
    return Sample((x, w), {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups})


def adder_images(draw: Draw) -> Sample:
    """The same with gradient rules."""
    sample = images_and_filters(draw)
    return Sample(sample.arrays, {**sample.options, **rules(draw)})


def binary_images(draw: Draw) -> Sample:
    """Images and filters that are never 0, 1 or −1, with any window that fits, and a scale for each filter."""
    sample = images_and_filters(draw)
    x, w = sample.arrays
    return Sample((draw.quarters(x.shape), w, draw.halves((len(w),))), sample.options)


def binary_rows(draw: Draw) -> Sample:
    """Rows and weights likewise."""
    x, w = rows_and_weight(draw).arrays
    return Sample((draw.quarters(x.shape), w, draw.halves((len(w),))))


def pooled(draw: Draw) -> Sample:
    """Images of distinct values, and a window that fits."""
    kernel = draw.pair(1, 3)
    padding = (draw.integer(0, kernel[0] // 2), draw.integer(0, kernel[1] // 2))
    height, width = (k + draw.integer(0, 4) for k in kernel)
    x = draw.distinct((draw.integer(1, 2), draw.integer(1, 3), height, width))
    return Sample((x,), {"kernel_size": kernel, "stride": draw.pair(1, 3), "padding": padding})


def max_pooled(draw: Draw) -> Sample:
    """The same, sometimes with dilation."""
    sample = pooled(draw)
    height, width = sample.arrays[0].shape[2:]
    kernel, padding = sample.options["kernel_size"], sample.options["padding"]
    fits = height + 2 * padding[0] > 2 * (kernel[0] - 1) and width + 2 * padding[1] > 2 * (kernel[1] - 1)
    return Sample(sample.arrays, {**sample.options, "dilation": draw.pick((1, 2)) if fits else 1})


def avg_pooled(draw: Draw) -> Sample:
    """The same, with or without the padding in the mean."""
    sample = pooled(draw)
    return Sample(sample.arrays, {**sample.options, "count_include_pad": bool(draw.integer(0, 1))})


def normalised(draw: Draw) -> Sample:
    """Inputs (N, C, ...) with at least two values a channel, γ and β, with or without a ReLU behind.

    β is a half plus a sixteenth, so that no output sits on the ReLU's kink: not for an x at the mean, nor for the
    rational values of x̂ that small batches and square variances give.
    """
    channels = draw.integer(1, 4)
    x = draw.distinct((draw.integer(2, 4), channels, *draw.shape(most=2)))
    arrays = x, draw.quarters((channels,)), draw.halves((channels,)) + 1 / 16
    return Sample(arrays, {"relu": bool(draw.integer(0, 1))})


def normalised_by(draw: Draw) -> Sample:
    """The same with fixed statistics."""
    sample = normalised(draw)
    shape = sample.arrays[1].shape
    return Sample(sample.arrays, {**sample.options, "mean": draw.halves(shape), "var": draw.positive(shape)})


def classified(draw: Draw) -> Sample:
    """Logits (N, C), labels, and a reduction."""
    count, classes = draw.integer(1, 5), draw.integer(1, 5)
    labels = np.array([draw.integer(0, classes - 1) for _ in range(count)])
    options = {"labels": labels, "reduction": draw.pick(("mean", "sum", "none"))}
    return Sample((draw.halves((count, classes)),), options)


def smoothed(draw: Draw) -> Sample:
    """The same, with a part of the label spread over all classes, and some examples, but not all, left out."""
    sample = classified(draw)
    labels = sample.options["labels"]
    labels[: draw.integer(0, len(labels) - 1)] = -100
    return Sample(sample.arrays, {**sample.options, "label_smoothing": draw.pick((0.0, 0.25, 1.0))})


def compared(draw: Draw) -> Sample:
    """Two tensors of one shape, and a reduction."""
    shape = draw.shape()
    return Sample((draw.halves(shape), draw.quarters(shape)), {"reduction": draw.pick(("mean", "sum", "none"))})


def decided(draw: Draw) -> Sample:
    """Logits of any shape, targets in [0, 1], and a reduction."""
    shape = draw.shape(least=1)
    targets = np.array(draw.rng.integers(0, 5, shape) / 4)
    return Sample((draw.quarters(shape),), {"targets": targets, "reduction": draw.pick(("mean", "sum", "none"))})
