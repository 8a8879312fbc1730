"""The operations on vector registers, each against NumPy, and which registers a machine is said to have."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from minadder.autograd import Array
from minadder.jit import kernel
from minadder.kernels import simd
from minadder.kernels.simd import (
    FULL_PRECISION,
    HARDTANH,
    PRODUCT,
    SIGN,
    add_at,
    add_input_slopes,
    add_lane_sums,
    add_products,
    add_weight_slopes,
    keep,
    load,
    load_at,
    store,
    subtract_distances,
    zeros,
)
from minadder.kernels.simd_planes import move_planes
from minadder.testing import same_bits

pytestmark = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
needs_vectors = pytest.mark.skipif(simd.VECTOR_BITS == 0, reason="kernels are plain loops here: see simd.vector_bits")
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])

GUARD = 40
"""Elements on both sides of an array that must stay as they are."""


def numbers(count: int, dtype: Any, seed: int = 0) -> Array:
    """Return distinct multiples of ⅛ in a random order, around 0: sums and products of a few are exact."""
    return ((np.random.default_rng(seed).permutation(count) - count // 2) / 8).astype(dtype)


def nowhere(count: int, dtype: Any) -> Array:
    """Return an array of NaN, to write into."""
    return np.full(count, np.nan, dtype)


def lanes_of(dtype: Any) -> int:
    """Return the lanes of a vector."""
    return simd.lanes(np.dtype(dtype).itemsize)


# Tiles between memory and registers


@kernel
def load_and_store(source: Array, index: int, pitch: int, target: Array, to: int, to_pitch: int) -> None:
    store(load(source, index, pitch, 3, 2), target, to, to_pitch, 2)


@kernel
def load_at_and_store(source: Array, offsets: Array, first: int, place: int, target: Array) -> None:
    store(load_at(source, offsets, first, place, 3, 2), target, 0, 40, 2)


@kernel
def load_and_add_at(source: Array, target: Array, offsets: Array, first: int, place: int) -> None:
    add_at(load(source, 0, 40, 3, 2), target, offsets, first, place, 2)


@kernel
def store_zeros(target: Array, to: int) -> None:
    store(zeros(target, 6), target, to, 40, 2)


@needs_vectors
@both_dtypes
@pytest.mark.parametrize(("index", "pitch"), [(0, 40), (3, 41), (5, 1), (7, 0)])
def test_load_and_store_move_rows_of_two_vectors(dtype: Any, index: int, pitch: int) -> None:
    """Rows may overlap and need not be aligned; nothing beside them is written."""
    width = 2 * lanes_of(dtype)
    source, target = numbers(200, dtype), nowhere(200, dtype)
    load_and_store(source, index, pitch, target, 11, 45)
    wanted = nowhere(200, dtype)
    for row in range(3):
        wanted[11 + 45 * row : 11 + 45 * row + width] = source[index + pitch * row : index + pitch * row + width]
    assert same_bits(target, wanted)


@needs_vectors
@both_dtypes
def test_load_at_and_add_at_take_rows_from_a_table(dtype: Any) -> None:
    width = 2 * lanes_of(dtype)
    offsets = np.array([1000, 90, 3, 41, 1000])
    source, target = numbers(200, dtype), nowhere(120, dtype)
    load_at_and_store(source, offsets, 1, 7, target)
    wanted = nowhere(120, dtype)
    for row, offset in enumerate(offsets[1:4]):
        wanted[40 * row : 40 * row + width] = source[offset + 7 : offset + 7 + width]
    assert same_bits(target, wanted)

    changed = numbers(200, dtype, seed=1)
    wanted = changed.copy()
    for row, offset in enumerate(offsets[1:4]):
        wanted[offset + 7 : offset + 7 + width] += source[40 * row : 40 * row + width]
    load_and_add_at(source, changed, offsets, 1, 7)
    assert same_bits(changed, wanted)


@needs_vectors
@both_dtypes
def test_add_at_adds_rows_in_the_same_place_one_after_the_other(dtype: Any) -> None:
    width = 2 * lanes_of(dtype)
    source, target = numbers(120, dtype), np.zeros(60, dtype)
    load_and_add_at(source, target, np.zeros(3, np.int64), 0, 5)
    wanted = np.zeros(60, dtype)
    wanted[5 : 5 + width] = source.reshape(3, 40)[:, :width].sum(axis=0)
    assert same_bits(target, wanted)


@needs_vectors
@both_dtypes
def test_zeros_are_zeros(dtype: Any) -> None:
    target = nowhere(120, dtype)
    store_zeros(target, 2)
    wanted = nowhere(120, dtype)
    for row in range(3):
        wanted[2 + 40 * row : 2 + 40 * row + 2 * lanes_of(dtype)] = 0
    assert same_bits(target, wanted)


@kernel
def load_keep_and_store(source: Array, count: int, target: Array) -> None:
    store(keep(load(source, 0, 40, 3, 2), 2, count), target, 0, 40, 2)


@needs_vectors
@both_dtypes
def test_keep_clears_what_lies_behind_the_first_places_of_each_row(dtype: Any) -> None:
    """Also NaN and infinity; a count of 0 keeps nothing, a larger one than there are places keeps all."""
    width = 2 * lanes_of(dtype)
    source = numbers(120, dtype) + 100
    source[::3], source[1::3] = np.nan, np.inf
    for count in range(width + 3):
        target = nowhere(120, dtype)
        load_keep_and_store(source, count, target)
        rows = source.reshape(3, 40)[:, :width].copy()
        rows[:, count:] = 0
        assert same_bits(target.reshape(3, 40)[:, :width], rows)


# Sums


@kernel
def distances(sums: Array, xs: Array, w: Array, index: int, pitch: int, one: float, out: Array) -> None:
    tile = subtract_distances(load(sums, 0, 40, 3, 2), load(xs, 1, 0, 1, 2), w, index, pitch, one)
    store(tile, out, 0, 40, 2)


@kernel
def products(sums: Array, xs: Array, w: Array, index: int, pitch: int, one: float, out: Array) -> None:
    tile = add_products(load(sums, 0, 40, 3, 2), load(xs, 1, 0, 1, 2), w, index, pitch, one)
    store(tile, out, 0, 40, 2)


@needs_vectors
@both_dtypes
@pytest.mark.parametrize(("index", "pitch"), [(0, 1), (2, 7), (20, -5)])
def test_distances_and_products_of_a_row_and_scalars(dtype: Any, index: int, pitch: int) -> None:
    width = 2 * lanes_of(dtype)
    sums, xs, w = numbers(120, dtype), numbers(60, dtype, seed=1), numbers(40, dtype, seed=2)
    w[index] = xs[1]
    scalars = w[[index, index + pitch, index + 2 * pitch], None]
    row, old = xs[1 : 1 + width], sums.reshape(3, 40)[:, :width]
    for run, wanted in ((distances, old - abs(row - scalars)), (products, old + row * scalars)):
        out = nowhere(120, dtype)
        run(sums, xs, w, index, pitch, dtype(1), out)
        assert same_bits(out.reshape(3, 40)[:, :width], wanted)
        assert np.isnan(out.reshape(3, 40)[:, width:]).all()


DIFFERENCES = (0.0, 0.25, -0.25, 1.0, -1.0, 1.125, -1.125, 7.5, -7.5, np.inf, -np.inf, np.nan)
"""Where slopes have kinks, beside them, and far away."""


def slope(rule: int, difference: Array) -> Array:
    """Return a rule's value of a difference, as NumPy has it."""
    if rule == HARDTANH:
        return np.clip(difference, -1, 1)
    return np.sign(difference) if rule == SIGN else difference


