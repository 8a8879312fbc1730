"""The decision boundary of a net or an estimator of two inputs, as a picture or as a movie of its training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minadder.autograd import Array
from minadder.checks import described
from minadder.looking.asking import Answer, ask, check_askable
from minadder.looking.film import Film
from minadder.looking.labels import class_names, class_numbers
from minadder.nn import Module
from minadder.plot.classes import MOST_CLASSES
from minadder.plot.figure import numbers
from minadder.plot.movie import Movie
from minadder.plot.plane import AXIS_LABELS, Plane, draw_plane, plane_figure

STEPS = 240
MOVIE_STEPS = 120
"""The answers are asked on a grid of so many points by so many."""
FARTHEST = 1e30


def decision_boundary(
    net: Any,
    X: Any,
    y: Any = None,
    *,
    classes: Sequence[Any] | None = None,
    animate: Film | None = None,
    title: str | None = None,
) -> Any:
    """Return a figure of what a net or an estimator decides in the plane around points, and how sure it is.

    Each class has a colour and a marker, the shade is its probability, and the line is where the decision changes.

    Parameters
    ----------
    net
        A network of two inputs, with one logit or a logit for each class, or a scikit-learn estimator that was fitted
        to two columns. It is left as it was: its mode, its statistics, its gradients.
    X
        The points (N, 2): an array, a list, a tensor or a DataFrame, whose columns name the axes.
    y
        The points' classes (N,): numbers from 0 on for a net, what an estimator was fitted to for an estimator. Without
        it the points are black.
    classes
        The classes' names in the legend, in the order of their numbers; by default an estimator's, or "class 0", ….
    animate
        What recorded the net's training, a `ma.plot.Film`: then a `Movie` of that training is returned, which a
        notebook plays, and which `save("boundary.gif")` or `save("boundary.html")` writes to a file.
    title
        What stands above; by default how many of the points are right.

    Raises
    ------
    TypeError
        For what is neither a net nor an estimator, points that are no numbers, and labels that are not a net's.
    ValueError
        For other shapes, a net of another number of inputs, classes that it does not have, NaN or Inf in the points.
    RuntimeError
        When the net gives NaN or Inf.

    Examples
    --------
    >>> import minadder as ma
    >>> points = ma.data.xor(64)
    >>> figure = ma.plot.decision_boundary(ma.models.mlp((2, 4, 2)), points.inputs, points.labels)
    >>> figure.axes[0].get_xlabel()
    'x₁'
    """
    check_askable(net)
    points, axis_labels = plane_points(X)
    film = None if animate is None else checked_film(animate, net)
    own_kind = like(X, net)
    surroundings = own_kind(Plane(points, None, ()).grid(STEPS))
    answer = ask(net, surroundings)
    of_net = isinstance(net, Module)
    labels = None if y is None else class_numbers(y, answer.classes, len(points), of_net)
    plane = Plane(points, labels, checked_names(class_names(answer.classes, classes, of_net)), axis_labels)
    figure = plane_figure(plane)
    if film is not None:
        return training_movie(figure, plane, film, net, title)
    shown_title = share_right(plane, ask(net, own_kind(points)), answer.classes) if title is None else title
    draw_answer(figure, plane, answer, STEPS, shown_title)
    return figure


def plane_points(X: Any) -> tuple[Array, tuple[str, str]]:
    """Return points (N, 2) of float64, and what the axes are called: the columns of a DataFrame by their names."""
    points = numbers(X, "X").astype(np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        hint = ": choose two columns, such as X[:, :2], and a net that was trained on these" if points.ndim == 2 else ""
        raise ValueError(f"X must have shape (N, 2), points in a plane, not {points.shape}{hint}")
    if not len(points):
        raise ValueError("X has shape (0, 2): there are no points to draw a plane around")
    finite = np.isfinite(points).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"X holds NaN or Inf in {np.count_nonzero(~finite)} of {len(points)} rows, first in row {finite.argmin()}"
        )
    if np.abs(points).max() > FARTHEST:
        raise ValueError(
            f"X holds {points.flat[np.abs(points).argmax()]:g}, and what lies beyond {FARTHEST:g} is not drawn"
        )
    names = [str(name) for name in getattr(X, "columns", ())]
    return points, (names[0], names[1]) if len(names) == 2 else AXIS_LABELS


def like(X: Any, net: Any) -> Callable[[Array], Any]:
    """Return what makes of points the kind of thing that X is, since an estimator may want the names of its columns."""
    if isinstance(net, Module) or not hasattr(X, "iloc"):
        return np.asarray
    return lambda points: type(X)(points, columns=X.columns)


def checked_names(names: list[str]) -> list[str]:
    """Return the classes' names; ValueError for more than a figure can tell apart."""
    if len(names) > MOST_CLASSES:
        raise ValueError(f"there are {len(names)} classes, and colours for {MOST_CLASSES} at most")
    return names


def checked_film(film: Any, net: Any) -> Film:
    """Return what recorded a net's training; TypeError or ValueError for what did not."""
    if not isinstance(film, Film):
        raise TypeError(
            f"animate must be what recorded the training, a film = ma.plot.Film() that ma.fit was given as "
            f"callbacks=[film], not {described(film)}"
        )
    if not isinstance(net, Module):
        raise TypeError(f"animate shows the training of an nn.Module, and net is {described(net)}")
    if not film.epochs:
        raise ValueError("the film is empty: give it to the training, ma.fit(…, callbacks=[film])")
    return film


def draw_answer(figure: Any, plane: Plane, answer: Answer, steps: int, title: str) -> None:
    """Draw what was answered on a grid of so many points by so many."""
    scores, probabilities = (values.reshape(steps, steps, -1) for values in (answer.scores, answer.probabilities))
    draw_plane(figure.axes[0], plane, scores, probabilities, title)


def share_right(plane: Plane, answer: Answer, classes: Array) -> str:
    """Return how many of the points' labels are those that were answered, in words; nothing where there are none."""
    if plane.labels is None:
        return ""
    hits = answer.classes[answer.scores.argmax(axis=1)] == classes[plane.labels]
    return f"{100 * hits.mean():.1f} % of {len(hits)} points right"


def training_movie(figure: Any, plane: Plane, film: Film, net: Module, title: str | None) -> Movie:
    """Return the movie of a training: what the net decided after each epoch that the film holds."""
    grid = plane.grid(MOVIE_STEPS)
    answers, titles = [], []
    for epoch, then in film.nets(net):
        answers.append(ask(then, grid))
        right = share_right(plane, ask(then, plane.points), answers[-1].classes)
        titles.append(", ".join(part for part in (title, f"epoch {epoch}", right) if part))

    def draw(number: int) -> None:
        draw_answer(figure, plane, answers[number], MOVIE_STEPS, titles[number])

    draw(len(answers) - 1)
    figure.canvas.draw()
    figure.set_layout_engine("none")  # all pictures keep the places of these axes
    return Movie(figure, draw, len(answers))
