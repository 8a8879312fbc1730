"""Arrays of one's own as a data set holds them: inputs in float32, labels as class numbers in int64."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minadder.arrays import plain
from minadder.checks import array_like, described, shown

NUMBERS_FROM_NAMES = "number them by `classes, y = np.unique(y, return_inverse=True)`"


def as_inputs(value: Any, name: str = "inputs") -> NDArray[np.float32]:
    """Return inputs as float32 ``(N, ...)``, one example a row: itself where it is so already, else a copy.

    Parameters
    ----------
    value
        An array, nested lists, a tensor, or a pandas DataFrame of numbers.
    name
        What messages call it.

    Raises
    ------
    TypeError
        For text, dates, complex numbers and other things that are no real numbers, and PyTorch's tensors.
    ValueError
        For a single axis, lists of unequal lengths, and numbers too large for float32.

    Examples
    --------
    >>> from minadder.data.own import as_inputs
    >>> as_inputs([[0, 1], [1, 1]])
    array([[0., 1.],
           [1., 1.]], dtype=float32)
    """
    array = as_array(value, name)
    if array.dtype.kind == "O" and array.size and all(map(is_real, array.flat)):
        array = array.astype(np.float64)  # columns of several types, such as flags beside floats
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, {what_it_holds(value, array)}: leave that out, or encode it")
    if array.ndim < 2:
        raise ValueError(
            f"{name} must have a row for each example, such as (N, 2) for points, got shape {array.shape}: write "
            f"X.reshape(-1, 1) for examples of one number, X[None] for a single example"
        )
    if array.dtype == np.float32:
        return array
    with np.errstate(over="ignore"):
        inputs = array.astype(np.float32)
    if not np.isfinite(inputs).all() and (np.isinf(inputs) & np.isfinite(array)).any():
        raise ValueError(f"{name} hold numbers beyond 3.4e38, which float32 cannot hold: scale them")
    return inputs


def as_labels(value: Any, name: str = "labels") -> NDArray[np.int64]:
    """Return labels as int64 ``(N,)``, a class number 0, 1, … for each example: itself where it is so already.

    Parameters
    ----------
    value
        An array, a list, or a pandas column, of integers, of whole numbers as floats, or of True and False. A column
        (N, 1) is taken for its numbers.
    name
        What messages call it.

    Raises
    ------
    TypeError
        For text and other things that are no numbers; the message says how to number classes that have names.
    ValueError
        For numbers that are not whole or negative, and for one-hot rows.

    Examples
    --------
    >>> from minadder.data.own import as_labels
    >>> as_labels([True, False])
    array([1, 0])
    >>> as_labels(["cat", "dog"])
    Traceback (most recent call last):
    ...
    TypeError: labels must be class numbers 0, 1, 2, …, not 'cat' and the like: number them by `classes, y = \
np.unique(y, return_inverse=True)`
    """
    array = as_array(value, name)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        hint = "; of one-hot rows take y.argmax(axis=1)" if array.ndim == 2 else ""
        raise ValueError(f"{name} must have shape (N,), a class number for each example, got {array.shape}{hint}")
    if array.dtype.kind == "O" and array.size and all(map(is_real, array)):
        array = array.astype(np.float64)
    if array.dtype.kind not in "biuf" and array.size:
        first = array.ravel()[:1].tolist()[0]
        raise TypeError(
            f"{name} must be class numbers 0, 1, 2, …, not {shown(first)} and the like: {NUMBERS_FROM_NAMES}"
        )
    if array.dtype.kind == "f" and array.size:
        odd = array[~(array == np.floor(array)) | np.isinf(array)]
        if odd.size:
            raise ValueError(
                f"{name} must be class numbers 0, 1, 2, …, not {odd[0]:g}: {NUMBERS_FROM_NAMES} where they name "
                f"classes; numbers to be predicted are none"
            )
    if array.size and not 0 <= array.min() <= array.max() < 2**62:
        raise ValueError(
            f"{name} must be class numbers 0, 1, 2, …, got {array.min():g} … {array.max():g}: {NUMBERS_FROM_NAMES}"
        )
    return array if array.dtype == np.int64 else array.astype(np.int64)


def as_array(value: Any, name: str) -> NDArray[Any]:
    """Return what holds numbers as an array; TypeError for PyTorch's tensors, sparse matrices and single things."""
    kind = type(value)
    if kind.__module__.partition(".")[0] == "torch":
        raise TypeError(f"{name} is a tensor of PyTorch: pass {name}.numpy(), or .detach().cpu().numpy() of it")
    if hasattr(value, "tocsr"):
        raise TypeError(f"{name} is a sparse matrix: pass its .toarray()")
    array = plain(value, name) if isinstance(value, np.ndarray) else array_like(value, name)
    if array.ndim == 0:
        raise TypeError(
            f"{name} must be an array, a list or a DataFrame with a row for each example, not {described(value)}"
        )
    return array


def is_real(value: Any) -> bool:
    """Return whether an entry of an array of objects is a real number."""
    return isinstance(value, (bool, int, float, np.bool_, np.integer, np.floating))


def what_it_holds(value: Any, array: NDArray[Any]) -> str:
    """Return what stands where numbers should, with its column where columns have names."""
    dtypes = getattr(value, "dtypes", None)
    names = (
        []
        if dtypes is None
        else [column for column in value if getattr(value[column].dtype, "kind", "O") not in "biuf"]
    )
    if names:
        return f"but its column {shown(names[0])} holds {shown(value[names[0]].iloc[0])}"
    odd = [entry for entry in array.ravel().tolist() if not is_real(entry)][:1]
    return f"but {shown(odd[0])} is none" if odd else f"but its dtype is {array.dtype}"
