"""A tensor computes what NumPy computes on its array, in the array's precision, and leaves the array alone."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minadder as ma
from minadder.autograd import Array
from minadder.testing import LAYOUTS, seeds

dtypes = st.sampled_from([np.float32, np.float64])
shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
layouts = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


def normal(shape: tuple[int, ...], dtype: Any = np.float32, seed: int = 0) -> Array:
    """Return normal values."""
    return np.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


def assert_equal(ours: ma.Tensor, wanted: Any, dtype: Any) -> None:
    """Compare values, shape and dtype; what sums may round."""
    assert isinstance(ours, ma.Tensor)
    assert (ours.shape, ours.dtype) == (np.shape(wanted), dtype)
    np.testing.assert_allclose(ours.numpy(), wanted, rtol=1e-5, atol=1e-6)


@given(
    shape=hnp.mutually_broadcastable_shapes(signature="(n,k),(k,m)->(n,m)", max_dims=2, max_side=3, min_side=0)
    | hnp.mutually_broadcastable_shapes(signature="(n?,k),(k,m?)->(n?,m?)", max_dims=2, max_side=3, min_side=1),
    dtype=dtypes,
    seed=seeds,
)
def test_matmul(shape: hnp.BroadcastableShapes, dtype: Any, seed: int) -> None:
    x, y = (normal(shape, dtype, seed + number) for number, shape in enumerate(shape.input_shapes))
    wanted = x @ y
    a, b = ma.tensor(x, requires_grad=True), ma.tensor(y, requires_grad=True)
    assert_equal(a @ b, wanted, dtype)
    assert_equal(a @ y, wanted, dtype)
    assert_equal(x @ b, wanted, dtype)
    (a @ b).sum().backward()
    assert a.grad is not None
    assert b.grad is not None
    assert (a.grad.shape, b.grad.shape) == (x.shape, y.shape)


REDUCTIONS: dict[str, Callable[..., Any]] = {
    "sum": np.sum,
    "mean": np.mean,
    "max": np.max,
    "min": np.min,
    "var": lambda x, **options: np.var(x, ddof=1, **options),
    "std": lambda x, **options: np.std(x, ddof=1, **options),
}


@pytest.mark.parametrize("name", REDUCTIONS)
@given(data=st.data(), dtype=dtypes, keepdims=st.booleans(), seed=seeds)
def test_reductions(name: str, data: st.DataObject, dtype: Any, keepdims: bool, seed: int) -> None:
    x = normal(data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=2, max_side=4)), dtype, seed)
    axis = data.draw(st.none() | st.integers(-x.ndim, x.ndim - 1) | hnp.valid_tuple_axes(x.ndim, min_size=1))
    ours = getattr(ma.tensor(x), name)(axis=axis, keepdims=keepdims)
    assert_equal(ours, REDUCTIONS[name](x, axis=axis, keepdims=keepdims), dtype)


@given(data=st.data(), dtype=dtypes, seed=seeds)
def test_shapes(data: st.DataObject, dtype: Any, seed: int) -> None:
    x = normal(data.draw(shapes), dtype, seed)
    t = ma.tensor(x)
    axes = tuple(data.draw(st.permutations(range(x.ndim))))
    assert_equal(t.transpose(*axes), x.transpose(axes), dtype)
    assert_equal(t.T, x.T, dtype)
    assert_equal(t.flatten(), x.reshape(-1), dtype)
    assert_equal(t.reshape(x.shape[::-1]), x.reshape(x.shape[::-1]), dtype)
    if x.size:
        assert_equal(t.reshape(-1, *x.shape[:1]), x.reshape(-1, *x.shape[:1]), dtype)
    place = data.draw(st.integers(-x.ndim - 1, x.ndim))
    assert_equal(t.unsqueeze(place), np.expand_dims(x, place), dtype)
    assert_equal(t.unsqueeze(place).squeeze(place), x, dtype)
    assert_equal(t.squeeze(), np.squeeze(x), dtype)
    assert_equal(t.broadcast_to((2, *x.shape)), np.broadcast_to(x, (2, *x.shape)), dtype)
    if x.ndim:
        assert_equal(ma.ops.concatenate([t, t], axis=-1), np.concatenate([x, x], axis=-1), dtype)
    assert_equal(ma.ops.stack([t, t], axis=place), np.stack([x, x], axis=place), dtype)


@st.composite
def indices(draw: Callable[..., Any], shape: tuple[int, ...]) -> Any:
    """Draw an index of any of NumPy's kinds: basic, arrays of integers, lists, masks, and mixtures."""
    kind = draw(st.sampled_from(["basic", "integers", "mask", "row mask", "list", "mixed"]))
    if kind == "basic":
        return draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    if kind == "integers":
        return draw(hnp.integer_array_indices(shape))
    if kind == "mask":
        return draw(hnp.arrays(bool, shape))
    if kind == "row mask":
        return draw(hnp.arrays(bool, shape[0]))
    numbers = draw(st.lists(st.integers(-shape[0], shape[0] - 1), max_size=4))
    return numbers if kind == "list" else (numbers or slice(None), ..., slice(None, None, -1))


