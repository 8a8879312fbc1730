"""A change in place between forward and backward gives the right gradient or an error, never a wrong gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from running import every_operation

import minadder as ma
from minadder import nn
from minadder.autograd import Array
from minadder.ops.registry import Operation
from minadder.tensor import Tensor
from minadder.testing import cotangent, samples_of, seeds

ALIASES: dict[str, Callable[[Tensor], Tensor]] = {
    "itself": lambda t: t,
    "detach": lambda t: t.detach(),
    "reshape": lambda t: t.reshape(*t.shape, 1),
    "flatten": lambda t: t.flatten(),
    "transpose": lambda t: t.T,
    "slice": lambda t: t[...],
    "views of views": lambda t: t.detach().T.unsqueeze(0)[0].detach(),
}
"""Other tensors of the same memory (flatten copies what does not lie in a row)."""

CHANGES: dict[str, Callable[[Tensor], Any]] = {
    "copy_": lambda t: t.copy_(np.full(t.shape, 9.0, t.dtype)),
    "data =": lambda t: setattr(t, "data", np.full(t.shape, 9.0, t.dtype)),
    "+=": lambda t: t.__iadd__(1.0),
    "-=": lambda t: t.__isub__(1.0),
    "*=": lambda t: t.__imul__(3.0),
    "/=": lambda t: t.__itruediv__(2.0),
    "[...] =": lambda t: t.__setitem__(..., 9.0),
}
"""Each way to change values in place."""

aliases = pytest.mark.parametrize("alias", ALIASES.values(), ids=ALIASES)
changes = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)


def gradients(output: Tensor, inputs: list[Tensor], weights: Array) -> list[Array | None]:
    """Go backward and return the gradients of the inputs, None where there is none."""
    output.backward(weights)
    return [None if tensor.grad is None else tensor.grad.numpy() for tensor in inputs]


@every_operation
@given(data=st.data(), seed=seeds)
def test_every_operation_is_right_or_refuses(operation: Operation, data: st.DataObject, seed: int) -> None:
    sample = data.draw(samples_of(operation))
    change = CHANGES[data.draw(st.sampled_from(sorted(CHANGES)))]
    alias = ALIASES[data.draw(st.sampled_from(sorted(ALIASES)))]

    def forward() -> tuple[list[Tensor], Tensor]:
        leaves = [ma.tensor(array, requires_grad=True) for array in sample.arrays]
        inputs = [leaf + 0.0 for leaf in leaves]  # as in the middle of a net
        return [*leaves, *inputs], operation.function(*inputs, **sample.options)

    tensors, output = forward()
    weights = cotangent(np.random.default_rng(seed), output.shape)
    wanted = gradients(output, tensors[: len(sample.arrays)], weights)

    tensors, output = forward()
    changed = data.draw(st.sampled_from([*tensors, output]))
    with ma.no_grad():
        target = alias(changed)
        assume(target._array.flags.writeable)  # what broadcast_to gives cannot be changed
        change(target)
    try:
        got = gradients(output, tensors[: len(sample.arrays)], weights)
    except RuntimeError as error:
        assert "changed in place" in str(error)  # noqa: PT017  (not every change must raise)
    else:
        for one, other in zip(got, wanted, strict=True):
            np.testing.assert_array_equal(one, other)


@aliases
@changes
def test_a_changed_input_that_the_derivative_needs(alias: Any, change: Any) -> None:
    x = ma.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    y = (x * x).sum()
    with ma.no_grad():
        change(alias(x))
    with pytest.raises(RuntimeError, match=r"Multiply.*shape \(2, 2\).*changed in place 1 time\(s\)"):
        y.backward()
    assert x.grad is None


@aliases
@changes
def test_a_changed_output_that_the_derivative_needs(alias: Any, change: Any) -> None:
    x = ma.tensor([[1.0, 2.0]], requires_grad=True)
    y = x.exp()
    z = y.sum()
    with ma.no_grad():
        change(alias(y))
    with pytest.raises(RuntimeError, match=r"Exp.*shape \(1, 2\).*changed in place"):
        z.backward()


@aliases
@changes
def test_a_change_of_the_original_reaches_its_views(alias: Any, change: Any) -> None:
    x = ma.tensor([[1.0, 2.0]], requires_grad=True)
    view = alias(x).detach().requires_grad_()
    z = (view * view).sum()
    with ma.no_grad():
        change(x)
    with pytest.raises(RuntimeError, match=r"Multiply.*changed in place"):
        z.backward()


def test_a_change_after_backward_and_of_an_independent_tensor_is_allowed() -> None:
    x, other = ma.tensor([1.0, 2.0], requires_grad=True), ma.tensor([1.0, 2.0])
    y = (x * x).sum()
    other += 1
    y.backward()
    with ma.no_grad():
        x += 1
    assert x.grad is not None
    assert x.grad.tolist() == [2, 4]
    (x * x).sum().backward()
    assert x.grad.tolist() == [2 + 4, 4 + 6]


def test_views_of_memory_that_numpy_does_not_own() -> None:
    memory = bytearray(16)
    array = np.frombuffer(memory, np.float32)
    x = ma.Tensor(array, requires_grad=True)
    y = x.reshape(2, 2)
    z = (y * y).sum()
    with ma.no_grad():
        x += 1.0
    with pytest.raises(RuntimeError, match="changed in place"):
        z.backward()


def test_an_operation_that_returns_its_input_shares_the_count_of_changes() -> None:
    class Same(ma.Function):
        def forward(self, x: Array) -> Array:
            return x

        def backward(self, grad: Array) -> Array:
            return grad

    x = ma.tensor([1.0, 2.0], requires_grad=True)
    z = (x * x).sum()
    y = Same.apply(x)
    with ma.no_grad():
        y += 1.0
    with pytest.raises(RuntimeError, match="changed in place"):
        z.backward()


def test_an_operation_that_keeps_a_view_of_its_input() -> None:
    class SquareOfLast(ma.Function):
        def forward(self, x: Array) -> Array:
            self.saved = (x[-1:],)
            return x[-1:] ** 2

        def backward(self, grad: Array) -> Array:
            (last,) = self.saved
            return np.concatenate([0 * last, 2 * last * grad])

    x = ma.tensor([1.0, 2.0], requires_grad=True)
    y = SquareOfLast.apply(x)
    y.backward(retain_graph=True)
    assert x.grad is not None
    assert x.grad.tolist() == [0, 4]
    with ma.no_grad():
        x += 1.0
    with pytest.raises(RuntimeError, match=r"SquareOfLast .* shape \(2,\) .* changed in place"):
        y.backward()


def test_a_gradient_that_is_used_and_then_added_to() -> None:
    x = ma.tensor([2.0], requires_grad=True)
    (x * x).backward()
    assert x.grad is not None
    y = ma.tensor([1.0], requires_grad=True)
    z = y * x.grad
    (x * x).backward()  # adds into x.grad
    with pytest.raises(RuntimeError, match="changed in place"):
        z.backward()


def test_a_step_between_forward_and_backward_of_a_layer() -> None:
    layer = nn.AdderLinear(3, 2)
    y = layer(np.ones((4, 3), np.float32)).sum()
    layer.load_state_dict(layer.state_dict())
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()
    y = layer(np.ones((4, 3), np.float32)).sum()
    layer.to("float64")
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_running_statistics_may_move_on_before_backward() -> None:
    layer = nn.BatchNorm1d(2).eval()
    x = ma.tensor([[1.0, 2.0], [3.0, 5.0]], requires_grad=True)
    y = layer(x)
    layer.train()(np.array([[9.0, 7.0], [1.0, 0.0]], np.float32))
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), 1, rtol=1e-4)


@changes
def test_no_change_where_a_gradient_flows(change: Any) -> None:
    leaf = ma.tensor([1.0], requires_grad=True)
    for tensor in (leaf, leaf * 2):
        if change is CHANGES["data ="]:  # the one way that means it
            continue
        with pytest.raises(RuntimeError, match=r"requires_grad=True cannot be changed in place.*no_grad"):
            change(tensor)
        assert tensor.tolist() in ([1.0], [2.0])


def test_data_can_be_set_on_a_learnt_tensor() -> None:
    w = ma.tensor([1.0, 2.0], requires_grad=True)
    w.data = np.array([5.0, 6.0], np.float32)
    assert w.tolist() == [5, 6]
    w.data = [7.0, 8.0]
    assert (w.tolist(), w.dtype, w.requires_grad, w.is_leaf) == ([7, 8], np.float32, True, True)
    for wrong in (np.zeros(3, np.float32), np.zeros((2, 1), np.float32), np.zeros(2), 1.0, np.zeros(2, int)):
        with pytest.raises(ValueError, match=r"cannot copy values of shape .* into a tensor of shape \(2,\)"):
            w.data = wrong
    assert w.tolist() == [7, 8]


def test_a_change_that_no_derivative_depends_on_is_right() -> None:
    x = ma.tensor([1.0, 2.0], requires_grad=True)
    result = (x + 3).sum()
    with ma.no_grad():
        x[0] = 7.0
    result.backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1, 1]


def test_a_change_that_would_lose_a_gradient_is_refused() -> None:
    x, y = ma.tensor([1.0], requires_grad=True), ma.tensor([1.0])
    with pytest.raises(RuntimeError, match=r"\+= with an operand that requires a gradient would lose that gradient"):
        y += x
    with pytest.raises(RuntimeError, match="lose the value's gradient"):
        y[0] = x[0]
    assert x.tolist() == y.tolist() == [1.0]
    with ma.no_grad():
        y += x
        y[0] *= 2.0
    assert y.tolist() == [4.0]


def test_the_own_step_of_a_learner_works() -> None:
    w = ma.tensor([1.0, 2.0], requires_grad=True)
    (w * w).sum().backward()
    with ma.no_grad():
        w -= 0.25 * w.grad
    assert w.tolist() == [0.5, 1.0]
    assert w.requires_grad


def test_a_view_of_the_second_input_changes_with_it() -> None:
    class Second(ma.Function):
        def forward(self, one: Array, other: Array) -> Array:
            self.shape = other.shape
            return other.reshape(-1)

        def backward(self, grad: Array) -> tuple[None, Array]:
            return None, grad.reshape(self.shape)

    one, other = ma.tensor([1.0]), ma.tensor([[1.0, 2.0]], requires_grad=True)
    view = Second.apply(one, other)
    squares = view * view
    with ma.no_grad():
        one += 1.0
    squares.backward(np.ones(2, np.float32), retain_graph=True)
    with ma.no_grad():
        other += 1.0
    with pytest.raises(RuntimeError, match="changed in place 1 time"):
        squares.backward(np.ones(2, np.float32))
