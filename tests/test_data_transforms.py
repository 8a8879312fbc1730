"""Transforms: what a crop and a flip return, checked against their definitions image by image."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from minadder.data import Compose, RandomCrop, RandomHorizontalFlip
from minadder.data.transforms import Transform

SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def batches(draw: st.DrawFn) -> NDArray[Any]:
    """Images whose pixels all differ, so that a window is found at one place only."""
    shape = tuple(draw(st.integers(low, high)) for low, high in ((0, 6), (1, 3), (1, 6), (1, 6)))
    dtype = draw(st.sampled_from([np.float32, np.float64, np.int64]))
    return np.arange(1, 1 + int(np.prod(shape))).reshape(shape).astype(dtype)


def windows(image: NDArray[Any], size: int | tuple[int, int], padding: int) -> list[NDArray[Any]]:
    """Every window of the zero-padded image ``(C, H, W)``, by plain loops."""
    rows, columns = size if isinstance(size, tuple) else (size, size)
    channels, height, width = image.shape
    padded = np.zeros((channels, height + 2 * padding, width + 2 * padding), image.dtype)
    padded[:, padding : padding + height, padding : padding + width] = image
    return [
        padded[:, top : top + rows, left : left + columns]
        for top in range(padded.shape[1] - rows + 1)
        for left in range(padded.shape[2] - columns + 1)
    ]


@given(
    batch=batches(),
    size=st.integers(1, 6) | st.tuples(st.integers(1, 6), st.integers(1, 6)),
    padding=st.integers(0, 3),
    seed=SEEDS,
)
def test_a_crop_is_a_window_of_the_padded_image(
    batch: NDArray[Any], size: int | tuple[int, int], padding: int, seed: int
) -> None:
    before = batch.copy()
    crop = RandomCrop(size, padding)
    sides = size if isinstance(size, tuple) else (size, size)
    if any(side > length + 2 * padding for side, length in zip(sides, batch.shape[2:], strict=True)):
        message = re.escape(f"RandomCrop(size={size}, padding={padding}) does not fit")
        with pytest.raises(ValueError, match=message):
            crop(batch, np.random.default_rng(seed))
        return
    result = crop(batch, np.random.default_rng(seed))
    assert result.shape == (*batch.shape[:2], *sides)
    assert result.dtype == batch.dtype
    assert not np.shares_memory(result, batch)
    for image, cropped in zip(batch, result, strict=True):
        assert any(np.array_equal(cropped, window) for window in windows(image, size, padding))
    np.testing.assert_array_equal(batch, before)
    np.testing.assert_array_equal(result, crop(batch, np.random.default_rng(seed)))


def test_crops_reach_every_window_equally_often() -> None:
    image = np.arange(1, 10, dtype=np.float32).reshape(1, 3, 3)
    count = 9000
    result = RandomCrop(3, padding=1)(np.broadcast_to(image, (count, 1, 3, 3)), np.random.default_rng(0))
    found = [int((result == window).all(axis=(1, 2, 3)).sum()) for window in windows(image, 3, 1)]
    assert len(found) == 9
    assert sum(found) == count
    assert min(found) > 850  # each is binomial with mean 1000 and standard deviation 30
    assert max(found) < 1150


@given(batch=batches(), p=st.floats(0, 1), seed=SEEDS)
def test_a_flip_is_an_involution_of_some_images(batch: NDArray[Any], p: float, seed: int) -> None:
    before = batch.copy()
    flip = RandomHorizontalFlip(p)
    once = flip(batch, np.random.default_rng(seed))
    assert once.shape == batch.shape
    assert once.dtype == batch.dtype
    assert not np.shares_memory(once, batch)
    for image, result in zip(batch, once, strict=True):
        assert np.array_equal(result, image) or np.array_equal(result, image[:, :, ::-1])
    np.testing.assert_array_equal(flip(once, np.random.default_rng(seed)), batch)
    np.testing.assert_array_equal(batch, before)


@pytest.mark.parametrize("p", [0.0, 0.25, 0.5, 1.0])
def test_flips_happen_with_probability_p(p: float) -> None:
    batch = np.broadcast_to(np.array([1.0, 2.0], np.float32), (10_000, 1, 1, 2))
    share = (RandomHorizontalFlip(p)(batch, np.random.default_rng(0))[:, 0, 0, 0] == 2).mean()
    assert share == pytest.approx(p, abs=0.02 if 0 < p < 1 else 0)


@given(batch=batches(), seed=SEEDS)
def test_compose_applies_in_order_from_one_generator(batch: NDArray[Any], seed: int) -> None:
    crop, flip = RandomCrop(2, padding=2), RandomHorizontalFlip()
    rng = np.random.default_rng(seed)
    expected = flip(crop(batch, rng), rng)
    np.testing.assert_array_equal(Compose([crop, flip])(batch, np.random.default_rng(seed)), expected)


@pytest.mark.parametrize("transform", [RandomCrop(2), RandomHorizontalFlip()])
def test_anything_but_a_batch_of_images_is_refused(transform: Transform) -> None:
    with pytest.raises(ValueError, match=r"\(N, C, H, W\), got \(3, 4\)"):
        transform(np.zeros((3, 4), np.float32), np.random.default_rng(0))


def test_faulty_options_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="size must be at least 1, not 0"):
        RandomCrop(0)
    with pytest.raises(ValueError, match="padding must be at least 0, not -1"):
        RandomCrop(4, padding=-1)
    with pytest.raises(ValueError, match=r"p must be a number in \[0, 1\], got 1\.5"):
        RandomHorizontalFlip(1.5)
    with pytest.raises(ValueError, match=r"p must be a number in \[0, 1\], got nan"):
        RandomHorizontalFlip(float("nan"))
