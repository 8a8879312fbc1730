"""What a function answers: a tensor and gradients of the right kind, and the same each time."""

from __future__ import annotations

import numpy as np

from minadder.tensor import Tensor
from minadder.testing.call import ROUNDING, Call, first_difference
from minadder.testing.running import Result, forward


def check_output(call: Call) -> None:
    """Raise CheckError unless the output is a tensor of float64 through which a gradient flows, all of it finite."""
    with np.errstate(all="ignore"):
        _, output = forward(call.function, call.copies(), call.options)
    if not isinstance(output, Tensor):
        raise call.error(f"it returns {type(output).__name__}, not a Tensor")
    if output.dtype != np.float64:
        raise call.error(f"the output is {output.dtype} for inputs of float64. Compute in the input's dtype")
    if not output.requires_grad:
        raise call.error(
            "no gradient flows through the output: it was detached, or computed in NumPy. Compute with tensors, or in "
            "the forward of a Function"
        )
    wrong = np.argwhere(~np.isfinite(output.numpy()))
    if len(wrong):
        place = tuple(int(i) for i in wrong[0])
        raise call.error(
            f"the output is {output.numpy()[place]} at {place}, where it has no derivative. Give inputs from where the "
            f"function is defined, such as testing.lattice_arrays(low=0.25)"
        )


def check_repeats(call: Call) -> None:
    """Raise CheckError where a second call gives another output, or one without a graph does."""
    _, first = forward(call.function, call.copies(), call.options)
    values = first.numpy().copy()
    _, second = forward(call.function, call.copies(), call.options)
    for circumstance, again in (
        ("called again on the same values", second.numpy()),
        ("called inside ma.no_grad()", call.output()),
    ):
        if difference := first_difference(again, values):
            raise call.error(
                f"{circumstance}, the output is {difference}. The same inputs must give the same output: draw random "
                f"numbers outside and pass them, and keep nothing from call to call"
            )


def check_answer_of_backward(call: Call) -> None:
    """Raise CheckError where backward gives another number, shape or dtype of gradients, or not the same twice."""
    try:
        first = call.plain
    except RuntimeError as error:
        raise call.error(
            f"{error}. backward must return one array for each input, in forward's order, of that input's shape and "
            f"dtype: the gradient of a broadcast input is added up over the axes that it was broadcast along"
        ) from error
    advice = "The same inputs must give the same gradients: keep in forward what was drawn at random"
    call.compare(call.run(), first, "called again on the same values", advice)


def check_linear(call: Call) -> None:
    """Raise CheckError where the gradients are not proportional to the gradient that backward is given."""
    scaled = Result(call.plain.output, [-1000 * gradient for gradient in call.plain.gradients])
    call.compare(
        call.run(-1000 * call.upstream),
        scaled,
        "when backward is given −1000 times the gradient",
        "backward must multiply by the gradient that it is given (the chain rule), and do nothing else with it",
        ROUNDING,
    )
