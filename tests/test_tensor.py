"""Tensor: making one, NumPy's behaviour, and what is refused."""

from __future__ import annotations

import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minadder as ma
from minadder import nn

floats = st.floats(-100, 100, width=32)
shapes = hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=4)
OPERATORS = (operator.add, operator.sub, operator.mul)


def array(shape, dtype="float32", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("data", [1.0, [1.0, 2.0], [[1.5]], np.float16(2), np.ones(2, np.float16), np.float32(1)])
def test_float32_is_the_default(data):
    assert ma.tensor(data).dtype == np.float32


@pytest.mark.parametrize("data", [np.ones(2), np.float64(2.0), np.ones(2, ">f8"), np.asfortranarray(np.ones((2, 2)))])
def test_float64_is_kept_when_given(data):
    assert ma.tensor(data).dtype == np.float64


@pytest.mark.parametrize("data", [1, [1, 2], np.arange(3), [True, False], np.uint8(3)])
def test_integers_are_refused_with_the_fix_unless_a_dtype_is_given(data):
    with pytest.raises(TypeError, match=r"tensors hold floats.*dtype='float32'"):
        ma.tensor(data)
    assert ma.tensor(data, dtype="float64").dtype == np.float64


@pytest.mark.parametrize("data", [1j, "text", [None], [{}]])
def test_other_things_are_refused(data):
    with pytest.raises(TypeError, match="real numbers"):
        ma.tensor(data)


def test_ragged_lists_and_wrong_dtypes_are_refused():
    with pytest.raises(ValueError, match="regular grid"):
        ma.tensor([[1.0], [1.0, 2.0]])
    with pytest.raises(TypeError, match="not float16"):
        ma.tensor([1.0], dtype="float16")
    with pytest.raises(TypeError, match=r"use ma\.tensor"):
        ma.Tensor([1.0])


@pytest.mark.parametrize(
    "value", [1j, np.complex64(1), "2", np.str_("2"), np.datetime64("2020"), None, [None], object()]
)
def test_what_is_no_real_number_is_no_operand(value):
    x = ma.tensor([1.0, 2.0])
    for use in (*OPERATORS, lambda t, v: t.maximum(v), lambda t, v: t.__iadd__(v), lambda t, v: t.__setitem__(0, v)):
        with pytest.raises(TypeError, match="real numbers"):
            use(x, value)
    assert x.tolist() == [1, 2]


@pytest.mark.parametrize("value", [2, 2.0, True, np.float64(2), np.float16(2), np.int8(2), np.bool_(True), [2, 2]])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_and_lists_take_the_tensors_precision(value, dtype):
    x = ma.tensor([3.0, 4.0], dtype=dtype)
    wanted = 3.0 * np.ravel(value)[0]
    for result in (x * value, value * x):
        assert (result.dtype, result.tolist()[0]) == (np.dtype(dtype), wanted)
    x *= value
    assert (x.dtype, x.tolist()[0]) == (np.dtype(dtype), wanted)


def test_the_values_are_copied():
    source = np.ones(3)
    tensor = ma.tensor(source)
    source[0] = 5
    assert tensor.tolist() == [1, 1, 1]


@given(pair=shapes, choice=st.sampled_from(OPERATORS), dtype=st.sampled_from(["float32", "float64"]))
def test_arithmetic_broadcasts_as_numpy(pair, choice, dtype):
    x, y = (array(shape, dtype, seed) for seed, shape in enumerate(pair.input_shapes))
    result = choice(ma.tensor(x), ma.tensor(y))
    np.testing.assert_array_equal(result.numpy(), choice(x, y))
    assert result.dtype == dtype
    np.testing.assert_array_equal(choice(ma.tensor(x), y).numpy(), choice(x, y))
    np.testing.assert_array_equal(choice(x, ma.tensor(y)).numpy(), choice(x, y))


@given(value=floats)
def test_python_numbers_stand_on_either_side(value):
    x = ma.tensor([1.0, -2.0])
    for choice in (*OPERATORS, operator.truediv):
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(choice(value, x).numpy(), choice(np.float32(value), x.numpy()))
            np.testing.assert_array_equal(choice(x, value).numpy(), choice(x.numpy(), np.float32(value)))
    assert (x * np.float64(2)).dtype == np.float32
    assert (2**x).tolist() == [2, 0.25]


def test_precisions_are_not_mixed_silently():
    x, y = ma.tensor([1.0]), ma.tensor([1.0], dtype="float64")
    for choice in OPERATORS:
        for one, other in ((x, y), (y, x), (x, np.ones(1))):
            with pytest.raises(TypeError, match=r"float(32|64) and float(32|64) are not mixed.*astype"):
                choice(one, other)
    assert (x.astype("float64") + y).dtype == np.float64
    with pytest.raises(TypeError, match="tensors hold floats"):
        x + np.arange(1)


def test_an_index_array_may_be_changed_later():
    x = ma.tensor([1.0, 2.0, 3.0], requires_grad=True)
    index = np.array([0, 0])
    y = x[index]
    index[:] = 2
    y.sum().backward()
    assert x.grad.tolist() == [2, 0, 0]


def test_a_tensor_is_no_index():
    x = ma.tensor([1.0, 2.0])
    for index in (x, (0, x), (x,)):
        with pytest.raises(TypeError, match="cannot be an index"):
            x[index]


@pytest.mark.parametrize("shape", [(), (1,), (0,), (2, 0, 3), (2, 3)])
def test_any_shape_goes_through(shape):
    x = ma.tensor(array(shape), requires_grad=True)
    (x * 2 + x.tanh()).sum().backward()
    assert x.grad.shape == shape
    assert np.asarray(x).shape == x.shape
    assert isinstance(x._array, np.ndarray)


def test_views_are_read_only():
    x = ma.tensor([1.0, 2.0])
    for view in (x.data, x.numpy(), np.asarray(x)):
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 5
    copied = np.array(x)
    copied[0] = 5
    assert x.tolist() == [1, 2]
    assert np.asarray(x, dtype="float64").dtype == np.float64


def test_changes_in_place_are_numpys():
    x = ma.tensor([1.0, 2.0, 3.0])
    same = x
    x += 1
    x *= [2.0, 2.0, 2.0]
    x -= ma.tensor([1.0])
    x /= 3.0
    x[0] = 9.0
    x[1:] = ma.tensor([0.0, 1.0])
    assert same is x
    assert x.tolist() == [9, 0, 1]
    assert x.copy_([1, 2, 3]).tolist() == [1, 2, 3]
    assert ma.tensor(1.0).copy_(2.0).item() == 2
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)"):
        x.copy_(np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="float64"):
        x.data = np.zeros(3)


