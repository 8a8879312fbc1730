"""What others give as arrays and indices: made plain and one's own, or refused where its meaning would be lost."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
"""The types that a tensor's elements may have."""


MOST_BITS = 63


def plain(array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Return an array as np.ndarray itself, of the same memory.

    Raises
    ------
    TypeError
        For masked entries, and for a subclass of np.ndarray that may stand for more than its numbers, such as a unit.
    """
    kind = type(array)
    if kind is np.ndarray or kind in (np.matrix, np.memmap, np.recarray):
        return np.asarray(array)
    if isinstance(array, np.ma.MaskedArray) and type(array.data) is np.ndarray:
        masked = int(np.asarray(array.mask).sum())
        if not masked:
            return np.asarray(array.data)
        raise TypeError(f"{name} has {masked} masked entries, which no tensor can hold: fill them, as by .filled(0)")
    raise TypeError(
        f"{name} is a {kind.__module__}.{kind.__qualname__}, whose meaning beside its numbers a tensor would lose: "
        f"pass np.asarray(...) of it if the numbers alone are meant"
    )


def is_pytorch(value: Any) -> bool:
    """Return whether a value is a tensor of PyTorch, which need not be installed."""
    return any(base.__module__ == "torch" and base.__name__ == "Tensor" for base in type(value).__mro__)


def instead(value: Any) -> str:
    """Return what to do with a value that is no Tensor, for messages."""
    return "pass ma.tensor(x.detach().cpu().numpy())" if is_pytorch(value) else "use ma.tensor(...)"


def from_pytorch(value: Any) -> npt.NDArray[Any]:
    """Return a PyTorch tensor as an array of the same memory.

    Raises
    ------
    TypeError
        For one that requires a gradient, lies on another device, or is of a dtype that NumPy has not.
    """
    try:
        return np.asarray(value.numpy())
    except (RuntimeError, TypeError) as error:
        raise TypeError(
            f"a PyTorch tensor of {value.dtype} on {value.device} with requires_grad={value.requires_grad} cannot be "
            f"read as it is ({error}): pass x.detach().cpu().numpy(), for bfloat16 with .float() before .numpy()"
        ) from None


def parts(data: Any) -> Iterator[Any]:
    """Yield what nested sequences hold, and anything else as it is, without the numbers."""
    if not isinstance(data, Sequence) or isinstance(data, (str, bytes)):
        yield data
        return
    for part in data:
        if type(part) is not float and type(part) is not int:
            yield from parts(part)


def float_dtype(dtype: Any, function: str) -> np.dtype[Any]:
    """Return float32 or float64 as NumPy's object; TypeError for anything else, None too."""
    try:
        chosen = None if dtype is None else np.dtype(dtype)
    except TypeError:
        chosen = None
    if chosen is None or chosen not in FLOATS:  # NumPy takes None for float64
        raise TypeError(f"{function}: the dtype is float32 or float64, not {dtype if chosen is None else chosen}")
    return chosen


def integer(value: Any, name: str, function: str) -> int:
    """Return an integer that may count cells or axes; TypeError or ValueError names another."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{function}: {name} must be an int, not {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{function}: {name} must be an int, not {type(value).__name__}") from None
    if number.bit_length() > MOST_BITS:
        raise ValueError(f"{function}: {name} is an int of {number.bit_length()} bits, more than any array has cells")
    return number


def integers(values: Any, name: str, function: str) -> tuple[int, ...]:
    """Return a tuple of such integers, such as a shape."""
    if not isinstance(values, (tuple, list, np.ndarray)):
        raise TypeError(f"{function}: {name} must be a tuple of ints, not {type(values).__name__}")
    return tuple([integer(value, name, function) for value in values])


def axis_of(axis: Any, ndim: int, name: str, function: str) -> int:
    """Return an axis counted from 0; TypeError or ValueError for what is none of so many."""
    number = integer(axis, name, function)
    if not -ndim <= number < ndim:
        raise ValueError(f"{function}: axis {number} is out of range for {ndim} axes")
    return number % ndim


def own_index(index: Any) -> Any:
    """Return an index for NumPy that nobody can change any more: arrays and lists are copied."""
    return tuple(map(own_part, index)) if isinstance(index, tuple) else own_part(index)


def own_part(part: Any) -> Any:
    """Return one part of an index likewise; what NumPy refuses is left to NumPy."""
    if part is None or part is Ellipsis or isinstance(part, bool):
        return part
    if isinstance(part, slice):
        return slice(*(None if bound is None else slice_bound(bound) for bound in (part.start, part.stop, part.step)))
    if isinstance(part, np.ndarray):
        return np.array(plain(part, "the index"))
    if hasattr(part, "__index__"):
        return position(part)
    numbers = np.array(part)
    if not numbers.size and isinstance(part, Sequence):
        return numbers.astype(int)
    return numbers if numbers.dtype.kind in "iub" else part


def position(part: Any) -> int:
    """Return a number of an index as an int; IndexError for one that no axis has, TypeError for what is none."""
    number = operator.index(part)
    if number.bit_length() > MOST_BITS:
        raise IndexError(f"the index is an int of {number.bit_length()} bits, more than any axis has places")
    return number


def slice_bound(bound: Any) -> int:
    """Return a bound of a slice as an int; TypeError for another."""
    try:
        return operator.index(bound)
    except TypeError:
        raise TypeError(f"the index: a bound of a slice is an int or None, not {type(bound).__name__}") from None
