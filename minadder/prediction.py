"""What a network says of inputs: class numbers, and how likely it holds each class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minadder.autograd import no_grad
from minadder.data import Loader
from minadder.data.loader import check_examples
from minadder.data.own import as_inputs
from minadder.diagnosis import first_non_finite
from minadder.evaluation import check_net, evaluating
from minadder.nn import Module
from minadder.random import generator_state, set_generator_state
from minadder.tensor import Tensor

AT_ONCE = 256
"""Examples that go through the net together."""


def predict(net: Module, inputs: Any) -> NDArray[np.int64]:
    """Return the class that a network names for each input, (N,); of equally likely ones the first.

    Parameters
    ----------
    net
        A network from inputs to logits (N, classes), or to a single logit each, above 0 for class 1. It is asked in
        evaluation mode, and its mode is left as it was.
    inputs
        (N, ...), as `ma.fit` takes them: an array, a list, a tensor, a DataFrame; or a data set.

    Raises
    ------
    TypeError, ValueError
        For what is no network, inputs that it does not take, and outputs that are no logits.
    RuntimeError
        When an output is NaN or Inf; the message names the layer.

    Examples
    --------
    >>> import minadder as ma
    >>> from minadder import nn
    >>> net = nn.Linear(2, 2, bias=False)
    >>> net.weight.data = [[1.0, 0.0], [0.0, 1.0]]
    >>> ma.predict(net, [[3, 1], [1, 3]])
    array([0, 1])
    """
    found = logits(net, inputs)
    classes: NDArray[np.int64] = (found[:, 0] > 0).astype(np.int64) if found.shape[1] == 1 else found.argmax(axis=1)
    return classes


def predict_proba(net: Module, inputs: Any) -> NDArray[np.float64]:
    """Return how likely a network holds each class for each input, (N, classes): the softmax of its logits.

    Of a single logit, the two columns are 1 − σ and σ, the sigmoid. Parameters and errors are those of `predict`.

    Examples
    --------
    >>> import minadder as ma
    >>> from minadder import nn
    >>> net = nn.Linear(2, 2, bias=False)
    >>> net.weight.data = [[1.0, 0.0], [0.0, 1.0]]
    >>> ma.predict_proba(net, [[2, 2]])
    array([[0.5, 0.5]])
    """
    found = logits(net, inputs).astype(np.float64)
    if found.shape[1] == 1:
        found = np.concatenate([np.zeros_like(found), found], axis=1)  # whose softmax is the sigmoid
    weights = np.exp(found - found.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return shares


def logits(net: Module, inputs: Any) -> NDArray[Any]:
    """Return the network's outputs for all inputs, (N, classes) or (N, 1)."""
    check_net(net)
    parameter = next(net.parameters(), None)
    dtype = np.dtype(np.float32) if parameter is None else parameter.dtype
    before = generator_state()
    try:
        with evaluating(net), no_grad(), np.errstate(over="ignore", invalid="ignore"):
            return np.concatenate([answer(net, batch.astype(dtype, copy=False)) for batch in batches(inputs)])
    finally:
        set_generator_state(before)


def batches(inputs: Any) -> Iterator[NDArray[np.float32]]:
    """Yield the inputs of a data set, or what else `as_inputs` takes, in batches; of none, one empty batch."""
    if isinstance(inputs, Loader):
        raise TypeError("the inputs must be an array or a data set, not a Loader, which may mix them: pass its dataset")
    examples = None if not hasattr(inputs, "num_classes") else check_examples(inputs, "the inputs")
    given = np.empty(0, np.float32) if examples is not None else as_inputs(inputs, "the inputs")
    count = len(given) if examples is None else len(examples)
    for begin in range(0, max(count, 1), AT_ONCE):
        members = np.arange(begin, min(begin + AT_ONCE, count))
        yield given[members] if examples is None else examples.take(members, (0, 0, 0))[0]


def answer(net: Module, batch: NDArray[Any]) -> NDArray[Any]:
    """Return the logits of one batch as two axes; an error for outputs of other shapes, and for NaN or Inf."""
    name, each = type(net).__name__, batch.shape[1:]
    try:
        output = net(Tensor(batch))
    except (ValueError, TypeError) as error:
        raise ValueError(f"the net, a {name}, does not take inputs of shape {each}: {error}") from error
    if not isinstance(output, Tensor) or output.ndim not in (1, 2) or len(output) != len(batch):
        what = f"shape {output.shape}" if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(
            f"the net, a {name}, must answer {len(batch)} inputs with logits of shape ({len(batch)}, classes) or "
            f"({len(batch)}, 1), not {what}"
        )
    logits = output.numpy() if output.ndim == 2 else output.numpy()[:, None]
    wrong = np.count_nonzero(~np.isfinite(logits).all(axis=1))
    if wrong:
        raise RuntimeError(
            f"the net, a {name}, gives NaN or Inf for {wrong} of {len(batch)} inputs. The first layer to do so is "
            f"{first_non_finite(net, Tensor(batch))}"
        )
    return logits
