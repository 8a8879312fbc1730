"""From pixels to inputs: resizing, padding, standardising, splitting; and the digits made with them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from minadder import data
from minadder.data.images import pad_to_side, resize_bilinear, standardise
from minadder.data.split import stratified_split

SEEDS = st.integers(0, 2**32 - 1)


def bilinear_pixel(image: NDArray[np.float64], row: int, column: int, side: int) -> float:
    """One output pixel by the definition: the four input pixels around its centre, the edge repeated."""
    source = len(image)
    y, x = ((index + 0.5) * source / side - 0.5 for index in (row, column))
    top, left = int(np.floor(y)), int(np.floor(x))
    total = 0.0
    for i, weight_i in ((top, top + 1 - y), (top + 1, y - top)):
        for j, weight_j in ((left, left + 1 - x), (left + 1, x - left)):
            total += weight_i * weight_j * image[min(max(i, 0), source - 1), min(max(j, 0), source - 1)]
    return total


@settings(deadline=None)
@given(source=st.integers(1, 6), scale=st.integers(1, 4), seed=SEEDS)
def test_resizing_is_bilinear_interpolation(source: int, scale: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 17, (source, source)).astype(np.float64)
    side = source * scale
    result = resize_bilinear(image[None], side)
    expected = [[bilinear_pixel(image, row, column, side) for column in range(side)] for row in range(side)]
    assert result.dtype == np.float32
    np.testing.assert_allclose(result[0, 0], expected, atol=1e-4)


@given(
    images=hnp.arrays(
        np.uint8,
        st.tuples(st.integers(0, 3), st.integers(1, 16), st.integers(1, 16)).map(
            lambda shape: (shape[0], 2 * shape[1], 2 * shape[2])
        ),
    )
)
def test_padding_centres_on_zeros(images: NDArray[np.uint8]) -> None:
    padded = pad_to_side(images)
    count, height, width = images.shape
    assert padded.shape == (count, 1, 32, 32)
    assert padded.dtype == np.float32
    rows, columns = (32 - height) // 2, (32 - width) // 2
    around = ((0, 0), (0, 0), (rows, rows), (columns, columns))
    np.testing.assert_array_equal(padded, np.pad(images[:, None], around))


@pytest.mark.parametrize("count", [3, 4096, 5000])
def test_standardising_uses_the_training_set_alone(count: int) -> None:
    rng = np.random.default_rng(count)
    train, test = (rng.normal(3, 2, (n, 1, 2, 2)).astype(np.float32) for n in (count, 7))
    mean, std = train.mean(dtype=np.float64), train.std(dtype=np.float64)
    expected = [(images.astype(np.float64) - mean) / std for images in (train, test)]
    standardise(train, test)
    np.testing.assert_allclose(train, expected[0], atol=1e-5)
    np.testing.assert_allclose(test, expected[1], atol=1e-5)


@given(labels=hnp.arrays(np.int64, st.integers(1, 80), elements=st.integers(0, 4)), seed=SEEDS)
def test_a_split_takes_each_example_once_and_each_class_alike(labels: NDArray[np.int64], seed: int) -> None:
    train, test = stratified_split(labels, test_fraction=0.2, seed=seed)
    assert sorted([*train, *test]) == list(range(len(labels)))
    for label in np.unique(labels):
        count = (labels == label).sum()
        assert (labels[test] == label).sum() == (max(round(0.2 * count), 1) if count > 1 else 0)
    again = stratified_split(labels, test_fraction=0.2, seed=seed)
    np.testing.assert_array_equal(train, again[0])
    np.testing.assert_array_equal(test, again[1])


def test_digits_are_the_resized_images_of_scikit_learn() -> None:
    train, test = data.digits()
    assert train.inputs.shape == (1438, 1, 32, 32)
    assert test.inputs.shape == (359, 1, 32, 32)
    assert train.inputs.mean(dtype=np.float64) == pytest.approx(0, abs=1e-6)
    assert train.inputs.std(dtype=np.float64) == pytest.approx(1, abs=1e-6)

    # Undo the standardising, whose two numbers follow from the range 0 … 16, and compare as sets of images.
    both, labels = np.concatenate([train.inputs, test.inputs]), np.concatenate([train.labels, test.labels])
    grey = np.rint((both - both.min()) * 64 * 16 / (both.max() - both.min())).astype(int).reshape(1797, -1)
    pixels, classes = load_digits(return_X_y=True)
    source = np.rint(resize_bilinear(pixels.reshape(-1, 8, 8)) * 64).astype(int).reshape(1797, -1)
    assert sorted(zip(grey.tolist(), labels.tolist(), strict=True)) == sorted(
        zip(source.tolist(), classes.tolist(), strict=True)
    )


def test_digits_are_split_by_the_seed_in_mixed_order() -> None:
    first, again, other = (data.digits(seed)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.inputs, again.inputs)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert not np.array_equal(first.labels, other.labels)
    assert (np.bincount(first.subset(400).labels, minlength=10) > 20).all(), "the first 400 are not a fair sample"


def test_a_faulty_seed_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="seed must be at least 0, not -1"):
        data.digits(seed=-1)


@pytest.mark.parametrize("value", [0.0, 0.1, 255.0, np.nan, np.inf])
def test_images_of_one_value_are_refused_and_stay_as_they_are(value: float) -> None:
    train, test = np.full((5, 1, 32, 32), value, np.float32), np.ones((2, 1, 32, 32), np.float32)
    with pytest.raises(ValueError, match="pixels must differ and be finite"):
        standardise(train, test)
    np.testing.assert_array_equal(train, np.full_like(train, value))
    with pytest.raises(ValueError, match=r"images of the shape \(0, 1, 32, 32\) hold no pixels"):
        standardise(train[:0], test)
