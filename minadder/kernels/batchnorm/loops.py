"""The innermost loops of batch normalisation, which become vectors. All arrays are flat.

A run holds values of one channel, `step` apart. A row holds one value of each channel, of which those from `low` to
`high` are meant. What counts places is unsigned: the compiler would provide for signed places below 0.
"""

from __future__ import annotations

import numpy as np

from minadder.autograd import Array
from minadder.jit import kernel

WIDE = 24
"""From so many channels on, with L = 1, a vector goes across the channels."""


@kernel
def is_wide(x: Array) -> bool:
    """Return whether vectors go across the channels."""
    return x.shape[2] == 1 and x.shape[1] >= WIDE


@kernel
def runs(x: Array) -> tuple[int, int, int]:
    """Return in how many runs a channel's values lie, how many lie in each, and how far apart."""
    images, channels, length = np.uintp(x.shape[0]), np.uintp(x.shape[1]), np.uintp(x.shape[2])
    one = np.uintp(1)
    return (one, images, channels) if length == one else (images, length, one)


@kernel(inline=True)
def run_moments(x: Array, start: int, count: int, step: int, origin: float) -> tuple[float, float]:
    """Return Σ (x − origin) and Σ (x − origin)² over a run."""
    total, squares = np.float64(0), np.float64(0)
    for i in range(count):
        d = x[start + i * step] - origin
        total += d
        squares += d * d
    return total, squares


@kernel(inline=True)
def add_moments(x: Array, row: int, low: int, high: int, total: Array, squares: Array) -> None:
    """Add x − x₀ and (x − x₀)² of each channel of a row to sums; x₀ is the value in the first row."""
    for c in range(low, high):
        d = np.float64(x[row + c]) - np.float64(x[c])
        total[c] += d
        squares[c] += d * d


@kernel(inline=True, reorder=False)
def write_run(
    x: Array, start: int, count: int, step: int, mean: float, scale: float, shift: float, relu: bool, y: Array
) -> None:
    """Write (x − mean)·scale + shift, or 0 where a ReLU follows and that is below; NaN stays NaN."""
    zero = x.dtype.type(0)
    for i in range(count):
        k = start + i * step
        value = (x[k] - mean) * scale + shift
        y[k] = zero if relu and value <= zero else value


@kernel(inline=True, reorder=False)
def write_row(x: Array, row: int, low: int, high: int, factors: Array, relu: bool, y: Array) -> None:
    """Write the same for each channel of a row, from factors (3, C): means, scales and shifts."""
    zero = x.dtype.type(0)
    for c in range(low, high):
        value = (x[row + c] - factors[0, c]) * factors[1, c] + factors[2, c]
        y[row + c] = zero if relu and value <= zero else value


@kernel(inline=True)
def run_products(
    grad: Array, x: Array, y: Array, start: int, count: int, step: int, mean: float, relu: bool
) -> tuple[float, float]:
    """Return Σ G and Σ G·(x − mean) over a run, where G is 0 if a ReLU gave 0."""
    zero = x.dtype.type(0)
    total, products = np.float64(0), np.float64(0)
    for i in range(count):
        k = start + i * step
        g = np.float64(zero if relu and y[k] <= zero else grad[k])
        total += g
        products += g * (x[k] - mean)
    return total, products


@kernel(inline=True)
def add_products(
    grad: Array, x: Array, y: Array, row: int, low: int, high: int, mean: Array, relu: bool, sums: Array
) -> None:
    """Add the same of each channel of a row to sums (2, C)."""
    zero = x.dtype.type(0)
    for c in range(low, high):
        g = np.float64(zero if relu and y[row + c] <= zero else grad[row + c])
        sums[0, c] += g
        sums[1, c] += g * (x[row + c] - mean[c])


@kernel(inline=True, reorder=False)
def write_run_grad(
    grad: Array,
    x: Array,
    y: Array,
    start: int,
    count: int,
    step: int,
    mean: float,
    scale: float,
    slope: float,
    constant: float,
    training: bool,
    relu: bool,
    x_grad: Array,
) -> None:
    """Write scale·(G − slope·(x − mean) − constant), in evaluation only scale·G."""
    zero = x.dtype.type(0)
    for i in range(count):
        k = start + i * step
        g = zero if relu and y[k] <= zero else grad[k]
        x_grad[k] = scale * (g - slope * (x[k] - mean) - constant if training else g)


@kernel(inline=True, reorder=False)
def write_row_grad(
    grad: Array,
    x: Array,
    y: Array,
    row: int,
    low: int,
    high: int,
    factors: Array,
    training: bool,
    relu: bool,
    x_grad: Array,
) -> None:
    """Write the same for each channel of a row, from factors (4, C): means, scales, slopes and constants."""
    zero = x.dtype.type(0)
    for c in range(low, high):
        k = row + c
        g = zero if relu and y[k] <= zero else grad[k]
        x_grad[k] = factors[1, c] * (g - factors[2, c] * (x[k] - factors[0, c]) - factors[3, c] if training else g)