@kernel
def input_slopes(sums: Array, xs: Array, gs: Array, w: Array, one: float, rule: int, out: Array) -> None:
    old, row = load(sums, 0, 40, 3, 2), load(gs, 1, 0, 1, 2)
    if rule == HARDTANH:
        store(add_input_slopes(old, load(xs, 0, 40, 3, 2), row, w, 2, 5, one, HARDTANH), out, 0, 40, 2)
    elif rule == SIGN:
        store(add_input_slopes(old, load(xs, 0, 40, 3, 2), row, w, 2, 5, one, SIGN), out, 0, 40, 2)
    else:
        store(add_input_slopes(old, load(xs, 0, 40, 3, 2), row, w, 2, 5, one, FULL_PRECISION), out, 0, 40, 2)


@needs_vectors
@both_dtypes
@pytest.mark.parametrize("rule", [SIGN, FULL_PRECISION, HARDTANH], ids=["sign", "full_precision", "hardtanh"])
def test_input_slopes_at_kinks_and_where_there_is_no_number(dtype: Any, rule: int) -> None:
    width = 2 * lanes_of(dtype)
    sums, gs, w = numbers(120, dtype), numbers(60, dtype, seed=1), numbers(13, dtype, seed=2)
    scalars = w[2:13:5, None]
    for shift in range(len(DIFFERENCES)):
        differences = np.resize(np.roll(DIFFERENCES, shift), (3, width)).astype(dtype)
        xs = nowhere(120, dtype)
        xs.reshape(3, 40)[:, :width] = scalars - differences
        out = nowhere(120, dtype)
        input_slopes(sums, xs, gs, w, dtype(1), rule, out)
        wanted = sums.reshape(3, 40)[:, :width] + gs[1 : 1 + width] * slope(rule, differences)
        assert same_bits(out.reshape(3, 40)[:, :width], wanted)


