"""Every operation of the registry: against its reference, against finite differences, and how it treats memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import assert_close, both_dtypes, cast, every_operation, output_shape

import minadder as ma
from minadder import ops
from minadder.autograd import Array
from minadder.ops.registry import OPERATIONS, REGISTRY, Operation
from minadder.ops.samples import Sample
from minadder.testing import LAYOUTS, check_function, cotangent, same_bits, samples_of, seeds
from minadder.testing.running import forward, run

STEP = 2.0**-10
"""Step of finite differences on the lattice: far from every kink, and dyadic, so that no bit is lost."""

VIEWS = {"reshape", "transpose", "permute", "broadcast_to", "getitem"}
"""Operations whose output may be a view of the input. All others own their output."""

exact_operations = pytest.mark.parametrize(
    "operation", [operation for operation in OPERATIONS if operation.exact], ids=lambda operation: operation.name
)


@both_dtypes
@every_operation
@given(data=st.data())
def test_output_is_the_references(operation: Operation, dtype: Any, data: st.DataObject) -> None:
    sample = data.draw(samples_of(operation))
    _, output = forward(operation.function, cast(sample, dtype), sample.options)
    assert output.dtype == dtype
    wanted = operation.reference(*sample.arrays, **sample.options)
    assert_close(output.numpy(), np.asarray(wanted), operation.exact)


def some_entries(rng: np.random.Generator, shape: tuple[int, ...], most: int) -> list[tuple[int, ...]]:
    """Return the indices of an array's entries, at most so many of them, picked at random."""
    size = int(np.prod(shape, dtype=int))
    flat = rng.permutation(size)[:most]
    return [tuple(int(i) for i in np.unravel_index(number, shape)) for number in flat]


def weighted(operation: Operation, number: int, arrays: list[Array], options: dict[str, Any], weights: Array) -> float:
    """Return Σ weights · outputs of the function whose gradient the operation gives to input `number`."""
    return float((operation.differentiated(number, *arrays, **options) * weights).sum())


def slopes(
    operation: Operation,
    number: int,
    arrays: list[Array],
    options: dict[str, Any],
    weights: Array,
    direction: Array,
    step: float,
) -> tuple[float, float]:
    """Return the slopes to the left and to the right of input `number` along a direction."""

    def at(distance: float) -> float:
        moved = [*arrays]
        moved[number] = arrays[number] + distance * direction
        return weighted(operation, number, moved, options, weights)

    middle = at(0)
    return (middle - at(-step)) / step, (at(step) - middle) / step


@exact_operations
@given(data=st.data(), seed=seeds)
def test_each_lattice_gradient_is_the_finite_difference(operation: Operation, data: st.DataObject, seed: int) -> None:
    sample, rng = data.draw(samples_of(operation)), np.random.default_rng(seed)
    arrays = cast(sample, np.float64)
    weights = cotangent(rng, output_shape(operation, sample))
    result = run(operation.function, arrays, sample.options, weights)
    for number, gradient in enumerate(result.gradients):
        for index in some_entries(rng, gradient.shape, most=16):
            direction = np.zeros(gradient.shape)
            direction[index] = 1
            left, right = slopes(operation, number, arrays, sample.options, weights, direction, STEP)
            assert gradient[index] == (left + right) / 2, f"input {number} at {index}"


@exact_operations
@given(data=st.data(), seed=seeds)
def test_backward_is_the_adjoint_of_the_derivative(operation: Operation, data: st.DataObject, seed: int) -> None:
    """⟨Jv, u⟩ = ⟨v, Jᵀu⟩ for random u and v: every entry of every gradient takes part."""
    sample, rng = data.draw(samples_of(operation)), np.random.default_rng(seed)
    arrays = cast(sample, np.float64)
    weights = cotangent(rng, output_shape(operation, sample))
    result = run(operation.function, arrays, sample.options, weights)
    for number, gradient in enumerate(result.gradients):
        direction = np.asarray(rng.integers(-4, 5, gradient.shape) * 2 + 1.0)
        left, right = slopes(operation, number, arrays, sample.options, weights, direction, STEP)
        assert (gradient * direction).sum() == (left + right) / 2, f"input {number}"


