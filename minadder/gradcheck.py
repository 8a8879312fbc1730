"""Check gradients against finite differences, and say where they differ and whether that is a kink."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from minadder.autograd import Array, Version, backward
from minadder.checks import shown
from minadder.grad_mode import no_grad, recording
from minadder.tensor import Tensor

KINK_JUMP = 1e-3
"""Slopes left and right of a point that differ by more than this part of their size make it a kink."""


class GradcheckError(AssertionError):
    """A gradient differs from finite differences; the message says where and by how much."""


class Difference(NamedTuple):
    """One entry of one input whose gradient differs from finite differences."""

    input: int
    place: tuple[int, ...]
    analytic: float
    numeric: float
    left: float
    right: float

    @property
    def size(self) -> float:
        """How far apart the two gradients are; infinite where one is not a number."""
        gap = abs(self.analytic - self.numeric)
        return gap if np.isfinite(gap) else np.inf

    @property
    def on_kink(self) -> bool:
        """Whether the slopes to the left and to the right differ, so that there is no derivative."""
        return abs(self.right - self.left) > KINK_JUMP * max(1.0, abs(self.left), abs(self.right))

    def __str__(self) -> str:
        text = f"input {self.input} at {self.place}: backward gives {self.analytic:.6g}, "
        text += f"finite differences give {self.numeric:.6g} (apart by {self.size:.3g})"
        if self.on_kink:
            text += f"; a kink: the slope is {self.left:.6g} to the left and {self.right:.6g} to the right"
        return text


def gradcheck(
    f: Callable[..., Tensor],
    inputs: Tensor | Sequence[Tensor],
    eps: float = 1e-6,
    rtol: float = 1e-5,
    atol: float = 1e-7,
    seed: int = 0,
) -> bool:
    """Check the gradients of a function against central finite differences.

    The outputs are weighted by random numbers u, so that errors cannot cancel, and L = Σ u·f(inputs) is differentiated
    both ways: by backward, and as (L(x + ε) − L(x − ε)) / 2ε entry by entry.

    Parameters
    ----------
    f
        A function from tensors to one tensor, the same each time it is called. It may reach the inputs on other ways
        than its arguments too, as in `lambda w: layer(x)` for `layer.weight`.
    inputs
        A tensor of float64 or several; those with `requires_grad` are checked. While f runs they hold copies of their
        values; afterwards they are as they were, and every `grad` too. A computed tensor is taken as a leaf. What f
        itself changes on the way stays changed: the running statistics of a batch norm in training.
    eps
        The step ε.
    rtol, atol
        The gradients a, b may differ by atol + rtol·|b|.
    seed
        Seeds the weights u.

    Returns
    -------
    True.

    Raises
    ------
    GradcheckError
        When a gradient differs: at which entry of which input, by how much, how many do, and whether the worst sits on
        a kink, where there is no derivative and any slope in between is a convention. An operation that uses a
        surrogate gradient on purpose (an adder layer with the rule "hardtanh") differs everywhere. Also when the
        function depends on an input neither way (a product with 0 does, by backward), gives NaN or infinity, or gives
        another value when it is called again.
    TypeError, ValueError
        For inputs that are not float64, or none with `requires_grad` and an entry; for a function that returns no
        tensor of float64, or an empty one; for a step that vanishes beside an entry.

    Examples
    --------
    >>> import minadder as ma
    >>> x = ma.tensor([1.0, -2.0], dtype="float64", requires_grad=True)
    >>> ma.gradcheck(lambda x: x.exp() * x, x)
    True
    >>> kink = ma.tensor([0.0, 3.0], dtype="float64", requires_grad=True)
    >>> ma.gradcheck(ma.ops.relu, kink)
    Traceback (most recent call last):
    ...
    minadder.gradcheck.GradcheckError: 1 of 2 gradient entries differs from finite differences. The worst is input 0 \
