"""gradcheck passes what is right, catches what is wrong, and says where, by how much, and whether it is a kink."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from running import output_shape

import minadder as ma
from minadder import nn, ops
from minadder.autograd import Array
from minadder.ops.registry import OPERATIONS, Operation
from minadder.testing import samples_of, seeds

every_true_gradient = pytest.mark.parametrize(
    "operation",
    [operation for operation in OPERATIONS if operation.gradient_of is None],
    ids=lambda operation: operation.name,
)


def double(values: Any, requires_grad: bool = True) -> ma.Tensor:
    """Return a float64 tensor."""
    return ma.tensor(values, dtype="float64", requires_grad=requires_grad)


@every_true_gradient
@given(data=st.data())
def test_passes_every_operation_that_gives_its_true_gradient(operation: Operation, data: st.DataObject) -> None:
    sample = data.draw(samples_of(operation).filter(lambda sample: sum(array.size for array in sample.arrays) <= 60))
    assume(0 not in output_shape(operation, sample))
    inputs = [double(array) for array in sample.arrays]
    assert ma.gradcheck(lambda *tensors: operation.function(*tensors, **sample.options), inputs)


class Wrong(ma.Function):
    """y = A·x for a fixed matrix, with a backward pass that is wrong in a chosen way."""

    matrix = np.array([[0.5, -1.25, 2.0], [0.75, 3.0, -0.25], [1.5, 0.25, -2.0]])

    def forward(self, x: Array, wrong: str) -> Array:
        """Return A·x."""
        self.wrong = wrong
        return self.matrix @ x

    def backward(self, grad: Array) -> Array:
        """Return Aᵀ·G, or what one might write instead."""
        right = self.matrix.T @ grad
        channel_missing = right.copy()
        channel_missing[1] = 0
        return {
            "nothing": right,
            "sign": -right,
            "factor 2": 2 * right,
            "transposed": self.matrix @ grad,
            "channel missing": channel_missing,
            "not a number": right * np.nan,
        }[self.wrong]


@pytest.mark.parametrize(
    ("wrong", "count"), [("sign", 3), ("factor 2", 3), ("transposed", 3), ("channel missing", 1), ("not a number", 3)]
)
def test_catches_wrong_gradients(wrong: str, count: int) -> None:
    x = double([0.5, -1.5, 2.5])
    assert ma.gradcheck(lambda x: Wrong.apply(x, wrong="nothing"), x)
    with pytest.raises(ma.GradcheckError, match=f"{count} of 3 gradient entries differ"):
        ma.gradcheck(lambda x: Wrong.apply(x, wrong=wrong), x)


def test_catches_a_detached_path() -> None:
    with pytest.raises(ma.GradcheckError, match="2 of 2"):
        ma.gradcheck(lambda x: x * x.detach(), double([1.5, -2.0]))
    with pytest.raises(ma.GradcheckError, match="backward gives 0,"):
        ma.gradcheck(lambda x: x.detach() * 2, double([1.5, -2.0]))


def test_catches_one_wrong_entry_of_one_input_among_many() -> None:
    class OneEntry(ma.Function):
        def forward(self, x: Array, y: Array) -> Array:
            return x + y

        def backward(self, grad: Array) -> tuple[Array, Array]:
            y_grad = grad.copy()
            y_grad[1, 2] *= 1.001
            return grad, y_grad

    inputs = [double(np.ones((2, 3))), double(np.ones((2, 3)))]
    with pytest.raises(ma.GradcheckError, match=r"1 of 12 .*input 1 at \(1, 2\)"):
        ma.gradcheck(OneEntry.apply, inputs)


@given(seed=seeds)
def test_says_by_how_much(seed: int) -> None:
    """The message's numbers are those of the wrong entry: 2·w from backward for a slope of w."""
    x = double([0.75])
    weight = np.random.default_rng(seed).standard_normal(1)
    with pytest.raises(ma.GradcheckError) as raised:
        ma.gradcheck(lambda x: Wrong2.apply(x), x, seed=seed)
    found = re.search(r"backward gives (\S+), finite differences give (\S+) \(apart by (\S+)\)", str(raised.value))
    assert found is not None
    analytic, numeric, apart = map(float, found.groups())
    assert analytic == pytest.approx(2 * weight.item(), rel=1e-5)
    assert numeric == pytest.approx(weight.item(), rel=1e-4)
    assert apart == pytest.approx(abs(weight.item()), rel=1e-2)
    assert "kink" not in str(raised.value)


