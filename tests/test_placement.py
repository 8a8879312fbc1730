"""Where arrays lie in memory changes no bit of what operations give: not their distances, not their alignment."""

from __future__ import annotations

from typing import Any

import numpy as np
from running import both_dtypes, every_operation

from minadder.autograd import Array
from minadder.ops.registry import Operation
from minadder.ops.samples import Draw
from minadder.tensor import Tensor
from minadder.testing import same_bits

DRAWS, PLACES = 12, 4


def placed(arrays: list[Array], rng: np.random.Generator) -> list[Array]:
    """Return copies of arrays that lie one behind the other in one buffer, at distances of a few elements."""
    size = arrays[0].itemsize
    buffer = np.empty(sum(array.nbytes for array in arrays) + 8 * size * (len(arrays) + 1), np.uint8)
    place, copies = 0, []
    for array in arrays:
        place += int(rng.integers(8)) * size
        copy = buffer[place : place + array.nbytes].view(array.dtype).reshape(array.shape)
        copy[...] = array
        copies.append(copy)
        place += array.nbytes
    return copies


def results(operation: Operation, arrays: list[Array], options: dict[str, Any], weights: Array | None) -> list[Array]:
    """Return the output of an operation and the gradients of its inputs, which are not copied."""
    tensors = [Tensor(array, requires_grad=True) for array in arrays]
    output = operation.function(*tensors, **options)
    if weights is not None:
        output.backward(weights)
    return [output.numpy(), *(np.zeros(0) if tensor.grad is None else tensor.grad.numpy() for tensor in tensors)]


@both_dtypes
@every_operation
def test_places_change_no_bit(operation: Operation, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    for draw in range(DRAWS):
        sample = operation.sample(Draw(np.random.default_rng(draw)))
        # beside the lattice, where sums are exact and no order of theirs would show
        arrays = [np.asarray(array * (1 + rng.random(array.shape) / 64), dtype) for array in sample.arrays]
        try:
            output = results(operation, arrays, sample.options, None)[0]
        except ValueError:  # such as a target of the binary loss, which is above 1 now
            continue
        weights = np.asarray(rng.standard_normal(output.shape), output.dtype)
        wanted = results(operation, arrays, sample.options, weights)
        for _ in range(PLACES):
            *copies, cotangent = placed([*arrays, weights.astype(dtype)], rng)
            got = results(operation, copies, sample.options, cotangent.astype(output.dtype, copy=False))
            for one, other in zip(got, wanted, strict=True):
                assert same_bits(one, other)
