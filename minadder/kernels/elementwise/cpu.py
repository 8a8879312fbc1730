"""The ReLU on the CPU. Forward and backward are one plain loop:

    for i in elements:
        y[i] = 0 if gate[i] ≤ 0 else values[i]

Forward x is both the gate and the values; backward the output is the gate, and G the values.
"""

from __future__ import annotations

import numpy as np

from minadder.autograd import Array
from minadder.jit import kernel
from minadder.kernels.tasks import on_threads

CHUNK, PARALLEL = 1 << 15, 1 << 19
"""The elements that a thread takes at once, and how many there must be before threads are started for them."""


@kernel
def pass_elements(values: Array, gate: Array, first: int, last: int, y: Array) -> None:
    """Write values where the gate is above 0 or NaN, else 0, from the first to the last element."""
    zero = values.dtype.type(0)
    for i in range(np.uintp(first), np.uintp(last)):
        y[i] = zero if gate[i] <= zero else values[i]


@kernel
def pass_task(task: int, values: Array, gate: Array, y: Array) -> None:
    """Do the same for `CHUNK` elements."""
    pass_elements(values, gate, task * CHUNK, min((task + 1) * CHUNK, y.size), y)


pass_on_threads = on_threads(pass_task)


def pass_where_positive(values: Array, gate: Array) -> Array:
    """Return values where the gate is above 0 or NaN, else 0."""
    y = np.empty(gate.shape, gate.dtype)
    rows = np.ascontiguousarray(values).reshape(-1), np.ascontiguousarray(gate).reshape(-1)
    if gate.size >= PARALLEL:
        pass_on_threads(-(-gate.size // CHUNK), *rows, y.reshape(-1))
    else:
        pass_elements(*rows, 0, gate.size, y.reshape(-1))
    return y


def relu_forward(x: Array) -> Array:
    """Return max(x, 0); NaN stays NaN."""
    return pass_where_positive(x, x)


def relu_backward(grad: Array, y: Array) -> Array:
    """Return G, but 0 where the output y is 0. Where y is NaN G passes."""
    return pass_where_positive(grad, y)
