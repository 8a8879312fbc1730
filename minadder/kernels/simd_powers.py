"""|d|^q of ordinary d in vector registers, and the sums of ℓp adder layers that are made of it.

For float32 on machines where registers can be looked up in by registers (AVX-512, AVX2). What is ordinary, and the
tables: `powers.py`. Beside their sums kernels keep notes on whether all differences were ordinary; where one was not,
they compute the sums again in another way, which takes 20 times as long.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba.core import types

from minadder.kernels.powers import FIRST_ORDINARY, FORMATS, LARGE_DEGREE, ORDINARY, SMALL_DEGREE, STEPS
from minadder.kernels.simd import (
    VECTOR_BITS,
    Registers,
    Value,
    address,
    call,
    intrinsic,
    multiply_add,
    number,
    pack,
    read,
    splat,
    unpack,
)

PERMUTES = bool(binding.get_host_cpu_features().get({512: "avx512f", 256: "avx2"}.get(VECTOR_BITS, "none")))
"""Whether one instruction looks up a register of float32 in registers: what this file is for."""


def integers(vector: ir.VectorType) -> ir.VectorType:
    """Return the type of the bits of a vector's numbers."""
    return ir.VectorType(ir.IntType(32), vector.count)


def everywhere(vector: ir.VectorType, value: float) -> ir.Constant:
    """Return a vector with a constant in all lanes."""
    return ir.Constant(vector, [value] * vector.count)


def ordinary_factors(builder: ir.IRBuilder, d: Value, table: Value, degree: int) -> tuple[Value, Value]:
    """Return two factors of |d|^q for ordinary d: 2^(q·e) times a constant, and m^q divided by it."""
    vector, layout = d.type, FORMATS[np.dtype(np.float32)]
    whole = integers(vector)
    exponent = builder.lshr(builder.bitcast(d, whole), everywhere(whole, layout.mantissa_bits))
    scale = look_up(builder, exponent, table, vector)
    m = mantissa(builder, d)
    first = layout.ordinary + ORDINARY + 2 * STEPS
    scalars = [builder.load(builder.gep(table, [number(first + n)])) for n in range(degree)]
    polynomial = fifth_degree if degree == LARGE_DEGREE else sixth_degree
    return scale, polynomial(builder, m, [splat(builder, scalar, vector) for scalar in scalars])


def mantissa(builder: ir.IRBuilder, d: Value) -> Value:
    """Return m. Where one instruction does it, and reads one register, it is faster than to put bits together."""
    vector, layout = d.type, FORMATS[np.dtype(np.float32)]
    if VECTOR_BITS == 512:
        without_sign, all_lanes, no_rounding = ir.IntType(32)(4), ir.IntType(16)(-1), ir.IntType(32)(4)
        options = without_sign, ir.Constant(vector, None), all_lanes, no_rounding
        return call(builder, "llvm.x86.avx512.mask.getmant.ps.512", vector, d, *options)
    whole = integers(vector)
    rest = builder.and_(builder.bitcast(d, whole), everywhere(whole, (1 << layout.mantissa_bits) - 1))
    return builder.bitcast(builder.or_(rest, everywhere(whole, layout.bias << layout.mantissa_bits)), vector)


def look_up(builder: ir.IRBuilder, exponent: Value, table: Value, vector: ir.VectorType) -> Value:
    """Return what the table says of exponents by their 5 lowest bits: in one lookup where registers are so wide."""
    first = FORMATS[np.dtype(np.float32)].ordinary
    if vector.count == ORDINARY // 2:
        low, high = (read(builder, table, number(first + half), vector) for half in (0, vector.count))
        return call(builder, "llvm.x86.avx512.vpermi2var.ps.512", vector, low, exponent, high)
    steps, starts = (read(builder, table, number(first + ORDINARY + n), vector) for n in (0, STEPS))
    step = call(builder, "llvm.x86.avx2.permps", vector, steps, exponent)
    start = call(builder, "llvm.x86.avx2.permps", vector, starts, builder.lshr(exponent, everywhere(exponent.type, 3)))
    return builder.fmul(step, start)


def fifth_degree(builder: ir.IRBuilder, m: Value, coefficients: list[Value]) -> Value:
    """Return m^5 + Σ c_i·m^i of c_0 … c_4, by Estrin's scheme: fewer steps wait for each other than in Horner's."""
    constant, linear, square, cubic, fourth = coefficients
    m_squared = builder.fmul(m, m)
    middle = multiply_add(builder, m, cubic, square)
    highest = multiply_add(builder, builder.fadd(m, fourth), m_squared, middle)
    return multiply_add(builder, highest, m_squared, multiply_add(builder, m, linear, constant))


def sixth_degree(builder: ir.IRBuilder, m: Value, coefficients: list[Value]) -> Value:
    """Return x^6 + Σ c_i·x^i where x = m + s, of s and c_0 … c_4.

    Without x^5 two of its steps are sums and no multiply-adds: processors have units of their own for these.
    """
    shift, constant, linear, square, cubic, fourth = coefficients
    x = builder.fadd(m, shift)
    x_squared = builder.fmul(x, x)
    middle = multiply_add(builder, x, cubic, square)
    highest = multiply_add(builder, builder.fadd(x_squared, fourth), x_squared, middle)
    return multiply_add(builder, highest, x_squared, multiply_add(builder, x, linear, constant))


def note(builder: ir.IRBuilder, notes: Value, differences: list[Value]) -> Value:
    """Return the notes, a vector of bits, without those that are 0 in some difference: see `extraordinary`."""
    whole = integers(notes.type)
    kept = builder.bitcast(notes, whole)
    bits = [builder.bitcast(difference, whole) for difference in differences]
    for pair in (bits[begin : begin + 2] for begin in range(0, len(bits), 2)):
        kept = builder.and_(kept, builder.and_(pair[0], pair[-1]))  # with AVX-512 one instruction
    return builder.bitcast(kept, notes.type)


