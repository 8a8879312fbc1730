"""Powers without the C library, and the ℓp adder kernels made of them: against higher precision and the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from kernel_cases import with_threads
from numba.core import config

from minadder.kernels import powers, windowed, windowed_powers
from minadder.kernels.adder import cpu, reference
from minadder.kernels.adder.reference import RULES
from minadder.kernels.powers import FORMATS
from minadder.testing import Layer, lattice_layer, layers, same_bits, seeds

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
exponents = st.floats(0, 2)
inner_p = st.floats(1.0009765625, 1.9990234375)  # 1 and 2 have kernels of their own

TOLERANCE = {np.float32: 1e-6, np.float64: 1e-12}
"""Of a sum, relative to the largest: what the powers and the order of the sum make wrong."""


def power(d: float, exponent: float, dtype: Any) -> float:
    """Return |d|^exponent by the tables."""
    return float(powers.power(dtype(d), powers.tables(exponent, np.dtype(dtype))))


def numbers(dtype: Any) -> st.SearchStrategy[float]:
    """Return a strategy for numbers whose powers are finite and not 0."""
    layout = FORMATS[np.dtype(dtype)]
    bound = min(layout.largest, 1e18 if dtype is np.float32 else 1e150) / 2  # their squares are numbers too
    width: Any = 8 * np.dtype(dtype).itemsize
    least = max(float(dtype(1 / bound)), 2 * layout.smallest)
    return st.floats(least, float(dtype(bound)), width=width)


@both_dtypes
@given(data=st.data(), exponent=exponents)
def test_a_power_is_as_accurate_as_it_says(dtype: Any, data: st.DataObject, exponent: float) -> None:
    d = data.draw(numbers(dtype))
    wanted = np.longdouble(dtype(d)) ** np.longdouble(exponent)
    for signed in (d, -d):
        error = abs(np.longdouble(power(signed, exponent, dtype)) - wanted) / wanted
        assert error <= FORMATS[np.dtype(dtype)].error


@both_dtypes
@given(exponent=exponents)
@example(exponent=0.0)
def test_the_power_of_zero_is_zero(dtype: Any, exponent: float) -> None:
    """Also to the power of 0: the gradient of an ℓp distance at p = 1 is sgn(0) = 0."""
    assert power(0.0, exponent, dtype) == 0
    assert power(-0.0, exponent, dtype) == 0
    assert power(FORMATS[np.dtype(dtype)].smallest / 2, exponent, dtype) == 0


@both_dtypes
@given(exponent=exponents)
def test_what_is_too_large_is_never_finite(dtype: Any, exponent: float) -> None:
    for d in (np.inf, -np.inf, np.nan, FORMATS[np.dtype(dtype)].largest):
        assert not np.isfinite(power(d, exponent, dtype))


@both_dtypes
@given(d=st.floats(-100, 100, width=32), exponent=exponents)
def test_a_signed_power_has_the_sign(dtype: Any, d: float, exponent: float) -> None:
    table = powers.tables(exponent, np.dtype(dtype))
    assert powers.signed_power(dtype(d), table) == np.sign(d) * powers.power(dtype(d), table)


@both_dtypes
def test_a_factor_multiplies_every_power(dtype: Any) -> None:
    plain, tripled = (powers.tables(0.5, np.dtype(dtype), factor) for factor in (1.0, 3.0))
    assert float(powers.power(dtype(2.25), tripled)) == pytest.approx(3 * float(powers.power(dtype(2.25), plain)))


def assert_is_reference(layer: Layer, p: float, rule: str, dtype: Any) -> None:
    """Compare forward and both gradients with the reference in float64."""
    given_layer = layer.astype(dtype)
    x, w, grad = (array.astype(np.float64) for array in (given_layer.x, given_layer.w, given_layer.grad))
    pairs = (
        (cpu.forward(given_layer.x, given_layer.w, *layer.window, p), reference.forward(x, w, *layer.window, p)),
        (
            cpu.input_grad(given_layer.grad, given_layer.x, given_layer.w, *layer.window, rule, p),
            reference.input_grad(grad, x, w, *layer.window, rule, p),
        ),
        (
            cpu.weight_grad(given_layer.grad, given_layer.x, given_layer.w, *layer.window, rule, p),
            reference.weight_grad(grad, x, w, *layer.window, rule, p),
        ),
    )
    for ours, wanted in pairs:
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours, wanted, rtol=0, atol=TOLERANCE[dtype] * np.abs(wanted).max(initial=1e-30))


def powers_by_layers(d: Any, p: float) -> tuple[Any, Any, Any]:
    """Return |d|^p, sgn(d)·|d|^(p−1) and its sum for many d as a layer with one filter of one 0 computes them."""
    x, w = d.reshape(1, 1, 1, -1), np.zeros((1, 1, 1, 1), d.dtype)
    window, grad = ((1, 1), (0, 0), (1, 1), 1), np.ones_like(x)
    return (
        -cpu.forward(x, w, *window, p).reshape(-1),
        -cpu.input_grad(grad, x, w, *window, "power", p).reshape(-1),
        cpu.weight_grad(grad, x, w, *window, "power", p).reshape(-1),
    )


def assert_powers(d: Any, p: float) -> None:
    """Compare the powers that layers compute with those of the C library in higher precision, one by one."""
    forward, input_grad, weight_grad = powers_by_layers(d, p)
    error = FORMATS[d.dtype].error
    exact = d.astype(np.longdouble)
    slopes = np.sign(exact) * np.abs(exact) ** np.longdouble(p - 1)
    for ours, wanted in ((forward, np.abs(exact) ** np.longdouble(p)), (input_grad, slopes)):
        assert (np.abs(ours - wanted) <= error * np.abs(wanted)).all()
        assert not ours[d == 0].any()
    assert abs(weight_grad[0] - slopes.sum()) <= 2 * error * np.abs(slopes).sum()


@both_dtypes
@given(count=st.integers(1, 200), p=inner_p, seed=seeds)
def test_layers_compute_each_power_as_accurately_as_they_say(dtype: Any, count: int, p: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert_powers((rng.choice([-1, 1], count) * 2 ** rng.uniform(-24, 8, count)).astype(dtype), p)


@both_dtypes
@given(
    strange=st.sampled_from([0.0, 1e-12, 2.0**-24 * (1 - 2**-24), 2.0**8, 1e4, 1e12]),
    sign=st.sampled_from([-1, 1]),
    place=st.integers(0, 199),
    p=inner_p,
    seed=seeds,
)
def test_a_difference_that_is_not_ordinary_has_its_power_too(
    dtype: Any, strange: float, sign: int, place: int, p: float, seed: int
) -> None:
    d = np.random.default_rng(seed).standard_normal(200).astype(dtype)
    d[place] = sign * strange
    assert_powers(d, p)


@both_dtypes
@given(layer=layers(), p=inner_p, rule=st.sampled_from(RULES), seed=seeds)
def test_any_layer_is_the_reference(dtype: Any, layer: Layer, p: float, rule: str, seed: int) -> None:
    assume(not config.DISABLE_JIT or layer.grad.size * layer.w[0].size < 5000)  # each power takes 3 µs in plain Python
    assert_is_reference(layer.gaussian(seed), p, rule, dtype)


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="a million powers take seconds in plain Python")
@pytest.mark.parametrize("groups", [1, 3])
def test_many_channels_of_few_images_are_cut_into_tasks(groups: int) -> None:
    layer = lattice_layer((1, 60 * groups, 30, 30), 3 * groups, (3, 3), (1, 1), (1, 1), groups=groups).gaussian(0)
    grad, x, w = (array.astype(np.float32) for array in (layer.grad, layer.x, layer.w))
    plan = windowed_powers.laid_out(x, w, *layer.window[:3])
    assert plan.image_groups == 1
    assert plan.block < 60
    wanted = reference.input_grad(layer.grad, layer.x, layer.w, *layer.window, "power", 1.5)
    ours = windowed_powers.input_grad(grad, x, w, *layer.window, 0.5, 1.0)  # `cpu` would mend what is not finite
    np.testing.assert_allclose(ours, wanted, rtol=0, atol=TOLERANCE[np.float32] * np.abs(wanted).max())


@both_dtypes
@pytest.mark.parametrize("p", [1.25, 1.5, 1.75])
@pytest.mark.parametrize("rule", ["exact", "power"])
def test_differences_of_zero_count_nothing(dtype: Any, p: float, rule: str) -> None:
    x = np.full((2, 3, 4, 4), 0.75, dtype)
    w = np.full((5, 3, 3, 3), 0.75, dtype)
    window = (1, 1), (0, 0), (1, 1), 1
    grad = np.ones((2, 5, 2, 2), dtype)
    assert not cpu.forward(x, w, *window, p).any()
    assert not cpu.input_grad(grad, x, w, *window, rule, p).any()
    assert not cpu.weight_grad(grad, x, w, *window, rule, p).any()


@both_dtypes
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("holder", ["x", "w", "grad"])
def test_nan_infinity_and_huge_numbers_are_those_of_the_reference(dtype: Any, value: float, holder: str) -> None:
    layer = lattice_layer((2, 3, 6, 7), 5, (3, 2), (2, 1), (1, 1)).astype(dtype)
    getattr(layer, holder).reshape(-1)[7] = value
    for p in (1.5, 2.0):
        with np.errstate(all="ignore"):
            outputs = [kernels.forward(layer.x, layer.w, *layer.window, p) for kernels in (cpu, reference)]
            gradients = [
                function(layer.grad, layer.x, layer.w, *layer.window, "power", p)
                for name in ("input_grad", "weight_grad")
                for function in (getattr(cpu, name), getattr(reference, name))
            ]
        for ours, wanted in (outputs, gradients[:2], gradients[2:]):
            if p == 2 and value != 1e30 and np.isinf(value):  # by products: ∞ − ∞ is NaN where the sum is −∞
                np.testing.assert_array_equal(np.isfinite(ours), np.isfinite(wanted))
            else:
                np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("others", [0.5, 300.0, None])
@pytest.mark.parametrize("filter_value", [1.5 * 2.0**71, -(2.0**77), 2.0**104, 2.0**108, -np.inf])
@pytest.mark.parametrize("input_value", [1.5 * 2.0**71, -(2.0**77), 2.0**104, 2.0**108, np.inf])
def test_differences_of_huge_numbers_are_those_of_the_reference(
    input_value: float, filter_value: float, others: float | None
) -> None:
    """Also where they are equal: vector registers know ordinary differences by two bits alone."""
    layer = lattice_layer((1, 2, 4, 5), 2, (3, 2), (1, 1), (0, 0)).astype(np.float32)
    if others is None:
        x, w = np.full_like(layer.x, input_value), np.full_like(layer.w, filter_value)
    else:
        x, w = np.full_like(layer.x, others), np.zeros_like(layer.w)
        x[0, :, :3, :2], w[0] = input_value, filter_value  # the whole first window meets the first filter
    for p in (1.25, 1.5):
        with np.errstate(all="ignore"):
            pairs = [[kernels.forward(x, w, *layer.window, p) for kernels in (cpu, reference)]]
            for name in ("input_grad", "weight_grad"):
                gradients = [getattr(kernels, name) for kernels in (cpu, reference)]
                pairs.append([gradient(layer.grad, x, w, *layer.window, "power", p) for gradient in gradients])
        for ours, wanted in pairs:
            np.testing.assert_allclose(ours, wanted, rtol=1e-5)


@both_dtypes
@pytest.mark.parametrize("count", [0, 1, 5])
@pytest.mark.parametrize("channels", [1, 7])
@pytest.mark.parametrize("p", [1.0, 2.0])
def test_windows_of_the_whole_image_are_the_reference_bit_for_bit(
    dtype: Any, count: int, channels: int, p: float
) -> None:
    layer = lattice_layer((count, channels, 3, 2), 4, (3, 2), (2, 1), (0, 0)).astype(dtype)
    ours = cpu.forward(layer.x, layer.w, *layer.window, p)
    np.testing.assert_array_equal(ours, reference.forward(layer.x, layer.w, *layer.window, p))
    assert ours.shape == (count, 4, 1, 1)
    for name in ("input_grad", "weight_grad"):
        for rule in RULES:
            gradients = [getattr(kernels, name) for kernels in (cpu, reference)]
            found, wanted = (gradient(layer.grad, layer.x, layer.w, *layer.window, rule, p) for gradient in gradients)
            np.testing.assert_array_equal(found, wanted)


def test_squares_of_channels_that_are_laid_out_one_after_the_other_add_up() -> None:
    layer = lattice_layer((1, 150, 30, 33), 2, (1, 1), (1, 1), (0, 0))
    assert windowed.laid_out(layer.x, layer.w, *layer.window[:3]).block < 150
    np.testing.assert_array_equal(
        cpu.forward(layer.x, layer.w, *layer.window, 2.0), reference.forward(layer.x, layer.w, *layer.window, 2.0)
    )


@given(layer=layers(), rules=st.tuples(*[st.sampled_from(RULES)] * 2))
def test_squares_on_the_lattice_are_the_reference_bit_for_bit(layer: Layer, rules: tuple[str, str]) -> None:
    x, w, grad = layer.x, layer.w, layer.grad
    pairs = (
        (cpu.forward(x, w, *layer.window, 2.0), reference.forward(x, w, *layer.window, 2.0)),
        *(
            (
                getattr(cpu, name)(grad, x, w, *layer.window, rule, 2.0),
                getattr(reference, name)(grad, x, w, *layer.window, rule, 2.0),
            )
            for name, rule in zip(("input_grad", "weight_grad"), rules, strict=True)
        ),
    )
    for ours, wanted in pairs:
        np.testing.assert_array_equal(ours, wanted)


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="there are no threads, and millions of powers")
@both_dtypes
def test_neither_the_threads_nor_the_run_change_a_bit(dtype: Any) -> None:
    layer = lattice_layer((9, 6, 20, 20), 12, (3, 3), (1, 1), (1, 1)).gaussian(1).astype(dtype)

    def everything() -> list[Any]:
        return [
            cpu.forward(layer.x, layer.w, *layer.window, 1.5),
            cpu.input_grad(layer.grad, layer.x, layer.w, *layer.window, "power", 1.5),
            cpu.weight_grad(layer.grad, layer.x, layer.w, *layer.window, "power", 1.5),
        ]

    for one, other in zip(with_threads(1, everything), everything(), strict=True):
        assert same_bits(one, other)


def test_a_sum_converges_to_the_distance_as_p_falls_to_one() -> None:
    layer = lattice_layer((2, 3, 6, 7), 5, (3, 2), (2, 1), (1, 1)).gaussian(0)
    near = cpu.forward(layer.x, layer.w, *layer.window, 1 + 2**-20)
    np.testing.assert_allclose(near, cpu.forward(layer.x, layer.w, *layer.window), rtol=1e-4)


@pytest.mark.parametrize("height", [41, 43, 47, 53])
def test_a_last_band_with_fewer_rows_gets_nothing_of_the_band_before(height: int) -> None:
    rng = np.random.default_rng(0)
    x, grad = (rng.standard_normal((1, channels, height, 45)).astype(np.float32) for channels in (1, 3))
    w = rng.standard_normal((3, 1, 3, 3)).astype(np.float32)
    window = (1, 1), (1, 1), (1, 1)
    geometry = windowed.laid_out(x, w, *window).geometry[0]
    assert height % geometry["rows"] > 0
    found = cpu.input_grad(grad, x, w, *window, 1, "power", 1.5)
    wide = [array.astype(np.float64) for array in (grad, x, w)]
    expected = reference.input_grad(*wide, *window, 1, "power", 1.5)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
