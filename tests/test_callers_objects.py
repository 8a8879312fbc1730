"""What a caller changes between forward and backward does not change the gradient: lists, masks, labels, buffers."""

from __future__ import annotations

from collections import UserList
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minadder as ma
from minadder import nn, ops
from minadder.autograd import Array
from minadder.tensor import Tensor


class Number:
    """An integer that can be changed."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


def change(thing: Any, value: Any) -> None:
    """Overwrite all that a list, an array, or a number holds."""
    if isinstance(thing, Number):
        thing.value = value
    elif isinstance(thing, (list, UserList)):
        for place, part in enumerate(thing):
            if isinstance(part, list):
                change(part, value)
            else:
                thing[place] = value
    else:
        thing[...] = value


INDICES: dict[str, Callable[[], tuple[Any, Any, Any]]] = {
    "a list": lambda: ((i := [0, 1]), i, 2),
    "a list in a tuple": lambda: (((i := [0, 1]), slice(None)), i, 2),
    "a nested list": lambda: ((i := [[0, 1], [1, 0]]), i, 2),
    "a nested list in a tuple": lambda: ((slice(None), (i := [[0, 1], [1, 0]])), i, 2),
    "a list of bool": lambda: ((i := [True, False, True, False]), i, True),
    "a list of bool in a tuple": lambda: (((i := [True, False, True, False]), 0), i, True),
    "an array": lambda: ((i := np.array([0, 1])), i, 2),
    "an array in a tuple": lambda: ((..., (i := np.array([0, 1]))), i, 2),
    "an array without axes": lambda: ((i := np.array(0)), i, 2),
    "a mask": lambda: ((i := np.eye(4, 3, dtype=bool)), i, True),
    "a mask of rows in a tuple": lambda: (((i := np.array([True, False, True, False])), None), i, True),
    "an array in a slice": lambda: (slice(i := np.array(1), None), i, 2),
    "a number": lambda: ((i := Number(0)), i, 2),
    "numbers in a slice": lambda: ((slice(i := Number(1), Number(3)), 0), i, 0),
    "a tuple of lists in a tuple": lambda: ((([0, 1], (i := [0, 1])),), i, 2),
    "another sequence": lambda: ((i := UserList([0, 1])), i, 2),
    "a memory": lambda: (memoryview(i := np.array([0, 1])), i, 2),
}


@pytest.mark.parametrize("make", INDICES.values(), ids=INDICES)
def test_an_index_that_changes_later(make: Callable[[], tuple[Any, Any, Any]]) -> None:
    values = np.arange(12.0).reshape(4, 3)
    gradients = []
    for later in (False, True):
        index, thing, value = make()
        x = ma.tensor(values, requires_grad=True)
        y = x[index] * 1.0
        if later:
            change(thing, value)
        y.sum().backward()
        assert x.grad is not None
        gradients.append(x.grad.numpy())
    np.testing.assert_array_equal(*gradients)
    assert gradients[0].any()


def test_a_condition_that_changes_later() -> None:
    condition = np.array([True, False])
    x, y = ma.tensor([1.0, 2.0], requires_grad=True), ma.tensor([3.0, 4.0], requires_grad=True)
    z = ops.where(condition, x, y)
    condition[:] = False
    z.sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    assert (x.grad.tolist(), y.grad.tolist()) == ([1, 0], [0, 1])


@pytest.mark.parametrize(
    ("loss", "targets", "later"), [(ops.cross_entropy, [0, 1], 1), (ops.bce_with_logits, [[0.0, 1.0], [1.0, 0.5]], 1)]
)
@pytest.mark.parametrize(
    "form", [list, np.array, lambda values: np.array(values, np.float32 if type(values[0]) is list else np.int64)]
)
def test_targets_that_change_later(loss: Any, targets: Any, later: Any, form: Any) -> None:
    gradients = []
    for changed in (False, True):
        given = form([[*row] if isinstance(row, list) else row for row in targets])
        if isinstance(given, np.ndarray) and given.dtype == np.float64:
            given = given.astype(np.float32)
        z = ma.tensor([[0.5, -1.0], [2.0, 0.25]], requires_grad=True)
        y = loss(z, given)
        if changed:
            change(given, later)
        y.backward()
        assert z.grad is not None
        gradients.append(z.grad.numpy())
    np.testing.assert_array_equal(*gradients)


def test_targets_as_tensor() -> None:
    """A change is detected, and a gradient of the targets is not lost."""
    z, t = ma.tensor([0.5, -1.0], requires_grad=True), ma.tensor([0.0, 1.0])
    loss = ops.bce_with_logits(z, t)
    t += 0.0
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()
    logits, targets = (ma.tensor(v, dtype="float64", requires_grad=True) for v in ([0.5, -1.0, 3.0], [0.25, 0.75, 0.5]))
    for reduction in ("mean", "sum", "none"):
        assert ma.gradcheck(lambda z, t, r=reduction: ops.bce_with_logits(z, t, r), [logits, targets])


def test_statistics_that_the_caller_was_given() -> None:
    gradients = []
    for changed in (False, True):
        x = ma.tensor([[1.0, 2.0], [3.0, 5.0], [4.0, 1.0]], requires_grad=True)
        y, mean, var = ops.batch_norm_train(x, ma.tensor([1.0, 2.0]), ma.tensor([0.0, 0.0]))
        if changed:
            mean[:], var[:] = 100, 100
        (y * y * y).sum().backward()
        assert x.grad is not None
        gradients.append(x.grad.numpy())
    np.testing.assert_array_equal(*gradients)


MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "Linear": (lambda: nn.Linear(3, 2), (4, 3)),
    "AdderLinear": (lambda: nn.AdderLinear(3, 2), (4, 3)),
    "BinaryLinear": (lambda: nn.BinaryLinear(3, 2), (4, 3)),
    "Conv2d": (lambda: nn.Conv2d(3, 2, 1), (2, 3, 2, 2)),
    "Adder2d": (lambda: nn.Adder2d(3, 2, 1), (2, 3, 2, 2)),
    "BinaryConv2d": (lambda: nn.BinaryConv2d(3, 2, 1), (2, 3, 2, 2)),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(3), (4, 3)),
    "Sequential": (lambda: nn.Sequential(nn.Flatten(), nn.Hardtanh(), nn.Linear(6, 2)), (4, 3, 2)),
}


@pytest.mark.parametrize("name", MODULES)
def test_a_buffer_that_is_refilled_for_each_batch(name: str) -> None:
    """Losses of several batches from one buffer are added up, and then one backward follows."""
    make, shape = MODULES[name]
    net, rng = make(), np.random.default_rng(0)
    batches = [rng.standard_normal(shape).astype(np.float32) for _ in range(3)]

    def gradients(inputs: Callable[[Array], Array]) -> list[Array]:
        net.zero_grad()
        total: Any = 0
        for batch in batches:
            y = net(inputs(batch))
            total = total + (y * y).sum()
        total.backward()
        return [parameter.grad.numpy() for parameter in net.parameters() if parameter.grad is not None]

    buffer = np.empty(shape, np.float32)

    def refilled(batch: Array) -> Array:
        buffer[...] = batch
        return buffer

    wanted = gradients(lambda batch: batch)
    for one, other in zip(gradients(refilled), wanted, strict=True):
        np.testing.assert_array_equal(one, other)
    assert any(gradient.any() for gradient in wanted)


def test_an_output_is_no_view_of_the_callers_input() -> None:
    x = np.ones((2, 3, 1), np.float32)
    with ma.no_grad():
        y = nn.Flatten()(x)
    x[...] = 5
    assert y.tolist() == [[1, 1, 1], [1, 1, 1]]


def test_operands_and_gradients_that_change_later() -> None:
    array, weights = np.array([1.0, 2.0], np.float32), np.array([1.0, 1.0], np.float32)
    x = ma.tensor([3.0, 4.0], requires_grad=True)
    uses: list[Callable[[Tensor], Tensor]] = [
        lambda x: x * array,
        lambda x: array / x,
        lambda x: x**array,
        lambda x: x.maximum(array),
        lambda x: ops.where([True, False], array, x),
        lambda x: x @ array.reshape(2, 1),
    ]
    for use in uses:
        gradients = []
        for later in (1.0, 9.0):
            array[:], weights[:], x.grad = [1, 2], 1, None
            y = use(x)
            array[:] = later
            y.backward(weights[: y.size])
            weights[:] = 9
            assert x.grad is not None
            gradients.append(x.grad.tolist())
        assert gradients[0] == gradients[1]


def test_a_buffer_is_not_the_callers_array() -> None:
    array = np.zeros(2, np.float32)
    net = nn.Module()
    net.register_buffer("kept", array)
    array[:] = 7
    assert net.state_dict()["kept"].tolist() == [0, 0]
