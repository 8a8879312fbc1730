"""Propositions 1 and 2: the sign gradient goes back and forth, full precision converges, each as the formula says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minadder import analysis
from minadder.analysis.propositions import distances
from minadder.testing import seeds


@given(seed=seeds, n=st.integers(1, 8), rate=st.floats(0.01, 1.99))
def test_full_precision_multiplies_the_error_with_1_minus_the_rate(seed: int, n: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    x, start = rng.normal(size=(2, n))
    filters = analysis.descend(x, start, rate, 20, "full_precision")
    wanted = x + (1 - rate) ** np.arange(21)[:, None] * (start - x)
    np.testing.assert_allclose(filters, wanted, atol=1e-12)


@given(seed=seeds, n=st.integers(1, 8), rate=st.floats(0.05, 1.0))
def test_the_sign_gradient_ends_in_a_cycle_of_two_around_the_input(seed: int, n: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    x, start = rng.normal(size=(2, n))
    steps = int(np.abs(x - start).max() / rate) + 3
    filters = analysis.descend(x, start, rate, steps + 2, "sign")
    np.testing.assert_allclose(filters[-1], filters[-3], atol=1e-12)
    np.testing.assert_allclose(np.abs(filters[-1] - filters[-2]), rate, atol=1e-12)
    assert ((filters[-1] - x) * (filters[-2] - x) < 0).all()


def test_the_sign_gradient_converges_where_the_rate_divides_the_distance() -> None:
    filters = analysis.descend([1.0, -0.5], [0.0, 0.25], 0.25, 6, "sign")
    assert distances(filters, [1.0, -0.5]).tolist() == [1.75, 1.25, 0.75, 0.25, 0.0, 0.0, 0.0]


@given(seed=seeds, rate=st.floats(0.05, 0.9))
def test_for_a_distance_above_0_full_precision_stays_around_it_and_does_not_converge(seed: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    x, start = rng.normal(size=(2, 5))
    target = 0.7 * float(np.abs(x - start).sum())
    found = distances(analysis.descend(x, start, rate, 400, "full_precision", target), x)[200:]
    factors = found[1:] / found[:-1]
    wanted = np.where(found[:-1] > target, 1 - rate, 1 + rate)
    np.testing.assert_allclose(factors, wanted, rtol=1e-9)
    assert (found >= (1 - rate) * target * 0.999999).all()
    assert (found <= (1 + rate) * target * 1.000001).all()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"not \(2,\) and \(1,\)"):
        analysis.descend([1.0, 2.0], [0.0], 0.1, 1, "sign")
    with pytest.raises(ValueError, match="'cosine'"):
        analysis.descend([1.0], [0.0], 0.1, 1, "cosine")