@given(data=st.data(), dtype=dtypes)
def test_indexing_and_its_gradient(data: st.DataObject, dtype: Any) -> None:
    x = normal((3, 4, 2), dtype)
    index = data.draw(indices(x.shape))
    wanted = x[index]
    t = ma.tensor(x, requires_grad=True)
    y = t[index]
    assert_equal(y, wanted, dtype)
    weights = normal(y.shape, dtype, 1)
    y.backward(weights)
    counted = np.zeros(x.shape)
    np.add.at(counted, index, weights)
    assert t.grad is not None
    np.testing.assert_array_equal(t.grad.numpy(), counted.astype(dtype))


@given(data=st.data(), dtype=dtypes)
def test_assignment_by_index(data: st.DataObject, dtype: Any) -> None:
    x = normal((3, 4, 2), dtype)
    index = data.draw(indices(x.shape))
    t = ma.tensor(x)
    for value in (5.0, normal(x[index].shape, dtype, 2)):
        t[index] = value
        x[index] = value
        np.testing.assert_array_equal(t.numpy(), x)
    t[index] = ma.tensor(np.zeros((), dtype))
    x[index] = 0
    np.testing.assert_array_equal(t.numpy(), x)
    with pytest.raises(ValueError, match=r"broadcast|assign|mismatch"):
        t[...] = np.ones((5, 7), dtype)
    np.testing.assert_array_equal(t.numpy(), x)


COMPARISONS = (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne)


@pytest.mark.parametrize("compare", COMPARISONS)
@given(pair=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=2, max_side=3, min_side=0), seed=seeds)
def test_comparisons_give_arrays_of_bool(compare: Any, pair: hnp.BroadcastableShapes, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = (np.asarray(rng.integers(-1, 2, shape), np.float32) for shape in pair.input_shapes)
    for one, other in ((ma.tensor(x), ma.tensor(y)), (ma.tensor(x), y), (x, ma.tensor(y))):
        result = compare(one, other)
        assert isinstance(result, np.ndarray)
        assert result.dtype == bool
        np.testing.assert_array_equal(result, compare(x, y))
    for result in (compare(ma.tensor(x), 0), compare(0, ma.tensor(x))):
        assert isinstance(result, np.ndarray)
        assert (result.dtype, result.shape) == (bool, x.shape)


USES: dict[str, Callable[[ma.Tensor, Array], ma.Tensor]] = {
    "arithmetic": lambda t, array: (t + array) * t - array / 3.0 + 2.0 / (array * array + 1.0 + t * t),
    "matmul": lambda t, array: t @ t.T + array @ t.T,
    "indexing": lambda t, array: t[1:, ::-1] * array[1:, ::-1],
    "reductions": lambda t, array: t.mean(axis=0) + t.max(axis=0) + t.var(axis=0) + array.sum(axis=0),
    "shapes": lambda t, array: ma.ops.stack([t.reshape(-1), t.T.flatten()]),
    "functions": lambda t, array: t.tanh().exp() + (t * t + 1.0).log().sqrt() + t.clip(-1, 1) + abs(t).sigmoid(),
}


@layouts
@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_the_layout_does_not_matter_and_nothing_is_changed(use: Any, layout: Any, dtype: Any) -> None:
    x = normal((4, 3), dtype)
    laid = layout(x)
    t, plain = ma.Tensor(laid, requires_grad=True), ma.tensor(x, requires_grad=True)
    y, wanted = use(t, laid), use(plain, x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y.numpy(), wanted.numpy(), rtol=1e-6)
    y.sum().backward()
    wanted.sum().backward()
    assert t.grad is not None
    assert plain.grad is not None
    assert t.grad.dtype == dtype
    np.testing.assert_allclose(t.grad.numpy(), plain.grad.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(laid, x)
