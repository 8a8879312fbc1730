"""Batch norm's gradient is that of finite differences; Chen et al. 2020, Eq. 11, as printed, is not, for 3 reasons."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minadder as ma
from minadder import ops
from minadder.autograd import Array
from minadder.testing import seeds

EPS = 1e-12  # the paper has none
ERRORS = "1/m²", "x_i − x_j", "σ"
FEWER = [mended for count in range(len(ERRORS)) for mended in combinations(ERRORS, count)]


def equation_11(x: Array, gamma: float, grad: Array, mended: tuple[str, ...] = ()) -> Array:
    """Return ∂L/∂x (m,) of one channel as the paper prints it, but for the errors that are mended."""
    m, mean, sigma = len(x), x.mean(), x.std()
    share = m if "1/m²" in mended else m**2
    difference = (x - mean)[:, None] if "x_i − x_j" in mended else x[:, None] - x
    spread = sigma**2 if "σ" in mended else sigma
    inner = grad[:, None] - grad * (1 + difference * (x - mean) / spread)
    return gamma / (share * sigma) * inner.sum(axis=1)


def finite_differences(x: Array, gamma: float, grad: Array, step: float = 1e-6) -> Array:
    """Return ∂L/∂x (m,) of L = Σ grad·γ·(x − μ)/σ, one entry at a time."""

    def loss(x: Array) -> float:
        return float(grad @ (gamma * (x - x.mean()) / x.std()))

    steps = step * np.eye(len(x))
    return np.array([loss(x + one) - loss(x - one) for one in steps]) / (2 * step)


def drawn(size: int, seed: int) -> tuple[Array, float, Array]:
    """Return x of a standard deviation far from 1, γ and a gradient that is not the same everywhere."""
    rng = np.random.default_rng(seed)
    return 3 + np.linspace(-4, 5, size) + rng.uniform(-0.1, 0.1, size), 1.5, rng.standard_normal(size)


@given(size=st.integers(3, 12), seed=seeds)
def test_it_is_that_of_finite_differences_and_of_the_equation_with_its_errors_mended(size: int, seed: int) -> None:
    x, gamma, grad = drawn(size, seed)
    wanted = finite_differences(x, gamma, grad)
    np.testing.assert_allclose(equation_11(x, gamma, grad, ERRORS), wanted, rtol=0, atol=1e-7)
    ours = ma.Tensor(x[:, None], requires_grad=True)
    one = ma.Tensor(np.array([gamma])), ma.Tensor(np.array([0.0]))
    ops.batch_norm_train(ours, *one, eps=EPS)[0].backward(grad[:, None])
    assert ours.grad is not None
    np.testing.assert_allclose(ours.grad.numpy()[:, 0], wanted, rtol=0, atol=1e-7)


@pytest.mark.parametrize("mended", FEWER, ids=" and ".join)
def test_each_of_the_three_errors_of_the_equation_shows(mended: tuple[str, ...]) -> None:
    x, gamma, grad = drawn(6, 0)
    wanted = finite_differences(x, gamma, grad)
    assert np.abs(equation_11(x, gamma, grad, mended) - wanted).max() > 0.1 * np.abs(wanted).max()
