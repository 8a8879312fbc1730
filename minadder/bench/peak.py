"""The most that this machine does of each instruction mix, in registers alone: what a layer's speed is a percentage of.

A loop holds a tile of sums and the numbers that they take up, as the kernels' inner loops do, but loads and stores
nothing. LLVM would see that the numbers never change and move the work out of the loop; so each turn they pass through
`opaque`, which is no instruction and forbids LLVM to know what comes out.
"""

from __future__ import annotations

import platform
import time
from typing import Any

import numba
import numpy as np
from llvmlite import ir

from minadder.autograd import Array
from minadder.jit import kernel
from minadder.kernels import simd
from minadder.kernels.simd import HARDTANH, SIGN, VECTORS, Value, intrinsic, load, store, zeros

DISTANCES, CLIPPED, SIGNS, PRODUCTS = 0, 1, 2, 3
MIXES = {"distance": DISTANCES, "hardtanh": CLIPPED, "sign": SIGNS, "product": PRODUCTS}
"""What is added up: |x − w|; g · clip(x − w, −1, 1); g · sgn(x − w); x · w."""

ROWS = 4
SUMS = ROWS * VECTORS
"""Vectors of sums: enough that no addition waits for the one before it."""

FIRST_TURNS = 20_000
MOST_TURNS = 1 << 22
"""Up to twice which float32 counts exactly."""

SECONDS_A_RUN = 2e-3
"""Far longer than threads take to start."""

RUNS_TO_CHOOSE = 10
"""Of each form of a mix, in turns: the best of fewer may be the wrong form's on a noisy machine."""

REGISTERS = {"x86_64": "v", "AMD64": "v", "aarch64": "w", "arm64": "w"}
"""How inline assembly asks for a vector register, by the machine's name."""


def measurable() -> bool:
    """Return whether this machine's peaks can be measured: it has vector registers that we can name."""
    return simd.VECTOR_BITS > 0 and platform.machine() in REGISTERS


@intrinsic
def opaque(typing: Any, tile: Any) -> Any:
    """Return a tile that LLVM knows nothing about. It is the same tile, and no instruction is spent."""
    register = REGISTERS[platform.machine()]

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Value:
        vectors = [
            builder.asm(ir.FunctionType(value.type, [value.type]), "", f"={register},0", [value], side_effect=True)
            for value in simd.unpack(builder, arguments[0])
        ]
        return simd.pack(builder, vectors)

    return tile(tile), emit


@intrinsic(prefer_literal=True)
def take_up(typing: Any, sums: Any, xs: Any, ws: Any, gs: Any, one: Any, mix: Any, fused: Any) -> Any:
    """Return sums[r, v] with one more term of the mix, of xs[v], ws[r] and gs[v].

    Differences are subtractions, or where `fused` x·1 − w on the multiply-add units: which is faster depends on how
    many units of each kind a processor has.
    """

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Value:
        old, x, w, g = (simd.unpack(builder, argument) for argument in arguments[:4])
        unit = simd.splat(builder, arguments[4], xs.vector)
        new = []
        for place, total in enumerate(old):
            row, column = divmod(place, len(x))
            if mix.literal_value == PRODUCTS:
                new.append(simd.multiply_add(builder, x[column], w[row], total))
                continue
            if fused.literal_value:
                d = simd.difference(builder, x[column], w[row], unit)
            else:
                d = builder.fsub(x[column], w[row], flags=simd.FLAGS)
            if mix.literal_value == DISTANCES:
                new.append(builder.fadd(total, simd.absolute(builder, d), flags=simd.FLAGS))
            else:
                value = simd.slope(builder, HARDTANH if mix.literal_value == CLIPPED else SIGN, d)
                new.append(simd.multiply_add(builder, g[column], value, total))
        return simd.pack(builder, new)

    return sums(sums, xs, ws, gs, one, mix, fused), emit


