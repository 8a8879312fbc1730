"""One's own arrays as data: what is taken for inputs and labels, what is refused and how, and what is held out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minadder as ma
from minadder import data, models
from minadder.data.own import as_inputs

POINTS = [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
DTYPES = [np.bool_, np.int8, np.uint8, np.int32, np.int64, np.uint64, np.float16, np.float32, np.float64]


@pytest.mark.parametrize(
    "inputs",
    [
        POINTS,
        [tuple(row) for row in POINTS],
        np.array(POINTS),
        np.array(POINTS, np.float32, order="F"),
        np.array(POINTS, np.uint8),
        np.array(POINTS, object),
        ma.tensor(POINTS),
        ma.nn.Parameter(np.array(POINTS, np.float32)),
        pd.DataFrame(POINTS, columns=["width", "height"]),
        pd.DataFrame({"width": [0, 2, 4], "height": np.array([1.0, 3.0, 5.0], np.float32)}),
    ],
    ids=lambda value: f"{type(value).__name__} {getattr(value, 'dtype', '')}",
)
@pytest.mark.parametrize(
    "labels",
    [
        [0, 1, 1],
        (False, True, True),
        np.array([0, 1, 1], np.uint8),
        np.array([0.0, 1.0, 1.0], np.float32),
        np.array([[0], [1], [1]]),
        np.array([0, 1, 1], object),
        pd.Series([0, 1, 1]),
        pd.Series([0, 1, 1], index=[9, 8, 7]),
        pd.DataFrame({"class": [0, 1, 1]}),
        ma.tensor([0.0, 1.0, 1.0]),
    ],
    ids=lambda value: f"{type(value).__name__} {getattr(value, 'dtype', '')}",
)
def test_many_kinds_of_numbers_become_a_data_set(inputs, labels):
    dataset = data.Dataset(inputs, labels)
    assert (dataset.inputs.dtype, dataset.labels.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(dataset.inputs, POINTS)
    np.testing.assert_array_equal(dataset.labels, [0, 1, 1])
    assert (dataset.num_classes, dataset.name, dataset.shape) == (2, "data", (2,))


@given(hnp.arrays(st.sampled_from(DTYPES), hnp.array_shapes(min_dims=2, max_dims=4, min_side=0, max_side=3)))
def test_inputs_have_the_values_that_float32_gives_them(array):
    with np.errstate(over="ignore", invalid="ignore"):
        wanted = array.astype(np.float32)
    if array.dtype.kind == "f" and np.any(np.isinf(wanted) & np.isfinite(array)):
        with pytest.raises(ValueError, match=r"beyond 3\.4e38"):
            as_inputs(array)
    else:
        np.testing.assert_array_equal(as_inputs(array), wanted)


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        ([1.0, 2.0, 3.0], ValueError, r"got shape \(3,\): write X.reshape\(-1, 1\)"),
        (3.0, TypeError, "a row for each example, not 3.0"),
        (None, TypeError, "not None"),
        ([[1.0, 2.0], [3.0]], ValueError, "inputs must be an array"),
        ([["a", 1.0]], TypeError, "must hold real numbers, but 'a' is none"),
        ([[1.0, None]], TypeError, "but None is none"),
        (np.array([[1j]]), TypeError, "real numbers"),
        (np.array([["2026-01-01"]], "datetime64[D]"), TypeError, "real numbers"),
        (pd.DataFrame({"size": [1.0], "colour": ["red"]}), TypeError, "column 'colour' holds 'red'"),
        (np.array([[1e300]]), ValueError, r"beyond 3.4e38"),
        (np.ma.masked_array([[1.0]], [[True]]), TypeError, "1 masked entries"),
    ],
)
def test_inputs_that_are_no_numbers_are_refused_by_name(inputs, error, message):
    with pytest.raises(error, match=message):
        data.Dataset(inputs, [0])


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (
            ["cat", "dog", "cat"],
            TypeError,
            r"not 'cat' and the like: .*classes, y = np.unique\(y, return_inverse=True\)",
        ),
        (np.array(["cat", "dog", "cat"], object), TypeError, "np.unique"),
        (pd.Series(["cat", "dog", "cat"], dtype="category"), TypeError, "np.unique"),
        ([0, 1, None], TypeError, "np.unique"),
        ([0.5, 1.0, 1.0], ValueError, r"not 0.5: .*np.unique.*to be predicted are none"),
        ([0.0, np.nan, 1.0], ValueError, "not nan"),
        ([0.0, np.inf, 1.0], ValueError, "not inf"),
        ([-1, 1, 1], ValueError, r"got -1 … 1: .*np.unique"),
        (np.eye(3), ValueError, r"got \(3, 3\); of one-hot rows take y.argmax\(axis=1\)"),
        (np.zeros((3, 1, 1)), ValueError, r"got \(3, 1, 1\)"),
        (2, TypeError, "not 2"),
        ([0, 1], ValueError, r"same length: inputs have shape \(3, 2\), labels \(2,\)"),
        (np.array([0, 1, 2**63], np.uint64), ValueError, "class numbers"),
    ],
)
def test_labels_that_are_no_class_numbers_are_refused_with_what_to_do(labels, error, message):
    with pytest.raises(error, match=message):
        data.Dataset(POINTS, labels)


def test_pytorch_and_sparse_matrices_are_told_how_to_become_arrays():
    torch, sparse = pytest.importorskip("torch"), pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match=r"X of train is a tensor of PyTorch: pass .*\.numpy\(\)"):
        ma.fit(models.mlp((2, 3, 2), "adder"), (torch.zeros(3, 2), [0, 1, 1]), epochs=1)
    with pytest.raises(TypeError, match=r"sparse matrix: pass its \.toarray\(\)"):
        data.Dataset(sparse.eye(3), [0, 1, 1])


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.floats(0.01, 0.99), st.integers(0, 99))
def test_a_split_is_fair_to_each_class_and_complete(labels, share, seed):
    dataset = data.Dataset(np.arange(len(labels))[:, None], labels)
    counts = np.bincount(labels)
    wanted = [min(max(round(share * count), 1), count - 1) if count else 0 for count in counts]
    if not sum(wanted):
        with pytest.raises(ValueError, match=f"leaves {len(labels)} for training and 0 for testing"):
            dataset.split(share, seed)
        return
    train, test = dataset.split(share, seed)
    assert sorted([*train.inputs[:, 0], *test.inputs[:, 0]]) == list(range(len(labels)))
    for part in (train, test):
        np.testing.assert_array_equal(part.labels, np.array(labels)[part.inputs[:, 0].astype(int)])
    np.testing.assert_array_equal(np.bincount(test.labels, minlength=len(counts)), wanted)
    again = dataset.split(share, seed)[1]
    np.testing.assert_array_equal(test.inputs, again.inputs)


def test_a_split_depends_on_its_seed_and_is_in_mixed_order():
    dataset = data.Dataset(np.arange(100)[:, None], np.arange(100) // 50)
    first, other = (dataset.split(0.5, seed)[1] for seed in (0, 1))
    assert set(first.inputs[:, 0]) != set(other.inputs[:, 0])
    assert len(set(first.labels[:25])) == 2


def fitted(*args, **options):
    ma.manual_seed(0)
    net = models.mlp((2, 8, 2), "adder")
    return net, ma.fit(net, *args, **{"epochs": 2, "verbose": False, **options})


def test_a_training_takes_arrays_and_gives_what_data_sets_give():
    points = data.two_balls(200)
    pair = (points.inputs.astype(np.float64).tolist(), points.labels.tolist())
    one, history = fitted(pair, test=0.25)
    train, test = data.Dataset(*pair).split(0.25)
    other, wanted = fitted(data.Loader(train, 64, shuffle=True), test)
    for name, array in one.state_dict().items():
        np.testing.assert_array_equal(array, other.state_dict()[name])
    assert [entry["test_loss"] for entry in history] == [entry["test_loss"] for entry in wanted]


def test_the_batch_size_is_64_unless_said():
    points = data.two_balls(200)
    sizes = []

    class Watch(ma.callbacks.Callback):
        def on_train_begin(self, run):
            sizes.append(
                (run.train.batch_size, run.steps_per_epoch, None if run.test is None else len(run.test.dataset))
            )

    fitted(points, callbacks=[Watch()])
    fitted((points.inputs, points.labels), (points.inputs[:7], points.labels[:7]), batch_size=50, callbacks=[Watch()])
    assert sizes == [(64, 4, None), (50, 4, 7)]


@pytest.mark.parametrize(
    ("train", "options", "error", "message"),
    [
        (data.Loader(data.xor(20), 5), {"test": 0.2}, TypeError, r"not a Loader: split its data set"),
        (data.Loader(data.xor(20), 5), {"batch_size": 4}, ValueError, "a Loader with batches of 5"),
        (data.xor(20), {"batch_size": 0}, ValueError, "batch_size must be at least 1, not 0"),
        (data.xor(20), {"test": 1.5}, ValueError, r"test must be a number in \(0, 1\), got 1.5"),
        (data.xor(20), {"test": 0}, ValueError, r"test must be a number in \(0, 1\), got 0"),
        (data.xor(20), {"test": True}, TypeError, "test"),
        (data.xor(20), {"verbose": "no"}, TypeError, "verbose must be True or False"),
        (data.xor(20), {"renew_batches": -1}, ValueError, "renew_batches must be at least 0"),
        (POINTS, {}, TypeError, r"train must be a pair \(X, y\)"),
        ((POINTS,), {}, TypeError, r"train must be a pair \(X, y\) of inputs and labels, not a tuple of 1"),
        ((POINTS, ["a", "b", "a"]), {}, TypeError, "y of train must be class numbers .*np.unique"),
        ((POINTS, [1, 2, 3]), {}, ValueError, r"labels up to 3, .* outputs \(N, 4\)"),
    ],
)
def test_what_does_not_go_together_is_said(train, options, error, message):
    with pytest.raises(error, match=message):
        fitted(train, **options)
