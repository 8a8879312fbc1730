"""The kernels' inner loops, as this machine should run them: in vector registers, or plain."""

from __future__ import annotations

from typing import Any

from numba.core import types

from minadder.kernels import plain_power_tiles, plain_tiles, simd, vector_power_tiles, vector_tiles
from minadder.kernels.powers import overload
from minadder.kernels.simd_powers import PERMUTES

_tiles = vector_tiles if simd.VECTOR_BITS else plain_tiles

ENTRIES = _tiles.ENTRIES
copy_planes = _tiles.copy_planes
add_planes = _tiles.add_planes
forward_tile = _tiles.forward_tile
input_grad_tile = _tiles.input_grad_tile
pulled_grad_tile = _tiles.pulled_grad_tile
weight_grad_tile = _tiles.weight_grad_tile


def for_dtype(vector: Any, plain: Any) -> Any:
    """Return a tile for kernels to call: in vector registers for float32 where they can hold tables, else plain."""

    def in_python(*arguments: Any) -> None:
        plain(*arguments)

    @overload(in_python)  # type: ignore[untyped-decorator]
    def chosen(*arguments: Any) -> Any:
        tile = vector if PERMUTES and arguments[0].dtype == types.float32 else plain

        def call(*arguments: Any) -> Any:
            return tile(*arguments)

        return call

    return in_python


forward_power_tile = for_dtype(vector_power_tiles.forward_power_tile, plain_power_tiles.forward_power_tile)
input_power_tile = for_dtype(vector_power_tiles.input_power_tile, plain_power_tiles.input_power_tile)
weight_power_tile = for_dtype(vector_power_tiles.weight_power_tile, plain_power_tiles.weight_power_tile)
