"""What a function must not do with memory: change what it is given, keep what others own, share what it returns."""

from __future__ import annotations

import numpy as np

from minadder.autograd import Array
from minadder.grad_mode import no_grad
from minadder.testing.call import ROUNDING, Call, first_difference
from minadder.testing.running import HandOver, Result, forward, go_back, gradient

MOVE = 2.0**-10
"""How far the inputs of a second use lie from those of the first: near enough to be where the function is defined."""


def check_forward_changes_nothing(call: Call) -> None:
    """Raise CheckError where forward changes an input or an option in place, or returns memory of an option's."""
    held = call.copies()
    options = call.options
    _, output = forward(call.function, held, options)
    for number, (array, original) in enumerate(zip(held, call.arrays, strict=True)):
        refuse_change(call, "forward", f"input {number}", array, original)
    for name, value in options.items():
        if not isinstance(value, np.ndarray):
            continue
        refuse_change(call, "forward", f"the option {name}", value, call.options[name])
        if np.shares_memory(output.numpy(), value):
            raise call.error(f"the output lies in the memory of the option {name}. Return a copy of it")


def check_backward_changes_nothing(call: Call) -> None:
    """Raise CheckError where backward changes the inputs, the output or the gradient that it is given."""
    held, upstream = call.copies(), call.upstream.copy()
    tensors, output = forward(call.function, held, call.options)
    values = output.numpy().copy()
    go_back(tensors, output, upstream)
    refuse_change(
        call, "backward", "the gradient that it is given, which other nodes may be given too,", upstream, call.upstream
    )
    for number, (array, original) in enumerate(zip(held, call.arrays, strict=True)):
        refuse_change(call, "backward", f"input {number}", array, original)
    refuse_change(call, "backward", "the output of forward", output.numpy(), values)


def refuse_change(call: Call, who: str, what: str, now: Array, before: Array) -> None:
    """Raise CheckError unless an array has the values that it had."""
    difference = first_difference(now, before)
    if difference:
        raise call.error(
            f"{who} changes {what} in place: it is {difference} afterwards. Make a new array (y = 2 * x instead of "
            f"x *= 2), or change a copy"
        )


def check_outputs_are_apart(call: Call) -> None:
    """Raise CheckError where two calls return the same memory, so that the second overwrites the first's output."""
    (_, one), (_, other) = (forward(call.function, call.copies(), call.options) for _ in range(2))
    if np.shares_memory(one.numpy(), other.numpy()):
        raise call.error(
            "two calls return the same memory, so that the second overwrites the output of the first. Make a new array "
            "in each forward"
        )


def check_saved_is_kept(call: Call) -> None:
    """Raise CheckError where a second backward over the same graph gives another gradient than the first."""
    tensors, output = forward(call.function, call.copies(), call.options)
    handed = HandOver.apply(output, upstream=call.upstream)
    results = []
    for _ in range(2):
        handed.backward(np.zeros(output.shape), retain_graph=True)
        results.append(Result(call.plain.output, [gradient(tensor) for tensor in tensors]))
        for tensor in tensors:
            tensor.grad = None
    call.compare(
        results[1],
        results[0],
        "in a second backward over the same graph",
        "backward changes in place, or gives away, what forward saved: change a copy",
    )


def check_uses_are_apart(call: Call) -> None:
    """Raise CheckError where two uses in one graph disturb each other, by what they keep in common."""
    uses = [call, call.on([array + MOVE for array in call.arrays])]
    alone = [use.run(call.upstream) for use in uses]
    leaves = [forward(lambda *tensors: tensors, use.copies(), {})[0] for use in uses]
    inputs = [[leaf + 0.0 for leaf in some] for some in leaves]  # nodes, which hold gradients until both uses are done
    outputs = [call.function(*tensors, **call.options) for tensors in inputs]
    first, second = (HandOver.apply(output, upstream=call.upstream).sum() for output in outputs)
    (first + second).backward()
    for some, output, wanted in zip(leaves, outputs, alone, strict=True):
        call.compare(
            Result(output.numpy(), [gradient(leaf) for leaf in some]),
            wanted,
            "used twice in one graph",
            "What one use keeps, the other overwrites: keep it on self, not on the class or in an array outside, and "
            "return new arrays",
            ROUNDING,
        )


def check_changes_are_noticed(call: Call) -> None:
    """Raise CheckError where an input or output is changed between forward and backward, and gradients become wrong.

    The engine watches the tensors in `self.saved` and refuses to go backward. What is kept elsewhere it cannot watch.
    """
    for number in range(len(call.arrays) + 1):
        tensors, output = forward(call.function, call.copies(), call.options)
        changed = [*tensors, output][number]
        what = "the output" if changed is output else f"input {number}"
        if not changed._array.flags.writeable:  # a broadcast view
            continue
        with no_grad():
            changed.copy_(changed.numpy() * 0.5 + 0.125)
        try:
            gradients = go_back(tensors, output, call.upstream)
        except RuntimeError:
            continue
        call.compare(
            Result(call.plain.output, gradients),
            call.plain,
            f"after {what} was changed in place between forward and backward",
            f"It keeps the array of {what} outside self.saved, where no change is noticed: put it into self.saved, or "
            f"keep a copy",
            ROUNDING,
        )