@kernel
def weight_slopes(sums: Array, gs: Array, xs: Array, w: Array, one: float, rule: int, out: Array) -> None:
    old, grads, row = load(sums, 0, 20, 6, 1), load(gs, 0, 20, 3, 1), load(xs, 0, 20, 2, 1)
    if rule == HARDTANH:
        store(add_weight_slopes(old, grads, row, w, 3, one, HARDTANH), out, 0, 20, 1)
    elif rule == SIGN:
        store(add_weight_slopes(old, grads, row, w, 3, one, SIGN), out, 0, 20, 1)
    else:
        store(add_weight_slopes(old, grads, row, w, 3, one, PRODUCT), out, 0, 20, 1)


@needs_vectors
@both_dtypes
@pytest.mark.parametrize("rule", [SIGN, HARDTANH, PRODUCT], ids=["sign", "hardtanh", "product"])
def test_weight_slopes_of_three_gradients_and_two_rows(dtype: Any, rule: int) -> None:
    width = lanes_of(dtype)
    sums, gs, w = numbers(120, dtype), numbers(60, dtype, seed=1), numbers(9, dtype, seed=2)
    w[3:] = np.repeat([0.75, -0.5, 0.25], 2)  # the two rows of a filter are compared with equal numbers
    for shift in range(len(DIFFERENCES)):
        xs = np.resize(np.roll(DIFFERENCES, shift), 40).astype(dtype) + w[3]
        out = nowhere(120, dtype)
        weight_slopes(sums, gs, xs, w, dtype(1), rule, out)
        for f, k in itertools.product(range(3), range(2)):
            place = f * 2 + k
            row = xs[20 * k : 20 * k + width]
            value = row if rule == PRODUCT else slope(rule, row - w[3 + place])
            wanted = sums[20 * place : 20 * place + width] + gs[20 * f : 20 * f + width] * value
            assert same_bits(out[20 * place : 20 * place + width], wanted)


@kernel
def sum_lanes(source: Array, target: Array, index: int) -> None:
    add_lane_sums(load(source, 0, 20, 16, 1), target, index)


