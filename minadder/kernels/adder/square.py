"""The ℓ2 adder layer on the CPU, by products: −Σ (X − F)² = 2·Σ X·F − Σ X² − Σ F² (Universal AdderNets, Eq. 19).

Σ X² over a window does not depend on the filter: it is a convolution of the channels' squares, added up, with ones.
What is left to do for each output is a convolution's work. The sums cancel where X is close to F: the error is a few
roundings of Σ X² + Σ F², not of the result.
"""

from __future__ import annotations

import numpy as np

from minadder.autograd import Array
from minadder.jit import kernel
from minadder.kernels import windowed
from minadder.kernels.geometry import Pair
from minadder.kernels.tasks import on_threads


@kernel
def square_task(task: int, x: Array, channels: int, sums: Array) -> None:
    """Write Σ X² over each group's `channels` channels of an image of x (N, C, L) to sums (N, groups, L)."""
    for group in range(sums.shape[1]):
        for i in range(np.uintp(x.shape[2])):
            sums[task, group, i] = x[task, group * channels, i] * x[task, group * channels, i]
        for c in range(group * channels + 1, (group + 1) * channels):
            for i in range(np.uintp(x.shape[2])):
                sums[task, group, i] += x[task, c, i] * x[task, c, i]


@kernel
def combine_task(task: int, squares: Array, filter_squares: Array, y: Array) -> None:
    """Replace the products in an image of y (N, T, L) by 2·y − Σ X² − Σ F²; squares are (N, groups, L)."""
    filters = y.shape[1] // squares.shape[1]
    two = y.dtype.type(2)
    for t in range(y.shape[1]):
        for i in range(np.uintp(y.shape[2])):
            y[task, t, i] = two * y[task, t, i] - squares[task, t // filters, i] - filter_squares[t]


square_tasks = on_threads(square_task)
combine_tasks = on_threads(combine_task)


def forward(x: Array, w: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Array:
    """Return −Σ (X − F)² over each window. A padded cell counts F²."""
    x = np.ascontiguousarray(x)
    count, channels, height, width = x.shape
    sums = np.empty((count, groups, height, width), x.dtype)
    planes = x.reshape(count, channels, -1), channels // groups, sums.reshape(count, groups, -1)
    windowed.run(square_task, square_tasks, count, x.size, *planes)
    ones = np.ones((groups, 1, *w.shape[2:]), w.dtype)
    squares = windowed.forward(sums, ones, stride, padding, dilation, groups, distance=False)
    y = windowed.forward(x, w, stride, padding, dilation, groups, distance=False)
    filter_squares = np.square(w).sum(axis=(1, 2, 3))
    flat = squares.reshape(count, groups, -1), filter_squares, y.reshape(count, w.shape[0], -1)
    windowed.run(combine_task, combine_tasks, count, y.size, *flat)
    return y
