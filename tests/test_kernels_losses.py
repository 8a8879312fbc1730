"""Loss kernels: against the reference and float64, for logits of any size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minadder.kernels.losses import cpu, reference

dtypes = st.sampled_from(["float32", "float64"])
scales = st.sampled_from([0.1, 1.0, 30.0, 1000.0])
TOLERANCE = {"float32": {"rtol": 1e-5, "atol": 1e-5}, "float64": {"rtol": 1e-12, "atol": 1e-12}}


@given(count=st.integers(0, 5), classes=st.integers(1, 6), dtype=dtypes, scale=scales, seed=st.integers(0, 1000))
def test_cross_entropy_agrees_with_the_reference(count, classes, dtype, scale, seed):
    rng = np.random.default_rng(seed)
    logits = (scale * rng.standard_normal((count, classes))).astype(dtype)
    labels, grad = rng.integers(0, classes, count), rng.standard_normal(count).astype(dtype)
    results = []
    for kernels in (cpu, reference):
        losses, log_probabilities = kernels.cross_entropy_forward(logits, labels)
        back = kernels.cross_entropy_backward(grad, log_probabilities, labels)
        results.append((losses, log_probabilities, back))
    for fast, plain in zip(*results, strict=True):
        assert fast.dtype == dtype
        np.testing.assert_allclose(fast, plain, **TOLERANCE[dtype])


@given(shape=st.sampled_from([(3,), (2, 2), (0,), ()]), dtype=dtypes, scale=scales, seed=st.integers(0, 1000))
def test_binary_cross_entropy_agrees_with_the_reference(shape, dtype, scale, seed):
    rng = np.random.default_rng(seed)
    logits = np.asarray(scale * rng.standard_normal(shape)).astype(dtype)
    targets = np.asarray(rng.uniform(size=shape)).astype(dtype)
    grad = np.asarray(rng.standard_normal(shape)).astype(dtype)
    results = [
        (
            kernels.bce_with_logits_forward(logits, targets),
            kernels.bce_with_logits_backward(grad, logits, targets),
        )
        for kernels in (cpu, reference)
    ]
    for fast, plain in zip(*results, strict=True):
        np.testing.assert_allclose(fast, plain, **TOLERANCE[dtype])


@pytest.mark.parametrize("size", [1e3, 1e30])
def test_huge_logits_neither_overflow_nor_vanish(size):
    logits = np.array([[size, -size, 0.0]], "float32")
    for label, loss in ((0, 0.0), (1, 2 * size), (2, size)):
        losses, log_probabilities = cpu.cross_entropy_forward(logits, np.array([label]))
        assert losses[0] == pytest.approx(loss)
        back = cpu.cross_entropy_backward(np.ones(1, "float32"), log_probabilities, np.array([label]))
        np.testing.assert_allclose(back[0], np.eye(3)[0] - np.eye(3)[label], atol=1e-6)
    z = np.array([size, size, -size, -size], "float32")
    t = np.array([0, 1, 0, 1], "float32")
    np.testing.assert_allclose(cpu.bce_with_logits_forward(z, t), [size, 0, 0, size], rtol=1e-6)
    np.testing.assert_allclose(cpu.bce_with_logits_backward(np.ones(4, "float32"), z, t), [1, 0, 0, -1])


def test_the_constants_are_exact():
    losses, _ = cpu.cross_entropy_forward(np.zeros((1, 4)), np.array([2]))
    assert losses[0] == pytest.approx(np.log(4), rel=1e-15)
    assert cpu.bce_with_logits_forward(np.zeros(1), np.ones(1))[0] == pytest.approx(np.log(2), rel=1e-15)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_nan_is_never_lost(place):
    logits = np.zeros((2, 3), "float32")
    logits[1, place] = np.nan
    losses, _ = cpu.cross_entropy_forward(logits, np.zeros(2, np.int64))
    assert np.isfinite(losses[0])
    assert np.isnan(losses[1])
    assert np.isnan(cpu.bce_with_logits_forward(logits[1], np.zeros(3, "float32"))[place])


def test_an_impossible_class_is_legal_unless_it_is_the_label():
    logits = np.array([[0.0, -np.inf], [0.0, -np.inf]])
    losses, _ = cpu.cross_entropy_forward(logits, np.array([0, 1]))
    np.testing.assert_array_equal(losses, [0, np.inf])
