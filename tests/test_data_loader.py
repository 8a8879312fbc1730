"""Loader: every example once per epoch, an order that only (seed, epoch) decides, batches that stand alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from minadder.data import Compose, Dataset, Loader, RandomCrop, RandomHorizontalFlip
from minadder.data.transforms import Transform

SEEDS = st.integers(0, 2**32 - 1)
AUGMENT = Compose([RandomCrop(4, padding=2), RandomHorizontalFlip()])


def numbered(count: int) -> Dataset:
    """Images whose every pixel is the example's number, which also fixes its label."""
    numbers = np.arange(count, dtype=np.float32)
    return Dataset(np.tile(numbers[:, None, None, None], (1, 1, 4, 4)), np.arange(count) % 7, 7, "numbered")


def textured(count: int) -> Dataset:
    """Images in which every pixel of the whole set differs."""
    pixels = np.arange(1, 16 * count + 1, dtype=np.float32).reshape(count, 1, 4, 4)
    return Dataset(pixels, np.arange(count) % 7, 7, "textured")


def epoch_inputs(loader: Loader) -> NDArray[np.float32]:
    return np.concatenate([inputs for inputs, _ in loader])


@given(count=st.integers(1, 60), batch_size=st.integers(1, 70), shuffle=st.booleans(), drop=st.booleans(), seed=SEEDS)
def test_an_epoch_holds_every_example_exactly_once(
    count: int, batch_size: int, shuffle: bool, drop: bool, seed: int
) -> None:
    drop = drop and batch_size <= count
    loader = Loader(numbered(count), batch_size, shuffle=shuffle, drop_last=drop, seed=seed)
    batches = list(loader)
    assert len(batches) == len(loader)
    assert all(len(inputs) == len(labels) == batch_size for inputs, labels in batches[:-1])
    seen = np.concatenate([inputs[:, 0, 0, 0] for inputs, _ in batches]).astype(int)
    labels = np.concatenate([labels for _, labels in batches])
    np.testing.assert_array_equal(labels, seen % 7)
    if drop:
        assert len(set(seen)) == len(seen) == count - count % batch_size
    else:
        assert sorted(seen) == list(range(count))
    if not shuffle:
        np.testing.assert_array_equal(seen, np.arange(len(seen)))


@settings(deadline=None)
@given(seed=SEEDS, epoch=st.integers(0, 1000), batch_size=st.integers(1, 40))
def test_the_same_seed_and_epoch_give_the_same_batches(seed: int, epoch: int, batch_size: int) -> None:
    first, second = (Loader(textured(30), batch_size, shuffle=True, transform=AUGMENT, seed=seed) for _ in range(2))
    first.set_epoch(epoch)
    second.set_epoch(epoch)
    np.testing.assert_array_equal(epoch_inputs(first), epoch_inputs(second))


@given(seed=SEEDS, epochs=st.lists(st.integers(0, 1000), min_size=2, max_size=2, unique=True))
def test_epochs_and_seeds_differ_in_order(seed: int, epochs: list[int]) -> None:
    dataset = numbered(50)  # two equal orders have a chance of 1 / 50!
    loader = Loader(dataset, shuffle=True, seed=seed)
    other = Loader(dataset, shuffle=True, seed=(seed + 1) % 2**32)
    loader.set_epoch(epochs[0])
    other.set_epoch(epochs[0])
    order = epoch_inputs(loader)
    assert not np.array_equal(order, epoch_inputs(other))
    loader.set_epoch(epochs[1])
    assert not np.array_equal(order, epoch_inputs(loader))


@settings(deadline=None)
@given(seed=SEEDS, stop=st.integers(0, 4))
def test_resuming_by_set_epoch_equals_not_having_stopped(seed: int, stop: int) -> None:
    def make() -> Loader:
        return Loader(textured(25), batch_size=8, shuffle=True, transform=AUGMENT, seed=seed)

    straight = make()
    uninterrupted = [epoch_inputs(straight) for _ in range(5)]
    resumed = make()
    resumed.set_epoch(stop)
    for expected in uninterrupted[stop:]:
        np.testing.assert_array_equal(epoch_inputs(resumed), expected)


