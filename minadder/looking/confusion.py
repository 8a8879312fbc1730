"""Which classes a net or an estimator takes for which others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minadder.autograd import Array
from minadder.checks import described
from minadder.data.loader import Loader, as_loader
from minadder.looking.asking import ask, check_askable
from minadder.looking.labels import class_names, class_numbers
from minadder.nn import Module
from minadder.plot.figure import new_figure, numbers, plain

MOST_NUMBERS = 20
"""Of so many classes the counts are written into the cells; of more their shade tells them."""


def confusion_matrix(net: Any, data: Any, *, classes: Sequence[Any] | None = None, title: str | None = None) -> Any:
    """Return a figure of how many examples of which class are taken for which, by scikit-learn's display.

    Parameters
    ----------
    net
        A network, or a scikit-learn estimator that was fitted. It is left as it was.
    data
        `(X, y)`, inputs and their classes: arrays, lists, tensors or DataFrames; or a data set or a Loader. Classes are
        numbers from 0 on for a net, what an estimator was fitted to for an estimator.
    classes
        The classes' names, in the order of their numbers.
    title
        What stands above; by default how many of the examples are right.

    Raises
    ------
    TypeError, ValueError
        For other data, inputs that the net does not take, and classes that it does not have.
    RuntimeError
        When the net gives NaN or Inf.

    Examples
    --------
    >>> import minadder as ma
    >>> points = ma.data.xor(64)
    >>> figure = ma.plot.confusion_matrix(ma.models.mlp((2, 4, 2)), (points.inputs, points.labels))
    >>> figure.axes[0].get_ylabel()
    'True label'
    """
    check_askable(net)
    X, y = examples(data)
    of_net = isinstance(net, Module)
    answer = ask(net, numbers(X, "X") if of_net else X)
    true = class_numbers(y, answer.classes, len(answer.scores), of_net)
    names = class_names(answer.classes, classes, of_net=False)
    return matrix_figure(true, answer.scores.argmax(axis=1), [plain(name) for name in names], title)


def examples(data: Any) -> tuple[Any, Any]:
    """Return inputs and labels of a pair, a data set or a Loader; TypeError for what is none of these."""
    if isinstance(data, (tuple, list)):
        if len(data) != 2:
            raise TypeError(f"data must be a pair (X, y), not {len(data)} things")
        X, y = data
        if not np.ndim(X) or not len(X):
            raise ValueError(f"data has no examples: X has shape {np.shape(X)}")
        return X, y
    if not isinstance(data, Loader) and not hasattr(data, "num_classes"):
        raise TypeError(f"data must be a pair (X, y), a data set or a Loader, not {described(data)}")
    batches = list(as_loader(data, "data"))
    return np.concatenate([inputs for inputs, _ in batches]), np.concatenate([labels for _, labels in batches])


def matrix_figure(true: Array, predicted: Array, names: Sequence[str], title: str | None) -> Any:
    """Return a figure of scikit-learn's display of the counts of classes by number."""
    size = float(np.clip(1.6 + 0.55 * len(names), 4.0, 12.0))
    figure = new_figure(size + 1.2, size)
    axes = figure.subplots()
    from sklearn.metrics import ConfusionMatrixDisplay

    places = np.arange(len(names))
    ConfusionMatrixDisplay.from_predictions(
        true,
        predicted,
        labels=places,
        display_labels=names,
        include_values=len(names) <= MOST_NUMBERS,
        cmap="Blues",
        xticks_rotation="vertical" if max(map(len, names)) > 3 and len(names) > 3 else "horizontal",
        ax=axes,
    )
    right = f"{100 * (true == predicted).mean():.2f} % of {len(true)} examples right"
    axes.set_title(right if title is None else plain(title), fontsize=11)
    return figure
