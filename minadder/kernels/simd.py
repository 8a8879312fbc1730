"""Vector registers for kernels: a tile of them as one value, and the few operations that the windowed layers need.

A `Registers` value is a tile of LLVM vectors. Kept in local variables of a kernel it never touches memory, so that a
loop like

    sums = zeros(x, 16)
    for k in range(entries):
        sums = subtract_distances(sums, load(x, k * pitch, 0, 1, 4), w, k, entries, one)

works on 16 sums × 16 lanes at once. Written as plain loops the same sums are loaded and stored for every entry. Each
operation here is an intrinsic: a Python function that, while Numba compiles the kernel, emits the instructions. None of
them checks bounds. Arrays are one-dimensional and contiguous, and indices count their elements.

How wide vectors are, and whether there are any, follows from what the machine has: `VECTOR_BITS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba.core import cgutils, config, extending, types
from numba.core.datamodel import models

from minadder import environment

PrimitiveModel: Any = models.PrimitiveModel
intrinsic: Callable[..., Callable[..., Any]] = (
    extending.intrinsic
)  # what it returns is called in kernels alone, where Numba checks the types

SIGN, FULL_PRECISION, HARDTANH, PRODUCT = 0, 1, 2, 3
"""Slopes of a pair (a, b): sgn(a − b), a − b, a − b clipped to [−1, 1], and for the convolution just a."""

FLAGS = ("reassoc", "nsz", "contract")
"""As in `jit.FASTMATH`."""


def vector_bits() -> int:
    """Return the width of this machine's vector registers, 0 where kernels should be plain loops.

    Plain loops are for machines with less than 128 bits, for Python without Numba (`NUMBA_DISABLE_JIT=1`) and for
    `NUMBA_BOUNDSCHECK=1`, which sees no intrinsic. `$MINADDER_VECTOR_BITS` overrides, for tests: 0, 128, 256 or 512.
    Vectors wider than the machine's also work; LLVM splits them.
    """
    if config.DISABLE_JIT or config.BOUNDSCHECK:
        return 0
    chosen = environment.vector_bits()
    if chosen is not None:
        return chosen
    features = binding.get_host_cpu_features()
    widths = {512: "avx512f", 256: "avx", 128: "sse2"}
    if "sse2" not in features:  # no x86: ARM names its vector units in other words
        widths = {128: "neon"}
    return next((bits for bits, feature in widths.items() if features.get(feature)), 0)


VECTOR_BITS = vector_bits()

VECTORS = 4 if VECTOR_BITS == 512 or binding.get_host_cpu_features().get("neon") else 2
"""Vectors of neighbouring places in a tile: with 4 filters, 16 sums on machines of 32 registers, 8 on those of 16."""


def lanes(itemsize: int) -> int:
    """Return how many numbers of so many bytes a vector holds."""
    return VECTOR_BITS // (8 * itemsize)


class Registers(types.Type):
    """Numba's type of a tile of `count` vectors."""

    def __init__(self, dtype: types.Float, count: int) -> None:
        self.dtype = dtype
        self.count = count
        self.lanes = lanes(dtype.bitwidth // 8)
        super().__init__(name=f"Registers({dtype} x {self.lanes}, {count})")

    @property
    def vector(self) -> ir.VectorType:
        """LLVM's type of one vector."""
        return ir.VectorType(ir.FloatType() if self.dtype == types.float32 else ir.DoubleType(), self.lanes)

    @property
    def tile(self) -> ir.ArrayType:
        """LLVM's type of all vectors."""
        return ir.ArrayType(self.vector, self.count)


@extending.register_model(Registers)
class RegistersModel(PrimitiveModel):
    """How a tile is held: as an array of vectors, which LLVM's optimiser takes apart into registers."""

    def __init__(self, manager: Any, registers: Registers) -> None:
        super().__init__(manager, registers, registers.tile)


Value = Any
"""An LLVM value."""


def number(value: int) -> ir.Constant:
    """Return an index as a constant."""
    return ir.Constant(ir.IntType(64), value)


def unpack(builder: ir.IRBuilder, tile: Value) -> list[Value]:
    """Return the vectors of a tile."""
    return [builder.extract_value(tile, index) for index in range(tile.type.count)]


def pack(builder: ir.IRBuilder, vectors: list[Value]) -> Value:
    """Return vectors as a tile."""
    tile = ir.Constant(ir.ArrayType(vectors[0].type, len(vectors)), ir.Undefined)
    for index, vector in enumerate(vectors):
        tile = builder.insert_value(tile, vector, index)
    return tile


def splat(builder: ir.IRBuilder, value: Value, vector: ir.VectorType) -> Value:
    """Return a vector with the value in each lane."""
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    places = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, undefined, places)


