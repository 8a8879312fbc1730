"""The picture of a decision boundary holds what the net or the estimator decides, and leaves it as it was."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.linear_model import LinearRegression, LogisticRegression, Perceptron
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import minadder as ma
from minadder import nn
from minadder.plot.classes import COLOURS, MARKERS, MOST_CLASSES, colours, shades
from minadder.plot.plane import Plane
from minadder.random import generator_state

X, Y = make_blobs(90, centers=[[-3.0, 0.0], [3.0, 0.0], [0.0, 5.0]], cluster_std=0.5, random_state=0)


def linear(weight, bias):
    """Return a linear net of such a weight and bias."""
    net = nn.Sequential(nn.Linear(2, len(weight)))
    net[0].weight.data = np.array(weight, np.float32)
    net[0].bias.data = np.array(bias, np.float32)
    return net


# logit of class 1 above that of class 0 where x₁ > 1
HALVES = linear([[0.0, 0.0], [2.0, 0.0]], [0.0, -2.0])
ONE_LOGIT = linear([[2.0, 0.0]], [-2.0])
# the nearest of the three centres
THIRDS = linear([[-3.0, 0.0], [3.0, 0.0], [0.0, 5.0]], [-4.5, -4.5, -12.5])


def lines(figure):
    """Return the points on the lines where the decision changes."""
    found = [path.vertices for artist in figure.axes[0].collections for path in artist.get_paths() if is_line(artist)]
    return np.concatenate(found) if found else np.empty((0, 2))


def is_line(artist):
    return type(artist).__name__ == "QuadContourSet"


def drawn_points(figure):
    """Return the points of each class that are drawn."""
    return [np.asarray(artist.get_offsets()) for artist in figure.axes[0].collections if not is_line(artist)]


def legend(figure):
    (found,) = figure.legends
    return [text.get_text() for text in found.get_texts()]


def shade(figure, x, y):
    """Return the colour behind a point."""
    (image,) = figure.axes[0].images
    left, right, low, high = image.get_extent()
    pixels = image.get_array()
    rows, columns = pixels.shape[:2]
    return pixels[round((y - low) / (high - low) * (rows - 1)), round((x - left) / (right - left) * (columns - 1))]


@pytest.mark.parametrize("net", [HALVES, ONE_LOGIT], ids=["two logits", "one logit"])
def test_the_line_lies_where_the_net_changes_its_mind(net):
    points = X[Y < 2]
    figure = ma.plot.decision_boundary(net, points, Y[Y < 2])
    line = lines(figure)
    np.testing.assert_allclose(line[:, 0], 1, atol=1e-5)
    left, right, low, high = figure.axes[0].images[0].get_extent()
    assert (line[:, 1].min(), line[:, 1].max()) == pytest.approx((low, high))
    assert left < points[:, 0].min() - 0.5
    assert points[:, 0].max() + 0.5 < right
    assert figure.axes[0].get_xlim() == (left, right)
    assert figure.axes[0].get_ylim() == (low, high)


def test_the_shade_is_the_probability_in_the_likely_class_colour():
    figure = ma.plot.decision_boundary(HALVES, X[Y < 2], Y[Y < 2])
    np.testing.assert_allclose(shade(figure, 1.0, 0.0), 1, atol=0.02)
    for x, colour in ((-3.5, COLOURS[0]), (3.5, COLOURS[1])):
        probability = 1 / (1 + np.exp(-2 * abs(x - 1)))
        expected = 1 - 0.6 * (2 * probability - 1) * (1 - np.array(to_rgb(colour)))
        np.testing.assert_allclose(shade(figure, x, 0.0), expected, atol=0.02)


def test_three_classes_have_their_points_colours_markers_and_lines():
    figure = ma.plot.decision_boundary(THIRDS, X, Y, classes=["west", "east", "north"])
    assert legend(figure) == ["west", "east", "north"]
    for number, points in enumerate(drawn_points(figure)):
        np.testing.assert_array_equal(points, X[number == Y])
    scatters = [artist for artist in figure.axes[0].collections if not is_line(artist)]
    assert len({tuple(artist.get_facecolor()[0]) for artist in scatters}) == 3
    assert len({artist.get_paths()[0].vertices.tobytes() for artist in scatters}) == 3, "markers of their own"
    centres = np.array([[-3.0, 0.0], [3.0, 0.0], [0.0, 5.0]])
    distances = np.sort(np.linalg.norm(lines(figure)[:, None] - centres, axis=2), axis=1)
    np.testing.assert_allclose(distances[:, 0], distances[:, 1], atol=0.05)
    assert figure.axes[0].get_title() == "100.0 % of 90 points right"


def test_what_is_seen_is_where_it_belongs():
    figure = ma.plot.decision_boundary(THIRDS, X)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[::-1, :, :3] / 255
    for number, place in enumerate([(-3.0, -1.6), (3.0, -1.6), (1.9, 5.0)]):
        column, row = figure.axes[0].transData.transform(place).astype(int)
        own = 1 - 0.6 * (1 - np.array(to_rgb(COLOURS[number])))
        np.testing.assert_allclose(pixels[row, column], own, atol=0.02)


def test_the_title_counts_what_is_right():
    wrong = Y.copy()
    wrong[:9] = (wrong[:9] + 1) % 3
    assert ma.plot.decision_boundary(THIRDS, X, wrong).axes[0].get_title() == "90.0 % of 90 points right"
    assert ma.plot.decision_boundary(THIRDS, X, wrong, title="$5").axes[0].get_title() == r"\$5"


def test_without_classes_the_points_are_drawn_too():
    figure = ma.plot.decision_boundary(THIRDS, X)
    np.testing.assert_array_equal(drawn_points(figure)[0], X)
    assert legend(figure) == ["class 0", "class 1", "class 2"]
    assert figure.axes[0].get_title() == ""


def test_a_net_that_decides_the_same_everywhere_has_no_line():
    figure = ma.plot.decision_boundary(linear([[0.0, 0.0], [0.0, 0.0]], [1.0, 0.0]), X[Y < 2], Y[Y < 2])
    assert lines(figure).size == 0


@pytest.mark.parametrize(
    "kind",
    [np.asarray, np.ndarray.tolist, lambda x: x.astype(np.float32), ma.tensor, lambda x: np.round(x).astype(np.int64)],
    ids=["float64", "list", "float32", "tensor", "integers"],
)
@pytest.mark.parametrize("label_kind", [np.asarray, np.ndarray.tolist, lambda y: ma.tensor(y * 1.0), pd.Series])
def test_points_and_labels_are_anything_that_numpy_takes(kind, label_kind):
    figure = ma.plot.decision_boundary(THIRDS, kind(X), label_kind(Y))
    assert sum(map(len, drawn_points(figure))) == 90
    assert figure.axes[0].get_xlabel() == "x₁"


@pytest.mark.parametrize(
    "net", [THIRDS, make_pipeline(StandardScaler(), LogisticRegression())], ids=["net", "pipeline"]
)
def test_the_columns_of_a_data_frame_name_the_axes(net):
    frame = pd.DataFrame(X, columns=["length / cm", "width"])
    if net is not THIRDS:
        net.fit(frame, Y)
    figure = ma.plot.decision_boundary(net, frame, pd.DataFrame({"kind": Y}))
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("length / cm", "width")


NAMES = np.array(["west", "east", "north"])


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        make_pipeline(StandardScaler(), SVC(random_state=0)),
        SVC(decision_function_shape="ovo"),
        SVC(decision_function_shape="ovo", kernel="linear", C=0.01),
        Perceptron(),
        KNeighborsClassifier(3),
    ],
    ids=["logistic", "SVC", "SVC of pairs", "another SVC of pairs", "Perceptron", "neighbours"],
)
def test_estimators_are_drawn_with_their_classes_as_they_predict(estimator):
    estimator.fit(X, NAMES[Y])
    figure = ma.plot.decision_boundary(estimator, X, NAMES[Y])
    assert legend(figure) == ["east", "north", "west"]
    plane = Plane(X, None, ())
    grid = plane.grid(240)
    for point, predicted in zip(grid[::997], estimator.predict(grid[::997]), strict=True):
        colour = shade(figure, *point)
        own = np.array(to_rgb(COLOURS[["east", "north", "west"].index(predicted)]))
        if colour.min() < 0.97:  # sure enough to have a hue
            np.testing.assert_allclose((1 - colour) / (1 - colour).max(), (1 - own) / (1 - own).max(), atol=1e-6)
    right = (estimator.predict(X) == NAMES[Y]).mean()
    assert figure.axes[0].get_title() == f"{100 * right:.1f} % of 90 points right"


def test_two_classes_of_a_decision_function_and_a_clustering():
    two = SVC().fit(X[Y < 2], Y[Y < 2] * 2 - 1)
    assert legend(ma.plot.decision_boundary(two, X[Y < 2], Y[Y < 2] * 2 - 1)) == ["-1", "1"]
    clusters = KMeans(3, n_init=1, random_state=0).fit(X)
    assert legend(ma.plot.decision_boundary(clusters, X)) == ["0", "1", "2"]


def test_the_net_is_left_as_it_was():
    class Noisy(nn.Module):
        """Draws a random number whenever it is asked."""

        def forward(self, x):
            ma.random.generator().random()
            return x

    net = nn.Sequential(nn.AdderLinear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), Noisy(), nn.Linear(8, 3)).train()
    net[0].eval()
    net(ma.tensor(X, "float32")).sum().backward()
    state, modes = net.state_dict(), [module.training for module in net.modules()]
    gradients = [copy.copy(parameter.grad.numpy()) for parameter in net.parameters()]
    random, numpy_random = generator_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    ma.plot.decision_boundary(net, X, Y)
    ma.plot.confusion_matrix(net, (X, Y))
    assert [module.training for module in net.modules()] == modes
    for before, after in zip(state.values(), net.state_dict().values(), strict=True):
        np.testing.assert_array_equal(before, after)
    for before, parameter in zip(gradients, net.parameters(), strict=True):
        np.testing.assert_array_equal(before, parameter.grad.numpy())
    assert generator_state() == random
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_random)  # noqa: NPY002


def test_a_net_of_float64_is_asked_in_float64():
    assert lines(ma.plot.decision_boundary(copy.deepcopy(THIRDS).to("float64"), X, Y)).size


class Fixed(nn.Module):
    """Answers what a function makes of the inputs."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    ("net", "points", "labels", "kind", "message"),
    [
        (THIRDS, np.zeros((7, 3)), None, ValueError, r"\(N, 2\).*\(7, 3\).*X\[:, :2\]"),
        (THIRDS, np.zeros(4), None, ValueError, r"\(N, 2\).*not \(4,\)$"),
        (THIRDS, np.zeros((0, 2)), None, ValueError, r"\(0, 2\)"),
        (THIRDS, [[0.0, 1.0], [0.0]], None, ValueError, "X must be an array"),
        (THIRDS, [["a", "b"]], None, TypeError, "X must hold real numbers"),
        (THIRDS, [[0.0, 1.0], [np.nan, 0.0]], None, ValueError, "NaN or Inf in 1 of 2 rows, first in row 1"),
        (THIRDS, [[0.0, 1e300]], None, ValueError, "1e.300"),
        (THIRDS, X, Y[:50], ValueError, r"shape \(90,\).*\(50,\)"),
        (THIRDS, X, np.eye(3)[Y], ValueError, r"\(90, 3\).*argmax\(axis=1\)"),
        (THIRDS, X, NAMES[Y], TypeError, "'west'.*np.unique.y, return_inverse=True"),
        (THIRDS, X, Y + 1, ValueError, "y holds 3, which is no class of the 3 that are told apart: 0 … 2"),
        (ONE_LOGIT, X, Y, ValueError, "y holds 2, .*0 … 1"),
        (THIRDS, X, Y + 0.5, ValueError, r"y holds \d.5"),
        (
            nn.Sequential(nn.Linear(4, 3)),
            X,
            Y,
            ValueError,
            r"Sequential, does not take inputs of shape \(2,\).*\(3, 4\)",
        ),
        (Fixed(lambda x: x.sum()), X, None, ValueError, r"\(256, classes\).*not shape \(\)"),
        (Fixed(lambda x: 3.0), X, None, ValueError, "not float"),
        (Fixed(lambda x: x * np.nan), X, None, RuntimeError, "NaN or Inf for 256 of 256 inputs.*Fixed"),
        (Fixed(lambda x: x @ ma.tensor(np.ones((2, 15)), "float32")), X, None, ValueError, "15 classes.*14 at most"),
        ("net", X, Y, TypeError, "'net' of type str"),
        (LogisticRegression, X, Y, TypeError, "the class LogisticRegression"),
        (LogisticRegression().fit(X, NAMES[Y]), X, Y, ValueError, "y holds .*'east', 'north', 'west'"),
        (LinearRegression().fit(X, Y * 1.0), X, Y, ValueError, "predict gives numbers, such as"),
    ],
)
def test_what_cannot_be_drawn_is_named(net, points, labels, kind, message):
    with pytest.raises(kind, match=message):
        ma.plot.decision_boundary(net, points, labels)


