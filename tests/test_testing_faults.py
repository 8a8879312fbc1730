"""`check_function` catches operations that are wrong, each in its own way, and names the kind of mistake."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest

import minadder as ma
from minadder import ops, testing
from minadder.autograd import Array


class Square(ma.Function):
    """x², as it should be: what is wrong below is wrong beside this."""

    def forward(self, x: Array) -> Array:
        """Return x²."""
        self.saved = (x,)
        return x * x

    def backward(self, grad: Array) -> Any:
        """Return 2·x·G."""
        (x,) = self.saved
        return 2 * x * grad


class Product(ma.Function):
    """x · y, element by element, as it should be."""

    def forward(self, x: Array, y: Array) -> Array:
        """Return x · y."""
        self.saved = x, y
        return x * y

    def backward(self, grad: Array) -> Any:
        """Return G·y and G·x, added up where x or y was broadcast."""
        x, y = self.saved
        return ops.arithmetic.sum_to(grad * y, x.shape), ops.arithmetic.sum_to(grad * x, y.shape)


class Mean(ma.Function):
    """The mean of each row, as it should be."""

    def forward(self, x: Array) -> Array:
        """Return the mean over the last axis."""
        self.shape = x.shape
        return x.mean(axis=-1)

    def backward(self, grad: Array) -> Any:
        """Return G / n for each of the n entries of a row."""
        return np.repeat(grad[..., None] / self.shape[-1], self.shape[-1], axis=-1)


class Linear(ma.Function):
    """Rows x times weights w, as it should be."""

    def forward(self, x: Array, w: Array) -> Array:
        """Return x·wᵀ."""
        self.saved = x, w
        return x @ w.T

    def backward(self, grad: Array) -> Any:
        """Return G·w and Gᵀ·x."""
        x, w = self.saved
        return grad @ w, grad.T @ x


def wrong(right: type[ma.Function], **methods: Callable[..., Any]) -> type[ma.Function]:
    """Return an operation called Wrong, which is right but for these methods."""
    return type("Wrong", (right,), methods)


def doubled_in_place(self: Any, x: Array) -> Array:
    """Compute x² in the input's own memory."""
    self.saved = (x.copy(),)
    return np.multiply(x, x, out=x)


def upstream_in_place(self: Any, grad: Array) -> Array:
    """Multiply the gradient that is given, and return that array itself."""
    grad *= 2 * self.saved[0]
    return grad


def saved_in_place(self: Any, grad: Array) -> Array:
    """Multiply an array of forward's, and return it."""
    self.factor *= grad
    return self.factor


def input_in_place(self: Any, grad: Array) -> Array:
    """Double the saved input, which is the caller's."""
    (x,) = self.saved
    x *= 2
    return x * grad


def with_factor(self: Any, x: Array) -> Array:
    """Keep 2x on the node."""
    self.factor = 2 * x
    return x * x


def with_attribute(self: Any, x: Array) -> Array:
    """Keep the caller's array in an attribute, which the engine does not watch."""
    self.x = x
    return x * x


def with_output(self: Any, x: Array) -> Array:
    """Keep the output, an exponential, in an attribute."""
    self.y = np.exp(x)
    return self.y


def on_class(self: Any, x: Array) -> Array:
    """Keep the input on the class, where the next use overwrites it."""
    type(self).x = x.copy()
    return x * x


BUFFER = np.zeros((3, 4))


def in_buffer(self: Any, x: Array) -> Array:
    """Compute into one array for all calls."""
    self.saved = (x,)
    return np.multiply(x, x, out=BUFFER) if x.shape == BUFFER.shape and x.dtype == BUFFER.dtype else x * x


def grad_in_buffer(self: Any, grad: Array) -> Array:
    """Compute the gradient into one array for all nodes."""
    gradient = 2 * self.saved[0] * grad
    if gradient.shape != BUFFER.shape or gradient.dtype != BUFFER.dtype:
        return gradient
    BUFFER[...] = gradient
    return BUFFER


def in_bytes_order(self: Any, x: Array) -> Array:
    """Go through the values in the order in which they lie in memory."""
    self.saved = (x,)
    return (x.ravel("K") ** 2).reshape(x.shape)