@needs_vectors
@both_dtypes
def test_lane_sums_are_added_one_a_vector_in_order(dtype: Any) -> None:
    source, before = numbers(320, dtype), numbers(30, dtype, seed=1)
    target = before.copy()
    sum_lanes(source, target, 5)
    before[5:21] += source.reshape(16, 20)[:, : lanes_of(dtype)].sum(axis=1)
    assert same_bits(target, before)


@needs_vectors
@both_dtypes
def test_a_nan_stays_in_the_sum_of_its_vector(dtype: Any) -> None:
    source, target = numbers(320, dtype), np.zeros(16, dtype)
    source[20 * 6 + 1] = np.nan
    sum_lanes(source, target, 0)
    assert np.isnan(target).nonzero()[0].tolist() == [6]


@kernel
def copy(
    target: Array, to: int, steps: tuple[int, int], source: Array, begin: int, sizes: tuple[int, int, int]
) -> None:
    move_planes(
        target, to, steps[0], steps[1], source, begin, steps[0], steps[1], sizes[0], sizes[1], sizes[2], 1, False
    )


@kernel
def add(target: Array, to: int, steps: tuple[int, int], source: Array, begin: int, sizes: tuple[int, int, int]) -> None:
    move_planes(
        target, to, steps[0], steps[1], source, begin, steps[0], steps[1], sizes[0], sizes[1], sizes[2], 1, True
    )


@kernel
def copy_every_second(
    target: Array, to: int, steps: tuple[int, int], source: Array, begin: int, sizes: tuple[int, int, int]
) -> None:
    move_planes(
        target, to, steps[0], steps[1], source, begin, steps[0], steps[1], sizes[0], sizes[1], sizes[2], 2, False
    )


@kernel
def add_to_every_second(
    target: Array, to: int, steps: tuple[int, int], source: Array, begin: int, sizes: tuple[int, int, int]
) -> None:
    move_planes(
        target, to, steps[0], steps[1], source, begin, steps[0], steps[1], sizes[0], sizes[1], sizes[2], 2, True
    )


PLANE, ROW = 400, 120
"""Places from one plane, or row, to the next."""

every_move = pytest.mark.parametrize(
    ("move", "from_spacing", "to_spacing", "adding"),
    [(copy, 1, 1, False), (add, 1, 1, True), (copy_every_second, 2, 1, False), (add_to_every_second, 1, 2, True)],
    ids=["copy", "add", "copy every second", "add to every second"],
)


def in_planes(array: Array, planes: int, rows: int, count: int, spacing: int) -> Array:
    """Return a view of the numbers that are to be moved, (planes, rows, count)."""
    whole = array[GUARD:-GUARD].reshape(planes, PLANE)[:, : rows * ROW].reshape(planes, rows, ROW)
    return whole[:, :, : spacing * count : spacing]


@needs_vectors
@both_dtypes
@every_move
@pytest.mark.parametrize(("planes", "rows"), [(0, 1), (1, 0), (1, 1), (1, 3), (3, 1), (2, 3)])
def test_rows_of_any_length_are_moved_and_nothing_beside_them(
    dtype: Any, move: Any, from_spacing: int, to_spacing: int, adding: bool, planes: int, rows: int
) -> None:
    for count in range(1, 3 * lanes_of(dtype) + 2):
        source = nowhere(2 * GUARD + planes * PLANE, dtype)
        target = np.full_like(source, 77)
        taken = in_planes(source, planes, rows, count, from_spacing)
        written = in_planes(target, planes, rows, count, to_spacing)
        taken[...] = numbers(taken.size, dtype).reshape(taken.shape)
        written[...] = numbers(taken.size, dtype, seed=1).reshape(taken.shape)
        wanted = target.copy()
        in_planes(wanted, planes, rows, count, to_spacing)[...] = taken + written if adding else taken
        move(target, GUARD, (PLANE, ROW), source, GUARD, (planes, rows, count))
        assert same_bits(target, wanted)


