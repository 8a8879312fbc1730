"""|d|^q in vector registers, from the tables of `powers.py`, and the sums of ℓp adder layers that are made of it.

For float32 on machines where registers can be looked up in by registers (AVX-512).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba.core import types

from minadder.kernels.powers import FORMATS, LOW
from minadder.kernels.simd import (
    VECTOR_BITS,
    Value,
    address,
    call,
    difference,
    intrinsic,
    multiply_add,
    number,
    pack,
    read,
    splat,
    unpack,
)

PERMUTES = VECTOR_BITS == 512 and bool(binding.get_host_cpu_features().get("avx512f"))
"""Whether one instruction looks up 16 float32 in a table of 16: what this file is for."""


def integers(vector: ir.VectorType) -> ir.VectorType:
    """Return the type of the bits of a vector's numbers."""
    return ir.VectorType(ir.IntType(32), vector.count)


def everywhere(vector: ir.VectorType, value: float) -> ir.Constant:
    """Return a vector with a constant in all lanes."""
    return ir.Constant(vector, [value] * vector.count)


def power_factors(builder: ir.IRBuilder, d: Value, table: Value) -> tuple[Value, Value]:
    """Return two factors of |d|^q: 2^(q·e), and m^q."""
    vector, layout = d.type, FORMATS[np.dtype(np.float32)]
    whole = integers(vector)
    bits, mantissa = builder.bitcast(d, whole), layout.mantissa_bits
    rest_bits = mantissa - layout.segment_bits

    def look_up(first: int, behind: int) -> Value:
        """Return entries first to first + 15 of the table, by four of the bits."""
        entries = read(builder, table, number(first), vector)
        index = builder.lshr(bits, everywhere(whole, behind))
        return call(builder, "llvm.x86.avx512.permvar.sf.512", vector, entries, index)

    scale = builder.fmul(look_up(0, mantissa), look_up(LOW, mantissa + 4))
    rest = builder.or_(
        builder.and_(bits, everywhere(whole, (1 << rest_bits) - 1)), everywhere(whole, layout.bias << mantissa)
    )
    distance = builder.fsub(builder.bitcast(rest, vector), everywhere(vector, 1 + 0.5 / 16))
    coefficients = [look_up(LOW + layout.high + 16 * n, rest_bits) for n in range(layout.degree + 1)]
    total = coefficients.pop()
    while coefficients:
        total = multiply_add(builder, total, distance, coefficients.pop())
    return scale, total


def signed(builder: ir.IRBuilder, size: Value, d: Value) -> Value:
    """Return a number that is not negative with the sign of d."""
    whole = integers(d.type)
    sign = builder.and_(builder.bitcast(d, whole), everywhere(whole, 1 << (whole.element.width - 1)))
    return builder.bitcast(builder.or_(builder.bitcast(size, whole), sign), d.type)


@intrinsic
def subtract_powers(typing: Any, sums: Any, xs: Any, w: Any, index: Any, pitch: Any, table: Any) -> Any:
    """Return sums with |xs[v] − w[index + f·pitch]|^q taken from sums[f, v]."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Value:
        old, values = unpack(builder, arguments[0]), unpack(builder, arguments[1])
        pointer = address(context, builder, w, arguments[2], arguments[3])
        tables = address(context, builder, table, arguments[5], number(0))
        new = []
        for place, total in enumerate(old):
            row, column = divmod(place, xs.count)
            offset = builder.mul(arguments[4], number(row))
            scalar = splat(builder, builder.load(builder.gep(pointer, [offset])), xs.vector)
            scale, factor = power_factors(builder, builder.fsub(values[column], scalar), tables)
            new.append(multiply_add(builder, builder.fneg(scale), factor, total))
        return pack(builder, new)

    return sums(sums, xs, w, types.intp, types.intp, table), emit


@intrinsic
def add_input_powers(
    typing: Any, sums: Any, xs: Any, gs: Any, w: Any, index: Any, pitch: Any, one: Any, table: Any
) -> Any:
    """Return sums with gs[v] · sgn(d)·|d|^q added to sums[r, v], where d = w[index + r·pitch] − xs[r, v]."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Value:
        old, values, grads = (unpack(builder, argument) for argument in arguments[:3])
        pointer = address(context, builder, w, arguments[3], arguments[4])
        tables = address(context, builder, table, arguments[7], number(0))
        unit = splat(builder, arguments[6], xs.vector)
        new = []
        for place, total in enumerate(old):
            row, column = divmod(place, gs.count)
            offset = builder.mul(arguments[5], number(row))
            scalar = splat(builder, builder.load(builder.gep(pointer, [offset])), xs.vector)
            d = multiply_add(builder, values[place], builder.fneg(unit), scalar)
            scale, factor = power_factors(builder, d, tables)
            grad = builder.fmul(grads[column], signed(builder, scale, d))
            new.append(multiply_add(builder, grad, factor, total))
        return pack(builder, new)

    return sums(sums, xs, gs, w, types.intp, types.intp, one, table), emit


@intrinsic
def add_weight_powers(typing: Any, sums: Any, gs: Any, xs: Any, w: Any, index: Any, one: Any, table: Any) -> Any:
    """Return sums with gs[f] · sgn(d)·|d|^q added to sums[f, k], where d = xs[k] − w[…].

    w holds, from the index on, a number for each sum.
    """

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Value:
        old, grads, values = (unpack(builder, argument) for argument in arguments[:3])
        pointer = address(context, builder, w, arguments[3], arguments[4])
        tables = address(context, builder, table, arguments[6], number(0))
        unit = splat(builder, arguments[5], xs.vector)
        new = []
        for place, total in enumerate(old):
            row, column = divmod(place, xs.count)
            scalar = splat(builder, builder.load(builder.gep(pointer, [number(place)])), xs.vector)
            d = difference(builder, values[column], scalar, unit)
            scale, factor = power_factors(builder, d, tables)
            grad = builder.fmul(grads[row], signed(builder, scale, d))
            new.append(multiply_add(builder, grad, factor, total))
        return pack(builder, new)

    return sums(sums, gs, xs, w, types.intp, one, table), emit
