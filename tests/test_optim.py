"""What optimisers accept, refuse, leave alone and show."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minadder import optim
from minadder.autograd import Array
from minadder.nn.parameter import Parameter
from minadder.tensor import Tensor

Maker = Callable[..., optim.Optimizer]
BOTH = pytest.mark.parametrize("maker", [optim.SGD, optim.Adam, optim.AdamW])


def parameter(*shape: int, grad: float | None = None, dtype: Any = np.float32) -> Parameter:
    result = Parameter(np.ones(shape, dtype))
    if grad is not None:
        result.grad = Tensor(np.full(shape, grad, dtype))
    return result


@given(
    grad=hnp.arrays(np.float32, hnp.array_shapes(min_side=0), elements=st.floats(-10, 10, width=32)),
    name=st.sampled_from(["SGD", "Adam"]),
    order=st.sampled_from(["C", "F"]),
)
def test_a_step_is_in_place_and_leaves_the_gradient_alone(grad: Array, name: str, order: Any) -> None:
    array = np.ones(grad.shape, np.float32, order=order)
    weight = Parameter(array, adder=True)
    weight.grad = Tensor(grad.copy())
    options: dict[str, Any] = {"momentum": 0.9, "nesterov": True} if name == "SGD" else {}
    rule = optim.AdaptiveLR()
    optimizer = getattr(optim, name)([weight], lr=0.1, weight_decay=0.01, adder_lr=rule, **options)
    version = weight._version.count
    optimizer.step()
    optimizer.step()
    np.testing.assert_array_equal(weight.grad.numpy(), grad)
    assert np.may_share_memory(weight.numpy(), array) or not array.size
    assert weight.numpy().tobytes() == array.tobytes()
    assert weight._version.count == version + 2
    assert optimizer.steps == 2
    assert weight.requires_grad


@BOTH
def test_parameters_without_a_gradient_are_left_alone(maker: Maker) -> None:
    idle, busy = parameter(2), parameter(2, grad=1.0)
    optimizer = maker([idle, busy], lr=0.1, weight_decay=0.1)
    optimizer.step()
    assert idle._version.count == 0
    np.testing.assert_array_equal(idle.numpy(), [1, 1])
    assert (busy.numpy() != 1).all()
    assert idle not in optimizer.state


@BOTH
def test_zero_grad_forgets_all_gradients(maker: Maker) -> None:
    params = [parameter(2, grad=1.0), parameter(3, grad=1.0)]
    maker([{"params": params[:1]}, {"params": params[1]}], lr=0.1).zero_grad()
    assert [weight.grad for weight in params] == [None, None]


@BOTH
def test_a_backward_after_the_step_is_refused(maker: Maker) -> None:
    weight = parameter(2, grad=1.0)
    result = (weight * weight).sum()
    maker([weight], lr=0.1).step()
    with pytest.raises(RuntimeError, match="changed in place"):
        result.backward()


@pytest.mark.parametrize("options", [{"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}, {}])
@BOTH
def test_steps_allocate_next_to_nothing(maker: Maker, options: dict[str, Any]) -> None:
    weights = [parameter(1 << 16, grad=1.0), parameter(1 << 15, grad=1.0)]
    optimizer = maker(weights, lr=0.1, **(options if maker is optim.SGD else {}))
    optimizer.step()
    tracemalloc.start()
    optimizer.step()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < weights[1].numpy().nbytes // 4


def test_groups_take_what_they_do_not_name_from_the_arguments() -> None:
    groups = [{"params": [parameter(1)], "lr": 0.5}, {"params": (weight for weight in [parameter(2)])}]
    optimizer = optim.SGD(groups, lr=0.1, momentum=0.9)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.1]
    assert [group["initial_lr"] for group in optimizer.param_groups] == [0.5, 0.1]
    assert [group["momentum"] for group in optimizer.param_groups] == [0.9, 0.9]
    assert set(groups[1]) == {"params"}


def test_a_group_may_be_empty_when_another_is_not() -> None:
    weight = parameter(1, grad=1.0)
    optim.SGD([{"params": []}, {"params": [weight]}], lr=0.5).step()
    assert weight.item() == 0.5


WRONG_OPTIONS: list[tuple[Maker, dict[str, Any], type[Exception], str]] = [
    *((maker, {"lr": value}, ValueError, rf"lr must be a number in \(0, inf\), got {value}$")
      for maker in (optim.SGD, optim.Adam) for value in (0, -0.1, math.inf, math.nan)),
    *((maker, {"weight_decay": value}, ValueError, rf"weight_decay must be a number in \[0, inf\), got {value}$")
      for maker in (optim.SGD, optim.Adam) for value in (-1e-4, math.inf)),
    (optim.SGD, {"momentum": 1.0}, ValueError, r"momentum must be a number in \[0, 1\), got 1.0"),
    (optim.SGD, {"momentum": -0.1}, ValueError, "momentum .* got -0.1"),
    (optim.SGD, {"dampening": math.nan}, ValueError, "dampening .* got nan"),
    (optim.SGD, {"nesterov": True}, ValueError, "nesterov=True needs momentum above 0 .* got momentum=0.0"),
    (optim.SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.25}, ValueError,
     "nesterov=True needs .* got momentum=0.9, dampening=0.25"),
    (optim.SGD, {"nesterov": 1, "momentum": 0.9}, TypeError, "nesterov must be True or False, got 1"),
    (optim.SGD, {"lr": "0.1"}, TypeError, r"lr must be a number in \(0, inf\), got '0.1' of type str"),
    (optim.SGD, {"momentum": True}, TypeError, "momentum .* got True of type bool"),
    (optim.SGD, {"adder_lr": 0.2}, TypeError, "adder_lr must be an AdaptiveLR, .* got 0.2"),
    (optim.SGD, {"adder_lr": optim.AdaptiveLR}, TypeError, "adder_lr must be .* got <class"),
    (optim.Adam, {"betas": (1.0, 0.9)}, ValueError, r"betas\[0\] must be a number in \[0, 1\), got 1.0"),
    (optim.Adam, {"betas": (0.9, -0.5)}, ValueError, r"betas\[1\] .* got -0.5"),
    (optim.Adam, {"betas": 0.9}, TypeError, "betas must be a pair of numbers, got 0.9"),
    (optim.Adam, {"betas": (0.9,)}, TypeError, r"betas must be a pair of numbers, got \(0.9,\)"),
    (optim.Adam, {"eps": 0.0}, ValueError, r"eps must be a number in \(0, inf\), got 0.0"),
    (optim.Adam, {"eps": -1e-8}, ValueError, "eps .* got -1e-08"),
]  # fmt: skip


@pytest.mark.parametrize(("maker", "options", "error", "message"), WRONG_OPTIONS)
def test_wrong_options_are_refused_by_value(
    maker: Maker, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{message}"):
        maker([parameter(1)], **{"lr": 0.1, **options})
    with pytest.raises(error, match=rf"^param_groups\[1\]: {message}"):
        maker([{"params": [parameter(1)]}, {"params": [parameter(1)], **options}], lr=0.1)


@pytest.mark.parametrize(
    ("maker", "options", "error", "message"), [row for row in WRONG_OPTIONS if row[1] != {"lr": 0}]
)
def test_options_changed_to_wrong_values_stop_the_step(
    maker: Maker, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    params = [parameter(1, grad=1.0), parameter(1, grad=1.0)]
    optimizer = maker([{"params": params[:1]}, {"params": params[1:]}], lr=0.1)
    optimizer.param_groups[1].update(options)
    message = message.replace(r"lr must be a number in \(0", r"lr must be a number in \[0")
    with pytest.raises(error, match=rf"^param_groups\[1\]: {message}"):
        optimizer.step()
    assert (params[0].item(), optimizer.steps) == (1.0, 0)


SHARED = parameter(2, 2)
FROZEN = parameter(3).requires_grad_(False)
READ_ONLY = Parameter(np.broadcast_to(np.float32(1), (3,)))


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ([], ValueError, r"the list of parameters is empty: got 1 group\(s\)"),
        (iter(()), ValueError, "the list of parameters is empty"),
        ([{"params": []}, {"params": []}], ValueError, r"empty: got 2 group\(s\)"),
        (SHARED, TypeError, r"got one tensor of shape \(2, 2\): write \[w\]"),
        ({SHARED}, TypeError, "ordered iterable .* got set"),
        ({"params": [SHARED]}, TypeError, "got dict"),
        (3, TypeError, "got int"),
        ([SHARED, parameter(1), SHARED], ValueError,
         r"parameter 2 of param_groups\[0\], of shape \(2, 2\), is given twice: .* parameter 0 of param_groups\[0\]"),
        ([{"params": [SHARED]}, {"params": [parameter(1), SHARED]}], ValueError,
         r"parameter 1 of param_groups\[1\], of shape \(2, 2\), is given twice: .* parameter 0 of param_groups\[0\]"),
        ([SHARED, np.ones(2)], TypeError, r"parameter 1 of param_groups\[0\] must be a Parameter, not ndarray"),
        ([("weight", SHARED)], TypeError, "parameter 0 .* must be a Parameter, not tuple"),
        ([FROZEN], ValueError, r"parameter 0 .* of shape \(3,\), has requires_grad=False"),
        ([SHARED * 2], ValueError, r"of shape \(2, 2\), was computed from others"),
        ([READ_ONLY], ValueError, r"of shape \(3,\), wraps a read-only array"),
        ([{"params": [SHARED]}, parameter(1)], TypeError, "entry 1 is a Parameter"),
        ([{"parameters": [SHARED]}], ValueError, r"param_groups\[0\] has no \"params\", only \['parameters'\]"),
        ([{"params": [SHARED], "learning_rate": 1}], ValueError,
         r"param_groups\[0\] has unknown entries \['learning_rate'\]; known are \["),
        ([{"params": [SHARED], "initial_lr": 1}], ValueError, r"unknown entries \['initial_lr'\]"),
    ],
)  # fmt: skip
@BOTH
def test_wrong_parameters_are_refused(maker: Maker, params: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        maker(params, lr=0.1)


@BOTH
def test_an_entry_added_to_a_group_later_is_refused(maker: Maker) -> None:
    optimizer = maker([parameter(1, grad=1.0)], lr=0.1)
    optimizer.param_groups[0]["learning_rate"] = 0.5
    with pytest.raises(ValueError, match=r"param_groups\[0\] must have the entries .* at odds: \['learning_rate'\]"):
        optimizer.step()


@BOTH
def test_gradients_that_do_not_fit_stop_the_step(maker: Maker) -> None:
    first, second = parameter(2, grad=1.0), parameter(2, 3)
    optimizer = maker([first, second], lr=0.1)
    wrong: list[tuple[Any, type[Exception], str]] = [
        (Tensor(np.ones(3, np.float32)), ValueError, r"shape \(2, 3\), dtype float32 has a grad of shape \(3,\)"),
        (Tensor(np.ones((2, 3))), ValueError, "grad of shape .* dtype float64"),
        (np.ones((2, 3), np.float32), TypeError, r"shape \(2, 3\) must be a Tensor, not ndarray"),
    ]
    for grad, error, message in wrong:
        second.grad = grad
        with pytest.raises(error, match=message):
            optimizer.step()
        np.testing.assert_array_equal(first.numpy(), [1, 1])
    assert not optimizer.state


def test_a_parameter_converted_after_the_first_step_stops_the_next() -> None:
    weight = parameter(2, grad=1.0)
    optimizer = optim.SGD([weight], lr=0.1, momentum=0.9)
    optimizer.step()
    weight._array = weight._array.astype(np.float64)
    weight.grad = Tensor(np.ones(2))
    with pytest.raises(ValueError, match=r"momentum_buffer .* is float32, the parameter float64"):
        optimizer.step()


def test_repr_tells_what_the_optimiser_holds() -> None:
    params = [Parameter(np.ones((40, 50), np.float32), adder=True), parameter(3)]
    groups = [{"params": params[:1], "adder_lr": optim.AdaptiveLR(0.2)}, {"params": params[1:], "lr": 0.5}]
    assert repr(optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True)) == (
        "SGD(\n"
        "  group 0: 1 parameter(s), 2,000 values, 1 adder filter(s); lr=0.1, momentum=0.9, dampening=0.0, "
        "weight_decay=0.0, nesterov=True, adder_lr=AdaptiveLR(eta=0.2), initial_lr=0.1\n"
        "  group 1: 1 parameter(s), 3 values, 0 adder filter(s); lr=0.5, momentum=0.9, dampening=0.0, "
        "weight_decay=0.0, nesterov=True, adder_lr=None, initial_lr=0.5\n"
        ")"
    )
    assert "betas=(0.9, 0.999), eps=1e-08" in repr(optim.Adam(params, adder_lr=optim.AdaptiveLR()))


@pytest.mark.parametrize("make", [optim.SGD, optim.Adam])
def test_adder_filters_without_a_rule_are_warned_of_once(make: Any) -> None:
    filters = [Parameter(np.ones((4, 5), np.float32), adder=True), Parameter(np.ones((2, 3), np.float32), adder=True)]
    with pytest.warns(
        UserWarning, match=r"2 parameter\(s\) are filters .* shape \(4, 5\), and adder_lr is None.*Adapt"
    ) as seen:
        optimizer = make([*filters, parameter(3)], lr=0.1)
    optimizer.step()
    assert len(seen) == 1
    assert seen[0].filename == __file__
    make(filters, lr=0.1, adder_lr=optim.AdaptiveLR())  # these three are meant: warnings are errors here
    make(filters, lr=0.1, adder_lr=optim.IncreasedLR(1))
    make([parameter(3)], lr=0.1)


def test_an_increased_rate_of_1_is_none_bit_for_bit() -> None:
    values = np.random.default_rng(0).standard_normal((2, 30)).astype(np.float32)
    plain, adder = Parameter(values[0]), Parameter(values[0], adder=True)
    for weight in (plain, adder):
        weight.grad = Tensor(values[1])
    optim.SGD([plain, adder], lr=0.1, momentum=0.9, weight_decay=1e-3, adder_lr=optim.IncreasedLR(1)).step()
    assert plain.numpy().tobytes() == adder.numpy().tobytes()
