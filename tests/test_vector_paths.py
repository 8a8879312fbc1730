"""The tiles as plain loops, in vector registers and in modelled ones: each against its equation, on every width."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import modelled_tiles
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_cases import constants, cuts
from numba.core import config

from minadder.autograd import Array
from minadder.kernels import (
    plain_tiles,
    simd,
    unfold,
    vector_tiles,
    windowed,
    windowed_input_grad,
    windowed_weight_grad,
)
from minadder.kernels.adder import cpu, reference
from minadder.kernels.simd import FULL_PRECISION, HARDTANH, PRODUCT, SIGN
from minadder.testing import Layer, lattice_layer, layers

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
no_vectors = pytest.mark.skipif(simd.VECTOR_BITS == 0, reason="kernels are plain loops here: see simd.vector_bits")
every_path = pytest.mark.parametrize(
    "tiles",
    [
        pytest.param(plain_tiles, id="plain"),
        pytest.param(vector_tiles, id="vector", marks=no_vectors),
        pytest.param(modelled_tiles, id="modelled"),
    ],
)
RULES = {"sign": SIGN, "full_precision": FULL_PRECISION, "hardtanh": HARDTANH, "product": PRODUCT}

GUARD = 70
"""Elements on both sides of an array that must stay as they are: more than a tile has."""


def lanes(tiles: Any, dtype: Any) -> int:
    """Return how many places a vector holds, 1 for plain loops."""
    if tiles is modelled_tiles:
        return modelled_tiles.LANES
    return max(1, simd.lanes(np.dtype(dtype).itemsize))


class Case:
    """A layout of `entries` stretches with NaN behind each, filters with NaN around the entries, and the tile's sizes.

    Parameters
    ----------
    tiles
        The functions to be tested, for which the layout is.
    rows
        Filters, or channels for pulled gradients.
    entries, places
        Of the layout.
    first
        The block's first entry in a filter.
    """

    def __init__(self, tiles: Any, dtype: Any, rows: int, entries: int, places: int, first: int = 0) -> None:
        self.rng = np.random.default_rng([rows, entries, places])
        self.dtype, self.rows, self.entries, self.places, self.first = dtype, rows, entries, places, first
        self.vector = lanes(tiles, dtype)
        self.group = self.vector * simd.VECTORS
        self.pitch = -(-places // self.group) * self.group
        self.length = first + entries + 3
        order = self.rng.permutation(entries)
        self.base = entries * (places + 1)
        self.offsets = np.append(order * (places + 1), [self.base] * (-entries % 4)).astype(np.int64)
        self.stretches = self.halves(entries, places)
        self.u = np.full(self.base + self.pitch + self.group, np.nan, dtype)
        for offset, stretch in zip(self.offsets, self.stretches, strict=False):
            self.u[offset : offset + places] = stretch
        self.w = np.full((rows + rows % 2, self.length), np.nan, dtype)
        self.w[:, first : first + entries] = self.halves(rows + rows % 2, entries) + dtype(0.25)
        self.seen_w = self.w[:rows, first : first + entries]

    def halves(self, *shape: int) -> Array:
        """Return numbers from ½ℤ."""
        return (self.rng.integers(-6, 7, shape) / 2).astype(self.dtype)

    def flat_w(self) -> Array:
        """Return the filters in one row, and a little more, which tiles may read."""
        return np.append(self.w, np.full(4, np.nan)).astype(self.dtype)

    def rows_of(self, values: Array, count: int, behind: float = np.nan) -> Array:
        """Return values (rows, places) as `count` stretches `pitch` apart, with something behind them."""
        stretches = np.zeros((count, self.pitch), self.dtype)
        stretches[: len(values), self.places :] = behind
        stretches[: len(values), : self.places] = values
        return stretches.reshape(-1)


def guarded(values: Array) -> tuple[Array, Array]:
    """Return a copy of a row between two zones of −77, and the memory of all three."""
    memory = np.full(values.size + 2 * GUARD, -77, values.dtype)
    inner = memory[GUARD : GUARD + values.size]
    inner[:] = values
    return inner, memory


def assert_guards_stand(memory: Array) -> None:
    """Check that nothing was written before or behind a guarded array."""
    assert (memory[:GUARD] == -77).all()
    assert (memory[memory.size - GUARD :] == -77).all()


def slope(rule: str, difference: Array) -> Array:
    """Return a rule's value of a difference."""
    return np.asarray(reference.rule_value(difference, rule))