def by_stride(self: Any, x: Array) -> Array:
    """Count the elements of a row by the bytes between rows."""
    self.saved = (x,)
    across = abs(x.strides[0]) // x.itemsize if x.size else 0
    return np.where(np.arange(x.shape[-1]) < across, x * x, 0 * x)


def grad_in_bytes_order(self: Any, grad: Array) -> Array:
    """Go through the gradient in the order in which it lies in memory."""
    (x,) = self.saved
    return 2 * x * grad.ravel("K").reshape(x.shape)


def beginning_with_the_first(self: Any, grad: Array) -> Any:
    """Begin to add up with the first row, so that memory stays as it was where there is none."""
    x, w = self.saved
    gradient = np.full_like(w, 7.0)
    for number, (row, upstream) in enumerate(zip(x, grad, strict=True)):
        part = upstream[:, None] * row
        gradient = gradient + part if number else part
    return grad @ w, gradient


RNG = np.random.default_rng(0)


def noisy(self: Any, x: Array) -> Array:
    """Add noise that is drawn anew in each call."""
    self.saved = (x,)
    return x * x + RNG.standard_normal(x.shape)


def noisy_grad(self: Any, grad: Array) -> Array:
    """Drop other entries of the gradient in each call."""
    return 2 * self.saved[0] * grad * RNG.integers(0, 2, grad.shape)


def only_together(self: Any, grad: Array) -> Any:
    """Compute the first gradient from the second, which is there only when it is asked for."""
    x, y = self.saved
    second = ops.arithmetic.sum_to(grad * x, y.shape) if self.needs_input_grad[1] else None
    first = ops.arithmetic.sum_to(grad * y, x.shape) + 0 * second.sum()  # type: ignore[union-attr]
    return first, second


def without_graph(x: ma.Tensor) -> ma.Tensor:
    """Leave the graph."""
    return x.detach() * 2.0


class Fault(NamedTuple):
    """An operation, where it is checked, and what the message must say."""

    function: Callable[..., Any]
    shapes: Sequence[tuple[int, ...]]
    message: str


ONE, TWO = [(3, 4)], [(3, 4), (3, 4)]

