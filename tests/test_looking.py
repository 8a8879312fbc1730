"""Filters and confusion matrices from a net and data in one call."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import minadder as ma
from minadder import data, models, nn


def drawn(figure):
    """Return the images of filters."""
    return [np.asarray(image.get_array()) for axes in figure.axes[:-1] for image in axes.images]


def test_the_first_layers_filters_are_drawn():
    net = models.lenet5_bn("adder")
    figure = ma.plot.filters(net)
    np.testing.assert_array_equal(drawn(figure), net.conv1.weight.numpy()[:, 0])
    assert figure.get_suptitle() == "conv1"


def test_a_named_layers_filters_are_drawn():
    net = models.resnet20("adder")
    path = next(path for path, module in net.named_modules() if isinstance(module, nn.Adder2d))
    figure = ma.plot.filters(net, path, title="a title")
    weight = dict(net.named_parameters())[f"{path}.weight"].numpy()
    np.testing.assert_allclose(drawn(figure), weight.mean(axis=1), rtol=1e-6)
    assert figure.get_suptitle() == "a title"
    mlp = models.mlp((2, 4, 3))
    np.testing.assert_array_equal(drawn(ma.plot.filters(mlp, "fc2"))[0], mlp.fc2.weight.numpy())


@pytest.mark.parametrize(
    ("net", "layer", "kind", "message"),
    [
        (models.mlp((2, 4, 2)), "fc3", ValueError, "no layer 'fc3' with filters.*'fc1', 'fc2'"),
        (models.mlp((2, 4, 2)), "bn1", ValueError, "no layer 'bn1' with filters.*'fc1', 'fc2'"),
        (models.mlp((2, 4, 2)), 1, TypeError, "such as 'fc1', not 1 of type int"),
        (nn.Sequential(nn.ReLU()), None, ValueError, "no layer with filters.*none"),
        ("net", None, TypeError, "net must be a network"),
    ],
)
def test_layers_without_filters_are_named(net, layer, kind, message):
    with pytest.raises(kind, match=message):
        ma.plot.filters(net, layer)


class Says(nn.Module):
    """Is sure of the class that stands in the input's first column."""

    def __init__(self, classes=3):
        super().__init__()
        self.classes = classes

    def forward(self, x):
        return ma.tensor(10.0 * (x.numpy()[:, :1] == np.arange(self.classes)), "float32")


TRUE = np.array([0, 0, 0, 1, 1, 2])
SAID = np.array([0, 0, 1, 1, 2, 0])
X = np.stack([SAID, SAID], axis=1)
COUNTS = [[2, 1, 0], [0, 1, 1], [1, 0, 0]]


def counts(figure):
    return np.asarray(figure.axes[0].images[0].get_array()).tolist()


@pytest.mark.parametrize(
    "pair",
    [
        (X, TRUE),
        (X.tolist(), TRUE.tolist()),
        [ma.tensor(X, "float32"), ma.tensor(TRUE * 1.0)],
        (pd.DataFrame(X), pd.Series(TRUE)),
        data.Dataset(X.astype(np.float32), TRUE, 3, "six"),
        data.Loader(data.Dataset(X.astype(np.float32), TRUE, 3, "six"), 4, shuffle=True),
    ],
    ids=["arrays", "lists", "tensors", "pandas", "data set", "loader"],
)
def test_a_confusion_matrix_counts_what_is_taken_for_what(pair):
    figure = ma.plot.confusion_matrix(Says(), pair, classes=["a", "b", "c"])
    axes = figure.axes[0]
    assert counts(figure) == COUNTS
    assert [text.get_text() for text in axes.texts] == [str(count) for row in COUNTS for count in row]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "c"]
    assert axes.get_title() == "50.00 % of 6 examples right"


def test_classes_that_nobody_named_are_counted_too():
    assert counts(ma.plot.confusion_matrix(Says(), (X[:2], TRUE[:2]))) == [[2, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_of_many_classes_only_shades_are_drawn():
    figure = ma.plot.confusion_matrix(Says(30), (X, TRUE))
    assert np.shape(counts(figure)) == (30, 30)
    assert not figure.axes[0].texts


def test_an_estimator_has_names_of_its_own():
    names = np.array(["north", "south"])
    points = np.array([[-1.0, 0.0], [-2.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    estimator = LogisticRegression().fit(points, names[[0, 0, 1, 1]])
    figure = ma.plot.confusion_matrix(estimator, (points, names[[0, 1, 1, 1]]))
    assert counts(figure) == [[1, 0], [1, 2]]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["north", "south"]


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        (X, TypeError, r"pair \(X, y\)"),
        ((X, TRUE, TRUE), TypeError, "not 3 things"),
        ((X[:0], TRUE[:0]), ValueError, r"no examples.*\(0, 2\)"),
        ((X, TRUE[:4]), ValueError, r"\(6,\).*\(4,\)"),
        ((X, TRUE + 1), ValueError, "y holds 3"),
        ((X, np.array(list("aaabbc"))), TypeError, "'a'.*return_inverse"),
        (([["a", "b"]], [0]), TypeError, "X must hold real numbers"),
    ],
)
def test_data_that_cannot_be_counted_is_named(given, kind, message):
    with pytest.raises(kind, match=message):
        ma.plot.confusion_matrix(Says(), given)