def lane_mask(builder: ir.IRBuilder, count: Value, vector: ir.VectorType) -> Value:
    """Return which lanes are below a count."""
    indices = ir.VectorType(ir.IntType(64), vector.count)
    return builder.icmp_signed("<", ir.Constant(indices, list(range(vector.count))), splat(builder, count, indices))


def address(context: Any, builder: ir.IRBuilder, array_type: Any, array: Value, index: Value) -> Value:
    """Return a pointer to an array's element."""
    return builder.gep(context.make_array(array_type)(context, builder, value=array).data, [index])


def read(builder: ir.IRBuilder, pointer: Value, offset: Value, vector: ir.VectorType) -> Value:
    """Return the vector at a pointer plus an offset in elements; it need not be aligned."""
    value = builder.load(builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer()))
    value.align = element_bytes(vector)
    return value


def write(builder: ir.IRBuilder, value: Value, pointer: Value, offset: Value) -> None:
    """Write a vector to a pointer plus an offset in elements."""
    target = builder.bitcast(builder.gep(pointer, [offset]), value.type.as_pointer())
    builder.store(value, target).align = element_bytes(value.type)


def element_bytes(vector: ir.VectorType) -> int:
    """Return the size of a lane."""
    return 4 if isinstance(vector.element, ir.FloatType) else 8


def suffix(vector: ir.VectorType) -> str:
    """Return a vector's type as LLVM's intrinsics spell it."""
    return f"v{vector.count}f{8 * element_bytes(vector)}"


def call(builder: ir.IRBuilder, name: str, result: Any, *arguments: Value, **options: Any) -> Value:
    """Call an intrinsic of LLVM."""
    function_type = ir.FunctionType(result, [argument.type for argument in arguments])
    function = cgutils.get_or_insert_function(builder.module, function_type, name)
    return builder.call(function, arguments, **options)


def multiply_add(builder: ir.IRBuilder, x: Value, y: Value, z: Value) -> Value:
    """Return x·y + z, fused where the machine can."""
    return call(builder, f"llvm.fmuladd.{suffix(x.type)}", x.type, x, y, z)


def difference(builder: ir.IRBuilder, x: Value, y: Value, one: Value) -> Value:
    """Return x − y as x·1 − y, where `one` is a 1 that LLVM does not know.

    Processors have units for additions and others for multiply-adds. A sum of distances needs two additions each: with
    one of them on the multiply-add units it runs 1.2 times as fast, HardTanh's gradient 1.35 times (on a Zen 5).
    """
    return multiply_add(builder, x, one, builder.fneg(y))


def absolute(builder: ir.IRBuilder, x: Value) -> Value:
    """Return |x|."""
    return call(builder, f"llvm.fabs.{suffix(x.type)}", x.type, x, fastmath=FLAGS)


