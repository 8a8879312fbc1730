"""Check gradients against finite differences, and say where they differ and whether that is a kink."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from minadder.autograd import Array, no_grad
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
        A function from tensors to one tensor, the same each time it is called.
    inputs
        A tensor of float64 or several; those with `requires_grad` are checked. Their `grad` is left as it was.
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
        surrogate gradient on purpose (an adder layer with the rule "hardtanh") differs everywhere.
    TypeError, ValueError
        For inputs that are not float64, or none with `requires_grad`; for a function that returns no tensor.

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
    tensors = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    check_inputs(tensors)
    weights, gradients = backward_gradients(f, tensors, seed)

    def weighted(arrays: list[Array]) -> float:
        with no_grad():
            return float((f(*(Tensor(array.copy()) for array in arrays))._array * weights).sum())

    differences = []
    entries = 0
    for number, tensor in enumerate(tensors):
        if not tensor.requires_grad:
            continue
        arrays = [np.array(other.numpy()) for other in tensors]
        middle = weighted(arrays)
        for index in np.ndindex(tensor.shape):
            entries += 1
            value = arrays[number][index]
            arrays[number][index] = value + eps
            above = weighted(arrays)
            arrays[number][index] = value - eps
            below = weighted(arrays)
            arrays[number][index] = value
            numeric = (above - below) / (2 * eps)
            analytic = float(gradients[number][index]) + 0.0  # −0 is shown as 0
            if not abs(analytic - numeric) <= atol + rtol * abs(numeric):
                left, right = (middle - below) / eps, (above - middle) / eps
                differences.append(Difference(number, index, analytic, numeric, left, right))
    if differences:
        raise GradcheckError(report(differences, entries))
    return True


def check_inputs(tensors: tuple[Tensor, ...]) -> None:
    """Raise TypeError or ValueError unless all inputs are tensors of float64 and one requires a gradient."""
    for number, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"input {number} must be a Tensor, not {type(tensor).__name__}")
        if tensor.dtype != np.float64:
            raise TypeError(
                f"input {number} is {tensor.dtype}, in which finite differences are too coarse: "
                f"make it with ma.tensor(..., dtype='float64')"
            )
    if not any(tensor.requires_grad for tensor in tensors):
        raise ValueError("no input has requires_grad=True, so there is no gradient to check")


def backward_gradients(f: Callable[..., Tensor], tensors: tuple[Tensor, ...], seed: int) -> tuple[Array, list[Array]]:
    """Return random weights for the outputs, and the gradients of the weighted sum by backward (0 where none came)."""
    copies = [Tensor(np.array(tensor.numpy()), tensor.requires_grad) for tensor in tensors]
    output = f(*copies)
    if not isinstance(output, Tensor):
        raise TypeError(f"the function must return a Tensor, not {type(output).__name__}")
    weights = np.random.default_rng(seed).standard_normal(output.shape)
    if output.requires_grad:
        output.backward(weights)
    return weights, [np.zeros(copy.shape) if copy.grad is None else np.array(copy.grad.numpy()) for copy in copies]


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
