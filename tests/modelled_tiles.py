"""The tiles of `vector_tiles.py` run as Python, on a model of vector registers that checks every index.

Compiled, nothing checks what a tile reads or writes beyond an array. Here each access is to a slice that must lie
within it, and coverage sees each line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np

from minadder.autograd import Array
from minadder.kernels import vector_tiles
from minadder.kernels.adder.reference import rule_value
from minadder.kernels.simd import FULL_PRECISION, HARDTANH, PRODUCT, SIGN

LANES = 4
"""Lanes of a modelled vector, of both dtypes."""

RULE_NAMES = {SIGN: "sign", FULL_PRECISION: "full_precision", HARDTANH: "hardtanh"}


def stretch(array: Array, index: int, count: int) -> Array:
    """Return a part of an array to read or write; it must lie within."""
    assert index >= 0, f"place {index} lies before the array"
    assert index + count <= array.size, f"places to {index + count} of an array of {array.size}"
    return array[index : index + count]


def slope(rule: int, difference: Array) -> Array:
    """Return a rule's value of a difference."""
    return np.asarray(rule_value(difference, RULE_NAMES[rule]))


def zeros(like: Array, count: int) -> Array:
    return np.zeros((count, LANES), like.dtype)


def load(array: Array, index: int, pitch: int, rows: int, vectors: int) -> Array:
    found = [stretch(array, index + row * pitch, vectors * LANES) for row in range(rows)]
    return np.array(found).reshape(-1, LANES)


def load_at(array: Array, offsets: Array, first: int, place: int, rows: int, vectors: int) -> Array:
    found = [stretch(array, start + place, vectors * LANES) for start in stretch(offsets, first, rows)]
    return np.array(found).reshape(-1, LANES)


def store(tile: Array, array: Array, index: int, pitch: int, vectors: int) -> None:
    for row, values in enumerate(tile.reshape(-1, vectors * LANES)):
        stretch(array, index + row * pitch, vectors * LANES)[:] = values


def add_to(tile: Array, array: Array, index: int, pitch: int, vectors: int) -> None:
    for row, values in enumerate(tile.reshape(-1, vectors * LANES)):
        stretch(array, index + row * pitch, vectors * LANES)[:] += values


def add_at(tile: Array, array: Array, offsets: Array, first: int, place: int, vectors: int) -> None:
    rows = tile.reshape(-1, vectors * LANES)
    for start, values in zip(stretch(offsets, first, len(rows)), rows, strict=True):
        stretch(array, start + place, vectors * LANES)[:] += values


def keep(tile: Array, vectors: int, count: int) -> Array:
    kept = tile.reshape(-1, vectors * LANES).copy()
    kept[:, count:] = 0
    return kept.reshape(-1, LANES)


def scalars(w: Array, index: int, pitch: int, rows: int) -> Array:
    """Return w[index + row · pitch], each for a row of vectors."""
    return np.array([stretch(w, index + row * pitch, 1) for row in range(rows)])[:, None]


def subtract_distances(sums: Array, xs: Array, w: Array, index: int, pitch: int, one: float) -> Array:
    rows = sums.reshape(-1, *xs.shape)
    return (rows - abs(xs - scalars(w, index, pitch, len(rows)))).reshape(-1, LANES)


def subtract_squares(sums: Array, xs: Array, w: Array, index: int, pitch: int, one: float) -> Array:
    rows = sums.reshape(-1, *xs.shape)
    return (rows - (xs - scalars(w, index, pitch, len(rows))) ** 2).reshape(-1, LANES)


def add_products(sums: Array, xs: Array, w: Array, index: int, pitch: int, one: float) -> Array:
    rows = sums.reshape(-1, *xs.shape)
    return (rows + xs * scalars(w, index, pitch, len(rows))).reshape(-1, LANES)


def add_input_slopes(
    sums: Array, xs: Array, gs: Array, w: Array, index: int, pitch: int, one: float, rule: int
) -> Array:
    rows = sums.reshape(-1, *gs.shape)
    differences = scalars(w, index, pitch, len(rows)) - xs.reshape(rows.shape)
    return (rows + gs * slope(rule, differences)).reshape(-1, LANES)


def add_weight_slopes(sums: Array, gs: Array, xs: Array, w: Array, index: int, one: float, rule: int) -> Array:
    sums = sums.reshape(len(gs), len(xs), LANES)
    if rule == PRODUCT:
        return (sums + gs[:, None] * xs).reshape(-1, LANES)
    differences = xs - stretch(w, index, len(gs) * len(xs)).reshape(len(gs), len(xs), 1)
    return (sums + gs[:, None] * slope(rule, differences)).reshape(-1, LANES)


def add_lane_sums(tile: Array, array: Array, index: int) -> None:
    stretch(array, index, len(tile))[:] += tile.sum(axis=1)


def move_planes(
    target: Array, to: int, to_plane: int, to_row: int, source: Array, begin: int, plane_step: int, row_step: int,
    planes: int, rows: int, count: int, spacing: int, adding: bool,
) -> None:  # fmt: skip
    assert count > 0
    spaced = 1 + (count - 1) * spacing
    for plane in range(planes):
        for row in range(rows):
            place, at = to + plane * to_plane + row * to_row, begin + plane * plane_step + row * row_step
            if adding:
                stretch(target, place, spaced)[::spacing] += stretch(source, at, count)
            else:
                stretch(target, place, count)[:] = stretch(source, at, spaced)[::spacing]


MODELS: tuple[Callable[..., Any], ...] = (
    zeros, load, load_at, store, add_to, add_at, keep, subtract_distances, subtract_squares, add_products,
    add_input_slopes, add_weight_slopes, add_lane_sums, move_planes,
)  # fmt: skip


def modelled(name: str) -> Callable[..., None]:
    """Return a function of `vector_tiles` that runs as Python on modelled registers."""
    function = getattr(vector_tiles, name)
    plain = getattr(function, "py_func", function)

    def run(*arguments: Any) -> None:
        with mock.patch.multiple(vector_tiles, **{model.__name__: model for model in MODELS}):
            plain(*arguments)

    return run


ENTRIES = vector_tiles.ENTRIES
copy_planes = modelled("copy_planes")
add_planes = modelled("add_planes")
forward_tile = modelled("forward_tile")
input_grad_tile = modelled("input_grad_tile")
pulled_grad_tile = modelled("pulled_grad_tile")
weight_grad_tile = modelled("weight_grad_tile")
