"""The layout of what windows see: against im2col from its definition, and its adjoint; nothing outside is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_cases import NAMED_LAYERS, constants, cuts

from minadder.autograd import Array
from minadder.kernels import unfold
from minadder.kernels.unfold import Layout
from minadder.testing import Layer, layers, seeds

GUARD = 64
"""Elements before and behind an array that must stay as they are."""

tiles = st.sampled_from([(1, 2), (2, 4), (4, 8), (8, 32), (16, 64)])
"""Places in a vector and in a tile."""

every_named_layer = pytest.mark.parametrize("name", NAMED_LAYERS)


class Part(NamedTuple):
    """What is laid out at a time."""

    image: int
    images: int
    channel: int
    channels: int
    row: int
    rows: int


def guarded(values: Array) -> tuple[Array, Array]:
    """Return a copy of an array between two zones of NaN, and the memory of all three."""
    memory = np.full(values.size + 2 * GUARD, np.nan, values.dtype)
    inner = memory[GUARD : GUARD + values.size].reshape(values.shape)
    inner[...] = values
    return inner, memory


def assert_guards_stand(*memories: Array) -> None:
    """Check that nothing was written before or behind guarded arrays."""
    for memory in memories:
        assert np.isnan(memory[:GUARD]).all()
        assert np.isnan(memory[memory.size - GUARD :]).all()


def layout_of(layer: Layer, tile: tuple[int, int]) -> Layout:
    """Return the layout of a layer."""
    return unfold.layout(
        layer.x.shape, layer.w.shape, layer.stride, layer.padding, layer.dilation, layer.x.itemsize, *tile
    )


def parts_of(layer: Layer, plan: Layout) -> Iterator[Part]:
    """List the parts into which a layer is cut, of all groups."""
    geo = plan.geometry[0]
    for group in range(layer.groups):
        for image in range(0, len(layer.x), geo.images):
            for row in range(0, plan.output[0], geo.rows):
                for c in range(0, geo.channels, geo.block):
                    images, rows = min(geo.images, len(layer.x) - image), min(geo.rows, plan.output[0] - row)
                    channels = min(geo.block, geo.channels - c)
                    yield Part(image, images, group * geo.channels + c, channels, row, rows)


def seen(layer: Layer, part: Part) -> Array:
    """Return what the windows of a part see, from the definition: (channels, kh, kw, rows, images, W')."""
    padded = np.pad(layer.x, ((0, 0), (0, 0), *((p, p) for p in layer.padding)))
    height, width = layer.w.shape[2:]
    found = np.empty((part.channels, height, width, part.rows, part.images, layer.grad.shape[3]), layer.x.dtype)
    images, channels = slice(part.image, part.image + part.images), slice(part.channel, part.channel + part.channels)
    for i, j in np.ndindex(height, width):
        rows = (part.row + np.arange(part.rows)) * layer.stride[0] + i * layer.dilation[0]
        columns = np.arange(layer.grad.shape[3]) * layer.stride[1] + j * layer.dilation[1]
        found[:, i, j] = padded[images, channels][:, :, rows][..., columns].transpose(1, 2, 0, 3)
    return found


def entries(u: Array, layer: Layer, plan: Layout, part: Part) -> Array:
    """Return the entries of a part's layout, in the shape of `seen`."""
    height, width = layer.w.shape[2:]
    per_row = plan.geometry[0].images * plan.output[1]
    stretches = [u[offset : offset + part.rows * per_row] for offset in plan.offsets[: part.channels * height * width]]
    found = np.array(stretches).reshape(part.channels, height, width, part.rows, -1, plan.output[1])
    return found[:, :, :, :, : part.images]


def run_unfold(x: Array, part: Part, plan: Layout, u: Array) -> None:
    """Lay out a part."""
    unfold.unfold(x, *part, plan.phases, plan.geometry, u)


def check_unfold(layer: Layer, plan: Layout) -> None:
    """Compare each part's layout with the definition."""
    x, x_memory = guarded(layer.x)
    for part in parts_of(layer, plan):
        u, u_memory = guarded(np.full(plan.geometry[0].elements, np.nan, x.dtype))
        run_unfold(x, part, plan, u)
        np.testing.assert_array_equal(entries(u, layer, plan, part), seen(layer, part))
        assert_guards_stand(u_memory, x_memory)


@given(layer=layers(), tile=tiles, cuts=cuts())
def test_the_layout_is_im2col(layer: Layer, tile: tuple[int, int], cuts: dict[str, Any]) -> None:
    with constants(**cuts):
        check_unfold(layer, layout_of(layer, tile))


@every_named_layer
def test_layouts_of_extreme_shapes_are_im2col(name: str) -> None:
    check_unfold(NAMED_LAYERS[name], layout_of(NAMED_LAYERS[name], (16, 64)))


def check_fold(layer: Layer, plan: Layout, seed: int) -> None:
    """Compare ⟨unfold x, u⟩ with ⟨x, fold u⟩ for each part, exactly, as all are multiples of ¼.

    What unfold leaves alone, here NaN, fold does not read.
    """
    rng = np.random.default_rng(seed)
    for part in parts_of(layer, plan):
        laid = np.full(plan.geometry[0].elements, np.nan)
        run_unfold(layer.x, part, plan, laid)
        written = ~np.isnan(laid)
        u, _ = guarded(np.where(written, rng.integers(-8, 9, laid.shape) / 2, np.nan))
        before = rng.integers(-8, 9, layer.x.shape) / 2
        folded, memory = guarded(before)
        unfold.fold(u, *part, plan.phases, plan.geometry, folded)
        assert (laid[written] * u[written]).sum() == (layer.x * (folded - before)).sum()
        assert_guards_stand(memory)
        images, channels = (slice(first, first + count) for first, count in (part[:2], part[2:4]))
        folded[images, channels] = before[images, channels]
        np.testing.assert_array_equal(folded, before)  # nothing was added to other images and channels


@given(layer=layers(), tile=tiles, cuts=cuts(), seed=seeds)
def test_fold_is_the_adjoint_of_unfold(layer: Layer, tile: tuple[int, int], cuts: dict[str, Any], seed: int) -> None:
    with constants(**cuts):
        check_fold(layer, layout_of(layer, tile), seed)


@every_named_layer
def test_fold_is_the_adjoint_of_unfold_for_extreme_shapes(name: str) -> None:
    check_fold(NAMED_LAYERS[name], layout_of(NAMED_LAYERS[name], (16, 64)), seed=0)


def check_outputs(layer: Layer, plan: Layout, first: int) -> None:
    """Compare each part's gathered outputs, of the filters from `first` on, with a slice, and scatter them back."""
    pitch, width = int(plan.geometry[0].pitch), plan.output[1]
    filters = len(layer.w) - first
    grad, grad_memory = guarded(layer.grad)
    back, back_memory = guarded(np.full(layer.grad.shape, np.nan))
    for part in parts_of(layer, plan):
        where = part.image, part.images, first, filters, part.row, part.rows, plan.geometry
        g, g_memory = guarded(np.full(filters * pitch, np.nan))
        unfold.gather_outputs(grad, *where, g, pitch)
        rows = slice(part.row, part.row + part.rows)
        wanted = grad[part.image : part.image + part.images, first:, rows].transpose(1, 2, 0, 3)
        places = g.reshape(filters, pitch)[:, : part.rows * plan.geometry[0].images * width]
        found = places.reshape(filters, part.rows, -1, width)
        np.testing.assert_array_equal(found[:, :, : part.images], wanted)
        assert np.isnan(found[:, :, part.images :]).all()
        unfold.scatter_outputs(g, pitch, *where, back)
        assert_guards_stand(grad_memory, g_memory, back_memory)
    np.testing.assert_array_equal(back[:, first:], layer.grad[:, first:])
    assert np.isnan(back[:, :first]).all()


@given(layer=layers(), tile=tiles, cuts=cuts(), first=st.integers(0, 2))
def test_outputs_are_gathered_in_the_order_of_places_and_scattered_back(
    layer: Layer, tile: tuple[int, int], cuts: dict[str, Any], first: int
) -> None:
    with constants(**cuts):
        check_outputs(layer, layout_of(layer, tile), min(first, len(layer.w) - 1))


@every_named_layer
def test_outputs_of_extreme_shapes_are_gathered_and_scattered_back(name: str) -> None:
    check_outputs(NAMED_LAYERS[name], layout_of(NAMED_LAYERS[name], (16, 64)), first=0)


@given(layer=layers(), tile=tiles, cuts=cuts())
def test_whatever_a_tile_reads_lies_in_the_layout(layer: Layer, tile: tuple[int, int], cuts: dict[str, Any]) -> None:
    """Tiles read whole tiles of places and blocks of entries; those behind the last entry belong to no other."""
    vector, group = tile
    with constants(**cuts):
        plan = layout_of(layer, tile)
    geo = plan.geometry[0]
    window = layer.w.shape[2] * layer.w.shape[3]
    laid_out = geo.rows * geo.images * plan.output[1]
    assert laid_out + vector <= geo.pitch < laid_out + group + vector
    assert (geo.pitch - vector) % group == 0
    assert len(plan.offsets) % 4 == 0
    assert (plan.offsets >= 0).all()
    assert plan.offsets.max() + geo.pitch <= geo.elements
    entries, none = plan.offsets[: geo.block * window], plan.offsets[geo.block * window :]
    assert len(set(entries.tolist())) == len(entries)
    assert (none >= entries.max() + laid_out).all()


@given(layer=layers(), tile=tiles, cuts=cuts())
def test_a_layer_is_cut_into_parts_that_cover_it_once(
    layer: Layer, tile: tuple[int, int], cuts: dict[str, Any]
) -> None:
    with constants(**cuts):
        plan = layout_of(layer, tile)
        geo, block_bytes = plan.geometry[0], unfold.BLOCK_BYTES
    seen = np.zeros((*layer.x.shape[:2], plan.output[0]), int)
    parts = list(parts_of(layer, plan))
    for image, images, channel, channels, row, rows in parts:
        seen[image : image + images, channel : channel + channels, row : row + rows] += 1
    assert (seen == 1).all()
    blocks = -(-layer.w.shape[1] // plan.block)
    assert len(parts) == layer.groups * plan.image_groups * plan.bands * blocks
    assert plan.block == geo.block
    stretch = geo.kernel_width * geo.slots * geo.images * geo.out_width
    assert geo.block == 1 or geo.block * stretch * layer.x.itemsize <= block_bytes


def test_named_layers_meet_each_way_to_cut() -> None:
    """In float32 and tiles of 64 places: what the constants must be for the tests to see all that they should."""
    plans = {name: layout_of(layer.astype(np.float32), (16, 64)) for name, layer in NAMED_LAYERS.items()}
    met = set()
    for name, plan in plans.items():
        geo, layer = plan.geometry[0], NAMED_LAYERS[name]
        met |= {("bands", plan.bands > 1 and plan.output[0] % geo.rows > 0)}
        met |= {("channel blocks", layer.w.shape[1] > geo.block and layer.w.shape[1] % geo.block > 0)}
        met |= {("phases", len(plan.phases) > 1)}
        for short in (True, False):
            several = geo.images > 1 and (geo.out_width < unfold.SHORT_ROW) == short
            met |= {(f"several images, short rows: {short}", several)}
            met |= {(f"fewer images in the last, short rows: {short}", several and len(layer.x) % geo.images > 0)}
    assert {what for what, is_met in met if is_met} == {what for what, _ in met}


sizes = st.integers(1, 3000)


@given(count=st.integers(0, 600), height=sizes, width=sizes, group=st.sampled_from([4, 8, 32, 64]))
def test_a_layout_is_a_band_of_one_image_or_several_whole_images(
    count: int, height: int, width: int, group: int
) -> None:
    rows, images = unfold.band(count, height, width, group)
    assert 1 <= rows <= height
    assert 1 <= images <= max(1, count)
    if height * width > unfold.BAND_PLACES:
        assert images == 1
        assert rows * width <= max(width, unfold.BAND_PLACES)
    else:
        assert rows == height
        assert images * height * width <= unfold.MOST_PLACES


def test_few_images_still_make_several_layouts() -> None:
    """So that there is work for several threads, unless the layouts would become too small."""
    for count in range(1, 65):
        _, images = unfold.band(count, 16, 16, 64)
        assert images <= max(1, -(-count // unfold.LEAST_TASKS), 2 * unfold.ENOUGH_PLACES // (16 * 16))


def test_small_images_share_tiles() -> None:
    """One place an image, as in a layer on features, would leave most of each tile empty."""
    _, images = unfold.band(1024, 1, 1, 64)
    assert images % 64 == 0
    assert images >= unfold.ENOUGH_PLACES


@given(first=st.integers(-30, 30), length=st.integers(0, 20), step=st.integers(1, 5), width=st.integers(0, 20))
def test_inside_finds_the_places_in_the_image(first: int, length: int, step: int, width: int) -> None:
    low, high = unfold.inside(first, length, step, width)
    assert 0 <= low <= high <= length
    assert list(range(low, high)) == [q for q in range(length) if 0 <= first + q * step < width]


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("move", [unfold.copy_column, unfold.add_column], ids=["copy", "add"])
@given(
    to=st.integers(0, 3), to_step=st.integers(1, 3), begin=st.integers(0, 3), step=st.integers(1, 3),
    count=st.integers(0, 70)
)  # fmt: skip
def test_columns(
    dtype: Any, move: Callable[..., None], to: int, to_step: int, begin: int, step: int, count: int
) -> None:
    source, source_memory = guarded(np.arange(begin + count * step + 1, dtype=dtype))
    before = np.arange(to + count * to_step + 1, dtype=dtype) / 2
    target, memory = guarded(before)
    move(target, to, to_step, source, begin, step, count)
    taken = source[begin : begin + count * step : step]
    wanted = before.copy()
    wanted[to : to + count * to_step : to_step] = (
        taken if move is unfold.copy_column else taken + wanted[to : to + count * to_step : to_step]
    )
    np.testing.assert_array_equal(target, wanted)
    assert_guards_stand(memory, source_memory)
