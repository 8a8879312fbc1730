"""Batch-norm kernels: against the reference, at the limits of float32, and with any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import get_num_threads, set_num_threads
from numba.core import config

from minadder.kernels.batchnorm import cpu, reference

TOLERANCE = {"float32": {"rtol": 1e-4, "atol": 2e-5}, "float64": {"rtol": 1e-10, "atol": 1e-12}}
EPS = 1e-5
shapes = st.tuples(st.integers(2, 5), st.integers(1, 9), st.integers(1, 6))
dtypes = st.sampled_from(["float32", "float64"])


def arguments(shape, dtype, seed):
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal(shape) * 2 + 1).astype(dtype)
    gamma, beta = (rng.standard_normal(shape[1]).astype(dtype) for _ in range(2))
    return x, gamma, beta, rng.standard_normal(shape).astype(dtype)


@given(shape=shapes, dtype=dtypes, seed=st.integers(0, 1000))
def test_the_kernels_agree_with_the_reference(shape, dtype, seed):
    x, gamma, beta, grad = arguments(shape, dtype, seed)
    results = []
    for kernels in (cpu, reference):
        y, mean, var = kernels.forward_train(x, gamma, beta, EPS)
        evaluated = kernels.forward_eval(x, gamma, beta, mean, var, EPS)
        back = kernels.backward_train(grad, x, gamma, mean, var, EPS)
        fixed = kernels.backward_eval(grad, x, gamma, mean, var, EPS)
        results.append((y, mean, var, evaluated, *back, *fixed))
    for fast, plain in zip(*results, strict=True):
        assert fast.dtype == dtype
        np.testing.assert_allclose(fast, plain, **TOLERANCE[dtype])


def numeric(f, x, step=1e-6):
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[index] += step
        below[index] -= step
        gradient[index] = (f(above) - f(below)) / (2 * step)
    return gradient


def test_the_references_gradients_are_those_of_finite_differences():
    x, gamma, beta, grad = arguments((3, 2, 4), "float64", 5)
    _, mean, var = reference.forward_train(x, gamma, beta, EPS)
    x_grad, gamma_grad, beta_grad = reference.backward_train(grad, x, gamma, mean, var, EPS)

    def loss(x, gamma, beta):
        return (grad * reference.forward_train(x, gamma, beta, EPS)[0]).sum()

    np.testing.assert_allclose(x_grad, numeric(lambda a: loss(a, gamma, beta), x), rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(gamma_grad, numeric(lambda a: loss(x, a, beta), gamma), rtol=1e-6)
    np.testing.assert_allclose(beta_grad, numeric(lambda a: loss(x, gamma, a), beta), rtol=1e-6)


@pytest.mark.parametrize("shape", [(64, 3, 50), (400, 5, 1)])
def test_the_variance_survives_a_large_mean(shape):
    x = (np.random.default_rng(0).standard_normal(shape) + 1e4).astype("float32")
    _, mean, var = cpu.forward_train(x, np.ones(shape[1], "float32"), np.zeros(shape[1], "float32"), EPS)
    exact = x.astype("float64")
    np.testing.assert_allclose(mean, exact.mean(axis=(0, 2)), rtol=1e-6)
    np.testing.assert_allclose(var, exact.var(axis=(0, 2)), rtol=1e-3)


def test_a_constant_channel_gives_beta():
    x = np.full((4, 1, 3), 7.0, "float32")
    y, _, var = cpu.forward_train(x, np.ones(1, "float32"), np.full(1, 0.5, "float32"), EPS)
    assert var[0] == 0
    np.testing.assert_array_equal(y, 0.5)


def test_nan_stays_in_its_channel():
    x, gamma, beta, _ = arguments((3, 4, 5), "float32", 0)
    x[1, 2, 3] = np.nan
    y, _, _ = cpu.forward_train(x, gamma, beta, EPS)
    assert np.isnan(y[:, 2]).all()
    assert not np.isnan(np.delete(y, 2, axis=1)).any()


@pytest.mark.skipif(config.NUMBA_NUM_THREADS < 2 or config.DISABLE_JIT, reason="needs two threads of compiled code")
@pytest.mark.parametrize("shape", [(8, 13, 37), (64, 30, 1)])
def test_the_bits_do_not_depend_on_the_threads(shape):
    x, gamma, beta, grad = arguments(shape, "float32", 1)
    threads, results = get_num_threads(), []
    try:
        for count in (1, 2):
            set_num_threads(count)
            y, mean, var = cpu.forward_train(x, gamma, beta, EPS)
            results.append((y, mean, var, *cpu.backward_train(grad, x, gamma, mean, var, EPS)))
    finally:
        set_num_threads(threads)
    assert all(one.tobytes() == other.tobytes() for one, other in zip(*results, strict=True))
