"""`check_function` raises no alarm at kinks, where any slope in between is right, and catches what is wrong there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from running import every_operation

import minadder as ma
from minadder import ops, testing
from minadder.autograd import Array
from minadder.ops.registry import Operation

points = arrays(np.float64, testing.shapes(min_side=0), elements=st.sampled_from((-2.5, -1.0, -0.5, 0.0, 0.5, 1.0)))
"""Arrays that sit on the kinks of absolute values and clips, with ties, and also without elements."""

KINKED = {
    "abs": ops.absolute,
    "relu": ops.relu,
    "hardtanh": ops.hardtanh,
    "clip": lambda x: ops.clip(x, -1.0, 0.5),
    "abs, subtracted and added up": lambda x: (ops.absolute(x) - 2.0 * ops.relu(x + 1.0)).sum(),
}

per_kink = pytest.mark.parametrize("function", KINKED.values(), ids=KINKED)


@per_kink
@given(x=points)
def test_no_false_alarm_on_kinks(function: Any, x: Array) -> None:
    testing.check_function(function, x)


@per_kink
@given(x=arrays(np.float64, (10, 20), elements=st.sampled_from((-1.0, 0.0, 0.5, 1.0)), fill=st.just(0.0)))
def test_no_false_alarm_where_more_kinks_than_are_looked_at_singly_meet_in_one_output(function: Any, x: Array) -> None:
    testing.check_function(lambda x: (ops.reshape(function(x), (-1,)) * signs(x.size, x.dtype)).sum(), x)


def signs(size: int, dtype: Any) -> ma.Tensor:
    """Return 1, −2, 1, −2, … so that slopes of both signs meet."""
    return ma.tensor(np.where(np.arange(size) % 2, -2, 1).astype(dtype))


@pytest.mark.parametrize("function", [ops.maximum, ops.minimum])
@given(data=st.data(), shapes=testing.broadcastable_shapes(2))
def test_no_false_alarm_where_two_inputs_tie(function: Any, data: st.DataObject, shapes: Any) -> None:
    values = st.sampled_from((-1.0, 0.5, 1.0))
    testing.check_function(function, [data.draw(arrays(np.float64, shape, elements=values)) for shape in shapes])


@pytest.mark.parametrize("function", [ops.max, ops.min])
@given(x=arrays(np.float64, (3, 4), elements=st.sampled_from((-1.0, 0.5, 1.0))), axis=st.sampled_from((None, 0, 1)))
def test_no_false_alarm_where_entries_tie(function: Any, x: Array, axis: int | None) -> None:
    testing.check_function(function, x, options={"axis": axis})


@every_operation
def test_no_false_alarm_at_the_conventions_of_the_registry(operation: Operation) -> None:
    for inputs, _ in operation.kinks:
        values = [np.array([value, 0.75]) for value in inputs]
        testing.check_function(operation.function, values, gradient_of=operation.gradient_of)


def with_slopes(left: float, kink: float, right: float) -> type[ma.Function]:
    """Return |x| with such gradients left of 0, at 0 and right of it."""

    class Own(ma.Function):
        def forward(self, x: Array) -> Array:
            self.saved = (x,)
            return np.abs(x)

        def backward(self, grad: Array) -> Array:
            (x,) = self.saved
            slopes = np.where(x < 0, left, np.where(x > 0, right, kink))
            return slopes.astype(grad.dtype) * grad

    return Own


@given(convention=st.floats(-1, 1))
def test_any_slope_in_between_is_a_convention(convention: float) -> None:
    testing.check_function(with_slopes(-1, convention, 1), np.array([[-1.5, 0.0], [0.0, 0.5]]))


@pytest.mark.parametrize("convention", [-3.0, 1.01, np.nan])
def test_a_gradient_outside_of_both_slopes_is_caught_on_a_kink(convention: float) -> None:
    message = (
        r"1 of 3 gradient entries differs.*input 0 at \(1,\).*a kink: the slope is .* to the left and .* to the right"
    )
    with pytest.raises(testing.CheckError, match=message):
        testing.check_function(with_slopes(-1, convention, 1), np.array([-1.5, 0.0, 0.5]))


def test_a_wrong_slope_beside_kinks_is_caught_and_named() -> None:
    with pytest.raises(testing.CheckError, match=r"the gradient of input 0 has the wrong sign everywhere.*2 of 4"):
        testing.check_function(with_slopes(1, 0, -1), np.array([-1.5, 0.0, 0.0, 0.5]))
