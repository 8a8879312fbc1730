"""The labels of examples as numbers of classes, and what the classes are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minadder.autograd import Array
from minadder.checks import array_like, shown

Indices = npt.NDArray[np.int64]


def class_numbers(y: Any, classes: Array, count: int, of_net: bool) -> Indices:
    """Return the place of each label (N,) among the classes.

    Parameters
    ----------
    y
        The labels.
    classes
        What a net or an estimator tells apart.
    count
        How many labels there must be.
    of_net
        Whether the classes are the numbers of a net's outputs.

    Raises
    ------
    TypeError
        For names where a net has numbers.
    ValueError
        For another length or shape, and labels that are no classes.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder.looking.labels import class_numbers
    >>> class_numbers(["no", "yes", "no"], np.array(["no", "yes"]), 3, of_net=False)
    array([0, 1, 0])
    """
    labels = array_like(y, "y")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (count,):
        hint = ": of one-hot labels take y.argmax(axis=1)" if labels.ndim == 2 and len(labels) == count else ""
        raise ValueError(f"y must have shape ({count},), a label for each row of X, not {labels.shape}{hint}")
    if of_net and labels.dtype.kind not in "biuf":
        raise TypeError(
            f"y must hold class numbers for a net, not {shown(labels[0])}: "
            f"make them with names, y = np.unique(y, return_inverse=True), and pass classes=names"
        )
    places = {value: place for place, value in enumerate(classes.tolist())}
    numbers = np.array([places.get(value, -1) for value in labels.tolist()], np.int64)
    if (numbers < 0).any():
        wrong = labels[numbers < 0].tolist()[0]
        known = f"0 … {len(classes) - 1}" if of_net else ", ".join(map(shown, classes.tolist()))
        raise ValueError(
            f"y holds {shown(wrong)}, which is no class of the {len(classes)} that are told apart: {known}"
        )
    return numbers


def class_names(classes: Array, names: Sequence[Any] | None, of_net: bool) -> list[str]:
    """Return what classes are called: by the names given, else as they are, a net's "class 0" and so on.

    Raises
    ------
    ValueError
        For another number of names than of classes.
    """
    if names is None:
        return [f"class {value}" if of_net else str(value) for value in classes.tolist()]
    if isinstance(names, str) or len(names) != len(classes):
        raise ValueError(f"classes must name {len(classes)} classes, one for each output, not {shown(names)}")
    return [str(name) for name in names]