class Wrong2(ma.Function):
    """The identity with twice its gradient."""

    def forward(self, x: Array) -> Array:
        """Return a copy of x."""
        return x.copy()

    def backward(self, grad: Array) -> Array:
        """Return 2·G."""
        return 2 * grad


def test_says_when_it_sits_on_a_kink_and_gives_both_slopes() -> None:
    weights = np.random.default_rng(3).standard_normal(3)
    with pytest.raises(ma.GradcheckError) as raised:
        ma.gradcheck(ops.relu, double([1.0, 0.0, -2.0]), seed=3)
    message = str(raised.value)
    assert "1 of 3 gradient entries differs" in message
    assert "input 0 at (1,)" in message
    assert "backward gives 0," in message
    found = re.search(r"a kink: the slope is (\S+) to the left and (\S+) to the right", message)
    assert found is not None
    left, right = map(float, found.groups())
    assert left == 0
    assert right == pytest.approx(weights[1], rel=1e-4)
    assert "move the input away" in message


def test_tells_kinks_from_other_differences() -> None:
    """One entry is on the kink of |x|, the others are wrong on smooth ground."""
    with pytest.raises(ma.GradcheckError, match="1 of the 3 sit on a kink; the others do not"):
        ma.gradcheck(lambda x: abs(x) + x.detach(), double([0.0, 1.0, -1.0]))


@pytest.mark.parametrize("rule", ["full_precision", "hardtanh"])
@pytest.mark.parametrize("name", ["weight_grad", "input_grad"])
def test_surrogate_rules_of_the_adder_layer_differ_and_the_exact_one_passes(name: str, rule: str) -> None:
    rng = np.random.default_rng(0)
    x, w = double(rng.standard_normal((2, 2, 4, 3))), double(rng.standard_normal((3, 2, 2, 2)))
    exact = {"weight_grad": "exact", "input_grad": "exact"}
    assert ma.gradcheck(lambda x, w: ops.adder2d(x, w, stride=2, padding=1, **exact), [x, w])
    number = ("input_grad", "weight_grad").index(name)
    with pytest.raises(ma.GradcheckError, match=f"input {number} at"):
        ma.gradcheck(lambda x, w: ops.adder2d(x, w, stride=2, padding=1, **{**exact, name: rule}), [x, w])


def test_refuses_a_precision_too_coarse() -> None:
    with pytest.raises(TypeError, match=r"input 1 is float32, .* dtype='float64'"):
        ma.gradcheck(lambda x, y: x, [double([1.0]), ma.tensor([1.0], requires_grad=True)])


def test_refuses_what_it_cannot_check() -> None:
    with pytest.raises(TypeError, match="input 0 must be a Tensor, not ndarray"):
        ma.gradcheck(ops.relu, [np.ones(2)])
    with pytest.raises(ValueError, match="no input has requires_grad=True"):
        ma.gradcheck(ops.relu, double([1.0], requires_grad=False))
    with pytest.raises(ValueError, match="no input has requires_grad=True"):
        ma.gradcheck(ops.relu, [])
    with pytest.raises(TypeError, match="must return a Tensor, not float64"):
        ma.gradcheck(lambda x: x.numpy().sum(), double([1.0]))


def test_nothing_of_the_users_tensors_changes() -> None:
    x, y, z = double([[0.5, 1.5]]), double([[2.0], [3.0]]), double([1.0, 2.0], requires_grad=False)
    (x * 3).sum().backward()
    before = [(t.numpy().copy(), None if t.grad is None else t.grad.numpy().copy(), t.requires_grad) for t in (x, y, z)]
    grads = [t.grad for t in (x, y, z)]
    assert ma.gradcheck(lambda x, y, z: x * y + z, [x, y, z])
    with pytest.raises(ma.GradcheckError):
        ma.gradcheck(lambda x, y, z: x * y.detach() + z, [x, y, z])
    for tensor, grad, (values, gradient, requires_grad) in zip((x, y, z), grads, before, strict=True):
        assert np.array_equal(tensor.numpy(), values)
        assert tensor.grad is grad
        assert grad is None or np.array_equal(grad.numpy(), gradient)
        assert tensor.requires_grad == requires_grad
        assert tensor.is_leaf


