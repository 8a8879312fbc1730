"""The adder kernels: against the reference in every geometry, the bugs that others had, and what a layer must obey."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_cases import (
    NAMED_LAYERS,
    NAN_LAYERS,
    NO_THREADS,
    ON_ONE_THREAD,
    ON_THREADS,
    assert_filter_leaks_to_the_border_only,
    constants,
    cuts,
    dirty_memory,
    with_threads,
    with_value,
)
from numba.core import config

from minadder.autograd import Array
from minadder.kernels.adder import cpu, reference
from minadder.kernels.adder.reference import RULES
from minadder.testing import LAYOUTS, Layer, lattice_layer, layers, same_bits, seeds

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
rules = st.sampled_from(RULES)


def all_three(kernels: Any, layer: Layer, input_rule: str, weight_rule: str) -> tuple[Array, Array, Array]:
    """Return the output and the gradients of x and w of a layer."""
    x, w, grad = layer.x, layer.w, layer.grad
    return (
        kernels.forward(x, w, *layer.window),
        kernels.input_grad(grad, x, w, *layer.window, input_rule),
        kernels.weight_grad(grad, x, w, *layer.window, weight_rule),
    )


def assert_is_reference(layer: Layer, input_rule: str = "hardtanh", weight_rule: str = "full_precision") -> None:
    """Compare a layer on the lattice with the reference, bit for bit, in both precisions, on one thread and on all."""
    wanted = all_three(reference, layer, input_rule, weight_rule)
    for dtype, where in itertools.product((np.float32, np.float64), (ON_THREADS, ON_ONE_THREAD)):
        with constants(**where):
            ours = all_three(cpu, layer.astype(dtype), input_rule, weight_rule)
        for one, other, what in zip(ours, wanted, ("output", "input gradient", "weight gradient"), strict=True):
            assert one.dtype == dtype
            np.testing.assert_array_equal(one, other, err_msg=f"{what} in {np.dtype(dtype)}")


# Against the reference


@given(layer=layers(), input_rule=rules, weight_rule=rules)
def test_any_layer_is_the_reference_bit_for_bit(layer: Layer, input_rule: str, weight_rule: str) -> None:
    assert_is_reference(layer, input_rule, weight_rule)


@pytest.mark.parametrize("name", NAMED_LAYERS)
def test_parts_of_several_layouts_add_up_to_the_filter_gradient(name: str) -> None:
    """With two parts, each adds up several layouts in the same memory, also of fewer images than the one before."""
    layer = NAMED_LAYERS[name]
    with constants(PARTIAL_ELEMENTS=0):
        w_grad = cpu.weight_grad(layer.grad, layer.x, layer.w, *layer.window, "hardtanh")
    assert same_bits(w_grad, reference.weight_grad(layer.grad, layer.x, layer.w, *layer.window, "hardtanh"))


@given(layer=layers(), input_rule=rules, weight_rule=rules, cuts=cuts())
def test_however_the_work_is_cut_the_result_is_the_reference(
    layer: Layer, input_rule: str, weight_rule: str, cuts: dict[str, Any]
) -> None:
    wanted = all_three(reference, layer, input_rule, weight_rule)
    with constants(**cuts):
        for dtype in (np.float32, np.float64):
            for one, other in zip(all_three(cpu, layer.astype(dtype), input_rule, weight_rule), wanted, strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("input_rule", RULES)
@pytest.mark.parametrize("weight_rule", RULES)
def test_every_combination_of_rules_is_the_reference(input_rule: str, weight_rule: str) -> None:
    assert_is_reference(lattice_layer((2, 3, 6, 7), 5, (3, 2), (2, 1), (1, 1)), input_rule, weight_rule)


@pytest.mark.parametrize("name", NAMED_LAYERS)
def test_layers_of_extreme_and_large_shapes_are_the_reference(name: str) -> None:
    assert_is_reference(NAMED_LAYERS[name])
    if not config.DISABLE_JIT:
        assert_is_reference(NAMED_LAYERS[name], "sign", "hardtanh")


@both_dtypes
@given(layer=layers(), input_rule=rules, weight_rule=rules, seed=seeds)
def test_gaussian_layers_are_the_reference_to_rounding(
    dtype: Any, layer: Layer, input_rule: str, weight_rule: str, seed: int
) -> None:
    """Sums are added up in another order: to 1e-5 of the largest value in float32, 1e-13 in float64."""
    layer = layer.gaussian(seed).astype(dtype)
    tolerance = {np.float32: 1e-5, np.float64: 1e-13}[dtype]
    wanted = all_three(reference, layer.astype(np.float64), input_rule, weight_rule)
    for one, other in zip(all_three(cpu, layer, input_rule, weight_rule), wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * np.abs(other).max(initial=1))


# Bugs found in the code of others, each with its name


@pytest.mark.parametrize("height", [8, 9])
def test_bug_input_gradient_wrong_at_stride_2(height: int) -> None:
    """Three of four positions got no gradient; with a 3×3 window at stride 2 every one is seen."""
    layer = lattice_layer((2, 3, height, 9), 4, (3, 3), (2, 2), (1, 1))
    assert_is_reference(layer, "sign")
    grad = np.ones(layer.grad.shape)
    above = np.full(layer.w.shape, 5.25)  # every F − X is positive: nothing cancels
    assert (cpu.input_grad(grad, layer.x, above, *layer.window, "sign") > 0).all()


@pytest.mark.parametrize("length", range(1, 10))
def test_bug_wrong_when_k_is_not_a_multiple_of_the_tile(length: int) -> None:
    for rule in RULES:
        assert_is_reference(lattice_layer((3, length, 2, 3), 4, (1, 1)), rule, rule)


@pytest.mark.parametrize("batch", [1, 15, 16, 17])
@pytest.mark.parametrize("channels", [1, 15, 16, 17])
def test_bug_batch_and_channels_had_to_be_multiples_of_16(batch: int, channels: int) -> None:
    assert_is_reference(lattice_layer((batch, channels, 2, 3), 2, (2, 2)))


@pytest.mark.parametrize("filters", [*range(1, 10), 63, 64, 65])
def test_number_of_filters_need_not_be_a_multiple_of_anything(filters: int) -> None:
    for rule in RULES:
        assert_is_reference(lattice_layer((2, 2, 3, 3), filters, (2, 2)), rule, rule)


@pytest.mark.parametrize("stride", [(1, 1), (1, 2)])
def test_bug_patches_wrong_for_a_batch_above_1(stride: tuple[int, int]) -> None:
    """Each image alone gives what it gives in the batch."""
    layer = lattice_layer((5, 2, 6, 5), 3, (3, 3), stride, (1, 1))
    together = cpu.forward(layer.x, layer.w, *layer.window)
    input_grads = cpu.input_grad(layer.grad, layer.x, layer.w, *layer.window, "hardtanh")
    weight_grad = cpu.weight_grad(layer.grad, layer.x, layer.w, *layer.window, "full_precision")
    total = np.zeros_like(weight_grad)
    for n in range(5):
        one = layer._replace(x=layer.x[n : n + 1], grad=layer.grad[n : n + 1])
        output, input_grad, part = all_three(cpu, one, "hardtanh", "full_precision")
        assert same_bits(output[0], together[n])
        assert same_bits(input_grad[0], input_grads[n])
        total += part
    assert same_bits(total, weight_grad)


@pytest.mark.parametrize("height", [5, 6, 7, 8])
def test_bug_bottom_rows_skipped(height: int) -> None:
    """The last row and the last column of the output are those of the last windows that fit."""
    layer = lattice_layer((1, 2, height, height), 3, (3, 3), (2, 2))
    output = cpu.forward(layer.x, layer.w, *layer.window)
    steps = (height - 3) // 2
    assert output.shape == (1, 3, steps + 1, steps + 1)
    last = layer.x[0, :, 2 * steps : 2 * steps + 3, 2 * steps : 2 * steps + 3]
    assert same_bits(output[0, :, -1, -1], -np.abs(last - layer.w).sum(axis=(1, 2, 3)))


def test_bug_minus_sign_missing() -> None:
    """Outputs are minus a distance: 0 where filter and patch are equal, below 0 elsewhere."""
    layer = lattice_layer((2, 3, 5, 5), 4, (3, 3))
    x = layer.x.copy()
    x[0, :, 1:4, 1:4] = layer.w[2]
    output = cpu.forward(x, layer.w, *layer.window)
    assert output[0, 2, 1, 1] == 0
    output[0, 2, 1, 1] = -1
    assert (output < 0).all()
    # a filter above the input pulls it up: more x makes the distance smaller and the output larger
    assert cpu.input_grad(np.ones((1, 1, 1, 1)), *pair_of(1.0, 3.0), *POINT, "exact").item() == 1
    assert cpu.weight_grad(np.ones((1, 1, 1, 1)), *pair_of(1.0, 3.0), *POINT, "exact").item() == -1


@pytest.mark.parametrize("groups", [2, 3, 6])
@pytest.mark.parametrize("rule", RULES)
def test_bug_groups_accepted_and_ignored(groups: int, rule: str) -> None:
    """A layer in groups is as many layers, each on its own channels."""
    layer = lattice_layer((2, 6, 5, 6), 12, (3, 2), (1, 2), (1, 0), (1, 2), groups)
    ours = all_three(cpu, layer, rule, rule)
    parts = []
    for group in range(groups):
        channels = slice(group * 6 // groups, (group + 1) * 6 // groups)
        filters = slice(group * 12 // groups, (group + 1) * 12 // groups)
        part = Layer(
            layer.x[:, channels], layer.w[filters], layer.grad[:, filters], layer.stride, layer.padding,
            layer.dilation, 1
        )  # fmt: skip
        parts.append(all_three(cpu, part, rule, rule))
    for one, other, axis in zip(ours, zip(*parts, strict=True), (1, 1, 0), strict=True):
        assert same_bits(one, np.concatenate(other, axis))


# What a layer of distances obeys


@given(layer=layers(), shift=st.integers(-8, 8), input_rule=rules, weight_rule=rules)
def test_moving_input_and_filters_together_changes_nothing(
    layer: Layer, shift: int, input_rule: str, weight_rule: str
) -> None:
    """Distances stay. A padded cell does not move along, so the padding is written into the input first."""
    rows, columns = layer.padding
    padded = np.pad(layer.x, ((0, 0), (0, 0), (rows, rows), (columns, columns)))
    layer = layer._replace(x=padded, padding=(0, 0))
    moved = layer._replace(x=layer.x + shift / 2, w=layer.w + shift / 2)
    before, after = (all_three(cpu, one, input_rule, weight_rule) for one in (layer, moved))
    for one, other in zip(before, after, strict=True):
        assert same_bits(one, other)


@given(layer=layers(), seed=seeds)
def test_the_order_of_images_and_of_filters_carries_over(layer: Layer, seed: int) -> None:
    rng = np.random.default_rng(seed)
    images, filters = rng.permutation(len(layer.x)), rng.permutation(len(layer.w))
    if layer.groups > 1:
        filters = np.arange(len(layer.w))  # a filter belongs to its group's channels
    permuted = layer._replace(x=layer.x[images], w=layer.w[filters], grad=layer.grad[images][:, filters])
    output, input_grad, weight_grad = all_three(cpu, layer, "hardtanh", "full_precision")
    others = all_three(cpu, permuted, "hardtanh", "full_precision")
    assert same_bits(others[0], output[images][:, filters])
    assert same_bits(others[1], input_grad[images])
    assert same_bits(others[2], weight_grad[filters])


@pytest.mark.parametrize("vertical", [False, True])
def test_a_padded_cell_counts_the_filters_entry(vertical: bool) -> None:
    """It is an input of 0: |0 − F| in the output, −F in the filter's full-precision gradient, and no input gradient."""
    w = np.array([0.75, -2.25, 0.25]).reshape((1, 1, 3, 1) if vertical else (1, 1, 1, 3))
    x = np.array([[[[1.0]]]])
    window = (1, 1), ((1, 0) if vertical else (0, 1)), (1, 1), 1
    assert cpu.forward(x, w, *window).item() == -(0.75 + 3.25 + 0.25)
    grad = np.array([[[[2.0]]]])
    weight_grad = cpu.weight_grad(grad, x, w, *window, "full_precision")
    assert weight_grad.ravel().tolist() == [-1.5, 6.5, -0.5]
    assert cpu.input_grad(grad, x, w, *window, "full_precision").ravel().tolist() == [-6.5]