def test_each_pass_is_ordered_anew_even_after_an_abandoned_one() -> None:
    loader = Loader(numbered(50), batch_size=10, shuffle=True)
    abandoned = next(iter(loader))[0]
    assert loader.epoch == 1
    assert not np.array_equal(abandoned, next(iter(loader))[0])
    assert loader.epoch == 2


def test_two_iterations_at_once_keep_their_own_epochs() -> None:
    loader = Loader(numbered(20), batch_size=5, shuffle=True)
    together = [(a, b) for (a, _), (b, _) in zip(iter(loader), iter(loader), strict=True)]
    loader.set_epoch(0)
    np.testing.assert_array_equal(np.concatenate([a for a, _ in together]), epoch_inputs(loader))
    np.testing.assert_array_equal(np.concatenate([b for _, b in together]), epoch_inputs(loader))


def test_batches_of_one_epoch_are_augmented_differently() -> None:
    images = np.tile(np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4), (64, 1, 1, 1))
    loader = Loader(Dataset(images, np.zeros(64, np.int64), 1, "same"), batch_size=32, transform=AUGMENT)
    first, second = (inputs for inputs, _ in loader)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, next(iter(loader))[0]), "the next epoch repeats the augmentation"


def test_augmentation_draws_from_another_stream_than_the_order() -> None:
    states = []

    def spy(batch: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        states.append(rng.bit_generator.state["state"]["state"])
        return batch

    list(Loader(numbered(6), batch_size=2, shuffle=True, transform=spy, seed=5))
    order_state = np.random.default_rng([5, 0]).bit_generator.state["state"]["state"]
    assert len({order_state, *states}) == 4


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("transform", [None, AUGMENT, Compose([]), lambda batch, rng: batch[..., ::-1]])
def test_altering_a_batch_leaves_the_data_set_alone(shuffle: bool, transform: Transform | None) -> None:
    dataset = textured(10)
    inputs_before, labels_before = dataset.inputs.copy(), dataset.labels.copy()
    for inputs, labels in Loader(dataset, batch_size=4, shuffle=shuffle, transform=transform):
        assert inputs.flags.c_contiguous
        assert inputs.dtype == np.float32
        assert labels.dtype == np.int64
        inputs[:] = -1
        labels[:] = 0
    np.testing.assert_array_equal(dataset.inputs, inputs_before)
    np.testing.assert_array_equal(dataset.labels, labels_before)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, not 0"),
        ({"batch_size": -4}, ValueError, "batch_size must be at least 1, not -4"),
        ({"batch_size": 2.0}, TypeError, "batch_size must be an int, not 2.0"),
        ({"batch_size": True}, TypeError, "batch_size must be an int, not True"),
        ({"batch_size": 11, "drop_last": True}, ValueError, "batch_size=11 leaves no batch .* at most 10"),
        ({"seed": -1}, ValueError, "seed must be at least 0, not -1"),
        ({"seed": 2**32}, ValueError, "seed must be at most 4294967295, not 4294967296"),
    ],
)
def test_faulty_options_are_refused_by_name(options: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Loader(numbered(10), **options)  # type: ignore[arg-type]


def test_an_empty_data_set_is_refused() -> None:
    with pytest.raises(ValueError, match="empty data set: Dataset\\('numbered', 0 examples"):
        Loader(numbered(10).subset(0))


def test_a_negative_epoch_is_refused() -> None:
    with pytest.raises(ValueError, match="epoch must be at least 0, not -1"):
        Loader(numbered(10)).set_epoch(-1)


@pytest.mark.parametrize(
    ("transform", "error", "message"),
    [
        (lambda batch, rng: batch.astype(np.float64), TypeError, "must return a float32 array, got float64"),
        (lambda batch, rng: None, TypeError, "must return a float32 array, got NoneType"),
        (lambda batch, rng: batch[1:], ValueError, r"gave 4, got shape \(3, 1, 4, 4\)"),
    ],
)
def test_a_faulty_transform_is_named(transform: object, error: type[Exception], message: str) -> None:
    loader = Loader(numbered(10), batch_size=4, transform=transform)  # type: ignore[arg-type]
    with pytest.raises(error, match=message):
        next(iter(loader))