def some_places(tiles: Any, dtype: Any) -> list[int]:
    """Return numbers of places below, at and beyond whole vectors and tiles."""
    vector = lanes(tiles, dtype)
    group = vector * simd.VECTORS
    return sorted({1, max(1, vector - 1), vector, vector + 1, group - 1, group, group + 1, 2 * group + vector + 1})


@every_path
@both_dtypes
@pytest.mark.parametrize("exponent", [0, 1, 2])
@pytest.mark.parametrize("first", [0, 5])
def test_forward_tile(tiles: Any, dtype: Any, exponent: int, first: int) -> None:
    """The first block of channels sets the output, whatever was there; the next ones add to it."""
    for filters in range(1, 10):
        for places in some_places(tiles, dtype):
            case = Case(tiles, dtype, filters, 1 + (filters + places) % 6, places, first)
            old = case.halves(filters, places)
            before = case.rows_of(old, filters + filters % 2) if first else np.full(case.pitch * (filters + 1), np.nan)
            out, memory = guarded(before.astype(dtype)[: (filters + filters % 2) * case.pitch])
            sizes = case.first, case.length, filters, places, case.group
            tiles.forward_tile(
                case.u,
                case.offsets,
                case.entries,
                case.flat_w(),
                *sizes,
                exponent,
                out,
                case.pitch,
                not first,
                dtype(1),
            )
            x, w = case.stretches, case.seen_w[:, :, None]
            wanted = (-(abs(x - w) ** exponent) if exponent else x * w).sum(axis=1)
            found = out.reshape(-1, case.pitch)[:filters, :places]
            np.testing.assert_array_equal(found, wanted + old if first else wanted)
            assert_guards_stand(memory)


@every_path
@both_dtypes
@pytest.mark.parametrize("rule", RULES)
def test_input_grad_tile(tiles: Any, dtype: Any, rule: str) -> None:
    """What lies behind the places of an entry, here NaN, must be neither used nor changed."""
    for filters in range(1, 6):
        for places in some_places(tiles, dtype):
            case = Case(tiles, dtype, filters, 1 + (3 * filters + places) % 7, places, first=filters % 2)
            grads = case.halves(filters, places)
            before = case.halves(case.u.size)
            du, memory = guarded(before)
            g = case.rows_of(grads, filters)
            sizes = case.first, case.length, g, filters, places, case.group
            tiles.input_grad_tile(
                case.u, case.offsets, case.entries, case.flat_w(), *sizes, RULES[rule], du, case.pitch, dtype(1)
            )
            wanted = before.copy()
            for k, (offset, x) in enumerate(zip(case.offsets, case.stretches, strict=False)):
                w = case.seen_w[:, k, None]
                slopes = w if rule == "product" else slope(rule, w - x)
                wanted[offset : offset + places] += (grads * slopes).sum(axis=0)
            np.testing.assert_array_equal(du[: case.base], wanted[: case.base])
            assert_guards_stand(memory)