@pytest.mark.parametrize("names", [["a"], "abc", list("abcd")])
def test_as_many_names_as_classes_are_wanted(names):
    with pytest.raises(ValueError, match="must name 3 classes"):
        ma.plot.decision_boundary(THIRDS, X, Y, classes=names)


coordinates = st.floats(-1e30, 1e30) | st.integers(-3, 3).map(float)


@given(st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=5))
def test_all_points_lie_inside_a_box_that_has_an_area(points):
    left, right, low, high = Plane(np.array(points), None, ()).box
    assert left < right
    assert low < high
    for x, y in points:
        assert left < x < right
        assert low < y < high


@given(st.integers(2, MOST_CLASSES), st.integers(0, 2**32 - 1))
def test_shades_are_the_whiter_the_less_sure(count, seed):
    sure = np.random.default_rng(seed).dirichlet(np.ones(count))
    less = 0.5 * sure + 0.5 / count
    assert (shades(less) >= shades(sure)).all()
    np.testing.assert_allclose(shades(np.full(count, 1 / count)), 1)


def test_classes_differ_in_colour_or_marker_far_apart():
    styles = {(tuple(colour), MARKERS[i % len(MARKERS)]) for i, colour in enumerate(colours(MOST_CLASSES))}
    assert len(styles) == MOST_CLASSES
    assert len(set(MARKERS)) == len(MARKERS) >= len(COLOURS)