def test_a_tensor_of_one_element_is_a_number():
    x = ma.tensor([[2.5]])
    assert (x.item(), float(x), bool(x), bool(x * 0)) == (2.5, 2.5, True, False)
    for use in (ma.Tensor.item, float, bool):
        with pytest.raises(ValueError, match=r"\(2,\)"):
            use(ma.tensor([1.0, 2.0]))


def test_length_and_iteration():
    x = ma.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert len(x) == 2
    assert [row.tolist() for row in x] == [[1, 2], [3, 4]]
    with pytest.raises(TypeError, match="no length"):
        len(ma.tensor(1.0))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ma.tensor(1.5), "tensor(1.5)"),
        (lambda: ma.tensor([1.0, -2.0], requires_grad=True), "tensor([ 1., -2.], requires_grad=True)"),
        (lambda: ma.tensor([1.0], dtype="float64"), "tensor([1.], dtype=float64)"),
        (lambda: ma.tensor([]), "tensor([], shape=(0,))"),
        (lambda: ma.tensor([1.0], requires_grad=True) * 2, "tensor([2.], node=Multiply)"),
        (lambda: ma.tensor(2.0, dtype="float64", requires_grad=True) ** 2, "tensor(4., dtype=float64, node=Power)"),
        (lambda: ma.tensor(np.zeros((2, 0))), "tensor([], shape=(2, 0), dtype=float64)"),
        (lambda: ma.tensor([np.nan, -np.inf]), "tensor([ nan, -inf])"),
        (lambda: ma.tensor([[1.0, 2.0], [3.0, 4.0]]), "tensor([[1., 2.],\n        [3., 4.]])"),
        (lambda: nn.Parameter(np.ones((2, 1), np.float32)), "Parameter([[1.],\n           [1.]])"),
        (lambda: nn.Parameter(np.ones(1)) + 1, "tensor([2.], dtype=float64, node=Add)"),
    ],
)
def test_repr_tells_what_it_holds(make, text):
    assert repr(make()) == text


