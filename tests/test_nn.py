"""Layers: what they are made of, how they start, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minadder as ma
from minadder import nn
from minadder.autograd import Array
from minadder.tensor import Tensor

WINDOWED = {"Conv2d": nn.Conv2d, "Adder2d": nn.Adder2d, "BinaryConv2d": nn.BinaryConv2d}
CONNECTED = {"Linear": nn.Linear, "AdderLinear": nn.AdderLinear, "BinaryLinear": nn.BinaryLinear}
POOLS = {"MaxPool2d": nn.MaxPool2d, "AvgPool2d": nn.AvgPool2d}
NORMS = {"BatchNorm1d": nn.BatchNorm1d, "BatchNorm2d": nn.BatchNorm2d}

windowed = pytest.mark.parametrize("layer", WINDOWED.values(), ids=WINDOWED)
connected = pytest.mark.parametrize("layer", CONNECTED.values(), ids=CONNECTED)
pools = pytest.mark.parametrize("layer", POOLS.values(), ids=POOLS)
norms = pytest.mark.parametrize("layer", NORMS.values(), ids=NORMS)


def zeros(*shape: int) -> Array:
    """Return zeros of float32."""
    return np.zeros(shape, np.float32)


def refuses(error: type[Exception], message: str, call: Callable[[], Any]) -> None:
    """Check that a call raises exactly this message."""
    with pytest.raises(error) as raised:
        call()
    assert str(raised.value) == message


NOT_INTS = (True, 1.5, 2.0, "3", None, (1, 1))
not_ints = pytest.mark.parametrize("value", NOT_INTS)
too_small = pytest.mark.parametrize("value", [0, -1, np.int64(-2)])


@not_ints
@windowed
def test_channels_and_groups_are_ints(layer: Any, value: Any) -> None:
    refuses(TypeError, f"in_channels must be an int, not {value!r}", lambda: layer(value, 2, 1))
    refuses(TypeError, f"out_channels must be an int, not {value!r}", lambda: layer(2, value, 1))
    refuses(TypeError, f"groups must be an int, not {value!r}", lambda: layer(2, 2, 1, groups=value))


@too_small
@windowed
def test_channels_groups_and_sizes_are_positive(layer: Any, value: Any) -> None:
    refuses(ValueError, f"in_channels must be at least 1, not {value}", lambda: layer(value, 2, 1))
    refuses(ValueError, f"out_channels must be at least 1, not {value}", lambda: layer(2, value, 1))
    refuses(ValueError, f"groups must be at least 1, not {value}", lambda: layer(2, 2, 1, groups=value))
    for name in ("kernel_size", "stride", "dilation"):
        for size in (value, (1, value), [value, 1]):
            message = f"{name} must be at least 1, not {size!r}"
            refuses(ValueError, message, lambda name=name, size=size: layer(2, 2, **{"kernel_size": 1, name: size}))


@not_ints
@connected
def test_features_are_ints(layer: Any, value: Any) -> None:
    refuses(TypeError, f"in_features must be an int, not {value!r}", lambda: layer(value, 2))
    refuses(TypeError, f"out_features must be an int, not {value!r}", lambda: layer(2, value))


@too_small
@connected
def test_features_are_positive(layer: Any, value: Any) -> None:
    refuses(ValueError, f"in_features must be at least 1, not {value}", lambda: layer(value, 2))
    refuses(ValueError, f"out_features must be at least 1, not {value}", lambda: layer(2, value))


@windowed
def test_groups_must_divide_both(layer: Any) -> None:
    message = "groups (=2) must divide in_channels (={}) and out_channels (={})"
    refuses(ValueError, message.format(3, 4), lambda: layer(3, 4, 1, groups=2))
    refuses(ValueError, message.format(4, 3), lambda: layer(4, 3, 1, groups=2))


@windowed
@pytest.mark.parametrize("value", [-1, (0, -1), (-1, 0)])
def test_padding_is_not_negative(layer: Any, value: Any) -> None:
    refuses(ValueError, f"padding must be at least 0, not {value!r}", lambda: layer(1, 1, 1, padding=value))


@pytest.mark.parametrize("value", [(3, 3, 3), (3,), 1.5, "same", True, (1, True)])
@pytest.mark.parametrize("name", ["kernel_size", "stride", "padding", "dilation"])
@windowed
def test_sizes_are_ints_or_pairs(layer: Any, name: str, value: Any) -> None:
    message = f"{name} must be an int or a pair of ints (height, width), not {value!r}"
    refuses(TypeError, message, lambda: layer(1, 1, **{"kernel_size": 1, name: value}))


@pytest.mark.parametrize("value", [0, (1, 0), "2", 1.0])
@pytest.mark.parametrize("name", ["kernel_size", "stride"])
@pools
def test_windows_of_pools(layer: Any, name: str, value: Any) -> None:
    error = TypeError if value in ("2", 1.0) else ValueError
    with pytest.raises(error, match=f"{name} must be") as raised:
        layer(**{"kernel_size": 2, name: value})
    assert repr(value) in str(raised.value)


@pytest.mark.parametrize("name", ["weight_grad", "input_grad"])
@pytest.mark.parametrize(
    "layer", [lambda **rules: nn.AdderLinear(2, 2, **rules), lambda **rules: nn.Adder2d(2, 2, 1, **rules)]
)
def test_an_unknown_gradient_rule(layer: Any, name: str) -> None:
    rules = "'exact', 'sign', 'full_precision', 'hardtanh', 'power'"
    for value in ("l3", "Sign", "", 0):
        refuses(ValueError, f"{name} must be one of {rules}, not {value!r}", lambda v=value: layer(**{name: v}))


@norms
def test_the_constants_of_batch_norm(layer: Any) -> None:
    for value in (0, 0.0, -1e-5, np.nan, np.inf):
        refuses(ValueError, f"eps must be a number in (0, inf), got {value}", lambda v=value: layer(3, eps=v))
    for value in (0, -0.1, 1.01, np.nan):
        refuses(ValueError, f"momentum must be a number in (0, 1], got {value}", lambda v=value: layer(3, momentum=v))
    for value in (None, True, "0.1", [0.1]):
        given = f"got {value!r} of type {type(value).__name__}"
        refuses(TypeError, f"eps must be a number in (0, inf), {given}", lambda v=value: layer(3, eps=v))
        refuses(TypeError, f"momentum must be a number in (0, 1], {given}", lambda v=value: layer(3, momentum=v))
    refuses(ValueError, "num_features must be at least 1, not 0", lambda: layer(0))
    refuses(TypeError, "num_features must be an int, not True", lambda: layer(True))
    assert layer(3, eps=np.float32(0.5), momentum=1).momentum == 1


@pytest.mark.parametrize("layer", [nn.CrossEntropyLoss, nn.BCEWithLogitsLoss])
def test_an_unknown_reduction(layer: Any) -> None:
    refuses(ValueError, "reduction must be one of 'mean', 'sum', 'none', not 'max'", lambda: layer(reduction="max"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: nn.Adder2d(1, 1, 5)(zeros(1, 1, 4, 9)),
            "Adder2d: the window spans 5×5 (kernel size (5, 5), dilation (1, 1)) but the padded input is only 4×9 "
            "(input 4×9, padding (0, 0)): use a smaller kernel or more padding",
        ),
        (
            lambda: nn.Conv2d(2, 1, 3, dilation=2, padding=1)(zeros(1, 2, 2, 9)),
            "Conv2d: the window spans 5×5 (kernel size (3, 3), dilation (2, 2)) but the padded input is only 4×11 "
            "(input 2×9, padding (1, 1)): use a smaller kernel or more padding",
        ),
        (
            lambda: nn.BatchNorm1d(3)(zeros(1, 3)),
            "BatchNorm1d: batch norm in training needs more than 1 value per channel; the input's shape is (1, 3). "
            "Use a larger batch, or eval()",
        ),
        (
            lambda: nn.BatchNorm2d(3)(zeros(1, 3, 1, 1)),
            "BatchNorm2d: batch norm in training needs more than 1 value per channel; the input's shape is "
            "(1, 3, 1, 1). Use a larger batch, or eval()",
        ),
        (lambda: nn.BatchNorm2d(3)(zeros(2, 3)), "BatchNorm2d: the input must have 4 axes; its shape is (2, 3)"),
        (
            lambda: nn.BatchNorm1d(3)(zeros(2, 3, 1, 1)),
            "BatchNorm1d: the input must have 2 or 3 axes; its shape is (2, 3, 1, 1)",
        ),
        (
            lambda: nn.BatchNorm2d(3)(zeros(2, 4, 1, 1)),
            "BatchNorm2d: the input of shape (2, 4, 1, 1) has 4 channels, but weight and bias have shapes (3,) and "
            "(3,)",
        ),
        (
            lambda: nn.MaxPool2d(3, padding=2)(zeros(1, 1, 8, 8)),
            "MaxPool2d: padding (=(2, 2)) must be at most half of kernel_size (=(3, 3))",
        ),
        (
            lambda: nn.CrossEntropyLoss()(zeros(2, 3), [0, 3]),
            "CrossEntropyLoss: label 3 is out of range: logits of shape (2, 3) have classes 0 to 2",
        ),
        (
            lambda: nn.CrossEntropyLoss()(zeros(2, 3), [0]),
            "CrossEntropyLoss: logits of shape (2, 3) need labels of shape (2,), not (1,)",
        ),
        (
            lambda: nn.BCEWithLogitsLoss()(zeros(2), [0.0, 1.5]),
            "BCEWithLogitsLoss: target 1.5 is out of range: targets lie between 0 and 1",
        ),
        (
            lambda: nn.Linear(4, 2)(zeros(3, 5)),
            "Linear: the input's last axis must have size 4, as the weight of shape (2, 4) has; the input's shape is "
            "(3, 5)",
        ),
        (
            lambda: nn.Flatten(2)(zeros(3, 5)),
            "Flatten: flatten: axis 2 is out of range for a tensor of shape (3, 5)",
        ),
    ],
)
def test_wrong_inputs_are_named(call: Any, message: str) -> None:
    refuses(ValueError, message, call)


@norms
def test_batch_norm_that_refuses_a_batch_keeps_its_statistics(layer: Any) -> None:
    norm = layer(3)
    before = norm.state_dict()
    x = zeros(1, 3) if layer is nn.BatchNorm1d else zeros(1, 3, 1, 1)
    with pytest.raises(ValueError, match="more than 1 value"):
        norm(x)
    for name, array in norm.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@norms
def test_batch_norm_in_evaluation_takes_any_batch_and_learns_nothing_of_it(layer: Any) -> None:
    norm = layer(3)
    rest = () if layer is nn.BatchNorm1d else (2, 2)
    norm(np.random.default_rng(0).standard_normal((4, 3, *rest)).astype(np.float32))
    before = norm.state_dict()
    assert before["num_batches_tracked"] == 1
    norm.eval()
    for count in (0, 1, 2):
        assert norm(np.ones((count, 3, *rest), np.float32)).shape == (count, 3, *rest)
    for name, array in norm.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


MADE: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "Linear": (lambda: nn.Linear(3, 2), (3,)),
    "AdderLinear": (lambda: nn.AdderLinear(3, 2), (3,)),
    "BinaryLinear": (lambda: nn.BinaryLinear(3, 2), (3,)),
    "Conv2d": (lambda: nn.Conv2d(3, 2, 2), (3, 4, 5)),
    "Adder2d": (lambda: nn.Adder2d(3, 2, 2), (3, 4, 5)),
    "BinaryConv2d": (lambda: nn.BinaryConv2d(3, 2, 2), (3, 4, 5)),
    "MaxPool2d": (lambda: nn.MaxPool2d(2), (3, 4, 5)),
    "AvgPool2d": (lambda: nn.AvgPool2d(2), (3, 4, 5)),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(3), (3,)),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(3), (3, 4, 5)),
    "ReLU": (nn.ReLU, (3,)),
    "Hardtanh": (nn.Hardtanh, (3,)),
    "Tanh": (nn.Tanh, (3,)),
    "Sigmoid": (nn.Sigmoid, (3,)),
    "Flatten": (nn.Flatten, (3, 4, 5)),
}
made = pytest.mark.parametrize(("make", "shape"), MADE.values(), ids=MADE)


@made
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_layer_keeps_the_precision_and_takes_arrays_and_tensors(
    make: Any, shape: tuple[int, ...], mode: str, dtype: str
) -> None:
    layer = make().to(dtype)
    getattr(layer, mode)()
    array = np.random.default_rng(0).standard_normal((4, *shape)).astype(dtype)
    before = array.copy()
    x = ma.tensor(array, requires_grad=True)
    y = layer(x)
    assert isinstance(y, Tensor)
    assert (y.dtype, y.shape[0]) == (np.dtype(dtype), 4)
    np.testing.assert_array_equal(layer(array).numpy(), y.numpy())
    np.testing.assert_array_equal(array, before)
    y.backward(np.random.default_rng(1).standard_normal(y.shape).astype(dtype))
    for tensor in (x, *layer.parameters()):
        assert tensor.grad is not None
        assert (tensor.grad.dtype, tensor.grad.shape) == (np.dtype(dtype), tensor.shape)
        assert np.isfinite(tensor.grad.numpy()).all()
        assert np.any(tensor.grad.numpy())


@made
@pytest.mark.parametrize("wrong", [[[1.0, 2.0, 3.0]], np.ones((2, 3), int), None, 1.0])
def test_every_layer_refuses_what_holds_no_floats(make: Any, shape: tuple[int, ...], wrong: Any) -> None:
    with pytest.raises(
        TypeError, match=r"the input must be a Tensor or an array of float32 or float64, not .*ma\.tensor"
    ):
        make()(wrong)


@given(out=st.integers(1, 3), groups=st.integers(1, 3), per_group=st.integers(1, 3), seed=st.integers(0, 99))
@windowed
def test_weights_have_the_shape_and_the_range_of_the_window(
    layer: Any, out: int, groups: int, per_group: int, seed: int
) -> None:
    def start() -> Array:
        ma.manual_seed(seed)
        return layer(groups * per_group, groups * out, (2, 3), groups=groups).weight.numpy()

    weight = start()
    assert (weight.shape, weight.dtype) == ((groups * out, per_group, 2, 3), np.float32)
    if layer is not nn.Adder2d:
        assert np.abs(weight).max() <= 1 / np.sqrt(per_group * 6)
    np.testing.assert_array_equal(start(), weight)


def test_adder_filters_start_normal_and_alone_carry_the_mark() -> None:
    ma.manual_seed(0)
    for layer in (nn.Adder2d(20, 20, 5), nn.AdderLinear(100, 100)):
        values = layer.weight.numpy()
        assert layer.weight.adder
        assert abs(values.mean()) < 0.03
        assert abs(values.std() - 1) < 0.02
    for other in (
        nn.Conv2d(2, 2, 1),
        nn.BinaryConv2d(2, 2, 1),
        nn.Linear(2, 2),
        nn.BinaryLinear(2, 2),
        nn.BatchNorm1d(2),
    ):
        assert not any(parameter.adder for parameter in other.parameters())


def test_repr_tells_the_sizes() -> None:
    layer = nn.Conv2d(4, 6, (3, 5), padding=1, dilation=2, groups=2)
    assert repr(layer) == (
        "Conv2d(4, 6, kernel_size=(3, 5), stride=(1, 1), padding=(1, 1), dilation=(2, 2), groups=2, bias=True)"
    )
    assert repr(nn.Conv2d(1, 2, 3, bias=False)) == "Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1), bias=False)"
    assert repr(nn.Adder2d(1, 2, 3, 2)) == (
        "Adder2d(1, 2, kernel_size=(3, 3), stride=(2, 2), weight_grad='full_precision', input_grad='hardtanh')"
    )
    assert repr(nn.MaxPool2d(2)) == "MaxPool2d(kernel_size=(2, 2), stride=(2, 2), padding=(0, 0), dilation=(1, 1))"
    assert repr(nn.CrossEntropyLoss()) == "CrossEntropyLoss(reduction='mean')"
