"""What must not change a function's results: layouts in memory, precisions, which gradients are asked for; and what
follows for inputs that are broadcast or empty.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np

from minadder.autograd import Array
from minadder.ops.arithmetic import sum_to
from minadder.testing.call import ROUNDING, Call
from minadder.testing.layouts import LAYOUTS
from minadder.testing.running import Result, forward, go_back, run

SINGLE = 1e-3
"""Results in float32 may differ from those in float64 by this part of the largest value."""


def check_layouts(call: Call) -> None:
    """Raise CheckError where results depend on how the inputs, or the gradient given to backward, lie in memory."""
    advice = (
        "It goes through memory in the order of the bytes, not of the elements (ravel('K'), strides, frombuffer), or "
        "writes to what it is given: use the elements, or np.ascontiguousarray first"
    )
    for name, layout in LAYOUTS.items():
        circumstance = f"with inputs in another layout in memory ({name})"
        with call.when(circumstance, advice):
            inputs = [layout(array) for array in call.arrays]
            call.compare(
                run(call.function, inputs, call.options, call.upstream), call.plain, circumstance, advice, ROUNDING
            )
        circumstance = f"with the gradient that backward is given in another layout in memory ({name})"
        with call.when(circumstance, advice):
            call.compare(call.run(layout(call.upstream)), call.plain, circumstance, advice, ROUNDING)
    circumstance = "with the gradient that sum() hands to backward, one number repeated and read-only"
    with call.when(circumstance, advice):
        ones = np.full(call.upstream.shape, 1.5)
        repeated = np.broadcast_to(np.array(1.5), ones.shape)
        call.compare(call.run(repeated), call.run(ones), circumstance, advice, ROUNDING)


def check_precisions(call: Call) -> None:
    """Raise CheckError where float32 inputs do not give float32 all the way, or other results than float64."""
    advice = (
        "Compute in the input's dtype: Python's numbers keep it, NumPy's arrays and numbers of float64 do not "
        "(np.float64(2) * x, np.zeros(n)): use x.dtype.type(2) and np.zeros(n, x.dtype)"
    )
    single = call.at(np.float32)
    circumstance = "with inputs of float32"
    with call.when(circumstance, advice):
        _, output = forward(single.function, single.copies(), single.options)
        if output.dtype != np.float32:
            raise call.error(f"{circumstance}, the output is {output.dtype}. {advice}")
        ours = single.run(call.upstream)
    double = single.at(np.float64).run(call.upstream)
    call.compare(ours, double, f"{circumstance}, against the same values as float64", advice, SINGLE)


def check_asked_for(call: Call) -> None:
    """Raise CheckError where the gradient of one input fails or changes when nobody asks for the others."""
    advice = "self.needs_input_grad says which are asked for: return None for the others, and the same for these"
    if len(call.arrays) < 2:
        return
    for number in range(len(call.arrays)):
        needed = [other == number for other in range(len(call.arrays))]
        circumstance = f"when only input {number} needs a gradient"
        with call.when(circumstance, advice):
            call.compare(call.run(needed=needed), call.plain, circumstance, advice, ROUNDING)


def check_broadcasting(call: Call) -> None:
    """Raise CheckError where an input is broadcast and its gradient is not added up over what it was broadcast along.

    Only for functions that work element by element, as far as the shapes tell, and that answer such inputs.
    """
    shape = call.plain.output.shape
    if len(call.arrays) < 2 or not broadcast_to(shape, call.arrays):
        return
    advice = (
        "Add the gradient up over the axes along which the input was broadcast, or refuse such shapes in forward by a "
        "ValueError"
    )
    for number, array in enumerate(call.arrays):
        for small in smaller(array):
            one, full = call.with_input(number, small), call.with_input(number, np.broadcast_to(small, shape))
            if broadcast_to(shape, one.arrays) and answers(one, shape) and answers(full, shape):
                circumstance = f"with input {number} of shape {small.shape}, which it broadcasts"
                with call.when(circumstance, advice), np.errstate(all="ignore"):  # at points that nobody chose
                    ours, wanted = (other.run(call.upstream) for other in (one, full))
                    wanted.gradients[number] = sum_to(wanted.gradients[number], small.shape)
                    call.compare(ours, wanted, circumstance, advice, ROUNDING)


def smaller(array: Array) -> Iterator[Array]:
    """Yield the first element of an array with as many axes, and with none."""
    if array.size > 1:
        yield array[(slice(1),) * array.ndim]
        yield array[(0,) * array.ndim].reshape(())


def broadcast_to(shape: tuple[int, ...], arrays: tuple[Array, ...]) -> bool:
    """Return whether arrays broadcast together, to this shape."""
    try:
        return np.broadcast_shapes(*(array.shape for array in arrays)) == shape
    except ValueError:
        return False


def answers(call: Call, shape: tuple[int, ...]) -> bool:
    """Return whether the function takes these inputs and gives an output of this shape."""
    try:
        return call.output().shape == shape
    except Exception:  # a function may refuse in any way
        return False


def check_empty(call: Call) -> None:
    """Raise CheckError where inputs without elements are answered, and backward then fails or gives what is not 0.

    A function may refuse them. All inputs, and arrays among the options, that have the same length become empty
    together: a batch of no examples and their labels, say, or a layer of no units.
    """
    for count in {len(array) for array in call.arrays if array.ndim}:
        check_emptied(call, count)


def check_emptied(call: Call, count: int) -> None:
    """Check the call with all arrays of one length emptied."""
    arrays = [array[:0] if array.ndim and len(array) == count else array for array in call.arrays]
    options = {
        name: value[:0] if isinstance(value, np.ndarray) and value.ndim and len(value) == count else value
        for name, value in call.options.items()
    }
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of the mean of nothing
        try:
            tensors, output = forward(call.function, [array.copy() for array in arrays], options)
        except Exception:  # a function may refuse in any way
            return
        shapes = ", ".join(str(array.shape) for array in arrays)
        circumstance = f"with inputs without elements, of shape {shapes}"
        advice = "Refuse them in forward by a ValueError, or return gradients of 0 in the shapes of the inputs"
        with call.when(f"{circumstance}, forward gives an output and then backward fails", advice):
            gradients = go_back(tensors, output, np.ones(output.shape))
    if output.size == 0:
        nothing = [np.zeros(array.shape) for array in arrays]
        call.compare(Result(output.numpy(), gradients), Result(output.numpy(), nothing), circumstance, advice)