def slope(builder: ir.IRBuilder, rule: int, d: Value) -> Value:
    """Return what a gradient rule makes of a difference; NaN stays NaN."""
    one, minus_one, zero = (ir.Constant(d.type, [value] * d.type.count) for value in (1.0, -1.0, 0.0))
    if rule == HARDTANH:
        upper = builder.select(builder.fcmp_ordered("<", one, d), one, d)
        return builder.select(builder.fcmp_ordered(">", minus_one, upper), minus_one, upper)
    if rule == SIGN:
        lower = builder.select(builder.fcmp_ordered("<", d, zero), minus_one, d)
        return builder.select(builder.fcmp_ordered(">", d, zero), one, lower)
    return d


@intrinsic(prefer_literal=True)
def zeros(typing: Any, like: Any, count: Any) -> Any:
    """Return a tile of `count` vectors of zeros, of the dtype of the array `like`."""
    tile = Registers(like.dtype, count.literal_value)

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Value:
        return ir.Constant(tile.tile, None)

    return tile(like, count), emit


@intrinsic(prefer_literal=True)
def load(typing: Any, array: Any, index: Any, pitch: Any, rows: Any, vectors: Any) -> Any:
    """Return a tile of `rows` rows of `vectors` vectors, from the index on, rows `pitch` elements apart."""
    tile = Registers(array.dtype, rows.literal_value * vectors.literal_value)

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Value:
        pointer = address(context, builder, array, arguments[0], arguments[1])
        offsets = tile_offsets(builder, arguments[2], rows.literal_value, vectors.literal_value, tile.lanes)
        return pack(builder, [read(builder, pointer, offset, tile.vector) for offset in offsets])

    return tile(array, types.intp, types.intp, rows, vectors), emit


@intrinsic(prefer_literal=True)
def load_at(typing: Any, array: Any, offsets: Any, first: Any, place: Any, rows: Any, vectors: Any) -> Any:
    """Return a tile of `rows` rows of `vectors` vectors: row r starts at offsets[first + r] + place."""
    tile = Registers(array.dtype, rows.literal_value * vectors.literal_value)

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Value:
        pointer = address(context, builder, array, arguments[0], arguments[3])
        table = address(context, builder, offsets, arguments[1], arguments[2])
        found = []
        for row in range(rows.literal_value):
            start = builder.load(builder.gep(table, [number(row)]))
            for vector in range(vectors.literal_value):
                offset = builder.add(start, number(vector * tile.lanes))
                found.append(read(builder, pointer, offset, tile.vector))
        return pack(builder, found)

    return tile(array, offsets, types.intp, types.intp, rows, vectors), emit


@intrinsic(prefer_literal=True)
def store(typing: Any, tile: Any, array: Any, index: Any, pitch: Any, vectors: Any) -> Any:
    """Write a tile with rows of `vectors` vectors, from the index on, rows `pitch` elements apart."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Value:
        pointer = address(context, builder, array, arguments[1], arguments[2])
        rows = tile.count // vectors.literal_value
        offsets = tile_offsets(builder, arguments[3], rows, vectors.literal_value, tile.lanes)
        for value, offset in zip(unpack(builder, arguments[0]), offsets, strict=True):
            write(builder, value, pointer, offset)
        return context.get_dummy_value()

    return types.void(tile, array, types.intp, types.intp, vectors), emit


@intrinsic(prefer_literal=True)
def add_to(typing: Any, tile: Any, array: Any, index: Any, pitch: Any, vectors: Any) -> Any:
    """Add a tile with rows of `vectors` vectors to an array, from the index on, rows `pitch` elements apart."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Value:
        pointer = address(context, builder, array, arguments[1], arguments[2])
        rows = tile.count // vectors.literal_value
        offsets = tile_offsets(builder, arguments[3], rows, vectors.literal_value, tile.lanes)
        for value, offset in zip(unpack(builder, arguments[0]), offsets, strict=True):
            old = read(builder, pointer, offset, tile.vector)
            write(builder, builder.fadd(old, value, flags=FLAGS), pointer, offset)
        return context.get_dummy_value()

    return types.void(tile, array, types.intp, types.intp, vectors), emit