def signed(builder: ir.IRBuilder, value: Value, d: Value) -> Value:
    """Return a value times the sign of d."""
    whole = integers(d.type)
    sign = builder.and_(builder.bitcast(d, whole), everywhere(whole, 1 << (whole.element.width - 1)))
    return builder.bitcast(builder.xor(builder.bitcast(value, whole), sign), d.type)


@intrinsic
def subtract_powers(typing: Any, sums: Any, xs: Any, w: Any, index: Any, pitch: Any, table: Any) -> Any:
    """Return sums with |xs[v] − w[index + f·pitch]|^q taken from sums[f, v]. The last of the sums are notes."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Value:
        *old, notes = unpack(builder, arguments[0])
        values = unpack(builder, arguments[1])
        pointer = address(context, builder, w, arguments[2], arguments[3])
        tables = address(context, builder, table, arguments[5], number(0))
        new: list[Value] = []
        differences: list[Value] = []
        for place, total in enumerate(old):
            row, column = divmod(place, xs.count)
            offset = builder.mul(arguments[4], number(row))
            scalar = splat(builder, builder.load(builder.gep(pointer, [offset])), xs.vector)
            d = builder.fsub(values[column], scalar)
            differences.append(d)
            scale, factor = ordinary_factors(builder, d, tables, LARGE_DEGREE)
            new.append(multiply_add(builder, builder.fneg(scale), factor, total))
        return pack(builder, [*new, note(builder, notes, differences)])

    return sums(sums, xs, w, types.intp, types.intp, table), emit


@intrinsic
def add_input_powers(typing: Any, sums: Any, xs: Any, gs: Any, w: Any, index: Any, table: Any) -> Any:
    """Return sums with gs[v] · sgn(d)·|d|^q added to sums[v], where d = w[index] − xs[v]. The last sums are notes."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Value:
        *old, notes = unpack(builder, arguments[0])
        values, grads = unpack(builder, arguments[1]), unpack(builder, arguments[2])
        scalar = builder.load(address(context, builder, w, arguments[3], arguments[4]))
        tables = address(context, builder, table, arguments[5], number(0))
        new: list[Value] = []
        differences: list[Value] = []
        for total, value, grad in zip(old, values, grads, strict=True):
            d = builder.fsub(splat(builder, scalar, xs.vector), value)
            differences.append(d)
            scale, factor = ordinary_factors(builder, d, tables, SMALL_DEGREE)
            new.append(multiply_add(builder, builder.fmul(grad, signed(builder, scale, d)), factor, total))
        return pack(builder, [*new, note(builder, notes, differences)])

    return sums(sums, xs, gs, w, types.intp, table), emit


@intrinsic
def add_weight_powers(typing: Any, sums: Any, gs: Any, xs: Any, w: Any, index: Any, table: Any) -> Any:
    """Return sums with gs[f] · sgn(d)·|d|^q added to sums[f, k], where d = xs[k] − w[…]. The last sums are notes.

    w holds, from the index on, a number for each sum.
    """

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Value:
        *old, notes = unpack(builder, arguments[0])
        grads, values = unpack(builder, arguments[1]), unpack(builder, arguments[2])
        pointer = address(context, builder, w, arguments[3], arguments[4])
        tables = address(context, builder, table, arguments[5], number(0))
        new: list[Value] = []
        differences: list[Value] = []
        for place, total in enumerate(old):
            row, column = divmod(place, xs.count)
            scalar = splat(builder, builder.load(builder.gep(pointer, [number(place)])), xs.vector)
            d = builder.fsub(values[column], scalar)
            differences.append(d)
            scale, factor = ordinary_factors(builder, d, tables, SMALL_DEGREE)
            new.append(multiply_add(builder, builder.fmul(grads[row], signed(builder, scale, d)), factor, total))
        return pack(builder, [*new, note(builder, notes, differences)])

    return sums(sums, gs, xs, w, types.intp, table), emit


@intrinsic
def with_notes(typing: Any, sums: Any) -> Any:
    """Return sums with a vector behind them for notes on the differences."""
    noted = Registers(sums.dtype, sums.count + 1)

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Value:
        nothing = builder.bitcast(everywhere(integers(noted.vector), -1), noted.vector)
        return pack(builder, [*unpack(builder, arguments[0]), nothing])

    return noted(sums), emit


@intrinsic
def without_notes(typing: Any, noted: Any) -> Any:
    """Return the sums alone."""
    sums = Registers(noted.dtype, noted.count - 1)

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Value:
        return pack(builder, unpack(builder, arguments[0])[:-1])

    return sums(noted), emit


@intrinsic
def extraordinary(typing: Any, noted: Any) -> Any:
    """Return whether the notes tell of a difference that was not ordinary, for which the sums are wrong.

    The exponent of ordinary numbers, with its bias, is 011….. in bits. It is the second and third bit that are looked
    at. So numbers from 2^97 on must not come here.
    """

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Value:
        *_, notes = unpack(builder, arguments[0])
        whole, layout = integers(notes.type), FORMATS[np.dtype(np.float32)]
        set_bits = ir.Constant(whole.element, (layout.bias + FIRST_ORDINARY) << layout.mantissa_bits)
        bits = call(builder, f"llvm.vector.reduce.and.v{whole.count}i32", whole.element, builder.bitcast(notes, whole))
        found = builder.icmp_unsigned("!=", builder.and_(bits, set_bits), set_bits)
        return call(builder, "llvm.expect.i1", found.type, found, found.type(0))

    return types.boolean(noted), emit
