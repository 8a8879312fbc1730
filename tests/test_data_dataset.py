"""Dataset: what it accepts, what it refuses, and data sets by name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minadder import data


def points(count: int, num_classes: int = 3) -> data.Dataset:
    inputs = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
    return data.Dataset(inputs, np.arange(count) % num_classes, num_classes, "points")


@given(count=st.integers(0, 20), n=st.integers(-3, 25))
def test_subset_is_the_first_n_examples_or_an_error(count: int, n: int) -> None:
    dataset = points(count)
    if 0 <= n <= count:
        subset = dataset.subset(n)
        assert len(subset) == n
        np.testing.assert_array_equal(subset.inputs, dataset.inputs[:n])
        np.testing.assert_array_equal(subset.labels, dataset.labels[:n])
        assert (subset.num_classes, subset.name) == (3, "points")
    else:
        with pytest.raises(ValueError, match=f"at (least 0|most {count}), not {n}"):
            dataset.subset(n)


def test_repr_is_short_and_says_what_it_holds() -> None:
    assert repr(points(4)) == "Dataset('points', 4 examples of shape (2,), 3 classes)"


def test_fields_cannot_be_replaced() -> None:
    with pytest.raises(AttributeError):
        points(2).name = "other"  # type: ignore[misc]


GOOD_INPUTS = np.zeros((3, 2), np.float32)
GOOD_LABELS = np.array([0, 1, 1])


@pytest.mark.parametrize(
    ("inputs", "labels", "num_classes", "error", "message"),
    [
        (np.zeros((4, 2), np.float32), GOOD_LABELS, 2, ValueError, r"\(4, 2\).*\(3,\)"),
        (GOOD_INPUTS, np.array([0, 1, 2]), 2, ValueError, r"0 … 1 for num_classes=2, got 0 … 2"),
        (GOOD_INPUTS, GOOD_LABELS, 0, ValueError, "num_classes must be at least 1, not 0"),
        (GOOD_INPUTS, GOOD_LABELS, 2.0, TypeError, "num_classes must be an int, not 2.0"),
    ],
)
def test_faulty_parts_are_refused_by_name(
    inputs: object, labels: object, num_classes: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        data.Dataset(inputs, labels, num_classes, "faulty")  # type: ignore[arg-type]


def test_load_finds_by_name() -> None:
    train, test = data.load("digits")
    assert (train.name, len(train), len(test)) == ("digits", 1438, 359)


@pytest.mark.parametrize("name", ["cifar", "", "Digits", "xor"])
def test_load_lists_the_names_it_knows(name: str) -> None:
    with pytest.raises(ValueError, match=f"the data set must be one of 'digits', 'mnist5k', 'mnist', .*, not '{name}'"):
        data.load(name)