@needs_vectors
@both_dtypes
@every_move
def test_the_last_row_may_end_where_the_array_ends(
    dtype: Any, move: Any, from_spacing: int, to_spacing: int, adding: bool
) -> None:
    """What follows, here other numbers of the same memory, is neither read nor written: masked lanes are left alone."""
    for count in range(1, 2 * lanes_of(dtype) + 2):
        taken, written = 1 + (count - 1) * from_spacing, 1 + (count - 1) * to_spacing
        memory = nowhere(taken + written + 64, dtype)
        source, target = memory[64:][:taken], memory[64 + taken :]
        source[::from_spacing] = numbers(count, dtype)
        target[::to_spacing] = numbers(count, dtype, seed=1)
        wanted = memory.copy()
        wanted[64 + taken :: to_spacing] = (
            source[::from_spacing] + target[::to_spacing] if adding else source[::from_spacing]
        )
        move(target, 0, (0, 0), source, 0, (1, 1, count))
        assert same_bits(memory, wanted)


# Which registers there are


def bits_with(monkeypatch: pytest.MonkeyPatch, *features: str, chosen: str | None = None) -> int:
    """Return `vector_bits()` on a machine with some of the features that are asked for and no others."""
    monkeypatch.setattr(simd.config, "DISABLE_JIT", 0)
    monkeypatch.setattr(simd.config, "BOUNDSCHECK", 0)
    if chosen is None:
        monkeypatch.delenv("MINADDER_VECTOR_BITS", raising=False)
    else:
        monkeypatch.setenv("MINADDER_VECTOR_BITS", chosen)
    names = ("neon", "sve") if "neon" in features else ("sse2", "avx", "avx2", "avx512f", "fma", "pclmul")
    found = {name: name in features for name in names}
    monkeypatch.setattr(simd.binding, "get_host_cpu_features", lambda: found)
    return simd.vector_bits()


@pytest.mark.parametrize(
    ("features", "bits"),
    [
        (("sse2", "avx", "avx2", "fma", "avx512f"), 512),
        (("sse2", "avx", "avx2", "fma"), 256),
        (("sse2", "avx"), 256),
        (("sse2",), 128),
        (("neon",), 128),
        (("pclmul",), 0),
    ],
)
def test_the_width_follows_from_the_machines_features(
    monkeypatch: pytest.MonkeyPatch, features: tuple[str, ...], bits: int
) -> None:
    assert bits_with(monkeypatch, *features) == bits


@pytest.mark.parametrize("chosen", ["0", "128", "256", "512"])
def test_a_chosen_width_overrides(monkeypatch: pytest.MonkeyPatch, chosen: str) -> None:
    assert bits_with(monkeypatch, "sse2", "avx", chosen=chosen) == int(chosen)


@pytest.mark.parametrize("chosen", ["", "64", "1024", "wide", "-128", "256.0"])
def test_any_other_width_is_refused(monkeypatch: pytest.MonkeyPatch, chosen: str) -> None:
    with pytest.raises(ValueError, match=f"MINADDER_VECTOR_BITS must be 0, 128, 256 or 512, not '{chosen}'"):
        bits_with(monkeypatch, "sse2", chosen=chosen)


@pytest.mark.parametrize("mode", ["DISABLE_JIT", "BOUNDSCHECK"])
def test_without_the_compiler_and_while_bounds_are_checked_there_are_no_vectors(
    monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    bits_with(monkeypatch, "sse2", "avx", chosen="256")
    monkeypatch.setattr(simd.config, mode, 1)
    assert simd.vector_bits() == 0


@pytest.mark.parametrize("bits", [0, 128, 256, 512])
def test_lanes(monkeypatch: pytest.MonkeyPatch, bits: int) -> None:
    monkeypatch.setattr(simd, "VECTOR_BITS", bits)
    assert (simd.lanes(4), simd.lanes(8)) == (bits // 32, bits // 64)
