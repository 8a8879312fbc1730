"""Planes of numbers copied between images and the buffers of kernels in vector registers, or added to them.

With masks, so that no vector reads or writes beyond a row's end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from minadder.kernels.simd import (
    FLAGS,
    Registers,
    Value,
    address,
    call,
    element_bytes,
    intrinsic,
    lane_mask,
    number,
    read,
    suffix,
    write,
)


@intrinsic(prefer_literal=True)
def move_planes(
    typing: Any,
    target: Any,
    to: Any,
    to_plane: Any,
    to_row: Any,
    source: Any,
    begin: Any,
    plane_step: Any,
    row_step: Any,
    planes: Any,
    rows: Any,
    count: Any,
    spacing: Any,
    adding: Any,
) -> Any:
    """Copy planes of `rows` rows of `count` > 0 numbers to planes `to_plane` apart, or add them where `adding`.

    With a spacing of 2, every second number of the source is copied, or every second one of the target added to.
    For rows of a few vectors, where the start of a plain loop would cost more than its work.
    """
    vector = Registers(target.dtype, 1).vector
    add: bool = adding.literal_value
    spacings = (1, spacing.literal_value) if add else (spacing.literal_value, 1)

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Value:
        _, to, to_plane, to_row, _, begin, plane_step, row_step, planes, rows, count, _, _ = arguments
        width = number(vector.count)
        rest = builder.srem(builder.sub(count, number(1)), width)
        whole = builder.sub(builder.sub(count, number(1)), rest)
        last_masks = [spaced_masks(builder, builder.add(rest, number(1)), each, vector) for each in spacings]

        def place(first: Value, plane: Value, step: Value, row: Value, small_step: Value) -> Value:
            return builder.add(first, builder.add(builder.mul(plane, step), builder.mul(row, small_step)))

        def move_vector(sources: Value, targets: Value, offset: Value, masks: list[list[Value | None]]) -> None:
            taken, written = (
                builder.gep(row, [builder.mul(offset, number(each))])
                for row, each in zip((sources, targets), spacings, strict=True)
            )
            value = close_up(builder, read_masked(builder, taken, vector, masks[0]))
            values = spread_out(builder, value, spacings[1])
            if add:
                old = read_masked(builder, written, vector, masks[1])
                values = [builder.fadd(x, y, flags=FLAGS) for x, y in zip(old, values, strict=True)]
            write_masked(builder, values, written, masks[1])

        with cgutils.for_range(builder, planes) as plane, cgutils.for_range(builder, rows) as row:
            written = place(to, plane.index, to_plane, row.index, to_row)
            taken = place(begin, plane.index, plane_step, row.index, row_step)
            targets = address(context, builder, target, arguments[0], written)
            sources = address(context, builder, source, arguments[4], taken)
            with cgutils.for_range_slice(builder, number(0), whole, width) as (offset, _):
                move_vector(sources, targets, offset, [[None] * each for each in spacings])
            move_vector(sources, targets, whole, last_masks)
        return context.get_dummy_value()

    sizes = [types.intp] * 3
    return types.void(target, *sizes, source, *sizes, *sizes, spacing, adding), emit


def spaced_masks(builder: ir.IRBuilder, count: Value, spacing: int, vector: ir.VectorType) -> list[Value]:
    """Return, for each of the vectors that `count` numbers `spacing` apart lie in, which lanes come before their end.

    The end is behind the last of the numbers: what would fill up its spacing may belong to nobody.
    """
    end = builder.add(builder.mul(builder.sub(count, number(1)), number(spacing)), number(1))
    return [lane_mask(builder, builder.sub(end, number(i * vector.count)), vector) for i in range(spacing)]


def close_up(builder: ir.IRBuilder, vectors: list[Value]) -> Value:
    """Return the even lanes of two vectors as one; of one vector itself."""
    if len(vectors) == 1:
        return vectors[0]
    width = vectors[0].type.count
    lanes_of_both = ir.Constant(ir.VectorType(ir.IntType(32), width), [2 * lane for lane in range(width)])
    return builder.shuffle_vector(*vectors, lanes_of_both)


def spread_out(builder: ir.IRBuilder, value: Value, spacing: int) -> list[Value]:
    """Return a vector as the even lanes of two, with zeros between; for a spacing of 1 itself."""
    if spacing == 1:
        return [value]
    width = value.type.count
    zero = ir.Constant(value.type, None)
    halves = []
    for first in (0, width // 2):
        lanes_of_both = [first + lane // 2 if lane % 2 == 0 else width for lane in range(width)]
        halves.append(
            builder.shuffle_vector(value, zero, ir.Constant(ir.VectorType(ir.IntType(32), width), lanes_of_both))
        )
    return halves


def read_masked(
    builder: ir.IRBuilder, pointer: Value, vector: ir.VectorType, masks: Sequence[Value | None]
) -> list[Value]:
    """Return the vectors at a pointer, one for each mask, reading its lanes only; None stands for all lanes."""
    found = []
    for index, mask in enumerate(masks):
        offset = number(index * vector.count)
        if mask is None:
            found.append(read(builder, pointer, offset, vector))
            continue
        alignment = ir.Constant(ir.IntType(32), element_bytes(vector))
        place = builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())
        zero = ir.Constant(vector, None)
        name = f"llvm.masked.load.{suffix(vector)}.p0"
        found.append(call(builder, name, vector, place, alignment, mask, zero))
    return found


def write_masked(builder: ir.IRBuilder, values: list[Value], pointer: Value, masks: Sequence[Value | None]) -> None:
    """Write vectors to a pointer, of each the lanes of its mask; None stands for all lanes."""
    for index, (value, mask) in enumerate(zip(values, masks, strict=True)):
        offset = number(index * value.type.count)
        if mask is None:
            write(builder, value, pointer, offset)
            continue
        alignment = ir.Constant(ir.IntType(32), element_bytes(value.type))
        place = builder.bitcast(builder.gep(pointer, [offset]), value.type.as_pointer())
        name = f"llvm.masked.store.{suffix(value.type)}.p0"
        call(builder, name, ir.VoidType(), value, place, alignment, mask)