@exact_operations
@given(data=st.data(), seed=seeds)
def test_lattice_gradients_are_the_same_in_both_precisions(
    operation: Operation, data: st.DataObject, seed: int
) -> None:
    sample = data.draw(samples_of(operation))
    weights = cotangent(np.random.default_rng(seed), output_shape(operation, sample))
    single, double = (
        run(operation.function, cast(sample, dtype), sample.options, weights).gradients
        for dtype in (np.float32, np.float64)
    )
    for one, other in zip(single, double, strict=True):
        assert one.dtype == np.float32
        np.testing.assert_array_equal(one, other)


POSITIVE = {"log": (0,), "sqrt": (0,), "power": (0,), "divide": (1,)}
"""Inputs of operations that have a domain, or a pole at 0: kept above ¼."""


def gaussian(operation: Operation, sample: Sample, rng: np.random.Generator) -> list[Array]:
    """Return normal values in the shapes of the sample."""
    arrays = [np.asarray(rng.standard_normal(array.shape)) for array in sample.arrays]
    for number in POSITIVE.get(operation.name, ()):
        arrays[number] = np.asarray(np.abs(arrays[number]) + 0.25)
    return arrays


@every_operation
@given(data=st.data(), seed=seeds, normal=st.booleans())
def test_passes_what_operations_of_ones_own_go_through(
    operation: Operation, data: st.DataObject, seed: int, normal: bool
) -> None:
    """On the lattice and on normal values, which may lie anywhere."""
    sample = data.draw(samples_of(operation))
    arrays = gaussian(operation, sample, np.random.default_rng(seed)) if normal else sample.arrays
    check_function(operation.function, arrays, options=sample.options, gradient_of=operation.differentiated)


@both_dtypes
@every_operation
@given(data=st.data(), seed=seeds, layout=st.sampled_from(sorted(LAYOUTS)))
def test_the_layout_in_memory_does_not_matter(
    operation: Operation, dtype: Any, data: st.DataObject, seed: int, layout: str
) -> None:
    """For all inputs at once and for the cotangent: the same bits where sums are exact, whatever their order."""
    sample = data.draw(samples_of(operation))
    weights = cotangent(np.random.default_rng(seed), output_shape(operation, sample))
    arrays = cast(sample, dtype)
    plain = run(operation.function, arrays, sample.options, weights)
    other = run(
        operation.function, [LAYOUTS[layout](array) for array in arrays], sample.options, LAYOUTS[layout](weights)
    )
    assert_close(other.output, plain.output, operation.exact)
    for one, two in zip(other.gradients, plain.gradients, strict=True):
        assert_close(one, two, operation.exact)


@every_operation
@given(data=st.data(), seed=seeds)
def test_outputs_and_gradients_own_their_memory(operation: Operation, data: st.DataObject, seed: int) -> None:
    sample = data.draw(samples_of(operation))
    arrays = cast(sample, np.float64)
    weights = cotangent(np.random.default_rng(seed), output_shape(operation, sample))
    result = run(operation.function, arrays, sample.options, weights)
    options = [value for value in sample.options.values() if isinstance(value, np.ndarray)]
    theirs = [*arrays, weights, *options]
    ours = result.gradients if operation.name in VIEWS else [result.output, *result.gradients]
    for number, mine in enumerate(ours):
        for other in [*theirs, *ours[:number]]:
            assert not np.shares_memory(mine, other)


VIEW_OPTIONS: dict[str, dict[str, Any]] = {
    "reshape": {"shape": (3, 2)},
    "transpose": {"axes": (1, 0)},
    "permute": {"axes": (1, 0)},
    "broadcast_to": {"shape": (4, 2, 3)},
    "getitem": {"index": (slice(None), 1)},
}


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_views_share_the_memory_of_a_contiguous_input(name: str) -> None:
    array = np.arange(6.0).reshape(2, 3)
    _, output = forward(REGISTRY[name].function, [array], VIEW_OPTIONS[name])
    assert np.shares_memory(output.numpy(), array)


