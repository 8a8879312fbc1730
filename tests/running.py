"""What the tests of every operation share: which operations, in which precisions, and how closely results agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minadder.autograd import Array
from minadder.ops.registry import OPERATIONS, Operation
from minadder.ops.samples import Sample

RELATIVE = {np.float32: 2e-5, np.float64: 1e-12}
"""Tolerance of operations that round, relative to the largest value."""

every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


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
