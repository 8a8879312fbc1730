"""The optimisers' kernels against their references, for any memory layout and in both precisions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minadder.autograd import Array
from minadder.kernels.optim import cpu, reference
from minadder.testing import LAYOUTS, seeds

SHAPES = [(), (0,), (1,), (7,), (3, 5), (4, 2, 3, 3)]
TOLERANCE = {np.float32: 2e-6, np.float64: 1e-14}

shapes = st.sampled_from(SHAPES)
dtypes = st.sampled_from([np.float32, np.float64])
decays = st.sampled_from([0.0, 5e-4, 0.1])
scales = st.sampled_from([1.0, 0.25, 300.0])


def values(seed: int, shape: tuple[int, ...], dtype: Any) -> list[Array]:
    """Return weights, a gradient and two states of an optimiser, the last not negative."""
    rng = np.random.default_rng(seed)
    arrays = [np.asarray(rng.standard_normal(shape)).astype(dtype) for _ in range(4)]
    arrays[3] = np.asarray(np.abs(arrays[3]))
    return arrays


def assert_close(ours: Array, wanted: Array, dtype: Any) -> None:
    """Compare with a result in float64."""
    assert ours.dtype == dtype
    scale = np.abs(wanted).max(initial=1.0)
    np.testing.assert_allclose(ours, wanted, rtol=0, atol=TOLERANCE[dtype] * scale * 10)


@given(
    seed=seeds,
    shape=shapes,
    dtype=dtypes,
    scale=scales,
    decay=decays,
    momentum=st.sampled_from([0.5, 0.9]),
    dampening=st.sampled_from([0.0, 0.3]),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_sgd_is_its_reference(
    seed: int,
    shape: tuple[int, ...],
    dtype: Any,
    scale: float,
    decay: float,
    momentum: float,
    dampening: float,
    flags: tuple[bool, bool, bool],
) -> None:
    w, grad, buffer, _ = values(seed, shape, dtype)
    first, nesterov, has_momentum = flags
    wanted, wanted_buffer = w.astype(np.float64), buffer.astype(np.float64)
    numbers = (first, scale, 0.1, momentum, dampening, decay, nesterov)
    reference.sgd(wanted, grad.astype(np.float64), wanted_buffer if has_momentum else None, *numbers)
    kept = grad.copy()
    cpu.sgd(w, grad, buffer if has_momentum else None, *numbers)
    assert_close(w, wanted, dtype)
    assert_close(buffer, wanted_buffer, dtype)
    np.testing.assert_array_equal(grad, kept)


@given(
    seed=seeds,
    shape=shapes,
    dtype=dtypes,
    scale=scales,
    decay=decays,
    step=st.integers(1, 1000),
    betas=st.sampled_from([(0.9, 0.999), (0.0, 0.5), (0.5, 0.0)]),
)
def test_adam_is_its_reference(
    seed: int,
    shape: tuple[int, ...],
    dtype: Any,
    scale: float,
    decay: float,
    step: int,
    betas: tuple[float, float],
) -> None:
    ours = values(seed, shape, dtype)
    wanted = [array.astype(np.float64) for array in ours]
    w, grad, mean, square = wanted
    reference.adam(w, grad, mean, square, step, scale, 0.01, betas, 1e-8, decay)
    cpu.adam(*ours, step, scale, 0.01, betas, 1e-8, decay)
    for one, other in zip(ours, wanted, strict=True):
        assert_close(one, other, dtype)


@pytest.mark.parametrize("name", LAYOUTS)
def test_weights_and_gradients_of_any_layout_are_changed_in_place(name: str) -> None:
    w, grad, buffer, square = values(1, (4, 6), np.float64)
    grad_laid_out = LAYOUTS[name](grad)
    for update in (
        lambda w, g: cpu.sgd(w, g, buffer.copy(), False, 1.0, 0.1, 0.9, 0.0, 0.1, True),
        lambda w, g: cpu.adam(w, g, buffer.copy(), square.copy(), 3, 1.0, 0.1, (0.9, 0.99), 1e-8, 0.1),
    ):
        wanted, ours = w.copy(), np.asfortranarray(w)
        update(wanted, grad)
        update(ours, grad_laid_out)
        np.testing.assert_allclose(ours, wanted, rtol=1e-14)
        assert not np.array_equal(ours, w)


@given(seed=seeds, shape=shapes, dtype=dtypes)
def test_the_sum_of_squares_is_its_reference(seed: int, shape: tuple[int, ...], dtype: Any) -> None:
    array = values(seed, shape, dtype)[0]
    np.testing.assert_allclose(cpu.square_sum(array), reference.square_sum(array), rtol=1e-12)


def test_the_square_of_a_float32_does_not_overflow() -> None:
    assert cpu.square_sum(np.full(2, 1e30, np.float32)) == pytest.approx(2e60)


def test_nan_and_infinity_are_not_lost() -> None:
    w, grad = np.zeros(3, np.float32), np.array([np.nan, np.inf, 1.0], np.float32)
    cpu.sgd(w, grad, np.zeros(3, np.float32), True, 1.0, 0.5, 0.9, 0.0, 0.0, False)
    np.testing.assert_array_equal(w, [np.nan, -np.inf, -0.5])
