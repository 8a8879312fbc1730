"""Pooling kernels: against the reference, ties, padding, NaN, and with any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import get_num_threads, set_num_threads
from numba.core import config

from minadder.kernels.pool import cpu, reference


@st.composite
def windows(draw):
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    return kernel, stride, padding


@given(
    window=windows(),
    dilation=st.integers(1, 2),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 1000),
    values=st.sampled_from([3, 1000]),
)
def test_max_pooling_agrees_with_the_reference(window, dilation, dtype, seed, values):
    rng = np.random.default_rng(seed)
    x = rng.integers(-values, values, (2, 3, 6, 7)).astype(dtype)  # few values: many ties
    results = []
    for kernels in (cpu, reference):
        y, argmax = kernels.max_pool_forward(x, *window, (dilation, dilation))
        grad = np.random.default_rng(seed).integers(-8, 8, y.shape).astype(dtype)
        results.append((y, argmax, kernels.max_pool_backward(grad, argmax, x.shape)))
    for fast, plain in zip(*results, strict=True):
        assert fast.dtype == plain.dtype
        np.testing.assert_array_equal(fast, plain)


@given(
    window=windows(), include=st.booleans(), dtype=st.sampled_from(["float32", "float64"]), seed=st.integers(0, 1000)
)
def test_mean_pooling_agrees_with_the_reference(window, include, dtype, seed):
    x = np.random.default_rng(seed).standard_normal((2, 3, 6, 7)).astype(dtype)
    results = []
    for kernels in (cpu, reference):
        y = kernels.avg_pool_forward(x, *window, include)
        grad = np.random.default_rng(seed).standard_normal(y.shape).astype(dtype)
        results.append((y, kernels.avg_pool_backward(grad, x.shape, *window, include)))
    for fast, plain in zip(*results, strict=True):
        np.testing.assert_allclose(fast, plain, rtol=1e-5 if dtype == "float32" else 1e-12, atol=1e-6)


@pytest.mark.parametrize("kernels", [cpu, reference])
def test_padding_never_wins_and_the_first_of_equals_does(kernels):
    y, argmax = kernels.max_pool_forward(np.full((1, 1, 2, 2), -5.0), (2, 2), (1, 1), (1, 1), (1, 1))
    np.testing.assert_array_equal(y, -5)
    np.testing.assert_array_equal(argmax[0, 0], [[0, 0, 1], [0, 0, 1], [2, 2, 3]])


@pytest.mark.parametrize("kernels", [cpu, reference])
def test_nan_wins_wherever_it_stands(kernels):
    for place in range(4):
        x = np.array([1.0, np.inf, -np.inf, 2.0])
        x[place] = np.nan
        y, argmax = kernels.max_pool_forward(x.reshape(1, 1, 2, 2), (2, 2), (2, 2), (0, 0), (1, 1))
        assert np.isnan(y).all()
        assert argmax.item() == place


def test_minus_infinity_can_be_the_maximum():
    y, _ = cpu.max_pool_forward(np.full((1, 1, 2, 2), -np.inf), (2, 2), (2, 2), (0, 0), (1, 1))
    assert y.item() == -np.inf


def test_an_empty_batch_goes_through():
    x = np.zeros((0, 2, 4, 4), "float32")
    y, argmax = cpu.max_pool_forward(x, (2, 2), (2, 2), (0, 0), (1, 1))
    assert y.shape == argmax.shape == (0, 2, 2, 2)
    assert cpu.max_pool_backward(y, argmax, x.shape).shape == x.shape
    assert cpu.avg_pool_forward(x, (2, 2), (2, 2), (0, 0), True).shape == (0, 2, 2, 2)


@pytest.mark.skipif(config.NUMBA_NUM_THREADS < 2 or config.DISABLE_JIT, reason="needs two threads of compiled code")
def test_the_bits_do_not_depend_on_the_threads():
    x = np.random.default_rng(0).standard_normal((5, 7, 9, 9)).astype("float32")
    threads, results = get_num_threads(), []
    try:
        for count in (1, 2):
            set_num_threads(count)
            y = cpu.avg_pool_forward(x, (3, 3), (1, 1), (1, 1), True)
            results.append((y, cpu.avg_pool_backward(y, x.shape, (3, 3), (1, 1), (1, 1), True)))
    finally:
        set_num_threads(threads)
    assert all(one.tobytes() == other.tobytes() for one, other in zip(*results, strict=True))