def tile_offsets(builder: ir.IRBuilder, pitch: Value, rows: int, vectors: int, width: int) -> list[Value]:
    """Return where each vector of a tile lies, rows `pitch` apart."""
    starts = [builder.mul(pitch, number(row)) for row in range(rows)]
    return [builder.add(start, number(vector * width)) for start in starts for vector in range(vectors)]


@intrinsic(prefer_literal=True)
def add_at(typing: Any, tile: Any, array: Any, offsets: Any, first: Any, place: Any, vectors: Any) -> Any:
    """Add a tile with rows of `vectors` vectors to an array: row r from offsets[first + r] + place on."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Value:
        pointer = address(context, builder, array, arguments[1], arguments[4])
        table = address(context, builder, offsets, arguments[2], arguments[3])
        values = unpack(builder, arguments[0])
        width = vectors.literal_value
        for row in range(tile.count // width):
            start = builder.load(builder.gep(table, [number(row)]))
            for vector in range(width):
                offset = builder.add(start, number(vector * tile.lanes))
                old = read(builder, pointer, offset, tile.vector)
                write(builder, builder.fadd(old, values[row * width + vector], flags=FLAGS), pointer, offset)
        return context.get_dummy_value()

    return types.void(tile, array, offsets, types.intp, types.intp, vectors), emit


@intrinsic(prefer_literal=True)
def keep(typing: Any, tile: Any, vectors: Any, count: Any) -> Any:
    """Return a tile with rows of `vectors` vectors, zero behind the first `count` places of each row."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Value:
        zero = ir.Constant(tile.vector, None)
        width = vectors.literal_value
        masks = [
            lane_mask(builder, builder.sub(arguments[2], number(vector * tile.lanes)), tile.vector)
            for vector in range(width)
        ]
        values = unpack(builder, arguments[0])
        return pack(builder, [builder.select(masks[i % width], value, zero) for i, value in enumerate(values)])

    return tile(tile, vectors, types.intp), emit


