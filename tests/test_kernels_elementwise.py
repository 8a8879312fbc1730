"""The ReLU kernels: against the reference, in any layout, and with NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_cases import NO_THREADS, with_threads

from minadder.autograd import Array
from minadder.kernels.elementwise import cpu, reference
from minadder.testing import LAYOUTS, same_bits, seeds

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
both_kernels = pytest.mark.parametrize("kernels", [cpu, reference], ids=["cpu", "reference"])
shapes = st.sampled_from([(), (0,), (1,), (7,), (40,), (3, 5), (2, 0, 3), (2, 3, 4, 5)])
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -1.5])


def values(shape: tuple[int, ...], seed: int, dtype: Any) -> tuple[Array, Array]:
    """Return inputs and gradients, a third of each NaN, infinite or 0."""
    rng = np.random.default_rng(seed)
    pair = []
    for _ in range(2):
        array = np.asarray(rng.standard_normal(shape))
        array = np.where(rng.uniform(size=shape) < 0.3, rng.choice(SPECIAL, shape), array)
        pair.append(np.asarray(array.astype(dtype)))
    return pair[0], pair[1]


def both(kernels: Any, x: Array, grad: Array) -> tuple[Array, Array]:
    """Return the output and the gradient."""
    y = kernels.relu_forward(x)
    return y, kernels.relu_backward(grad, y)


@both_dtypes
@given(shape=shapes, seed=seeds)
def test_it_is_the_reference_bit_for_bit(dtype: Any, shape: tuple[int, ...], seed: int) -> None:
    results = both(cpu, *values(shape, seed, dtype))
    assert all(map(same_bits, results, both(reference, *values(shape, seed, dtype))))
    assert all(result.flags.owndata and result.dtype == dtype for result in results)


@both_kernels
def test_nan_stays_and_0_has_no_slope(kernels: Any) -> None:
    y, grad = both(kernels, SPECIAL, np.arange(1.0, 8.0))
    np.testing.assert_array_equal(y, [np.nan, np.inf, 0, 0, 0, 1.5, 0])
    np.testing.assert_array_equal(grad, [1, 2, 0, 0, 0, 6, 0])


@both_kernels
def test_no_gradient_passes_where_the_output_is_0_not_even_nan(kernels: Any) -> None:
    np.testing.assert_array_equal(kernels.relu_backward(np.array([np.nan, np.inf]), np.zeros(2)), [0, 0])
    np.testing.assert_array_equal(kernels.relu_backward(np.array([np.nan, np.inf]), np.ones(2)), [np.nan, np.inf])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_in_memory_is_of_no_matter_and_inputs_are_kept(layout: str) -> None:
    x, grad = values((3, 4, 5), 1, np.float32)
    moved = [LAYOUTS[layout](x), LAYOUTS[layout](grad)]
    y, back = both(cpu, x, grad)
    assert same_bits(cpu.relu_forward(moved[0]), y)
    assert same_bits(cpu.relu_backward(moved[1], LAYOUTS[layout](y)), back)
    assert all(map(same_bits, moved, (x, grad)))


@both_dtypes
def test_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch, dtype: Any) -> None:
    x, grad = values((3, 700), 4, dtype)
    alone = both(cpu, x, grad)
    monkeypatch.setattr(cpu, "PARALLEL", 0)
    assert all(map(same_bits, both(cpu, x, grad), alone))


@pytest.mark.skipif(NO_THREADS, reason="kernels run on one thread here")
def test_several_chunks_on_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    x, grad = values((2 * cpu.CHUNK + 17,), 5, np.float32)
    monkeypatch.setattr(cpu, "PARALLEL", 0)
    wanted = both(reference, x, grad)
    for count in (1, 2):
        assert all(map(same_bits, with_threads(count, lambda: both(cpu, x, grad)), wanted))