# Conventions where there is no derivative

POINT = (1, 1), (0, 0), (1, 1), 1


def pair_of(x: float, w: float, dtype: Any = np.float64) -> tuple[Array, Array]:
    """Return an input and a filter of one number each."""
    return np.full((1, 1, 1, 1), x, dtype), np.full((1, 1, 1, 1), w, dtype)


@both_dtypes
@pytest.mark.parametrize(
    ("difference", "slopes"),
    [
        (0.0, {"exact": 0, "power": 0, "sign": 0, "full_precision": 0, "hardtanh": 0}),
        (1.0, {"exact": 1, "power": 1, "sign": 1, "full_precision": 1, "hardtanh": 1}),
        (-1.0, {"exact": -1, "power": -1, "sign": -1, "full_precision": -1, "hardtanh": -1}),
        (1.25, {"exact": 1, "power": 1, "sign": 1, "full_precision": 1.25, "hardtanh": 1}),
        (-3.5, {"exact": -1, "power": -1, "sign": -1, "full_precision": -3.5, "hardtanh": -1}),
        (-0.25, {"exact": -1, "power": -1, "sign": -1, "full_precision": -0.25, "hardtanh": -0.25}),
    ],
)
def test_slopes_at_kinks_and_beside_them(dtype: Any, difference: float, slopes: dict[str, float]) -> None:
    """sgn(0) = 0; a difference of exactly ±1 is not clipped."""
    grad = np.full((1, 1, 1, 1), -1.5, dtype)
    x, w = pair_of(2.5 + difference, 2.5, dtype)
    assert set(slopes) == set(RULES)
    for rule, slope in slopes.items():
        for kernels in (cpu, reference):
            assert kernels.weight_grad(grad, x, w, *POINT, rule).item() == -1.5 * slope
            assert kernels.input_grad(grad, x, w, *POINT, rule).item() == 1.5 * slope