at (0,): backward gives 0, finite differences give 0.0628651 (apart by 0.0629); a kink: the slope is 0 to the left \
and 0.12573 to the right. There is no derivative on a kink: move the input away from it.
    """
    tensors = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs) if isinstance(inputs, Iterable) else (inputs,)
    check_inputs(f, tensors, eps, rtol, atol)
    with replaced(tensors) as start:
        weights, gradients, output = backward_gradients(f, tensors, seed)

        def weighted(number: int = 0, index: tuple[int, ...] = (), value: float | None = None) -> float:
            """Return L where one entry of one input is another value."""
            start()
            if value is not None:
                tensors[number]._array[index] = value
            with no_grad():
                return float((f(*tensors)._array * weights).sum())

        middle = weighted()
        check_repeats(middle, float((output * weights).sum()))
        differences, entries = [], 0
        for number, tensor in enumerate(tensors):
            if not tensor.requires_grad:
                continue
            gradient, moved = gradients.get(id(tensor)), False
            for index in np.ndindex(tensor.shape):
                entries += 1
                start()
                value = float(tensor._array[index])
                if value - eps == value + eps:
                    raise ValueError(f"eps={eps} vanishes beside {value}, input {number} at {index}: scale the input")
                above, below = weighted(number, index, value + eps), weighted(number, index, value - eps)
                moved = moved or above != middle or below != middle
                numeric = (above - below) / (2 * eps)
                analytic = 0.0 if gradient is None else float(gradient[index]) + 0.0  # −0 is shown as 0
                if not abs(analytic - numeric) <= atol + rtol * abs(numeric):
                    left, right = (middle - below) / eps, (above - middle) / eps
                    differences.append(Difference(number, index, analytic, numeric, left, right))
            if gradient is None and not moved and tensor.size:
                raise GradcheckError(
                    f"the function does not depend on input {number}, neither by backward nor by finite differences: "
                    f"nothing of it was checked. Use it in the function, or leave it out of the inputs"
                )
    if differences:
        raise GradcheckError(report(differences, entries))
    return True


def check_inputs(f: Any, tensors: tuple[Any, ...], eps: float, rtol: float, atol: float) -> None:
    """Raise TypeError or ValueError unless there is a function, and something to check at a sensible tolerance."""
    if not callable(f):
        raise TypeError(f"gradcheck needs a function of tensors, not {type(f).__name__}: gradcheck(f, inputs)")
    for number, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"input {number} must be a Tensor, not {type(tensor).__name__}: "
                f"make it with ma.tensor(..., dtype='float64', requires_grad=True)"
            )
        if tensor.dtype != np.float64:
            raise TypeError(
                f"input {number} is {tensor.dtype}, in which finite differences are too coarse: "
                f"make it with ma.tensor(..., dtype='float64')"
            )
    for name, value in (("eps", eps), ("rtol", rtol), ("atol", atol)):
        if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
            raise TypeError(f"{name} must be a number, not {value!r}")
        if not 0 <= value <= sys.float_info.max or (name == "eps" and value == 0):
            least = "above" if name == "eps" else "at least"
            raise ValueError(f"{name} must be finite and {least} 0, not {shown(value)}")
    if not any(tensor.requires_grad for tensor in tensors):
        raise ValueError("no input has requires_grad=True, so there is no gradient to check")
    if not any(tensor.requires_grad and tensor.size for tensor in tensors):
        shapes = ", ".join(str(tensor.shape) for tensor in tensors)
        raise ValueError(f"no input with requires_grad=True has an entry, so there is no gradient to check: {shapes}")


@contextmanager
def replaced(tensors: tuple[Tensor, ...]) -> Iterator[Callable[[], None]]:
    """Make the given tensors leaves with a copy of their values, and put everything back at the end.

    The tensors themselves are given other memory, since the function may reach them on other ways than its arguments:
    a layer's weight, say. Yields a function that renews the copies, which it calls itself once.
    """
    once = {id(tensor): tensor for tensor in tensors}
    kept = [(tensor, tensor._array, tensor._version, tensor._node, tensor.requires_grad) for tensor in once.values()]

    def start() -> None:
        for tensor, array, _, _, requires_grad in kept:
            tensor._array, tensor._version, tensor._node = array.copy(), Version(), None
            tensor._requires_grad = requires_grad

    try:
        start()
        yield start
    finally:
        for tensor, array, version, node, requires_grad in kept:
            tensor._array, tensor._version, tensor._node, tensor._requires_grad = array, version, node, requires_grad


def backward_gradients(
    f: Callable[..., Tensor], tensors: tuple[Tensor, ...], seed: int
) -> tuple[Array, dict[int, Array], Array]:
    """Return random weights for the outputs, the gradients of the weighted sum by id of the input, and the outputs.

    The gradients are kept apart from `grad`: neither that of the inputs nor that of a parameter on the way changes.
    """
    gradients: dict[int, Array] = {}

    def deliver(leaf: Tensor, part: Array) -> None:
        gradients[id(leaf)] = gradients[id(leaf)] + part if id(leaf) in gradients else part

    with recording():
        output = f(*tensors)
    if not isinstance(output, Tensor):
        raise TypeError(f"the function must return a Tensor, not {type(output).__name__}")
    if output.dtype != np.float64:
        raise TypeError(f"the function returns {output.dtype}, in which finite differences are too coarse")
    if output.size == 0:
        raise ValueError(f"the function returns no numbers (shape {output.shape}), so there is no gradient to check")
    values = np.array(output.numpy())
    weights = np.random.default_rng(seed).standard_normal(output.shape)
    if output._node is not None:
        backward(output._node, weights, True, deliver)
    elif output.requires_grad:
        deliver(output, weights)
    return weights, gradients, values


def check_repeats(second: float, first: float) -> None:
    """Raise GradcheckError unless two calls gave the same finite number."""
    if not np.isfinite(second):
        raise GradcheckError(f"the function gives {second} at the inputs themselves: there is no derivative to compare")
    if first != second:
        raise GradcheckError(
            f"the function gives another value when it is called again (weighted sums {first!r} and {second!r}): "
            f"make it the same each time, as by eval() or a fixed seed"
        )


def report(differences: list[Difference], entries: int) -> str:
    """Return the message: how many entries differ, the worst one, and what a kink means."""
    worst = max(differences, key=lambda difference: difference.size)
    kinks = sum(difference.on_kink for difference in differences)
    verb = "differs" if len(differences) == 1 else "differ"
    message = f"{len(differences)} of {entries} gradient entries {verb} from finite differences. The worst is {worst}."
    if kinks:
        message += " There is no derivative on a kink: move the input away from it."
    if 0 < kinks < len(differences):
        message += f" {kinks} of the {len(differences)} sit on a kink; the others do not."
    return message