def scalars_times_row(combine: Callable[..., Value]) -> Any:
    """Return an intrinsic (sums, xs, w, index, pitch, one): sums[f, v] takes up combine(xs[v], w[index + f·pitch])."""

    @intrinsic
    def accumulate(typing: Any, sums: Any, xs: Any, w: Any, index: Any, pitch: Any, one: Any) -> Any:
        def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Value:
            old, values = unpack(builder, arguments[0]), unpack(builder, arguments[1])
            pointer = address(context, builder, w, arguments[2], arguments[3])
            unit = splat(builder, arguments[5], xs.vector)
            new = []
            for row in range(sums.count // xs.count):
                place = builder.mul(arguments[4], number(row))
                scalar = splat(builder, builder.load(builder.gep(pointer, [place])), xs.vector)
                for vector, value in enumerate(values):
                    new.append(combine(builder, old[row * xs.count + vector], value, scalar, unit))
            return pack(builder, new)

        return sums(sums, xs, w, types.intp, types.intp, one), emit

    return accumulate


subtract_distances = scalars_times_row(
    lambda builder, total, x, w, one: builder.fsub(
        total, absolute(builder, difference(builder, x, w, one)), flags=FLAGS
    )
)
"""(sums, xs, w, index, pitch, one) → sums with |xs[v] − w[index + f·pitch]| taken from sums[f, v]."""


def minus_square(builder: ir.IRBuilder, total: Value, x: Value, w: Value) -> Value:
    """Return total − (x − w)²: an addition and a multiply-add, which processors have different units for."""
    d = builder.fsub(x, w)
    return multiply_add(builder, builder.fneg(d), d, total)


subtract_squares = scalars_times_row(lambda builder, total, x, w, one: minus_square(builder, total, x, w))
"""(sums, xs, w, index, pitch, one) → sums with (xs[v] − w[index + f·pitch])² taken from sums[f, v]."""

add_products = scalars_times_row(lambda builder, total, x, w, one: multiply_add(builder, x, w, total))
"""(sums, xs, w, index, pitch, one) → sums with xs[v] · w[index + f·pitch] added to sums[f, v]."""


@intrinsic(prefer_literal=True)
def add_input_slopes(
    typing: Any, sums: Any, xs: Any, gs: Any, w: Any, index: Any, pitch: Any, one: Any, rule: Any
) -> Any:
    """Return sums with gs[v] · slope(w[index + r·pitch] − xs[r, v]) added to sums[r, v]."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Value:
        old, values, grads = (unpack(builder, argument) for argument in arguments[:3])
        pointer = address(context, builder, w, arguments[3], arguments[4])
        unit = splat(builder, arguments[6], xs.vector)
        new = []
        for row in range(sums.count // gs.count):
            scalar = splat(
                builder, builder.load(builder.gep(pointer, [builder.mul(arguments[5], number(row))])), xs.vector
            )
            for vector, grad in enumerate(grads):
                place = row * gs.count + vector
                d = multiply_add(builder, values[place], builder.fneg(unit), scalar)  # w − x·1: see `difference`
                new.append(multiply_add(builder, grad, slope(builder, rule.literal_value, d), old[place]))
        return pack(builder, new)

    return sums(sums, xs, gs, w, types.intp, types.intp, one, rule), emit


@intrinsic(prefer_literal=True)
def add_weight_slopes(typing: Any, sums: Any, gs: Any, xs: Any, w: Any, index: Any, one: Any, rule: Any) -> Any:
    """Return sums with gs[f] · slope(xs[k] − w[…]) added to sums[f, k], for PRODUCT gs[f] · xs[k].

    w holds, from the index on, a number for each sum.
    """

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Value:
        old, grads, values = (unpack(builder, argument) for argument in arguments[:3])
        pointer = address(context, builder, w, arguments[3], arguments[4])
        unit = splat(builder, arguments[5], xs.vector)
        new = []
        for place, total in enumerate(old):
            grad, value = grads[place // xs.count], values[place % xs.count]
            if rule.literal_value != PRODUCT:
                scalar = splat(builder, builder.load(builder.gep(pointer, [number(place)])), xs.vector)
                value = slope(builder, rule.literal_value, difference(builder, value, scalar, unit))
            new.append(multiply_add(builder, grad, value, total))
        return pack(builder, new)

    return sums(sums, gs, xs, w, types.intp, one, rule), emit


@intrinsic
def add_lane_sums(typing: Any, tile: Any, array: Any, index: Any) -> Any:
    """Add the sum of each vector's lanes to array[index], array[index + 1], …, one a vector.

    Two vectors of partial sums become one by adding their halves, then two of those, and so on: fewer steps than to
    add up the lanes of each vector alone.
    """

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Value:
        pointer = address(context, builder, array, arguments[1], arguments[2])
        partial, width = unpack(builder, arguments[0]), tile.lanes  # lanes that make up a sum
        while width > 1:
            lower = [lane for lane in range(2 * tile.lanes) if lane % width < width // 2]
            masks = [
                ir.Constant(ir.VectorType(ir.IntType(32), tile.lanes), [lane + shift for lane in lower])
                for shift in (0, width // 2)
            ]
            pairs = zip(partial[::2], partial[1::2], strict=True)
            partial = [
                builder.fadd(*(builder.shuffle_vector(a, b, mask) for mask in masks), flags=FLAGS) for a, b in pairs
            ]
            width //= 2
        for position, sums in enumerate(partial):
            offset = number(position * tile.lanes)
            old = read(builder, pointer, offset, tile.vector)
            write(builder, builder.fadd(old, sums, flags=FLAGS), pointer, offset)
        return context.get_dummy_value()

    return types.void(tile, array, types.intp), emit