# Values that are not numbers


@both_dtypes
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_bad_pixel_reaches_exactly_the_windows_that_see_it(dtype: Any, value: float) -> None:
    layer = lattice_layer((2, 3, 7, 8), 5, (3, 2), (2, 1), (1, 1), (1, 2)).astype(dtype)
    place = 1, 2, 4, 5
    marked = np.zeros_like(layer.x)
    marked[place] = 1
    sees = cpu.forward(marked, np.zeros_like(layer.w), *layer.window) != 0
    clean = cpu.forward(layer.x, layer.w, *layer.window)
    layer.x[place] = value
    output = cpu.forward(layer.x, layer.w, *layer.window)
    assert sees.any()
    assert not sees.all()
    assert (np.isnan(output[sees]) if np.isnan(value) else output[sees] == -np.inf).all()
    assert same_bits(output[~sees], clean[~sees])


places = pytest.mark.parametrize("where", ["first", "middle", "last"])


@both_dtypes
@pytest.mark.parametrize("name", NAN_LAYERS)
@places
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_nan_reaches_the_gradients_where_the_reference_has_it(dtype: Any, name: str, where: str) -> None:
    for holder, rule in itertools.product(("x", "w", "grad"), RULES):
        layer = with_value(NAN_LAYERS[name].astype(dtype), holder, np.nan, where)
        ours, wanted = (all_three(kernels, layer, rule, rule) for kernels in (cpu, reference))
        np.testing.assert_array_equal(ours[0], wanted[0])
        if holder == "w":
            assert_filter_leaks_to_the_border_only(layer, ours[1], wanted[1])
        else:
            np.testing.assert_array_equal(ours[1], wanted[1])
        np.testing.assert_array_equal(ours[2], wanted[2])