FAULTS = {
    "the sign": Fault(wrong(Square, backward=lambda s, g: -2 * s.saved[0] * g), ONE, "input 0 has the wrong sign"),
    "a missing factor": Fault(
        wrong(Square, backward=lambda s, g: s.saved[0] * g),
        ONE,
        r"is 0\.5 times what it should be.*a factor is missing",
    ),
    "a missing x": Fault(
        wrong(Square, backward=lambda s, g: 2 * g),
        ONE,
        r"12 of 12 gradient entries differ.* That entry of the input is",
    ),
    "a missing gradient from above": Fault(
        wrong(Square, backward=lambda s, g: 2 * s.saved[0]),
        ONE,
        r"when backward is given −1000 times the gradient, the gradient of input 0 is .*the chain rule",
    ),
    "a gradient from above that is cut": Fault(
        wrong(Square, backward=lambda s, g: 2 * s.saved[0] * np.clip(g, -0.9, 0.9)),
        [(1,)],
        "backward is given −1000 times",
    ),
    "a sum's gradient for a mean": Fault(
        wrong(Mean, backward=lambda s, g: np.repeat(g[..., None], s.shape[-1], -1)),
        ONE,
        r"is 4 times what.*4 entries make one output: if forward takes their mean, backward must divide by 4",
    ),
    "a mean's gradient for a sum": Fault(
        wrong(Mean, forward=lambda s, x: (setattr(s, "shape", x.shape), x.sum(axis=-1))[1]),
        ONE,
        r"is 0\.25 times what.*4 entries make one output: if forward adds them up, backward must not divide",
    ),
    "one entry": Fault(
        wrong(Square, backward=lambda s, g: 2 * s.saved[0] * g * np.where(np.arange(4) == 2, 1.001, 1)),
        [(1, 4)],
        r"1 of 4 gradient entries differs.*input 0 at \(0, 2\)",
    ),
    "one entry among many": Fault(
        wrong(Square, backward=lambda s, g: 2 * s.saved[0] * g * (np.arange(g.size).reshape(g.shape) != 777)),
        [(40, 50)],
        r"⟨v, Jᵀu⟩ is .*not the adjoint.*1 of 2000 gradient entries differs.*input 0 at \(15, 27\)",
    ),
    "two gradients in the wrong order": Fault(
        wrong(Product, backward=lambda s, g: (g * s.saved[0], g * s.saved[1])),
        TWO,
        "input 0 is that of input 1: return the gradients in the order of forward's inputs",
    ),
    "one gradient of 0": Fault(
        wrong(Product, backward=lambda s, g: (g * s.saved[1], 0 * g)), TWO, "input 1 is 0 everywhere: it is missing"
    ),
    "one gradient of None": Fault(
        wrong(Product, backward=lambda s, g: (g * s.saved[1], None)), TWO, "returned NoneType.*one array for each input"
    ),
    "one gradient too few": Fault(
        wrong(Product, backward=lambda s, g: g * s.saved[1]),
        TWO,
        r"1 gradient\(s\) for 2 input\(s\).*one array for each",
    ),
    "the wrong shape": Fault(
        wrong(Mean, backward=lambda s, g: g / s.shape[-1]), ONE, r"returned shape \(3,\).*of that input's shape"
    ),
    "no sum over a broadcast axis": Fault(
        wrong(Product, backward=lambda s, g: (g * s.saved[1], g * s.saved[0])),
        TWO,
        r"with input 0 of shape \(1, 1\), which it broadcasts: .*returned shape \(3, 4\).*Add the gradient up",
    ),
    "a mean over a broadcast axis": Fault(
        wrong(
            Product,
            backward=lambda s, g: tuple(
                part if part.shape == x.shape else np.full(x.shape, part.mean(), g.dtype)
                for part, x in zip((g * s.saved[1], g * s.saved[0]), s.saved, strict=True)
            ),
        ),
        TWO,
        r"with input 0 of shape \(1, 1\), which it broadcasts, the gradient of input 0 is .* instead of .*Add",
    ),
    "an input changed in forward": Fault(
        wrong(Square, forward=doubled_in_place), ONE, r"forward changes input 0 in place: it is .* instead of"
    ),
    "an input changed in backward": Fault(
        wrong(Square, backward=input_in_place), ONE, "backward changes input 0 in place"
    ),
    "the gradient from above changed and returned": Fault(
        wrong(Square, backward=upstream_in_place), ONE, "backward changes the gradient that it is given.*in place"
    ),
    "what forward saved changed": Fault(
        wrong(Square, forward=with_factor, backward=saved_in_place),
        ONE,
        "in a second backward over the same graph, .*backward changes in place.* what forward saved",
    ),
    "the caller's array kept": Fault(
        wrong(Square, forward=with_attribute, backward=lambda s, g: 2 * s.x * g),
        ONE,
        r"after input 0 was changed .*keeps the array of input 0 outside self\.saved",
    ),
    "the output kept": Fault(
        wrong(Square, forward=with_output, backward=lambda s, g: s.y * g),
        ONE,
        r"after the output was changed .*keeps the array of the output outside self\.saved",
    ),
    "the input kept on the class": Fault(
        wrong(Square, forward=on_class, backward=lambda s, g: 2 * type(s).x * g),
        ONE,
        r"used twice in one graph, .*keep it on self, not on the class",
    ),
    "one output for all calls": Fault(wrong(Square, forward=in_buffer), ONE, "two calls return the same memory"),
    "one gradient for all nodes": Fault(
        wrong(Square, backward=grad_in_buffer), ONE, "used twice in one graph, .*return new arrays"
    ),
    "another output each time": Fault(
        wrong(Square, forward=noisy), ONE, "called again on the same values, the output is"
    ),
    "another gradient each time": Fault(
        wrong(Square, backward=noisy_grad), ONE, "called again on the same values, the gradient of input 0 is"
    ),
    "the order of memory in forward": Fault(
        wrong(Square, forward=in_bytes_order), ONE, r"another layout in memory \(fortran\).*order of the bytes"
    ),
    "strides in forward": Fault(
        wrong(Square, forward=by_stride), ONE, r"inputs in another layout in memory \(fortran\), the output is"
    ),
    "the order of memory in backward": Fault(
        wrong(Square, backward=grad_in_bytes_order), ONE, r"gradient that backward is given in another layout in memory"
    ),
    "contiguous memory alone": Fault(
        wrong(Square, forward=lambda s, x: Square.forward(s, np.frombuffer(x, x.dtype).reshape(x.shape))),
        ONE,
        r"another layout in memory \(fortran\)",
    ),
    "a forward in float64": Fault(
        wrong(Square, forward=lambda s, x: Square.forward(s, x) * np.float64(1)),
        ONE,
        r"with inputs of float32, the output is float64. Compute in the input's dtype",
    ),
    "a backward in float64": Fault(
        wrong(Square, backward=lambda s, g: 2 * s.saved[0] * g * np.ones(4)),
        ONE,
        r"with inputs of float32: RuntimeError: .*dtype float64 for an input of .*float32. Compute in the",
    ),
    "a forward in float32": Fault(
        wrong(Square, forward=lambda s, x: Square.forward(s, x.astype(np.float32))),
        ONE,
        "is float32 for inputs of float64",
    ),
    "another branch for float32": Fault(
        wrong(Square, backward=lambda s, g: (2 if g.dtype == np.float64 else 3) * s.saved[0] * g),
        ONE,
        "with inputs of float32, against the same values as float64, the gradient of input 0",
    ),
    "a gradient only beside the other": Fault(
        wrong(Product, backward=only_together), TWO, "when only input 0 needs a gradient: AttributeError"
    ),
    "memory that was never written": Fault(
        wrong(Linear, backward=beginning_with_the_first),
        [(3, 4), (2, 4)],
        r"without elements, of shape \(0, 4\), \(2, 4\), the gradient of input 1 is 7 instead of 0",
    ),
    "a backward that fails on nothing": Fault(
        wrong(Square, backward=lambda s, g: 2 * s.saved[0] * g / g.flat[0] * g.flat[0]),
        [(3, 4)],
        r"without elements, of shape \(0, 4\), forward gives an output and then backward fails: IndexError",
    ),
    "values where there is no derivative": Fault(ops.log, ONE, r"the output is nan at .*Give inputs from where"),
    "no graph": Fault(without_graph, ONE, "no gradient flows through the output: it was detached"),
    "no tensor": Fault(lambda x: x.numpy() * 2, ONE, "returns ndarray, not a Tensor"),
    "a surrogate gradient that is not named": Fault(ops.binarize, ONE, "does not change with input 0.*gradient_of"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_mistake_is_caught_and_named(fault: Fault) -> None:
    with np.errstate(invalid="ignore"), pytest.raises(testing.CheckError, match=f"(?s){fault.message}"):
        testing.check_function(fault.function, shapes=fault.shapes)


@pytest.mark.parametrize(("right", "shapes"), [(Square, ONE), (Product, TWO), (Mean, ONE), (Linear, [(3, 4), (2, 4)])])
def test_what_the_mistakes_were_made_in_is_right(right: type[ma.Function], shapes: Sequence[tuple[int, ...]]) -> None:
    testing.check_function(right, shapes=shapes)


def sorted_option(self: Any, x: Array, order: Array) -> Array:
    """Sort the option in place."""
    order.sort()
    return x[order]


def test_an_option_changed_in_forward_is_caught_and_the_callers_stays() -> None:
    order = np.array([2, 0, 1])
    picked = wrong(Square, forward=sorted_option, backward=lambda s, g: g)
    with pytest.raises(testing.CheckError, match=r"forward changes the option order in place: it is .* at \(0,\)"):
        testing.check_function(picked, shapes=[(3,)], options={"order": order})
    assert order.tolist() == [2, 0, 1]


def test_an_output_in_an_options_memory_is_caught() -> None:
    kept = wrong(Square, forward=lambda s, x, out: np.multiply(x, 1, out=out), backward=lambda s, g: g)
    with pytest.raises(testing.CheckError, match="the option out"):
        testing.check_function(kept, shapes=[(3,)], options={"out": np.zeros(3)})
    view = wrong(Square, forward=lambda s, x, table: table[: len(x)], backward=lambda s, g: 0 * g)
    with pytest.raises(testing.CheckError, match="the output lies in the memory of the option table"):
        testing.check_function(view, shapes=[(3,)], options={"table": np.ones(5)})


def test_the_message_begins_with_the_operation_and_the_shapes() -> None:
    with pytest.raises(
        testing.CheckError, match=r"^Wrong on inputs of shape \(3, 4\), \(3, 4\): the gradient of input 1"
    ):
        testing.check_function(FAULTS["one gradient of 0"].function, shapes=TWO)
