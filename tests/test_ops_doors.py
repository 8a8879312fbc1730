"""What is given in place of a tensor, an axis, a shape or a number is named at the door, by every operation."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import minadder as ma
from minadder import nn, ops
from minadder.ops.registry import OPERATIONS, Operation
from minadder.ops.samples import Draw

OPERANDS = {"add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "where", "matmul"}
"""Operations that take numbers, lists and arrays beside a tensor."""

NO_TENSORS: dict[str, Any] = {
    "None": None,
    "a list": [1.0],
    "a string": "text",
    "an array": np.ones((2, 2)),
    "integers": np.ones(2, int),
    "an int": 3,
    "a float": 2.5,
    "a NumPy number": np.float64(1),
    "an object": object(),
    "a class": float,
    "a complex number": 1j,
}

each_wrong = pytest.mark.parametrize("wrong", NO_TENSORS.values(), ids=NO_TENSORS)


def direct(operation: Operation) -> Operation:
    """Return the operation without what the registry puts around it, for those whose options depend on the dtype."""
    name = operation.name
    if name not in ("batch_norm_eval", "bce_with_logits"):
        return operation
    return Operation(name, getattr(ops, name), operation.sample, operation.reference)


@each_wrong
@pytest.mark.parametrize("operation", [*map(direct, OPERATIONS)], ids=lambda operation: operation.name)
def test_each_tensor_of_each_operation(operation: Operation, wrong: Any) -> None:
    sample = operation.sample(Draw(np.random.default_rng(0)))
    for number in range(1 if operation.name == "mse_loss" else len(sample.arrays)):  # its targets are an operand
        given: list[Any] = [ma.tensor(array) for array in sample.arrays]
        given[number] = wrong
        if operation.name in OPERANDS:
            try:
                operation.function(*given, **sample.options)
            except (TypeError, ValueError) as error:
                assert "operand" in str(error) or "dtype" in str(error) or "inner" in str(error)  # noqa: PT017  (numbers are welcome)
            continue
        with pytest.raises(TypeError, match=r"(Tensor|tensors), not ") as raised:
            operation.function(*given, **sample.options)
        kind = f"an array of {wrong.dtype}" if isinstance(wrong, np.ndarray) else type(wrong).__name__
        assert kind in str(raised.value) or type(wrong).__name__ in str(raised.value)
        assert "ma.tensor" in str(raised.value)


@pytest.mark.parametrize("name", sorted(OPERANDS - {"where"}))
@pytest.mark.parametrize("wrong", [None, "text", object(), 1j, float, np.ones(2, int), [None]])
def test_operands(name: str, wrong: Any) -> None:
    x = ma.tensor([1.0, 2.0])
    for given in ((x, wrong), (wrong, x)):
        with pytest.raises(TypeError, match=r"real numbers|tensors hold floats"):
            getattr(ops, name)(*given)
    with pytest.raises(TypeError, match="one operand must be a Tensor"):
        getattr(ops, name)(wrong, 1.0)


@each_wrong
def test_operations_that_are_not_registered(wrong: Any) -> None:
    x = ma.tensor([[1.0, 2.0]])
    calls: list[Callable[[], Any]] = [
        lambda: ops.astype(wrong, "float32"),
        lambda: ops.flatten(wrong),
        lambda: ops.squeeze(wrong),
        lambda: ops.unsqueeze(wrong, 0),
        lambda: ops.concatenate([x, wrong]),
        lambda: ops.stack([wrong, x]),
        lambda: ops.exp.__globals__["Exp"].apply(wrong),
    ]
    if wrong is not None:
        calls += [
            lambda: ops.linear(x, x, wrong),
            lambda: ops.conv2d(ma.tensor(np.ones((1, 1, 1, 1))), ma.tensor(np.ones((1, 1, 1, 1))), wrong),
        ]
    for call in calls:
        with pytest.raises(TypeError, match=r"(Tensor|tensors), not .*ma\.tensor"):
            call()


@pytest.mark.parametrize("wrong", [None, 3, 2.5, ma.tensor([1.0]), object()])
def test_lists_of_tensors(wrong: Any) -> None:
    for join in (ops.concatenate, ops.stack):
        with pytest.raises(TypeError, match="needs a list of tensors, not"):
            join(wrong)


MODULES = {
    "Linear": lambda: nn.Linear(2, 2),
    "AdderLinear": lambda: nn.AdderLinear(2, 2),
    "BinaryLinear": lambda: nn.BinaryLinear(2, 2),
    "Conv2d": lambda: nn.Conv2d(1, 1, 1),
    "Adder2d": lambda: nn.Adder2d(1, 1, 1),
    "BinaryConv2d": lambda: nn.BinaryConv2d(1, 1, 1),
    "BatchNorm1d": lambda: nn.BatchNorm1d(2),
    "BatchNorm2d": lambda: nn.BatchNorm2d(2),
    "MaxPool2d": lambda: nn.MaxPool2d(2),
    "AvgPool2d": lambda: nn.AvgPool2d(2),
    "ReLU": nn.ReLU,
    "Hardtanh": nn.Hardtanh,
    "Tanh": nn.Tanh,
    "Sigmoid": nn.Sigmoid,
    "Flatten": nn.Flatten,
    "CrossEntropyLoss": nn.CrossEntropyLoss,
    "BCEWithLogitsLoss": nn.BCEWithLogitsLoss,
    "MSELoss": nn.MSELoss,
    "Dropout": nn.Dropout,
    "Identity": nn.Identity,
}


def test_no_module_is_missing() -> None:
    assert set(MODULES) | {"Module", "ModuleList", "Parameter", "Sequential", "convert", "utils"} == set(nn.__all__)


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("wrong", [None, [1.0], "text", 3, 2.5, np.ones((2, 2), int), object()])
def test_inputs_of_modules(name: str, wrong: Any) -> None:
    module = MODULES[name]()
    targets = ([0],) if name.endswith("Loss") else ()
    with pytest.raises(TypeError, match=rf"^{name}: the input must be a Tensor or an array of float.*ma\.tensor"):
        module(wrong, *targets)


HUGE = [2**70, -(2**70), 10**400, 10**5000]

X = ma.tensor(np.ones((2, 3), np.float32))

SIZES: dict[str, Callable[[Any], Any]] = {
    "reshape": lambda value: X.reshape(value),
    "reshape of two": lambda value: X.reshape(2, value),
    "reshape to a tuple": lambda value: X.reshape((value, 3)),
    "flatten": lambda value: X.flatten(value),
    "flatten to": lambda value: X.flatten(0, value),
    "transpose": lambda value: X.transpose(0, value),
    "squeeze": lambda value: X[:1].squeeze(value),
    "squeeze of several": lambda value: X[:1].squeeze((0, value)),
    "unsqueeze": lambda value: X.unsqueeze(value),
    "broadcast_to": lambda value: X.broadcast_to((2, value)),
    "concatenate": lambda value: ops.concatenate([X, X], value),
    "stack": lambda value: ops.stack([X, X], value),
    "argmax": lambda value: X.argmax(value),
    "argmin": lambda value: X.argmin(value),
}


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("wrong", [1.5, "a", [1.0], {}, 1j, object(), True, np.True_, np.ones(2)])
def test_axes_and_sizes_that_are_no_integers(name: str, wrong: Any) -> None:
    with pytest.raises(TypeError, match=rf"{name.split()[0]}: .* must be (an int|a tuple of ints), not"):
        SIZES[name](wrong)


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("huge", HUGE, ids=["2^70", "-2^70", "10^400", "10^5000"])
def test_axes_and_sizes_beyond_any_array(name: str, huge: int) -> None:
    with pytest.raises(ValueError, match=rf"{name.split()[0]}: .* is an int of \d+ bits"):
        SIZES[name](huge)


@pytest.mark.parametrize("wrong", [None, 3, 2.5, "23", {2: 3}, object()])
def test_shapes_that_are_none(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"broadcast_to: the shape must be a tuple of ints, not"):
        X.broadcast_to(wrong)


@pytest.mark.parametrize(
    "call",
    [
        lambda axis: X.squeeze(axis),
        lambda axis: X.unsqueeze(axis),
        lambda axis: X.flatten(axis),
        lambda axis: X.transpose(0, axis),
        lambda axis: X.argmax(axis),
        lambda axis: ops.concatenate([X, X], axis),
        lambda axis: ops.stack([X, X], axis),
    ],
)
@pytest.mark.parametrize("axis", [99, -99, 2**62])
def test_axes_out_of_range(call: Callable[[int], Any], axis: int) -> None:
    with pytest.raises(ValueError, match=str(axis)):
        call(axis)


@pytest.mark.parametrize("wrong", [[], {}, {"mean"}, np.array(["mean", "sum"]), None, 0, str])
def test_reductions_that_are_no_names(wrong: Any) -> None:
    for call in (
        lambda: ops.bce_with_logits(X, np.ones((2, 3), np.float32), wrong),
        lambda: ops.cross_entropy(X, [0, 1], wrong),
        lambda: nn.CrossEntropyLoss(wrong),
        lambda: nn.BCEWithLogitsLoss(wrong),
    ):
        with pytest.raises(ValueError, match="reduction must be one of 'mean', 'sum', 'none', not"):
            call()


@pytest.mark.parametrize("wrong", ["1e-5", None, [1e-5], True, 1j, ma.tensor(1.0)])
def test_constants_of_batch_norm(wrong: Any) -> None:
    one = ma.tensor(np.ones(3, np.float32))
    with pytest.raises(TypeError, match="eps must be a number"):
        ops.batch_norm_train(X, one, one, wrong)
    with pytest.raises(TypeError, match="eps must be a number"):
        ops.batch_norm_eval(X, one, one, np.ones(3, np.float32), np.ones(3, np.float32), wrong)


@pytest.mark.parametrize("wrong", [None, "0", 1.5, True, np.array(1.5), np.array([1, 2]), [1], 1j])
def test_seeds(wrong: Any) -> None:
    with pytest.raises(TypeError, match="seed must be an int, not"):
        ma.manual_seed(wrong)
    for below in (-1, -(10**5000)):
        with pytest.raises(ValueError, match="seed must be at least 0"):
            ma.manual_seed(below)


def test_a_function_without_inputs() -> None:
    class Nothing(ma.Function):
        def forward(self) -> Any:
            return np.ones(1)

    with pytest.raises(TypeError, match="Nothing needs at least one tensor"):
        Nothing.apply()


@pytest.mark.parametrize(
    "wrong", [np.zeros(2, np.float32), 0.0, ma.tensor([1.0]), ma.tensor([1.0, 2.0], dtype="float64")]
)
def test_a_grad_that_is_no_gradient(wrong: Any) -> None:
    x = ma.tensor([1.0, 2.0], requires_grad=True)
    x.grad = wrong
    with pytest.raises(TypeError, match=r"grad must be None or a Tensor of shape \(2,\), dtype float32, not"):
        x.sum().backward()


@pytest.mark.parametrize("wrong", [[], None, 0, {}, "adder3"])
def test_kinds_of_layers(wrong: Any) -> None:
    net = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1), nn.Linear(1, 1))
    with pytest.raises(ValueError, match="the kind of layer must be one of 'conv', 'adder'"):
        nn.convert(net, wrong)
    for no_net in (None, [net], "net", X):
        with pytest.raises(TypeError, match="net must be a network"):
            nn.convert(no_net, "adder")  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [None, "eval", 1, 0.0])
def test_modes_and_hooks(wrong: Any) -> None:
    net = nn.ReLU()
    with pytest.raises(TypeError, match="mode must be True or False"):
        net.train(wrong)
    with pytest.raises(TypeError, match="a hook is a function"):
        net.register_forward_hook(wrong)


def test_arrays_of_other_libraries_keep_their_precision() -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch, which is optional")
    double = torch.tensor([1.0, 2.0], dtype=torch.float64)
    assert ma.tensor(double).dtype == np.float64
    assert ma.tensor(double.float()).dtype == np.float32
    with pytest.raises(TypeError, match="not mixed silently"):
        ma.tensor([1.0, 2.0]) + double
    assert (ma.tensor([1.0, 2.0]) * double.float()).tolist() == [1, 4]


def test_reshape_takes_no_other_number_below_0_for_what_is_left() -> None:
    assert X.reshape(3, -1).shape == (3, 2)
    for sizes in ((-2,), (3, -2), (-3, -2)):
        with pytest.raises(ValueError, match="at least 0, or -1 for what is left"):
            X.reshape(*sizes)


@pytest.mark.parametrize("wrong", [None, "no", 1, 2**63, 10**400, [True], np.ones(2)])
def test_flags_of_operations(wrong: Any) -> None:
    images = ma.tensor(np.ones((1, 1, 2, 2), np.float32))
    gamma = ma.tensor(np.ones(3, np.float32))
    calls = [partial(getattr(ops, name), X, keepdims=wrong) for name in ("sum", "mean", "max", "min", "var", "std")]
    calls += [
        partial(ops.avg_pool2d, images, 2, count_include_pad=wrong),
        partial(ops.batch_norm_train, X, gamma, gamma, relu=wrong),
        partial(ma.tensor(1.0, requires_grad=True).backward, retain_graph=wrong),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=r"keepdims|count_include_pad|relu|retain_graph"):
            call()


@pytest.mark.parametrize("wrong", [None, "x", math.nan, math.inf, 0.5, 2**63, 10**400, [1], True])
def test_numbers_of_operations(wrong: Any) -> None:
    gamma = ma.tensor(np.ones(3, np.float32))
    x = ma.tensor([1.0], dtype="float64", requires_grad=True)
    for name, call in (
        ("correction", partial(ops.var, X, correction=wrong)),
        ("correction", partial(ops.std, X, correction=wrong)),
        ("eps", partial(ops.batch_norm_train, X, gamma, gamma, eps=-1 if wrong in (0.5, 2**63) else wrong)),
        ("rtol", partial(ma.gradcheck, lambda x: x * x, x, rtol=-1 if wrong in (0.5, 2**63) else wrong)),
    ):
        with pytest.raises((TypeError, ValueError), match=name):
            call()


def test_indices_beyond_all_axes_and_what_is_no_network() -> None:
    for index in (2**63, (0, 10**400), slice("a", None)):
        with pytest.raises((IndexError, TypeError), match="the index"):
            X[index]
    for net in ("x", None, nn.Linear):
        for call in (ma.save, ma.load):
            with pytest.raises(TypeError, match="net must be a network"):
                call(net, "net.safetensors")  # type: ignore[arg-type]


def test_a_buffer_with_masked_entries_is_refused() -> None:
    norm = nn.BatchNorm1d(2)
    with pytest.raises(TypeError, match="masked"):
        norm.running_mean = np.ma.array([1.0, 2.0], mask=[True, False])