@both_dtypes
@pytest.mark.parametrize("name", NAN_LAYERS)
@places
@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_infinity_reaches_the_gradients_where_the_reference_has_it(
    dtype: Any, name: str, where: str, value: float
) -> None:
    """The full-precision filter gradient is Σ G·X − F·Σ G here: which of NaN and ±∞ comes out may differ."""
    for holder, rule in itertools.product(("x", "w", "grad"), RULES):
        layer = with_value(NAN_LAYERS[name].astype(dtype), holder, value, where)
        ours, wanted = (all_three(kernels, layer, rule, rule) for kernels in (cpu, reference))
        np.testing.assert_array_equal(ours[0], wanted[0])
        if holder == "w":
            assert_filter_leaks_to_the_border_only(layer, ours[1], wanted[1])
        else:
            np.testing.assert_array_equal(ours[1], wanted[1])
        if rule == "full_precision":
            finite = np.isfinite(wanted[2])
            np.testing.assert_array_equal(np.isfinite(ours[2]), finite)
            np.testing.assert_array_equal(ours[2][finite], wanted[2][finite])
        else:
            np.testing.assert_array_equal(ours[2], wanted[2])


@both_dtypes
@pytest.mark.parametrize("name", [*NAN_LAYERS, "many images in one layout, fewer in the last", "many filters"])
def test_nothing_is_read_that_was_never_written(dtype: Any, name: str) -> None:
    """The same bits, whatever was in memory before."""
    layer = (NAN_LAYERS | NAMED_LAYERS)[name].gaussian(seed=1).astype(dtype)
    with constants(**ON_ONE_THREAD):  # the memory of other threads is made dirty less surely
        for rule in RULES:
            clean = all_three(cpu, layer, rule, rule)
            for _ in range(3):
                with dirty_memory():
                    for one, other in zip(all_three(cpu, layer, rule, rule), clean, strict=True):
                        assert same_bits(one, other)


