"""How `check_function` is called: with shapes, arrays, samples and strategies; what it refuses and leaves alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import minadder as ma
from minadder import nn, ops, testing
from minadder.autograd import Array
from minadder.ops import samples


class HalfWrong(ma.Function):
    """x², with a gradient that is wrong where x is above 2 and there are three rows or more."""

    def forward(self, x: Array) -> Array:
        """Return x²."""
        self.saved = (x,)
        return x * x

    def backward(self, grad: Array) -> Array:
        """Return 2·x·G, or 3·x·G."""
        (x,) = self.saved
        return grad * x * (3 if x.ndim and len(x) >= 3 and (x > 2).any() else 2)


def test_a_strategy_finds_the_smallest_example() -> None:
    values = arrays(np.float64, testing.shapes(), elements=st.sampled_from((0.25, 2.25)))
    with pytest.raises(testing.CheckError) as raised:
        testing.check_function(HalfWrong, values)
    assert str(raised.value).startswith("HalfWrong on inputs of shape (3,): the gradient of input 0 is 1.5 times")


def test_an_operation_that_is_another_each_time_is_named_with_a_strategy_too() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(testing.CheckError, match="called again on the same values, the output is"):
        testing.check_function(lambda x: x * rng.random(), shapes=testing.broadcastable_shapes(1))


@given(x=testing.lattice_arrays())
def test_is_called_inside_a_test_that_draws(x: Array) -> None:
    testing.check_function(ops.tanh, x)
    testing.check_function(ops.tanh, [ma.tensor(x)])
    testing.check_function(ops.tanh, [x.astype(np.float32).tolist()])


def test_options_go_to_the_function() -> None:
    testing.check_function(ops.sum, shapes=[(2, 3)], options={"axis": 0})
    testing.check_function(ops.cross_entropy, shapes=[(3, 4)], options={"labels": np.array([0, 3, 1])})
    testing.check_function(ops.bce_with_logits, shapes=[(2,)], options={"targets": np.array([0.25, 1.0])})  # cast
    with pytest.raises(ValueError, match="label"):
        testing.check_function(ops.cross_entropy, shapes=[(3, 4)], options={"labels": np.array([0, 4, 1])})


def test_samples_bring_their_options_along() -> None:
    testing.check_function(ops.conv2d, testing.samples_of(samples.images_and_filters))
    testing.check_function(
        ops.max_pool2d,
        samples.Sample((np.arange(16.0).reshape(1, 1, 4, 4),), {"kernel_size": 2}),
        options={"stride": 1},
    )


def test_layers_and_functions_made_of_several_operations_pass() -> None:
    layer = nn.Linear(4, 2)
    weight = ma.tensor(layer.weight.numpy(), dtype="float64")
    testing.check_function(lambda x, w: (x @ w.T).relu().exp().mean(), [np.ones((3, 4)) / 2, weight])
    testing.check_function(lambda x: x, shapes=[(2, 3)])


def test_a_surrogate_gradient_is_that_of_the_function_named() -> None:
    steps = testing.lattice_arrays()
    testing.check_function(ops.binarize, steps, gradient_of=lambda number, x: np.clip(x, -1, 1))
    with pytest.raises(testing.CheckError, match="gradient entr"):
        testing.check_function(ops.binarize, shapes=[(3, 4)], gradient_of=lambda number, x: np.tanh(x))


def test_what_it_is_given_stays_as_it_was() -> None:
    x, labels = np.array([[0.5, -1.5], [2.5, 0.25]]), np.array([0, 1])
    before = x.copy(), labels.copy()
    testing.check_function(ops.cross_entropy, x, options={"labels": labels})
    assert testing.same_bits(x, before[0])
    assert testing.same_bits(labels, before[1])


@pytest.mark.parametrize(
    ("error", "arguments", "named", "message"),
    [
        (TypeError, (ops.exp,), {}, r"needs inputs or shapes, as in check_function\(MyFunction, shapes=\[\(3, 4\)\]\)"),
        (TypeError, (ops.exp, np.ones(2)), {"shapes": [(2,)]}, "needs inputs or shapes"),
        (TypeError, (None, np.ones(2)), {}, "needs a Function or a function of tensors, not NoneType"),
        (TypeError, (ops.exp, 1.5), {}, "needs arrays or a strategy that draws them, not float"),
        (ValueError, (ops.exp, []), {}, "at least one input"),
        (ValueError, (ops.exp,), {"shapes": []}, "at least one input"),
        (TypeError, (ops.exp,), {"shapes": (3, 4)}, r"a shape for each input, as in shapes=\[\(3, 4\)\], not \(3, 4\)"),
        (ValueError, (ops.exp, [["a"]]), {}, "could not convert"),
    ],
)
def test_what_cannot_be_checked_is_refused(error: Any, arguments: Any, named: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        testing.check_function(*arguments, **named)


def test_errors_of_the_function_itself_come_through() -> None:
    def divided(x: ma.Tensor) -> ma.Tensor:
        raise ZeroDivisionError("of my own")

    with pytest.raises(ZeroDivisionError, match="of my own"):
        testing.check_function(divided, shapes=[(2,)])