@every_operation
def test_kinks_follow_the_conventions(operation: Operation) -> None:
    for inputs, gradients in operation.kinks:
        for dtype in (np.float32, np.float64):
            result = run(operation.function, [np.array([value], dtype) for value in inputs], {}, np.array([-1.5]))
            assert [gradient.tolist() for gradient in result.gradients] == [[-1.5 * slope] for slope in gradients]


@both_dtypes
@every_operation
@given(data=st.data(), seed=seeds)
def test_nan_never_vanishes(operation: Operation, dtype: Any, data: st.DataObject, seed: int) -> None:
    """Wherever one NaN in an input makes the reference NaN, the operation gives NaN too, and it warns of nothing."""
    sample, rng = data.draw(samples_of(operation)), np.random.default_rng(seed)
    for number, array in enumerate(sample.arrays):
        for index in some_entries(rng, array.shape, most=1):
            arrays = cast(sample, dtype)
            arrays[number][index] = np.nan
            _, output = forward(operation.function, arrays, sample.options)
            with np.errstate(invalid="ignore"):
                wanted = np.isnan(operation.reference(*arrays, **sample.options))
            assert np.isnan(output.numpy())[wanted].all()


@pytest.mark.parametrize("name", ["relu", "binarize", "clip", "maximum", "sigmoid", "absolute"])
def test_nan_comes_out_where_nan_went_in(name: str) -> None:
    values = np.array([np.nan, 1.0])
    others = [np.array([0.5, 0.5])] if name == "maximum" else []
    options = {"low": -1.0, "high": 1.0} if name == "clip" else {}
    _, output = forward(REGISTRY[name].function, [values, *others], options)
    assert np.isnan(output.numpy()).tolist() == [True, False]


@both_dtypes
@pytest.mark.parametrize("size", [100.0, 1000.0, 1e30])
def test_large_logits_do_not_overflow(dtype: Any, size: float) -> None:
    """Nor do they warn: softmax and sigmoid are 0 or 1 there, and losses are linear."""
    logits = np.array([[size, -size], [-size, size]], dtype)
    labels, targets = np.array([0, 0]), np.array([[1, 1], [1, 0]], dtype)
    for name, options, losses, slopes in (
        ("cross_entropy", {"labels": labels}, [0, 2 * size], [[0, 0], [-1, 1]]),
        ("bce_with_logits", {"targets": targets}, [[0, size], [size, size]], [[0, -1], [-1, 1]]),
    ):
        weights = np.ones(np.shape(losses))
        result = run(REGISTRY[name].function, [logits], {**options, "reduction": "none"}, weights)
        np.testing.assert_allclose(result.output, np.array(losses, dtype), rtol=1e-6, atol=1e-30)
        np.testing.assert_allclose(result.gradients[0], slopes, rtol=1e-6, atol=1e-30)
    sigmoid = run(REGISTRY["sigmoid"].function, [logits], {}, np.ones((2, 2)))
    np.testing.assert_allclose(sigmoid.output, [[1, 0], [0, 1]], atol=1e-30)
    np.testing.assert_allclose(sigmoid.gradients[0], np.zeros((2, 2)), atol=1e-30)


def test_no_operation_is_missing_from_the_registry() -> None:
    """The others are made of registered ones, or only change the dtype; two are registered twice."""
    made_of_others = {"astype", "flatten", "squeeze", "unsqueeze"}
    assert set(ops.__all__) | {"adder2d_power", "cross_entropy_smoothed"} == set(REGISTRY) | made_of_others


def test_names_are_unique() -> None:
    assert len(REGISTRY) == len(OPERATIONS)


def test_astype_passes_values_and_gradients_between_precisions() -> None:
    x = ma.tensor([0.5, -2.25], requires_grad=True)
    y = x.astype("float64")
    assert y.dtype == np.float64
    y.backward(np.array([3.0, -1.5]))
    assert x.grad is not None
    assert same_bits(x.grad.numpy(), np.array([3.0, -1.5], np.float32))
