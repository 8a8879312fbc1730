"""`check_function`: whether an operation of one's own does what the operations of the library do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minadder.autograd import Function
from minadder.ops.samples import Sample
from minadder.tensor import Tensor
from minadder.testing.answers import check_answer_of_backward, check_linear, check_output, check_repeats
from minadder.testing.call import Call
from minadder.testing.circumstances import (
    check_asked_for,
    check_broadcasting,
    check_empty,
    check_layouts,
    check_precisions,
)
from minadder.testing.gradients import check_slopes
from minadder.testing.lattice import Shape, lattice_inputs, lattice_values
from minadder.testing.memory import (
    check_backward_changes_nothing,
    check_changes_are_noticed,
    check_forward_changes_nothing,
    check_outputs_are_apart,
    check_saved_is_kept,
    check_uses_are_apart,
)

EXAMPLES = 3
"""For given shapes: so many times other values."""


def check_function(
    function: type[Function] | Callable[..., Any],
    inputs: Any = None,
    *,
    shapes: Sequence[Shape] | st.SearchStrategy[Any] | None = None,
    options: Mapping[str, Any] | None = None,
    gradient_of: Callable[..., Any] | None = None,
) -> None:
    """Check an operation of one's own: its gradients, and how it treats memory, layouts, precisions and empty inputs.

    It goes through what the library's own operations go through: finite differences in float64, weighted at random;
    backward linear, and the adjoint of the derivative, ⟨Jv, u⟩ = ⟨v, Jᵀu⟩; the same result in every call; nothing
    changed that it is given and nothing kept that others may change; two uses in one graph and two backwards over one;
    inputs and gradients in any layout in memory; float32 all the way; gradients that nobody asks for; inputs that it
    broadcasts; inputs without elements, which it may refuse. On a kink, where there is no derivative, any slope between
    those of both sides passes.

    Parameters
    ----------
    function
        A subclass of `ma.Function`, or any function from tensors (and options) to a tensor.
    inputs
        Where to check it: arrays of floats, one for each input, or one array alone; or a strategy of Hypothesis that
        draws them. A `Sample` brings options along, as those of `layers()` do. They are taken as float64.
    shapes
        Instead of `inputs`: the shape of each input, or a strategy that draws them. The values lie on a dyadic lattice
        between −3 and 3, away from kinks at 0 and ±1 and from ties; for other values give `inputs`.
    options
        Keyword arguments of the function. Arrays of floats are given in the inputs' precision.
    gradient_of
        For a surrogate gradient: `gradient_of(number, *arrays, **options)` computes in NumPy the function whose true
        gradient is given to input `number`. None: the function itself.

    Raises
    ------
    CheckError
        Where something is wrong: what it is, at which values, and what to do. With a strategy, for the smallest input
        that Hypothesis finds.
    TypeError, ValueError
        When there is no input, or what is given is neither arrays, shapes nor a strategy. Errors that the function
        itself raises on ordinary inputs come through.

    Examples
    --------
    >>> import numpy as np
    >>> import minadder as ma
    >>> from minadder import testing
    >>> class Square(ma.Function):
    ...     def forward(self, x):
    ...         self.saved = (x,)
    ...         return x * x
    ...     def backward(self, grad):
    ...         (x,) = self.saved
    ...         return 2 * x * grad
    >>> testing.check_function(Square, shapes=[(3, 4)])
    >>> testing.check_function(Square, testing.lattice_arrays())
    >>> class Wrong(Square):
    ...     def backward(self, grad):
    ...         (x,) = self.saved
    ...         return x * grad
    >>> testing.check_function(Wrong, [np.array([0.5, -1.5])])
    Traceback (most recent call last):
    ...
    minadder.testing.call.CheckError: Wrong on inputs of shape (2,): the gradient of input 0 is 0.5 times what it \
should be, everywhere: a factor is missing or too much. 2 of 2 gradient entries differ from finite differences. The \
worst is input 0 at (1,): backward gives 0.198157, finite differences give 0.396315 (apart by 0.198). That entry of \
the input is -1.5.

    A function of several inputs that broadcasts, and a layer with all its settings:

    >>> testing.check_function(ma.ops.multiply, shapes=testing.broadcastable_shapes(2))
    >>> testing.check_function(ma.ops.conv2d, testing.layers().map(lambda layer: layer.sample))

    A surrogate gradient: straight through the sign, as if it were x clipped to ±1.

    >>> through = lambda number, x: np.clip(x, -1, 1)
    >>> testing.check_function(ma.ops.binarize, shapes=[(3, 4)], gradient_of=through)
    """
    if (inputs is None) == (shapes is None):
        raise TypeError("check_function needs inputs or shapes, as in check_function(MyFunction, shapes=[(3, 4)])")
    if isinstance(shapes, (list, tuple)) and not all(isinstance(shape, (list, tuple)) for shape in shapes):
        raise TypeError(f"check_function needs a shape for each input, as in shapes=[(3, 4)], not {shapes}")
    if not callable(function):
        raise TypeError(f"check_function needs a Function or a function of tensors, not {type(function).__name__}")

    def check(arguments: Any) -> None:
        check_call(call_of(function, arguments, options or {}, gradient_of))

    if isinstance(inputs, st.SearchStrategy):
        check_drawn(inputs, check)
    elif isinstance(shapes, st.SearchStrategy):
        check_drawn(lattice_inputs(shapes), check)
    elif shapes is None:
        check(inputs)
    else:
        for seed in range(EXAMPLES):
            check(lattice_values(np.random.default_rng(seed), shapes))


def check_drawn(strategy: st.SearchStrategy[Any], check: Callable[[Any], None]) -> None:
    """Check all that a strategy draws, and raise the error of the smallest example that fails."""

    @settings(deadline=None, database=None, report_multiple_bugs=False, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def checked(inputs: Any) -> None:
        check(inputs)

    checked()


def call_of(function: Any, arguments: Any, options: Mapping[str, Any], gradient_of: Callable[..., Any] | None) -> Call:
    """Return the call of a function on arrays, one array or a Sample, in float64."""
    if isinstance(arguments, Sample):
        arguments, options = arguments.arrays, {**arguments.options, **options}
    if not isinstance(arguments, (np.ndarray, Tensor, list, tuple)):
        raise TypeError(f"check_function needs arrays or a strategy that draws them, not {type(arguments).__name__}")
    arrays = [arguments] if isinstance(arguments, (np.ndarray, Tensor)) else list(arguments)
    if not arrays:
        raise ValueError("check_function needs at least one input")
    own = isinstance(function, type) and issubclass(function, Function)
    return Call(
        name=function.name() if own else getattr(function, "__name__", type(function).__name__),
        function=function.apply if own else function,
        arrays=tuple(np.array(array, np.float64) for array in arrays),
        given_options=options,
        gradient_of=gradient_of,
    ).at(np.float64)


def check_call(call: Call) -> None:
    """Check one call, simple things first, so that the message names the cause and not what follows from it."""
    check_output(call)
    check_forward_changes_nothing(call)
    check_repeats(call)
    check_outputs_are_apart(call)
    check_answer_of_backward(call)
    check_backward_changes_nothing(call)
    check_linear(call)
    check_slopes(call)
    check_saved_is_kept(call)
    check_uses_are_apart(call)
    check_changes_are_noticed(call)
    check_asked_for(call)
    check_layouts(call)
    check_precisions(call)
    check_broadcasting(call)
    check_empty(call)