def test_a_function_that_changes_its_inputs_cannot_change_the_users() -> None:
    x = double([1.0, 2.0])

    def careless(x: ma.Tensor) -> ma.Tensor:
        y = (x + 2.0).exp()
        with ma.no_grad():
            x += 1.0
        return y

    assert ma.gradcheck(careless, x)
    assert x.tolist() == [1.0, 2.0]


def test_inputs_without_requires_grad_are_constants() -> None:
    """The second input's gradient is wrong, and nobody asked for it."""
    x, y = double([1.0, 2.0]), double([3.0, 4.0], requires_grad=False)
    assert ma.gradcheck(lambda x, y: x + Wrong2.apply(y), [x, y])
    with pytest.raises(ma.GradcheckError, match="2 of 4"):
        ma.gradcheck(lambda x, y: x + Wrong2.apply(y), [x, y.requires_grad_()])


def test_any_layout_and_any_shape_of_output() -> None:
    x = ma.Tensor(np.asfortranarray(np.arange(6.0).reshape(2, 3)).T, requires_grad=True)
    assert ma.gradcheck(lambda x: (x * x).sum(), x)
    assert ma.gradcheck(lambda x: x.reshape(3, 1, 2) * 2, x)
    spread = ma.Tensor(np.broadcast_to(np.array([0.5, 2.0]), (3, 2)), requires_grad=True)  # read-only, 2 cells for 6
    assert ma.gradcheck(lambda x: x.exp() * x, spread)


def test_a_result_used_several_times() -> None:
    """Gradients of all uses are added up, of inputs and of results in between."""

    def used(x: ma.Tensor) -> ma.Tensor:
        y = x * x + x
        return y * y.exp() + y / (y * y + 1.0) - y

    assert ma.gradcheck(used, double([0.5, -0.25, 1.25]))


def test_tolerances_and_seed() -> None:
    """2·w against w differ by w: a tolerance of that size lets it pass, and the seed chooses w."""
    x = double([0.75])
    assert ma.gradcheck(Wrong2.apply, x, rtol=1.01)
    assert ma.gradcheck(Wrong2.apply, x, atol=10.0)
    with pytest.raises(ma.GradcheckError) as one:
        ma.gradcheck(Wrong2.apply, x, seed=1)
    with pytest.raises(ma.GradcheckError) as other:
        ma.gradcheck(Wrong2.apply, x, seed=2)
    assert str(one.value) != str(other.value)


def test_a_larger_step_sees_a_kink_further_away() -> None:
    x = double([1e-4])
    assert ma.gradcheck(ops.absolute, x)
    with pytest.raises(ma.GradcheckError, match="kink"):
        ma.gradcheck(ops.absolute, x, eps=1e-2)


def linear64() -> nn.Linear:
    """Return a linear layer of float64."""
    layer = nn.Linear(3, 2)
    layer.to("float64")
    return layer


X = np.array([[0.5, -1.5, 2.0], [1.0, 0.25, -0.75]])


def test_a_layers_weight_that_the_function_reaches_by_itself_is_checked() -> None:
    layer = linear64()
    assert ma.gradcheck(lambda w: layer(X), layer.weight)
    assert ma.gradcheck(lambda *parameters: layer(X), list(layer.parameters()))


def test_a_weight_gradient_100_times_too_large_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = linear64()
    right = ops.matmul.__globals__["MatMul"].backward
    wrong = lambda self, grad: tuple(None if part is None else 100 * part for part in right(self, grad))  # noqa: E731
    monkeypatch.setattr(ops.matmul.__globals__["MatMul"], "backward", wrong)
    with pytest.raises(ma.GradcheckError, match=r"6 of 6 gradient entries differ"):
        ma.gradcheck(lambda w: layer(X), layer.weight)
    assert ma.gradcheck(lambda b: layer(X), layer.bias)  # the bias does not pass through the product


def test_nothing_of_what_the_function_reaches_changes() -> None:
    layer, unchecked = linear64(), double([[0.25, 0.5]])
    product = unchecked * 2.0  # a graph from outside, which backward shall not free
    layer.bias.grad = ma.tensor([1.0, 2.0], dtype="float64")
    before = [(p, p._array, p._version, p._version.count, p.grad, p.numpy().tobytes()) for p in layer.parameters()]
    assert ma.gradcheck(lambda w: layer(X) * product, layer.weight)
    with pytest.raises(ZeroDivisionError):
        ma.gradcheck(lambda w: 1 / 0, layer.weight)
    for parameter, array, version, count, grad, content in before:
        assert parameter._array is array
        assert (parameter._version is version, parameter._version.count) == (True, count)
        assert parameter.grad is grad
        assert parameter.numpy().tobytes() == content
        assert parameter.is_leaf
    assert unchecked.grad is None
    product.sum().backward()
    assert unchecked.grad is not None


