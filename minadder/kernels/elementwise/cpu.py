"""The ReLU on the CPU. Forward and backward are one plain loop:

    for i in elements:
        y[i] = 0 if gate[i] ≤ 0 else values[i]

Forward x is both the gate and the values; backward the output is the gate, and G the values.
"""

from __future__ import annotations

import numba
import numpy as np

from minadder.autograd import Array
from minadder.jit import kernel

CHUNK, PARALLEL = 1 << 15, 1 << 19
"""The elements that a thread takes at once, and how many there must be before threads are started for them."""


@kernel
def pass_chunk(values: Array, gate: Array, first: int, last: int, y: Array) -> None:
    """Write values where the gate is above 0 or NaN, else 0."""
    zero = values.dtype.type(0)
    for i in range(first, last):
        y[i] = zero if gate[i] <= zero else values[i]


@kernel(parallel=True)
def pass_where_positive(values: Array, gate: Array, threads: bool, y: Array) -> None:
    """Write values where the gate is above 0 or NaN, else 0."""
    size = values.shape[0]
    if threads:
        for chunk in numba.prange((size + CHUNK - 1) // CHUNK):
            pass_chunk(values, gate, np.uintp(chunk * CHUNK), np.uintp(min((chunk + 1) * CHUNK, size)), y)
    else:
        pass_chunk(values, gate, np.uintp(0), np.uintp(size), y)


def relu_forward(x: Array) -> Array:
    """Return max(x, 0); NaN stays NaN."""
    y = np.empty(x.shape, x.dtype)
    values = np.ascontiguousarray(x).reshape(-1)
    pass_where_positive(values, values, x.size >= PARALLEL, y.reshape(-1))
    return y


def relu_backward(grad: Array, y: Array) -> Array:
    """Return G, but 0 where the output y is 0. Where y is NaN G passes."""
    x_grad = np.empty(y.shape, y.dtype)
    values, gate = np.ascontiguousarray(grad).reshape(-1), np.ascontiguousarray(y).reshape(-1)
    pass_where_positive(values, gate, y.size >= PARALLEL, x_grad.reshape(-1))
    return x_grad
