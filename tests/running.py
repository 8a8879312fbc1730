"""Running operations of the registry on arrays, forward and backward, as the tests of all operations do."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

import minadder as ma
from minadder.autograd import Array
from minadder.ops.registry import OPERATIONS, Operation
from minadder.ops.samples import Sample

RELATIVE = {np.float32: 2e-5, np.float64: 1e-12}
"""Tolerance of operations that round, relative to the largest value."""

every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


class Result(NamedTuple):
    """The output of an operation and the gradients of its inputs."""

    output: Array
    gradients: list[Array]


def forward(operation: Operation, arrays: list[Array], options: dict[str, Any]) -> tuple[list[ma.Tensor], ma.Tensor]:
    """Run an operation on arrays, which are wrapped and not copied; return its inputs and its output."""
    tensors = [ma.Tensor(array, requires_grad=True) for array in arrays]
    return tensors, operation.function(*tensors, **options)


def run(operation: Operation, arrays: list[Array], options: dict[str, Any], weights: Array) -> Result:
    """Run an operation forward, and backward from the weights."""
    tensors, output = forward(operation, arrays, options)
    output.backward(weights.astype(output.dtype))
    return Result(output.numpy(), [np.zeros(t.shape) if t.grad is None else t.grad.numpy() for t in tensors])


def cast(sample: Sample, dtype: Any) -> list[Array]:
    """Return copies of the sample's arrays in a precision."""
    return [array.astype(dtype) for array in sample.arrays]


def output_shape(operation: Operation, sample: Sample) -> tuple[int, ...]:
    """Return the shape of the operation's output."""
    return np.shape(operation.reference(*sample.arrays, **sample.options))


def assert_close(ours: Array, wanted: Array, exact: bool) -> None:
    """Compare bit for bit where exact, else within `RELATIVE`, which is that of the precision of `ours`."""
    assert ours.shape == wanted.shape
    if exact:
        np.testing.assert_array_equal(ours, wanted)
    else:
        rtol = RELATIVE[ours.dtype.type]
        np.testing.assert_allclose(ours, wanted, rtol=rtol, atol=rtol * np.abs(wanted).max(initial=1))
