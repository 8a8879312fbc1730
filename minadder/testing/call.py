"""One call of a function under check, and the error that says what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from minadder.autograd import Array
from minadder.grad_mode import no_grad
from minadder.testing.running import Result, forward, run

ROUNDING = 1e-9
"""Results in float64 may differ by this part of the largest value where only the order of sums may have changed."""


class CheckError(AssertionError):
    """A function does not do what an operation must do; the message says what, where, and what to change."""


@dataclass(frozen=True)
class Call:
    """A function of tensors, and arguments to check it on. Every run is given copies of all arrays."""

    name: str
    function: Callable[..., Any]
    arrays: tuple[Array, ...]
    given_options: Mapping[str, Any] = field(default_factory=dict)
    gradient_of: Callable[..., Any] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments, with copies of arrays."""
        return {n: value.copy() if isinstance(value, np.ndarray) else value for n, value in self.given_options.items()}

    @cached_property
    def upstream(self) -> Array:
        """A random gradient with respect to the output: for ones, errors can cancel, or be 0 as in batch norm."""
        return np.asarray(np.random.default_rng(0).standard_normal(self.output().shape))

    @cached_property
    def plain(self) -> Result:
        """The output and the gradients from `upstream`, all inputs lying in memory as usual."""
        return self.run()

    def at(self, dtype: npt.DTypeLike) -> Call:
        """Return the same call in a precision; floats among the options' arrays are cast too."""
        options = {
            name: value.astype(dtype) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value
            for name, value in self.options.items()
        }
        return replace(self, arrays=tuple(array.astype(dtype) for array in self.arrays), given_options=options)

    def on(self, arrays: Sequence[Array]) -> Call:
        """Return the call with other inputs."""
        return replace(self, arrays=tuple(arrays))

    def with_input(self, number: int, array: Array) -> Call:
        """Return the call with another array for one input."""
        return self.on([array if other == number else same for other, same in enumerate(self.arrays)])

    def copies(self) -> list[Array]:
        """Return copies of the inputs, one value after the other in memory."""
        return [np.array(array, order="C") for array in self.arrays]

    def output(self) -> Array:
        """Return a copy of the output, computed without a graph."""
        with no_grad():
            _, output = forward(self.function, self.copies(), self.options)
        return output.numpy().copy()

    def run(self, upstream: Array | None = None, needed: Sequence[bool] | None = None) -> Result:
        """Return the output and the gradients."""
        given = self.upstream.copy() if upstream is None else upstream
        return run(self.function, self.copies(), self.options, given, needed)

    def differentiated(self, number: int) -> Array:
        """Return the values whose derivative the gradient of input `number` is: the output, or by `gradient_of`."""
        if self.gradient_of is None:
            return self.output()
        return np.array(self.gradient_of(number, *self.copies(), **self.options))

    def error(self, problem: str) -> CheckError:
        """Return the error: the function, the shapes of its inputs, and what is wrong."""
        shapes = ", ".join(str(array.shape) for array in self.arrays)
        return CheckError(f"{self.name} on inputs of shape {shapes}: {problem}")

    @contextmanager
    def when(self, circumstance: str, advice: str) -> Iterator[None]:
        """Turn whatever is raised inside into a CheckError that says when it happened and what to do."""
        try:
            yield
        except CheckError:
            raise
        except Exception as error:
            raise self.error(f"{circumstance}: {type(error).__name__}: {error}. {advice}") from error

    def compare(self, ours: Result, wanted: Result, circumstance: str, advice: str, tolerance: float = 0.0) -> None:
        """Raise CheckError where a result is another than it must be; gradients that nobody asked for are left out."""
        pairs = [("the output", ours.output, wanted.output)]
        for number, (one, other) in enumerate(zip(ours.gradients, wanted.gradients, strict=True)):
            if one is not None and other is not None:
                pairs.append((f"the gradient of input {number}", one, other))
        for what, one, other in pairs:
            difference = first_difference(one, other, tolerance)
            if difference:
                raise self.error(f"{circumstance}, {what} is {difference}. {advice}")


def first_difference(ours: Array, wanted: Array, tolerance: float = 0.0) -> str:
    """Return where two arrays differ most and by what, an empty text where they agree; NaN agrees with NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder.testing.call import first_difference
    >>> first_difference(np.array([1.0, 2.5]), np.array([1.0, 2.0]))
    '2.5 instead of 2 at (1,)'
    """
    if ours.shape != wanted.shape:
        return f"of shape {ours.shape} instead of {wanted.shape}"
    same = (ours == wanted) | (np.isnan(ours) & np.isnan(wanted))
    gaps = np.where(same, 0.0, np.abs(np.where(same, 0.0, ours) - np.where(same, 0.0, wanted)))
    gaps[~np.isfinite(gaps)] = np.inf
    finite = np.abs(wanted[np.isfinite(wanted)])
    if gaps.max(initial=0.0) <= tolerance * finite.max(initial=1.0):
        return ""
    place = tuple(int(i) for i in np.unravel_index(gaps.argmax(), gaps.shape))
    return f"{ours[place] + 0.0:.9g} instead of {wanted[place] + 0.0:.9g} at {place}"  # −0 is shown as 0