@every_path
@both_dtypes
@pytest.mark.parametrize("rule", ["sign", "full_precision", "hardtanh"])
@pytest.mark.parametrize("first", [0, 3])
def test_pulled_grad_tile(tiles: Any, dtype: Any, rule: str, first: int) -> None:
    for channels in range(1, 6):
        for places in some_places(tiles, dtype):
            case = Case(tiles, dtype, channels, 1 + (channels + places) % 5, places, first)
            even = channels + channels % 2
            values, old = case.halves(channels, places), case.halves(channels, places)
            out, memory = guarded(case.rows_of(old, even) if first else np.full(even * case.pitch, np.nan, dtype))
            x = case.rows_of(values, even)
            sizes = case.first, case.length, x, channels, places, case.group
            tiles.pulled_grad_tile(
                case.u,
                case.offsets,
                case.entries,
                case.flat_w(),
                *sizes,
                RULES[rule],
                out,
                case.pitch,
                not first,
                dtype(1),
            )
            slopes = slope(rule, case.seen_w[:, :, None] - values[:, None])
            wanted = (case.stretches * slopes).sum(axis=1)
            found = out.reshape(-1, case.pitch)[:channels, :places]
            np.testing.assert_array_equal(found, wanted + old if first else wanted)
            assert_guards_stand(memory)