@kernel
def spin(turns: int, mix: int, fused: bool, numbers: Array, out: Array, place: int, lanes: int, one: float) -> None:
    """Take up the same numbers, x, w and g in a row, `turns` times, and write the sums to out from `place` on."""
    sums = zeros(numbers, SUMS)
    xs = load(numbers, 0, 0, 1, VECTORS)
    ws = load(numbers, VECTORS * lanes, 0, 1, ROWS)
    gs = load(numbers, (VECTORS + ROWS) * lanes, 0, 1, VECTORS)
    if mix == PRODUCTS:
        for _ in range(turns):
            xs = opaque(xs)
            sums = take_up(sums, xs, ws, gs, one, PRODUCTS, False)
    elif mix == DISTANCES and fused:
        for _ in range(turns):
            xs = opaque(xs)
            sums = take_up(sums, xs, ws, gs, one, DISTANCES, True)
    elif mix == DISTANCES:
        for _ in range(turns):
            xs = opaque(xs)
            sums = take_up(sums, xs, ws, gs, one, DISTANCES, False)
    elif mix == CLIPPED and fused:
        for _ in range(turns):
            xs = opaque(xs)
            sums = take_up(sums, xs, ws, gs, one, CLIPPED, True)
    elif mix == CLIPPED:
        for _ in range(turns):
            xs = opaque(xs)
            sums = take_up(sums, xs, ws, gs, one, CLIPPED, False)
    elif fused:
        for _ in range(turns):
            xs = opaque(xs)
            sums = take_up(sums, xs, ws, gs, one, SIGNS, True)
    else:
        for _ in range(turns):
            xs = opaque(xs)
            sums = take_up(sums, xs, ws, gs, one, SIGNS, False)
    store(sums, out, place, VECTORS * lanes, VECTORS)


@kernel(parallel=True)
def spin_all(
    threads: int, turns: int, mix: int, fused: bool, numbers: Array, out: Array, lanes: int, one: float
) -> None:
    """Run `spin` once on each thread."""
    for thread in numba.prange(threads):
        spin(turns, mix, fused, numbers, out, thread * SUMS * lanes, lanes, one)


class Spin:
    """A mix on all of Numba's threads, as a case to measure: `terms` terms a run, in about `SECONDS_A_RUN`.

    Of the two ways to subtract (see `take_up`) the faster is taken.

    Parameters
    ----------
    mix
        One of `MIXES`.

    Raises
    ------
    RuntimeError
        From a run whose sums are not the number of their terms: something else was run than is measured.
    """

    def __init__(self, mix: str) -> None:
        self.mix, self.lanes = mix, simd.lanes(4)
        self.threads = numba.get_num_threads()
        self.numbers = np.repeat(
            np.array([2.0, 1.0, 1.0], np.float32), [VECTORS * self.lanes, ROWS * self.lanes, VECTORS * self.lanes]
        )  # x, w and g, for which every term is 1, and a product 2
        self.out = np.zeros(self.threads * SUMS * self.lanes, np.float32)
        self.turns, self.fused = 1, False
        self()  # compiled
        self.turns = FIRST_TURNS
        turns = max(self.speed(False) for _ in range(3)) * SECONDS_A_RUN / self.out.size
        self.turns = min(MOST_TURNS, max(FIRST_TURNS, int(turns)))
        forms = (False,) if mix == "product" else (False, True)
        speeds = [(self.speed(form), form) for _ in range(RUNS_TO_CHOOSE) for form in forms]
        self.fused = max(speeds)[1]

    @property
    def terms(self) -> int:
        """How many terms a run adds."""
        return self.out.size * self.turns

    def __call__(self) -> None:
        """Run it, and check the sums."""
        spin_all(
            self.threads, self.turns, MIXES[self.mix], self.fused, self.numbers, self.out, self.lanes, np.float32(1)
        )
        wanted = self.turns * (2 if self.mix == "product" else 1)
        if not np.all(self.out == wanted):
            raise RuntimeError(
                f"the peak of the mix {self.mix!r} cannot be measured: sums that should be {wanted} "
                f"are {self.out.min()} to {self.out.max()}"
            )

    def speed(self, fused: bool) -> float:
        """Return the terms a second of one run."""
        self.fused = fused
        begin = time.perf_counter()
        self()
        return self.terms / (time.perf_counter() - begin)


def cases() -> dict[str, Spin]:
    """Return a case for each mix, named "peak " and the mix; none where this machine's peaks cannot be measured."""
    return {f"peak {mix}": Spin(mix) for mix in MIXES} if measurable() else {}