@pytest.mark.parametrize("f", [lambda x, y: y * 2, lambda x, y: y + x.detach() * 0, lambda x, y: y + X[0, 0]])
def test_a_function_that_does_not_depend_on_an_input_is_refused(f: Any) -> None:
    x, y = double([1.5, -2.0]), double([0.5, 0.25])
    with pytest.raises(ma.GradcheckError, match=r"does not depend on input 0, .*nothing of it was checked"):
        ma.gradcheck(f, [x, y])
    with pytest.raises(ma.GradcheckError, match="does not depend on input 0"):
        ma.gradcheck(lambda x: ma.tensor([1.0], dtype="float64"), x)


def test_a_gradient_that_is_rightly_0_passes() -> None:
    assert ma.gradcheck(lambda x: x * 0, double([1.5, -2.0]))
    assert ma.gradcheck(lambda x: x[:1], double([1.5, -2.0]))
    assert ma.gradcheck(lambda x: x, double([1.5, -2.0]))
    with pytest.raises(ma.GradcheckError, match="2 of 2"):
        ma.gradcheck(lambda x: x + x.detach(), double([1.5, -2.0]))


def test_a_function_that_is_another_each_time_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ma.GradcheckError, match=r"another value when it is called again.*eval\(\)"):
        ma.gradcheck(lambda x: x * rng.random(), double([1.5, -2.0]))


@pytest.mark.parametrize(("f", "given"), [(lambda x: x.log(), "nan"), (lambda x: x / 0.0, "inf")])
def test_a_function_that_gives_no_number_is_refused(f: Any, given: str) -> None:
    with np.errstate(all="ignore"), pytest.raises(ma.GradcheckError, match=f"gives -?{given} at the inputs themselves"):
        ma.gradcheck(f, double([-1.5]))


def test_a_check_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"returns no numbers \(shape \(0,\)\)"):
        ma.gradcheck(lambda x: x[:0], double([1.0]))
    with pytest.raises(ValueError, match=r"has an entry, .*: \(0, 3\)"):
        ma.gradcheck(lambda x: x * 2, double(np.ones((0, 3))))
    with pytest.raises(TypeError, match="returns float32"):
        ma.gradcheck(lambda x: x.astype("float32"), double([1.0]))
    with pytest.raises(ValueError, match=r"eps=1e-06 vanishes beside 1000000000000\.0, input 0 at"):
        ma.gradcheck(lambda x: x * 2, double([1.0, 1e12]))


@pytest.mark.parametrize(
    ("error", "arguments", "named"),
    [
        (TypeError, (None, [1.0]), "needs a function of tensors, not NoneType"),
        (TypeError, (ops.exp, None), "input 0 must be a Tensor, not NoneType"),
        (TypeError, (ops.exp, "ab"), "input 0 must be a Tensor, not str"),
        (TypeError, (ops.exp, 1.0), "input 0 must be a Tensor, not float"),
    ],
)
def test_refuses_what_is_no_function_and_no_tensor(error: type[Exception], arguments: Any, named: str) -> None:
    with pytest.raises(error, match=named):
        ma.gradcheck(*arguments)


@pytest.mark.parametrize("name", ["eps", "rtol", "atol"])
@pytest.mark.parametrize(
    ("error", "value"),
    [(ValueError, -1.0), (ValueError, np.nan), (ValueError, np.inf), (TypeError, "1"), (TypeError, None)],
)
def test_refuses_tolerances_that_pass_anything(name: str, error: type[Exception], value: Any) -> None:
    with pytest.raises(error, match=name):
        ma.gradcheck(ops.exp, double([1.0]), **{name: value})


def test_works_inside_no_grad_and_on_computed_and_repeated_inputs() -> None:
    x = double([0.5, -1.25])
    y = x * 3.0
    with ma.no_grad():
        assert ma.gradcheck(lambda x: x * x, x)
        assert not ma.is_grad_enabled()
    assert ma.gradcheck(lambda y: y.exp(), y)
    assert not y.is_leaf
    assert y._node is not None
    assert ma.gradcheck(lambda one, other: one * other, [x, x])
    assert ma.gradcheck(lambda one, other: one * other, [x, x.detach().requires_grad_()])
    assert x.grad is None