def test_repr_of_a_large_tensor_is_short():
    text = repr(ma.tensor(np.zeros((100, 100))))
    assert "..." in text
    assert "shape=(100, 100), dtype=float64" in text
    assert len(text) < 600


def test_argmax_and_argmin():
    x = array((3, 4))
    np.testing.assert_array_equal(ma.tensor(x).argmax(1), x.argmax(1))
    assert ma.tensor(x).argmin() == x.argmin()


def test_requires_grad_can_be_switched_on_leaves_only():
    x = ma.tensor([1.0]).requires_grad_()
    assert x.is_leaf
    y = x * 2
    with pytest.raises(RuntimeError, match="detach"):
        y.requires_grad_(False)
    with pytest.raises(RuntimeError, match="detach"):
        y.requires_grad = False
    assert y.requires_grad
    for wrong in (1, "no", None, [True]):
        with pytest.raises(TypeError, match="requires_grad is True or False, not"):
            x.requires_grad = wrong
        with pytest.raises(TypeError, match="requires_grad is True or False, not"):
            ma.tensor([1.0], requires_grad=wrong)
    assert x.requires_grad
    x.requires_grad = False
    assert not (x * 2).requires_grad
    with pytest.raises(RuntimeError, match="requires_grad=True"):
        ma.tensor([1.0]).retain_grad()


def test_tensors_are_hashable_by_identity():
    x, y = ma.tensor([1.0]), ma.tensor([1.0])
    assert len({x, y, x}) == 2


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda x: x.reshape(5), "5"),
        (lambda x: x + np.ones(4, np.float32), r"\(4,\)"),
        (lambda x: x @ np.ones((2, 2), np.float32), "inner sizes"),
        (lambda x: x.sum(axis=2), "axis 2 is out of range"),
        (lambda x: x.sum(axis=(0, 0)), "twice"),
        (lambda x: x.transpose(0, 0), r"\(2, 3\)"),
        (lambda x: x.flatten(1, 0), "start_dim"),
        (lambda x: x[:0].mean(), r"\(0, 3\)"),
        (lambda x: x[:0].max(), r"\(0, 3\)"),
        (lambda x: x[:1, :1].var(), "correction"),
        (lambda x: x.clip(2.0, 1.0), "low <= high"),
        (lambda x: x.broadcast_to((3, 3)), r"\(2,\s?3\)"),
        (lambda x: x.squeeze(0), "squeeze"),
    ],
)
def test_wrong_shapes_are_named(call, named):
    with pytest.raises(ValueError, match=named):
        call(ma.tensor(array((2, 3))))


def test_manual_seed_repeats_the_weights():
    def draw():
        ma.manual_seed(7)
        return ma.nn.AdderLinear(3, 2).weight.tolist()

    assert draw() == draw()
    for wrong in (1.5, True, "1"):
        with pytest.raises(TypeError, match="int"):
            ma.manual_seed(wrong)
    with pytest.raises(ValueError, match="-1"):
        ma.manual_seed(-1)