@every_path
@both_dtypes
@pytest.mark.parametrize("rule", ["sign", "hardtanh", "product"])
def test_weight_grad_tile(tiles: Any, dtype: Any, rule: str) -> None:
    """Sums and filters lie in blocks of 4 filters × `ENTRIES` entries."""
    for filters in range(1, 10):
        for places in some_places(tiles, dtype):
            case = Case(tiles, dtype, filters, 1 + (filters + places) % 9, places)
            grads = case.halves(filters, places)
            rows, width = -(-filters // 4) * 4, -(-case.entries // tiles.ENTRIES)
            where = np.array(
                [
                    [(((t // 4) * width + k // tiles.ENTRIES) * 4 + t % 4) * tiles.ENTRIES + k % tiles.ENTRIES
                     for k in range(case.entries)] for t in range(filters)
                ]
            )  # fmt: skip
            w = np.zeros(rows * width * tiles.ENTRIES, dtype)
            w[where] = case.seen_w
            before = case.halves(w.size)
            dw, memory = guarded(before)
            g = np.append(case.rows_of(grads, rows), np.full(case.group, np.nan)).astype(dtype)
            sizes = filters, places, case.vector
            tiles.weight_grad_tile(
                case.u, case.offsets, case.entries, w, g, *sizes, RULES[rule], dw, case.pitch, dtype(1)
            )
            x = case.stretches
            slopes = x if rule == "product" else slope(rule, x - case.seen_w[:, :, None])
            wanted = before[where] + (grads[:, None] * slopes).sum(axis=2)
            np.testing.assert_array_equal(dw[where], wanted)
            assert_guards_stand(memory)


@every_path
@both_dtypes
@pytest.mark.parametrize("adding", [False, True], ids=["copy", "add"])
@pytest.mark.parametrize("spacing", [1, 2, 3])
def test_rows_of_any_length(tiles: Any, dtype: Any, spacing: int, adding: bool) -> None:
    """Also none, and less than none, as a window beyond the image has."""
    move = tiles.add_planes if adding else tiles.copy_planes
    for planes, rows in itertools.product(range(3), range(4)):
        for count in (-3, 0, 1, 3, 8, 15, 16, 17, 33):
            rng = np.random.default_rng(count + 5)
            source, before = (rng.integers(-9, 9, planes * 340 + 2).astype(dtype) for _ in range(2))
            target, memory = guarded(before)
            move(target, 2, 331, 107, source, 1, 337, 109, planes, rows, count, spacing)
            wanted = before.copy()
            for plane, row in itertools.product(range(planes), range(rows if count > 0 else 0)):
                spaced = 1 + (count - 1) * spacing
                place, at = 2 + 331 * plane + 107 * row, 1 + 337 * plane + 109 * row
                if adding:
                    wanted[place : place + spaced : spacing] += source[at : at + count]
                else:
                    wanted[place : place + count] = source[at : at + spaced : spacing]
            np.testing.assert_array_equal(target, wanted)
            assert_guards_stand(memory)


def test_longer_sums_are_cut_into_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The modelled tiles cut where `AT_ONCE` says; what they add up to is the same."""
    monkeypatch.setattr(vector_tiles, "AT_ONCE", 2)
    for test in (test_forward_tile, test_pulled_grad_tile):
        for first in (0, 3):
            for choice in (0, 1, 2) if test is test_forward_tile else ("sign", "full_precision", "hardtanh"):
                test(modelled_tiles, np.float32, choice, first)
    for rule in RULES:
        test_input_grad_tile(modelled_tiles, np.float32, rule)


# Whole layers, with every index checked


@pytest.mark.skipif(not config.DISABLE_JIT, reason="compiled kernels have their tiles built in")
@given(layer=layers(), rules=st.tuples(*[st.sampled_from(("sign", "full_precision", "hardtanh"))] * 2), cuts=cuts())
def test_tiles_stay_within_the_arrays_of_any_layer(layer: Layer, rules: tuple[str, str], cuts: dict[str, Any]) -> None:
    wanted = (
        reference.forward(layer.x, layer.w, *layer.window),
        reference.input_grad(layer.grad, layer.x, layer.w, *layer.window, rules[0]),
        reference.weight_grad(layer.grad, layer.x, layer.w, *layer.window, rules[1]),
    )
    with pytest.MonkeyPatch.context() as patch, constants(**cuts):
        for module, names in {
            windowed: ("forward_tile",),
            windowed_input_grad: ("input_grad_tile", "pulled_grad_tile"),
            windowed_weight_grad: ("weight_grad_tile", "ENTRIES"),
            unfold: ("copy_planes", "add_planes"),
        }.items():
            for name in names:
                patch.setattr(module, name, getattr(modelled_tiles, name))
        patch.setattr(windowed, "lanes", lambda itemsize: modelled_tiles.LANES)
        ours = (
            cpu.forward(layer.x, layer.w, *layer.window),
            cpu.input_grad(layer.grad, layer.x, layer.w, *layer.window, rules[0]),
            cpu.weight_grad(layer.grad, layer.x, layer.w, *layer.window, rules[1]),
        )
    for one, other in zip(ours, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


# Other widths than this machine's, each in a process of its own

LAYER = lattice_layer((3, 2, 6, 23), 5, (3, 2), (1, 1), (1, 0))

OUTPUT = """
import hashlib
from minadder.testing import lattice_layer
from minadder.kernels import simd
from minadder.kernels.adder import cpu

layer = lattice_layer((3, 2, 6, 23), 5, (3, 2), (1, 1), (1, 0)).astype("float32")
output = cpu.forward(layer.x, layer.w, *layer.window)
print(simd.VECTOR_BITS, hashlib.sha256(output.tobytes()).hexdigest())
"""

compiled = pytest.mark.skipif(bool(config.DISABLE_JIT or config.BOUNDSCHECK), reason="there are no vectors here")


def with_width(bits: int, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python with vectors of a width."""
    folders = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "MINADDER_VECTOR_BITS": str(bits), "PYTHONPATH": os.pathsep.join(folders)}
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment)


@compiled
@pytest.mark.parametrize("bits", [0, 128, 256, 512])
def test_outputs_have_the_same_bits_on_every_width(bits: int) -> None:
    """On the lattice, where every sum is exact. Vectors wider than the machine's are split."""
    result = with_width(bits, "-c", OUTPUT)
    assert result.returncode == 0, result.stderr
    wanted = reference.forward(LAYER.x, LAYER.w, *LAYER.window).astype(np.float32)
    assert result.stdout.split() == [str(bits), hashlib.sha256(wanted.tobytes()).hexdigest()]


@compiled
def test_an_unknown_width_is_refused_on_import() -> None:
    result = with_width(100, "-c", "import minadder.kernels.simd")
    assert result.returncode == 1
    assert "MINADDER_VECTOR_BITS must be 0, 128, 256 or 512, not '100'" in result.stderr
