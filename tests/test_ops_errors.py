"""A wrong call of an operation raises an error that names what was given and what would fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minadder as ma
from minadder import ops
from minadder.tensor import Tensor


def ones(*shape: int, dtype: str = "float32") -> Tensor:
    """Return a tensor of ones."""
    return Tensor(np.ones(shape, dtype))


def refuses(error: type[Exception], words: tuple[str, ...], call: Callable[[], Any]) -> None:
    """Check that a call raises the error, and that each of the words stands in its message."""
    with pytest.raises(error) as raised:
        call()
    message = str(raised.value)
    assert [word for word in words if word not in message] == [], message


WINDOWED = {"adder2d": ops.adder2d, "conv2d": ops.conv2d}


@pytest.mark.parametrize("layer", WINDOWED.values(), ids=WINDOWED)
@pytest.mark.parametrize(
    ("x", "w", "options", "words"),
    [
        ((1, 2, 3, 4), (1, 2, 5, 3), {}, ("5×3", "3×4", "smaller kernel")),
        ((1, 2, 3, 4), (1, 2, 2, 3), {"dilation": 2, "padding": (1, 0)}, ("3×5", "5×4", "(2, 2)", "(1, 0)")),
        ((1, 6, 3, 4), (5, 3, 1, 1), {"groups": 2}, ("groups (=2)", "(=6)", "(=5)")),
        ((1, 5, 3, 4), (4, 2, 1, 1), {"groups": 2}, ("groups (=2)", "(=5)", "(=4)")),
        ((1, 4, 3, 4), (4, 4, 1, 1), {"groups": 2}, ("4 channels in 2 group(s)", "2 channels", "(4, 4, 1, 1)")),
        ((1, 5, 3, 4), (4, 2, 1, 1), {}, ("(1, 5, 3, 4)", "5 channels", "(4, 2, 1, 1)")),
        ((1, 2, 3, 4), (4, 2, 1, 1), {"groups": 0}, ("groups", "at least 1", "0")),
        ((1, 2, 3, 4), (4, 2, 1, 1), {"groups": -1}, ("groups", "-1")),
        ((1, 2, 3, 4), (4, 2, 1, 1), {"stride": 0}, ("stride", "at least 1", "0")),
        ((1, 2, 3, 4), (4, 2, 1, 1), {"stride": (1, 0)}, ("stride", "(1, 0)")),
        ((1, 2, 3, 4), (4, 2, 1, 1), {"padding": -1}, ("padding", "at least 0", "-1")),
        ((1, 2, 3, 4), (4, 2, 1, 1), {"padding": (0, -2)}, ("padding", "(0, -2)")),
        ((1, 2, 3, 4), (4, 2, 1, 1), {"dilation": 0}, ("dilation", "at least 1", "0")),
        ((2, 3, 4), (4, 2, 1, 1), {}, ("(batch, channels, height, width)", "(2, 3, 4)")),
        ((1, 2, 3, 4), (4, 2, 1), {}, ("(out, in / groups, height, width)", "(4, 2, 1)")),
        ((1, 2, 3, 4), (0, 2, 1, 1), {}, ("not be empty", "(0, 2, 1, 1)")),
        ((1, 0, 3, 4), (2, 0, 1, 1), {}, ("not be empty", "(2, 0, 1, 1)")),
        ((1, 2, 0, 4), (4, 2, 1, 1), {}, ("1×1", "0×4")),
    ],
)
def test_windows_that_do_not_fit(layer: Any, x: Any, w: Any, options: dict[str, Any], words: tuple[str, ...]) -> None:
    refuses(ValueError, words, lambda: layer(ones(*x), ones(*w), **options))


@pytest.mark.parametrize("layer", WINDOWED.values(), ids=WINDOWED)
@pytest.mark.parametrize("groups", [1.0, True, None, "1", (1, 1)])
def test_groups_that_are_no_int(layer: Any, groups: Any) -> None:
    words = ("groups", "int", repr(groups))
    refuses(TypeError, words, lambda: layer(ones(1, 2, 3, 4), ones(4, 2, 1, 1), groups=groups))


@pytest.mark.parametrize("layer", WINDOWED.values(), ids=WINDOWED)
@pytest.mark.parametrize("name", ["stride", "padding", "dilation"])
@pytest.mark.parametrize(
    "value", [True, (1, True), np.True_, 1.5, (1, 2.0), "same", (1, 2, 3), (), None, np.ones(2, int)]
)
def test_sizes_that_are_not_one_or_two_ints(layer: Any, name: str, value: Any) -> None:
    words = (name, "an int or a pair of ints", repr(value))
    refuses(TypeError, words, lambda: layer(ones(1, 2, 3, 4), ones(4, 2, 1, 1), **{name: value}))


@pytest.mark.parametrize("value", [2, (2, 2), [2, 2], np.int64(2), (np.int32(2), 2)])
def test_sizes_may_be_integers_of_any_kind(value: Any) -> None:
    assert ops.adder2d(ones(1, 2, 3, 4), ones(4, 2, 1, 1), stride=value).shape == (1, 4, 2, 2)


@pytest.mark.parametrize("layer", WINDOWED.values(), ids=WINDOWED)
def test_mixed_precisions_of_input_and_filters(layer: Any) -> None:
    words = ("float32", "float64", ".astype")
    refuses(TypeError, words, lambda: layer(ones(1, 2, 3, 4), ones(4, 2, 1, 1, dtype="float64")))


@pytest.mark.parametrize(
    "call",
    [
        lambda x, y: x + y,
        lambda x, y: x + y.numpy(),
        lambda x, y: x - y,
        lambda x, y: x * y,
        lambda x, y: x / y,
        lambda x, y: x**y,
        lambda x, y: x @ y,
        lambda x, y: x.maximum(y),
        lambda x, y: x.minimum(y),
        lambda x, y: ops.where(np.ones((2, 2), bool), x, y),
        lambda x, y: ops.linear(x, y),
        lambda x, y: ops.adder_linear(x, y),
        lambda x, y: ops.concatenate([x, y]),
        lambda x, y: ops.stack([x, y]),
        lambda x, y: ops.bce_with_logits(x, y),
    ],
)
def test_mixed_precisions(call: Callable[[Tensor, Tensor], Tensor]) -> None:
    refuses(TypeError, ("float32", "float64"), lambda: call(ones(2, 2), ones(2, 2, dtype="float64")))


@pytest.mark.parametrize("operand", [np.ones(2, int), np.ones(2, bool), "a", None, 1j, [object()]])
def test_operands_that_are_no_floats(operand: Any) -> None:
    with pytest.raises(TypeError, match=r"int64|bool|<U1|object|complex128"):
        ones(2) + operand


@pytest.mark.parametrize("layer", [ops.adder2d, ops.adder_linear], ids=["adder2d", "adder_linear"])
@pytest.mark.parametrize("name", ["weight_grad", "input_grad"])
@pytest.mark.parametrize("rule", ["hard_tanh", "", 0, ["sign"]])
def test_unknown_gradient_rules(layer: Any, name: str, rule: Any) -> None:
    arguments = (ones(1, 2), ones(3, 2)) if layer is ops.adder_linear else (ones(1, 2, 3, 3), ones(3, 2, 1, 1))
    words = (name, "'exact'", "'sign'", "'full_precision'", "'hardtanh'", repr(rule))
    refuses(ValueError, words, lambda: layer(*arguments, **{name: rule}))


@pytest.mark.parametrize("layer", [ops.adder2d, ops.adder_linear], ids=["adder2d", "adder_linear"])
def test_exponents_of_adder_layers(layer: Any) -> None:
    arguments = (ones(1, 2), ones(3, 2)) if layer is ops.adder_linear else (ones(1, 2, 3, 3), ones(3, 2, 1, 1))
    for p in (0.99, 2.01, 0, -1, np.nan, np.inf):
        refuses(ValueError, ("p must be a number in [1, 2]", str(p)), lambda p=p: layer(*arguments, p=p))
    for p in ("2", None, [1], True):
        refuses(TypeError, ("p must be a number in [1, 2]", repr(p)), lambda p=p: layer(*arguments, p=p))


def test_bias_of_a_convolution() -> None:
    x, w = ones(1, 2, 3, 3), ones(4, 2, 1, 1)
    refuses(ValueError, ("(4,)", "(3,)"), lambda: ops.conv2d(x, w, ones(3)))
    refuses(ValueError, ("(4,)", "(1, 4)"), lambda: ops.conv2d(x, w, ones(1, 4)))
    refuses(TypeError, ("float32", "float64"), lambda: ops.conv2d(x, w, ones(4, dtype="float64")))


@pytest.mark.parametrize("layer", [ops.linear, ops.adder_linear], ids=["linear", "adder_linear"])
def test_rows_that_do_not_fit(layer: Any) -> None:
    refuses(ValueError, ("size 4", "(2, 4)", "(1, 3)"), lambda: layer(ones(1, 3), ones(2, 4)))
    refuses(ValueError, ("size 4", "()"), lambda: layer(ones(), ones(2, 4)))
    refuses(ValueError, ("(out, in)", "(2, 4, 1)"), lambda: layer(ones(1, 4), ones(2, 4, 1)))


@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_adder_linear_without_filters_or_inputs(shape: tuple[int, int]) -> None:
    words = ("not be empty", str(shape))
    refuses(ValueError, words, lambda: ops.adder_linear(ones(2, shape[1]), ones(*shape)))


@pytest.mark.parametrize("pool", [ops.max_pool2d, ops.avg_pool2d], ids=["max", "avg"])
@pytest.mark.parametrize(
    ("error", "shape", "options", "words"),
    [
        (ValueError, (1, 1, 4, 4), {"kernel_size": 2, "padding": 2}, ("padding (=2)", "half", "kernel_size (=2)")),
        (ValueError, (1, 1, 4, 4), {"kernel_size": 3, "padding": (1, 2)}, ("(=(1, 2))", "kernel_size (=3)")),
        (ValueError, (1, 1, 4, 4), {"kernel_size": 5}, ("5×5", "4×4")),
        (ValueError, (1, 1, 4, 4), {"kernel_size": 0}, ("kernel_size", "at least 1", "0")),
        (ValueError, (1, 1, 4, 4), {"kernel_size": 2, "stride": 0}, ("stride", "at least 1", "0")),
        (ValueError, (1, 1, 4, 4), {"kernel_size": 2, "padding": -1}, ("padding", "at least 0", "-1")),
        (ValueError, (1, 4, 4), {"kernel_size": 2}, ("(batch, channels, height, width)", "(1, 4, 4)")),
        (ValueError, (1, 1, 0, 4), {"kernel_size": 2, "padding": 1}, ("nothing but padding", "0×4", "(2, 2)")),
        (TypeError, (1, 1, 4, 4), {"kernel_size": True}, ("kernel_size", "True")),
        (TypeError, (1, 1, 4, 4), {"kernel_size": 2.0}, ("kernel_size", "2.0")),
        (TypeError, (1, 1, 4, 4), {"kernel_size": (1, 2, 3)}, ("kernel_size", "(1, 2, 3)")),
        (TypeError, (1, 1, 4, 4), {"kernel_size": 2, "stride": False}, ("stride", "False")),
    ],
)
def test_pools_that_do_not_fit(
    pool: Any, error: type[Exception], shape: Any, options: dict[str, Any], words: tuple[str, ...]
) -> None:
    refuses(error, words, lambda: pool(ones(*shape), **options))


@pytest.mark.parametrize("width", range(1, 7))
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_dilated_pool_whose_window_would_miss_the_input(width: int, stride: int) -> None:
    """Cells of a window lie 3 apart: one of them must lie inside, or there is no maximum."""
    starts = range(-1, width + 1 - 3, stride)
    misses = [start for start in starts if not (0 <= start < width or 0 <= start + 3 < width)]
    x = Tensor(np.arange(1.0, width + 1).reshape(1, 1, 1, width))
    options: dict[str, Any] = {"kernel_size": (1, 2), "stride": stride, "padding": (0, 1), "dilation": 3}
    if not starts:
        refuses(ValueError, ("1×4", f"1×{width + 2}"), lambda: ops.max_pool2d(x, **options))
    elif misses:
        refuses(ValueError, ("nothing but padding", f"1×{width}", "(3, 3)"), lambda: ops.max_pool2d(x, **options))
    else:
        wanted = [max(place + 1 for place in (start, start + 3) if 0 <= place < width) for start in starts]
        assert ops.max_pool2d(x, **options).numpy().ravel().tolist() == wanted


def test_batch_norm_needs_two_values() -> None:
    for shape in ((1, 3), (1, 3, 1, 1), (0, 3), (2, 0)):
        gamma = ones(shape[1])
        words = ("more than 1 value per channel", str(shape), "eval()")
        refuses(ValueError, words, lambda s=shape, g=gamma: ops.batch_norm_train(ones(*s), g, g))
    ops.batch_norm_train(ones(1, 3, 2), ones(3), ones(3))


def test_batch_norm_parameters_that_do_not_fit() -> None:
    x = ones(2, 3)
    refuses(ValueError, ("(3,)",), lambda: ops.batch_norm_train(ones(3), ones(3), ones(3)))
    refuses(ValueError, ("(2, 3)", "3 channels", "(4,)"), lambda: ops.batch_norm_train(x, ones(4), ones(3)))
    refuses(ValueError, ("(2, 3)", "3 channels", "(1, 3)"), lambda: ops.batch_norm_train(x, ones(3), ones(1, 3)))
    refuses(TypeError, ("float32", "float64"), lambda: ops.batch_norm_train(x, ones(3, dtype="float64"), ones(3)))
    for eps in (0, -1.0, float("nan")):
        refuses(ValueError, ("eps", str(eps)), lambda e=eps: ops.batch_norm_train(x, ones(3), ones(3), eps=e))


def test_batch_norm_statistics_that_do_not_fit() -> None:
    def call(mean: Any, var: Any) -> Tensor:
        return ops.batch_norm_eval(ones(2, 3), ones(3), ones(3), mean, var)

    good = np.ones(3, np.float32)
    refuses(ValueError, ("mean", "(3,)", "(2,)"), lambda: call(good[:2], good))
    refuses(ValueError, ("var", "(3,)", "(4,)"), lambda: call(good, np.ones(4, np.float32)))
    refuses(TypeError, ("mean", "float32", "float64"), lambda: call(np.ones(3), good))
    refuses(TypeError, ("var", "float32", "Tensor"), lambda: call(good, ones(3)))


@pytest.mark.parametrize(
    ("error", "labels", "words"),
    [
        (ValueError, [0, 3], ("label 3", "(2, 3)", "0 to 2")),
        (ValueError, [0, -1], ("label -1", "0 to 2")),
        (ValueError, np.array([0, 2**63 + 1], np.uint64), ("label 9223372036854775809",)),
        (ValueError, [0, 1, 1], ("(2,)", "(3,)")),
        (ValueError, 1, ("(2,)", "()")),
        (ValueError, np.eye(2, 3, dtype=int), ("(2,)", "(2, 3)")),
        (TypeError, [0.0, 1.0], ("integers", "float64")),
        (TypeError, [True, False], ("integers", "bool")),
        (TypeError, ["a", "b"], ("integers", "<U1")),
        (TypeError, ma.tensor([0.0, 1.0]), ("integers", "float32")),
    ],
)
def test_labels(error: type[Exception], labels: Any, words: tuple[str, ...]) -> None:
    refuses(error, words, lambda: ops.cross_entropy(ones(2, 3), labels))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64])
def test_labels_may_be_of_any_integer_type(dtype: Any) -> None:
    loss = ops.cross_entropy(ones(2, 3), np.array([0, 2], dtype))
    assert loss.item() == pytest.approx(np.log(3))


def test_logits_and_reductions() -> None:
    refuses(ValueError, ("(batch, classes)", "(2, 3, 1)"), lambda: ops.cross_entropy(ones(2, 3, 1), [0, 1]))
    refuses(ValueError, ("at least one class", "(2, 0)"), lambda: ops.cross_entropy(ones(2, 0), [0, 1]))
    for loss, targets in ((ops.cross_entropy, [0, 1]), (ops.bce_with_logits, [[0.0, 1.0], [0.5, 0.25]])):
        words = ("'mean'", "'sum'", "'none'", "'average'")
        refuses(ValueError, words, lambda f=loss, t=targets: f(ones(2, 2), t, reduction="average"))
        refuses(ValueError, ("None",), lambda f=loss, t=targets: f(ones(2, 2), t, reduction=None))


@pytest.mark.parametrize("target", [-0.25, 1.5, float("nan"), float("inf")])
def test_targets_outside_0_and_1(target: float) -> None:
    words = (f"target {target}", "between 0 and 1")
    refuses(ValueError, words, lambda: ops.bce_with_logits(ones(2), [0.5, target]))


def test_targets_of_another_shape() -> None:
    refuses(ValueError, ("(2,)", "(2, 1)"), lambda: ops.bce_with_logits(ones(2), [[0.0], [1.0]]))
    refuses(ValueError, ("(2,)", "()"), lambda: ops.bce_with_logits(ones(2), 1.0))


REDUCTIONS = {name: getattr(ops, name) for name in ("sum", "mean", "max", "min", "var", "std")}


@pytest.mark.parametrize("reduce", REDUCTIONS.values(), ids=REDUCTIONS)
@pytest.mark.parametrize(
    ("error", "axis", "words"),
    [
        (ValueError, 2, ("axis 2", "2 axes")),
        (ValueError, -3, ("axis -3", "2 axes")),
        (ValueError, (0, 5), ("axis 5", "2 axes")),
        (ValueError, (0, -2), ("(0, -2)", "twice")),
        (TypeError, 1.0, ("axis", "1.0")),
        (TypeError, "0", ("axis", "'0'")),
    ],
)
def test_axes_of_reductions(reduce: Any, error: type[Exception], axis: Any, words: tuple[str, ...]) -> None:
    refuses(error, words, lambda: reduce(ones(2, 3), axis))


@pytest.mark.parametrize("reduce", REDUCTIONS.values(), ids=REDUCTIONS)
def test_an_axis_may_be_an_integer_of_any_kind(reduce: Any) -> None:
    assert reduce(ones(2, 3), np.int64(-1)).shape == (2,)
    assert reduce(ones(2, 3), [0, 1]).shape == ()


def test_variance_of_too_few_values() -> None:
    for reduce in (ops.var, ops.std):
        words = ("axis 0", "(1, 3)", "1 value(s)", "correction=0")
        refuses(ValueError, words, lambda f=reduce: f(ones(1, 3), 0))
        refuses(ValueError, ("2 value(s)", "(=5)"), lambda f=reduce: f(ones(2, 3), 0, correction=5))


@pytest.mark.parametrize(
    ("error", "call", "words"),
    [
        (ValueError, lambda: ones(2) + ones(3), ("(2,)", "(3,)")),
        (ValueError, lambda: ones(2, 3) @ ones(2, 3), ("(2, 3)", "3 and 2")),
        (ValueError, lambda: ones() @ ones(2), ("()", "(2,)")),
        (ValueError, lambda: ones(2, 2, 3) @ ones(3, 3, 2), ("(2,2,3)", "(3,3,2)")),
        (TypeError, lambda: ops.add(1.0, 2.0), ("Tensor", "float")),
        (ValueError, lambda: ones(2).clip(1, 0), ("low=1", "high=0")),
        (TypeError, lambda: ops.where(np.ones(2), ones(2), ones(2)), ("bool", "float64")),
        (ValueError, lambda: ops.where(np.ones(3, bool), ones(2), ones(2)), ("(3,)", "(2,)")),
        (TypeError, lambda: ops.where(np.ones(2, bool), 1.0, 2.0), ("Tensor", "float")),
        (TypeError, lambda: ones(2).astype("int32"), ("float32 or float64", "int32")),
        (TypeError, lambda: ones(2).astype("float16"), ("float32 or float64", "float16")),
        (ValueError, lambda: ones(2, 3).reshape(4), ("6", "(4,)")),
        (ValueError, lambda: ones(2, 3).reshape(-1, -1), ("one unknown",)),
        (ValueError, lambda: ones(2, 3).transpose(0, 2), ("2 axes", "(2, 3)", "(0, 2)")),
        (ValueError, lambda: ones(2, 3).transpose(0, 0), ("once", "(0, 0)")),
        (ValueError, lambda: ones(2, 3).transpose(0), ("once", "(0,)")),
        (ValueError, lambda: ones(2, 3).flatten(2), ("axis 2", "(2, 3)")),
        (ValueError, lambda: ones(2, 3).flatten(1, 0), ("start_dim (=1)", "end_dim (=0)")),
        (ValueError, lambda: ones(2, 3).squeeze(0), ("not equal to one",)),
        (ValueError, lambda: ones(2, 3).squeeze(5), ("axis 5", "2")),
        (ValueError, lambda: ones(2, 3).unsqueeze(5), ("axis 5", "3")),
        (ValueError, lambda: ones(2, 3).broadcast_to((2, 4)), ("(2,3)", "(2,4)")),
        (IndexError, lambda: ones(2, 3)[5], ("5", "size 2")),
        (IndexError, lambda: ones(2, 3)[1.0], ("integers",)),
        (TypeError, lambda: ones(2, 3)[ones(2)], ("index", "NumPy array")),
        (ValueError, lambda: ops.concatenate([]), ("at least one",)),
        (ValueError, lambda: ops.stack([]), ("at least one",)),
        (ValueError, lambda: ops.concatenate([ones(2, 3), ones(2, 4)]), ("3", "4")),
        (ValueError, lambda: ops.concatenate([ones(2, 3), ones(2, 3)], axis=2), ("axis 2", "(2, 3)")),
        (ValueError, lambda: ops.concatenate([ones(), ones()]), ("axis 0", "()")),
        (ValueError, lambda: ops.stack([ones(2), ones(2)], axis=4), ("axis 4", "2")),
        (ValueError, lambda: ops.stack([ones(2, 3), ones(2, 4)]), ("3", "4")),
    ],
)
def test_shapes_and_values(error: type[Exception], call: Callable[[], Any], words: tuple[str, ...]) -> None:
    refuses(error, words, call)