# Memory, layout, threads


@given(layer=layers(), layout=st.sampled_from(sorted(LAYOUTS)), input_rule=rules, weight_rule=rules)
def test_the_layout_in_memory_does_not_matter(layer: Layer, layout: str, input_rule: str, weight_rule: str) -> None:
    change = LAYOUTS[layout]
    other = layer._replace(x=change(layer.x), w=change(layer.w), grad=change(layer.grad))
    plain = all_three(cpu, layer, input_rule, weight_rule)
    for one, two in zip(plain, all_three(cpu, other, input_rule, weight_rule), strict=True):
        assert same_bits(one, two)


@given(layer=layers(), rule=rules)
def test_inputs_are_not_changed_and_results_own_their_memory(layer: Layer, rule: str) -> None:
    inputs = layer.x, layer.w, layer.grad
    copies = [array.copy() for array in inputs]
    results = all_three(cpu, layer, rule, rule)
    for array, copy in zip(inputs, copies, strict=True):
        assert same_bits(array, copy)
    for number, result in enumerate(results):
        assert result.flags.writeable
        assert not any(np.shares_memory(result, other) for other in (*inputs, *results[:number]))


@both_dtypes
@pytest.mark.skipif(NO_THREADS, reason="kernels run on one thread here: see NO_THREADS")
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", NAMED_LAYERS)
def test_one_thread_and_two_give_the_same_bits(dtype: Any, rule: str, name: str) -> None:
    """On normal values, where another order of a sum would show. Nor does it matter where small layers run."""
    layer = NAMED_LAYERS[name].gaussian(seed=1).astype(dtype)
    with constants(**ON_THREADS):
        results = [with_threads(count, lambda: all_three(cpu, layer, rule, rule)) for count in (1, 2)]
    with constants(**ON_ONE_THREAD):
        results.append(all_three(cpu, layer, rule, rule))
    for one, two, caller in zip(*results, strict=True):
        assert same_bits(one, two)
        assert same_bits(one, caller)


PEAK = """
import sys
import numpy as np
from minadder.kernels.adder import cpu

def peak():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))

def run(images):
    x = np.ones((images, 64, 32, 32), np.float32)
    w = np.zeros((64, 64, 3, 3), np.float32)
    window = (1, 1), (1, 1), (1, 1), 1
    y = cpu.forward(x, w, *window)
    x_grad = cpu.input_grad(y, x, w, *window, "hardtanh")
    w_grad = cpu.weight_grad(y, x, w, *window, "full_precision")
    return x.nbytes + y.nbytes + x_grad.nbytes + w.nbytes + w_grad.nbytes

run(1)
before = peak()
held = run(16)
print(peak() - before, held)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process's memory is read from /proc")
@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="a layer of this size takes hours without the compiler")
def test_memory_is_that_of_inputs_and_outputs() -> None:
    """All T·K·P differences of this layer take 2.4 GB, its K·P patch entries 38 MB: neither may exist at once."""
    result = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True, env=os.environ)
    grown, held = map(int, result.stdout.split())
    patches, length, filters = 16 * 32 * 32, 64 * 9, 64
    assert patches * length * filters * 4 > 2e9
    assert grown < 1.5 * held + 8e6 < 4 * patches * length


def test_size_0_batch() -> None:
    layer = lattice_layer((2, 4, 5, 5), 6, (3, 2), (2, 1), (1, 0), (1, 1), 2)
    none = layer._replace(x=layer.x[:0], grad=layer.grad[:0])
    for rule in RULES:
        output, input_grad, weight_grad = all_three(cpu, none, rule, rule)
        assert output.shape == (0, 6, 3, 4)
        assert input_grad.shape == (0, 4, 5, 5)
        assert same_bits(weight_grad, np.zeros(layer.w.shape))


def test_an_unknown_rule_is_refused_by_both() -> None:
    x, _ = pair_of(1.0, 2.0)
    with pytest.raises(ValueError, match="hard_tanh"):
        reference.rule_value(x, "hard_tanh")
    with pytest.raises(ValueError, match="hard_tanh"):
        reference.potential(x, "hard_tanh")
