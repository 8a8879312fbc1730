"""Operations of one's own, and whose memory a gradient is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import every_operation

import minadder as ma
from minadder.autograd import Array
from minadder.ops.registry import Operation
from minadder.tensor import Tensor
from minadder.testing import cotangent, samples_of, seeds


def operation(forward: Callable[..., Any], backward: Callable[..., Any] = lambda grad: grad) -> type[ma.Function]:
    """Return an operation called Own."""

    class Own(ma.Function):
        def forward(self, *arrays: Array) -> Any:
            return forward(*arrays)

        def backward(self, grad: Array) -> Any:
            return backward(grad)

    return Own


FOR_INPUT = "for an input of shape (2,), dtype float64"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda grad: (grad, grad), "2 gradient(s) for 1 input(s)"),
        (lambda grad: (), "0 gradient(s) for 1 input(s)"),
        (lambda grad: np.zeros(3), f"shape (3,), dtype float64 {FOR_INPUT}"),
        (lambda grad: np.zeros((1, 2)), f"shape (1, 2), dtype float64 {FOR_INPUT}"),
        (lambda grad: grad.astype("float32"), f"shape (2,), dtype float32 {FOR_INPUT}"),
        (lambda grad: np.zeros(2, int), f"shape (2,), dtype int64 {FOR_INPUT}"),
        (lambda grad: None, f"NoneType {FOR_INPUT}"),
        (lambda grad: 1.0, f"float {FOR_INPUT}"),
        (lambda grad: [grad], f"list {FOR_INPUT}"),
        (lambda grad: ma.tensor(grad), f"Tensor {FOR_INPUT}"),
    ],
)
def test_a_wrong_gradient_is_named(answer: Any, message: str) -> None:
    x = ma.tensor(np.ones(2), requires_grad=True)
    with pytest.raises(RuntimeError) as raised:
        operation(lambda x: x * 1, answer).apply(x).sum().backward()
    assert str(raised.value) == f"Own.backward returned {message}"
    assert x.grad is None


@pytest.mark.parametrize(
    ("result", "dtype"), [(lambda x: x > 0, "bool"), (lambda x: x.astype(int), "int64"), (lambda x: None, "object")]
)
def test_an_output_that_is_not_of_floats_is_named(result: Any, dtype: str) -> None:
    with pytest.raises(TypeError, match=rf"Own\.forward must return floats, not data of dtype {dtype}"):
        operation(result).apply(ma.tensor([1.0], requires_grad=True))


@pytest.mark.parametrize("value", [1.0, [1.0], np.ones(1, np.float32), None])
def test_what_is_no_tensor_is_named(value: Any) -> None:
    with pytest.raises(TypeError, match=rf"Own needs tensors, not {type(value).__name__}: use ma\.tensor"):
        operation(lambda x: x).apply(value)


def test_a_number_as_output_becomes_a_tensor() -> None:
    y = operation(lambda x: x[0] * 2, lambda grad: np.array([2 * grad, 0], np.float32)).apply(
        ma.tensor([3.0, 4.0], requires_grad=True)
    )
    assert (y.shape, y.item(), y.dtype) == ((), 6.0, np.float32)


def test_an_own_init_does_not_disturb_the_order() -> None:
    class Own(ma.Function):
        def __init__(self) -> None:
            self.factor = 3.0

        def forward(self, x: Array) -> Array:
            return x * np.float32(self.factor)

        def backward(self, grad: Array) -> Array:
            return grad * np.float32(self.factor)

    x = ma.tensor([1.0], requires_grad=True)
    y = Own.apply(x * 2)
    Own.apply(y + y).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [36]


def test_gradients_nobody_asks_for_may_be_none() -> None:
    class Own(ma.Function):
        def forward(self, x: Array, y: Array) -> Array:
            return x + y

        def backward(self, grad: Array) -> tuple[Array | None, Array | None]:
            return tuple(grad if needed else None for needed in self.needs_input_grad)  # type: ignore[return-value]

    x, y = ma.tensor([1.0], requires_grad=True), ma.tensor([1.0])
    Own.apply(y, x).backward()
    assert x.grad is not None
    assert (x.grad.tolist(), y.grad) == ([1], None)


def assert_nothing_shared(arrays: list[Array]) -> None:
    """Check every pair of arrays."""
    for number, one in enumerate(arrays):
        for other in arrays[:number]:
            assert not np.shares_memory(one, other)


@every_operation
@given(data=st.data(), seed=seeds)
def test_gradients_share_memory_with_nothing(operation: Operation, data: st.DataObject, seed: int) -> None:
    sample = data.draw(samples_of(operation))
    leaves = [ma.tensor(array, requires_grad=True) for array in sample.arrays]
    inputs = [(leaf + 0.0).retain_grad() for leaf in leaves]
    output = operation.function(*inputs, **sample.options).retain_grad()
    start = cotangent(np.random.default_rng(seed), output.shape)
    before = start.copy()
    output.backward(start)
    tensors: list[Tensor] = [*leaves, *inputs, output]
    gradients = [tensor.grad._array for tensor in tensors if tensor.grad is not None]
    assert_nothing_shared([*gradients, start, *(leaf._array for leaf in leaves)])
    assert all(gradient.flags.writeable and gradient.flags.owndata for gradient in gradients)
    for gradient in gradients:
        gradient[...] = 99.0
    np.testing.assert_array_equal(start, before)
    for leaf, array in zip(leaves, sample.arrays, strict=True):
        np.testing.assert_array_equal(leaf.numpy(), array)


def test_a_tensor_used_twice_and_a_gradient_given_as_a_tensor() -> None:
    x, y = ma.tensor([1.0, 2.0], requires_grad=True), ma.tensor([3.0, 4.0], requires_grad=True)
    z = (x + y).retain_grad()
    start = ma.tensor([1.0, 1.0])
    z.backward(start, retain_graph=True)
    z.backward(start)
    assert x.grad is not None
    assert y.grad is not None
    assert z.grad is not None
    assert x.grad.tolist() == y.grad.tolist() == z.grad.tolist() == [2, 2]
    assert start.tolist() == [1, 1]
    assert_nothing_shared([t._array for t in (x, y, z, start, x.grad, y.grad, z.grad)])
