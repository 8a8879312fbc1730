"""The kernels' inner loops, as this machine should run them: in vector registers, or plain."""

from __future__ import annotations

from minadder.kernels import plain_tiles, simd, vector_tiles

_tiles = vector_tiles if simd.VECTOR_BITS else plain_tiles

ENTRIES = _tiles.ENTRIES
copy_planes = _tiles.copy_planes
add_planes = _tiles.add_planes
forward_tile = _tiles.forward_tile
input_grad_tile = _tiles.input_grad_tile
pulled_grad_tile = _tiles.pulled_grad_tile
weight_grad_tile = _tiles.weight_grad_tile
