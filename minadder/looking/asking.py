"""Asking a net or an estimator about many inputs, and leaving it as it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minadder.autograd import Array
from minadder.checks import described
from minadder.nn import Module
from minadder.prediction import logits

METHODS = "predict_proba", "decision_function", "predict"
"""How an estimator is asked: the first of these that it has."""


@dataclass(frozen=True)
class Answer:
    """What was answered: a score for each input and class (N, C), and the classes' names or numbers (C,).

    The class of the largest score is the one that was chosen. `log_odds` tells that the scores are logits, whose
    softmax is the classes' probabilities; else they are these themselves.
    """

    scores: npt.NDArray[np.float64]
    classes: Array
    log_odds: bool

    @property
    def probabilities(self) -> npt.NDArray[np.float64]:
        """The probability of each class (N, C)."""
        if not self.log_odds:
            return self.scores
        powers = np.exp(self.scores - self.scores.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)


def is_estimator(net: Any) -> bool:
    """Return whether this is asked as scikit-learn's estimators are."""
    return not isinstance(net, (Module, type)) and any(hasattr(net, method) for method in METHODS)


def check_askable(net: Any) -> None:
    """Raise TypeError for what is neither a net nor an estimator."""
    if not isinstance(net, Module) and not is_estimator(net):
        raise TypeError(f"net must be a network (an nn.Module) or a scikit-learn estimator, not {described(net)}")


def ask(net: Any, inputs: Any) -> Answer:
    """Return what a net or an estimator answers about inputs (N, ...).

    A net is asked in evaluation mode, in batches; its mode, statistics and gradients stay as they are, and so do the
    library's random numbers.

    Raises
    ------
    ValueError
        When it does not take such inputs, or answers in a shape that is neither one logit nor a number for each class.
    RuntimeError
        When it answers NaN or Inf.
    """
    check_askable(net)
    return ask_net(net, inputs) if isinstance(net, Module) else ask_estimator(net, inputs)


def ask_net(net: Module, inputs: Array) -> Answer:
    """Return what a net answers: of one logit z the logits 0 and z, as the binary cross-entropy means it."""
    found = logits(net, inputs).astype(np.float64)
    if found.shape[1] == 1:
        found = np.concatenate([np.zeros_like(found), found], axis=1)
    return Answer(found, np.arange(found.shape[1]), log_odds=True)


def ask_estimator(estimator: Any, inputs: Any) -> Answer:
    """Return what an estimator answers: probabilities, else the values of its decision function, else its choice.

    Classes that are no estimator's own (`classes_`), such as a clustering's, are those that it predicts.
    """
    name = type(estimator).__name__
    classes = getattr(estimator, "classes_", None)
    method = next(method for method in METHODS if hasattr(estimator, method))
    if method == "predict" or classes is None:
        return chosen(estimator, inputs, classes)
    values = np.asarray(getattr(estimator, method)(inputs), np.float64)
    if not np.isfinite(values).all():
        wrong = np.count_nonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
        raise RuntimeError(f"{method} of {name} gives NaN or Inf for {wrong} of {len(values)} inputs")
    log_odds = method == "decision_function"
    if log_odds and values.ndim == 1:
        values = np.stack([np.zeros_like(values), values], axis=1)
    classes = np.asarray(classes)
    if values.shape != (len(values), len(classes)):
        return chosen(estimator, inputs, classes)
    # a decision function may be of pairs of classes, as many as there are classes
    if log_odds and (classes[values.argmax(axis=1)] != estimator.predict(inputs)).any():
        return chosen(estimator, inputs, classes)
    return Answer(values, classes, log_odds)


def chosen(estimator: Any, inputs: Any, classes: Any) -> Answer:
    """Return what an estimator predicts, each prediction with probability 1."""
    predicted = np.asarray(estimator.predict(inputs))
    if predicted.ndim != 1:
        raise ValueError(
            f"{type(estimator).__name__}.predict gives shape {predicted.shape}, not a class for each input"
        )
    if classes is None and predicted.dtype.kind == "f":
        raise ValueError(f"{type(estimator).__name__}.predict gives numbers, such as {predicted[0]}, and not classes")
    known = np.unique(predicted) if classes is None else np.asarray(classes)
    return Answer((predicted[:, None] == known).astype(np.float64), known, log_odds=False)
