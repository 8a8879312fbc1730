"""Tensor: an array that remembers how it was made.

The class is small: operators and methods such as `+` or `sum` are attached by the files of `minadder.ops`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar, Union

import numpy as np
import numpy.typing as npt

from minadder import autograd
from minadder.attached import Attached
from minadder.autograd import Array, Function, Version

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))

Operand = Union["Tensor", npt.ArrayLike]
Operation = TypeVar("Operation", bound=Callable[..., Any])


class Tensor(Attached):
    """An array of float32 or float64 that remembers how it was made, so that gradients can flow back.

    Make one with `ma.tensor`. Comparisons (`x > 0`) return NumPy arrays of bool. A change in place
    (`x[0] = 1`, `x += 1`, `x.data = array`) is only allowed where no gradient flows through `x`: on a tensor without
    `requires_grad`, or inside `no_grad`. `x.data` and `np.asarray(x)` are read-only views.

    Attributes
    ----------
    grad
        The gradient of the last result(s) on which `backward` was called, added up; None before. Set it to None to
        start anew.
    requires_grad
        Whether gradients are wanted for this tensor, or flow through it.

    Examples
    --------
    >>> import minadder as ma
    >>> x = ma.tensor([[1.0, -2.0]], requires_grad=True)
    >>> loss = (x * x).sum()
    >>> loss
    tensor(5., node=Sum)
    >>> loss.backward()
    >>> x.grad
    tensor([[ 2., -4.]])
    """

    __slots__ = ("__weakref__", "_array", "_node", "_version", "grad", "requires_grad")

    __array_ufunc__ = None  # `array * tensor` must ask the tensor, not loop over its elements
    __hash__ = object.__hash__

    def __init__(self, array: Array, requires_grad: bool = False) -> None:
        if not isinstance(array, np.ndarray) or array.dtype not in FLOATS:
            what = f"an array of {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
            raise TypeError(f"Tensor wraps a NumPy array of float32 or float64, not {what}: use ma.tensor(...)")
        self._array = array
        self._version = Version()
        self._node: Function | None = None
        self.requires_grad = requires_grad
        self.grad: Tensor | None = None

    @classmethod
    def _wrap(cls, array: Array) -> Tensor:
        """Make the output of an operation; subclasses such as nn.Parameter give plain tensors too."""
        output = Tensor.__new__(Tensor)
        output._array = array
        output._version = Version()
        output._node = None
        output.requires_grad = False
        output.grad = None
        return output

    @property
    def data(self) -> Array:
        """The values, as a read-only view. Assigning an array of the same shape and dtype replaces them."""
        return self.numpy()

    @data.setter
    def data(self, values: Operand) -> None:
        with autograd.no_grad():
            self.copy_(values)

    @property
    def shape(self) -> tuple[int, ...]:
        """The size along each axis."""
        return self._array.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._array.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._array.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the elements: float32 or float64."""
        return self._array.dtype

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made this tensor; only leaves receive `grad` by default."""
        return self._node is None

    @property
    def T(self) -> Tensor:  # noqa: N802  (NumPy's and PyTorch's name)
        """The tensor with its axes in reverse order."""
        return self.transpose()

    def numpy(self) -> Array:
        """Return the values as a read-only view; copy it to change it."""
        view = self._array.view()
        view.flags.writeable = False
        return view

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        if copy or (dtype is not None and np.dtype(dtype) != self.dtype):
            return np.array(self._array, dtype=dtype)
        return self.numpy()

    def item(self) -> float:
        """Return the only element as a Python float."""
        if self.size != 1:
            raise ValueError(f"item() needs a tensor of one element; this one has shape {self.shape}")
        return float(self._array.reshape(()))

    def tolist(self) -> Any:
        """Return the values as nested lists of Python floats."""
        return self._array.tolist()

    def detach(self) -> Tensor:
        """Return a tensor of the same memory through which no gradient flows."""
        output = Tensor._wrap(self._array)
        output._version = self._version
        return output

    def retain_grad(self) -> Tensor:
        """Ask that a result in the middle of the graph keeps its `grad` too; returns the tensor itself."""
        if not self.requires_grad:
            raise RuntimeError("retain_grad() needs a tensor with requires_grad=True")
        if self._node is not None:
            self._node._retained = self
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Switch `requires_grad` of a leaf in place; returns the tensor itself."""
        if self._node is not None:
            raise RuntimeError("requires_grad_() needs a leaf: this tensor was computed; use detach() first")
        self.requires_grad = requires_grad
        return self

    def copy_(self, values: Operand) -> Tensor:
        """Replace the values in place by others of the same shape and dtype; returns the tensor itself."""
        array = raw(values if isinstance(values, (np.ndarray, Tensor)) else as_tensor(values, self))
        if array.shape != self.shape or array.dtype != self.dtype:
            raise ValueError(
                f"cannot copy values of shape {array.shape}, dtype {array.dtype} into a tensor of shape {self.shape}, "
                f"dtype {self.dtype}: reshape or cast them first"
            )
        return self._change(lambda target: np.copyto(target, array))

    def backward(self, grad: Operand | None = None, retain_graph: bool = False) -> None:
        """Compute the gradient of this tensor with respect to every leaf it was made from, and add it to their `grad`.

        Parameters
        ----------
        grad
            The gradient of some final result with respect to this tensor, same shape and dtype. May be left out when
            this tensor has one element; it is 1 then.
        retain_graph
            Keep the graph, so that backward can be called on it again.

        Raises
        ------
        RuntimeError
            When the tensor has no graph, when the graph was freed by an earlier backward, or when a tensor that
            the graph needs was changed in place.

        Examples
        --------
        >>> import minadder as ma
        >>> a = ma.tensor([2.0], requires_grad=True)
        >>> b = a + a
        >>> c = b + b
        >>> c.backward()
        >>> a.grad
        tensor([4.])
        """
        if not self.requires_grad:
            raise RuntimeError(
                "backward() needs a tensor that was computed from one with requires_grad=True, outside no_grad()"
            )
        if grad is None:
            if self.size != 1:
                raise RuntimeError(
                    f"backward() without a gradient needs a tensor of one element; this one has shape {self.shape}. "
                    f"Reduce it, as by .sum(), or pass a gradient of that shape."
                )
            start = np.ones_like(self._array)
        else:
            start = np.array(raw(grad if isinstance(grad, (np.ndarray, Tensor)) else as_tensor(grad, self)))
            if start.shape != self.shape or start.dtype != self.dtype:
                raise ValueError(
                    f"the gradient has shape {start.shape}, dtype {start.dtype}; this tensor has shape {self.shape}, "
                    f"dtype {self.dtype}"
                )
        if self._node is None:
            self._accumulate(start)
        else:
            autograd.backward(self._node, start, retain_graph, Tensor._accumulate)

    def _accumulate(self, grad: Array) -> None:
        if self.grad is None:
            self.grad = Tensor._wrap(np.array(grad))  # a copy: a gradient shares memory with nothing
        else:
            self.grad._change(lambda target: np.add(target, grad, out=target))

    def _change(self, change: Callable[[Array], Any]) -> Tensor:
        """Run a change in place on the array, unless a gradient flows through this tensor."""
        if self.requires_grad and autograd.is_grad_enabled():
            raise RuntimeError(
                f"a tensor of shape {self.shape} with requires_grad=True cannot be changed in place while the graph is "
                f"recorded: do it inside ma.no_grad(), or make a new tensor (y = x + 1 instead of x += 1)"
            )
        change(self._array)
        self._version.count += 1
        return self

    def _change_by(self, operation: Callable[..., Array], other: Operand, sign: str) -> Tensor:
        operand = as_tensor(other, self)
        if operand.requires_grad and autograd.is_grad_enabled():
            raise RuntimeError(
                f"{sign} with an operand that requires a gradient would lose that gradient: make a new tensor "
                f"(y = x {sign[0]} other), or do it inside ma.no_grad()"
            )
        return self._change(lambda target: operation(target, operand._array, out=target))

    def __iadd__(self, other: Operand) -> Tensor:
        return self._change_by(np.add, other, "+=")

    def __isub__(self, other: Operand) -> Tensor:
        return self._change_by(np.subtract, other, "-=")

    def __imul__(self, other: Operand) -> Tensor:
        return self._change_by(np.multiply, other, "*=")

    def __itruediv__(self, other: Operand) -> Tensor:
        return self._change_by(np.divide, other, "/=")

    def __setitem__(self, index: Any, value: Operand) -> None:
        operand = as_tensor(value, self)
        if operand.requires_grad and autograd.is_grad_enabled():
            raise RuntimeError("x[...] = value would lose the value's gradient: use ma.ops.where or ma.ops.concatenate")
        self._change(lambda target: target.__setitem__(index_arrays(index), operand._array))

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("a tensor of shape () has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __float__(self) -> float:
        return self.item()

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                f"the truth of a tensor of shape {self.shape} is ambiguous: use .numpy() with any() or all()"
            )
        return bool(self.item())

    def __eq__(self, other: object) -> Any:
        return np.asarray(self._array == raw(other))

    def __ne__(self, other: object) -> Any:
        return np.asarray(self._array != raw(other))

    def __lt__(self, other: Operand) -> Array:
        return np.asarray(self._array < raw(other))

    def __le__(self, other: Operand) -> Array:
        return np.asarray(self._array <= raw(other))

    def __gt__(self, other: Operand) -> Array:
        return np.asarray(self._array > raw(other))

    def __ge__(self, other: Operand) -> Array:
        return np.asarray(self._array >= raw(other))

    def argmax(self, axis: int | None = None) -> Any:
        """Return the index of the largest element, or along an axis an array of indices (NumPy integers)."""
        return self._array.argmax(axis=axis)

    def argmin(self, axis: int | None = None) -> Any:
        """Return the index of the smallest element, or along an axis an array of indices (NumPy integers)."""
        return self._array.argmin(axis=axis)

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self._node is not None:
            raise RuntimeError(
                f"a tensor that was computed (node={self._node.name()}) cannot be copied or pickled with its graph: "
                f"use detach()"
            )
        return super().__reduce_ex__(protocol)

    def __repr__(self) -> str:
        values = np.array2string(self._array, separator=", ", prefix="tensor(", threshold=200, edgeitems=3)
        notes = [values]
        if self.size > 200 or 0 in self.shape:
            notes.append(f"shape={self.shape}")
        if self.dtype != np.float32:
            notes.append(f"dtype={self.dtype}")
        if self._node is not None:
            notes.append(f"node={self._node.name()}")
        elif self.requires_grad:
            notes.append("requires_grad=True")
        return f"tensor({', '.join(notes)})"


def method(*names: str) -> Callable[[Operation], Operation]:
    """Attach a function to Tensor under each name: how an operation becomes an operator or a method."""

    def attach(function: Operation) -> Operation:
        for name in names:
            setattr(Tensor, name, function)
        return function

    return attach


def raw(value: Any) -> Any:
    """Return a tensor's array, and anything else as it is."""
    return value._array if isinstance(value, Tensor) else value


def check_tensor(value: Any, name: str, function: str) -> Tensor:
    """Return the value if it is a tensor; TypeError names the function, the argument and what was given."""
    if isinstance(value, Tensor):
        return value
    what = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
    raise TypeError(f"{function}: {name} must be a Tensor, not {what}: use ma.tensor(...)")


def index_arrays(index: Any) -> Any:
    """Return an index for NumPy, with tensors in it refused: indices are integers, tensors are not."""
    parts = index if isinstance(index, tuple) else (index,)
    if any(isinstance(part, Tensor) for part in parts):
        raise TypeError("a tensor holds floats and cannot be an index: use a NumPy array of integers or of bool")
    return index


def tensor(data: Any, dtype: npt.DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Make a Tensor from numbers, nested lists, an array or a tensor. The values are copied.

    Parameters
    ----------
    data
        Floating-point values. An array of float32 or float64 keeps its dtype; Python floats and float16 become float32.
    dtype
        "float32" or "float64" to choose it, and to allow integers or bool in `data`.
    requires_grad
        Whether `backward` shall leave a gradient in `.grad`.

    Raises
    ------
    TypeError
        For integers without `dtype`, for complex numbers, objects or strings, for a `dtype` other than the two.

    Examples
    --------
    >>> import minadder as ma
    >>> ma.tensor([1, 2], dtype="float64")
    tensor([1., 2.], dtype=float64)
    """
    source = raw(data)
    try:
        array = np.array(source)
    except ValueError as error:
        raise ValueError(f"ma.tensor needs numbers in a regular grid: {error}") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"ma.tensor needs real numbers, not data of dtype {array.dtype}")
    if dtype is not None:
        if np.dtype(dtype) not in FLOATS:
            raise TypeError(f"a tensor is float32 or float64, not {np.dtype(dtype)}")
        return Tensor(array.astype(dtype), requires_grad)
    if array.dtype.kind != "f" and array.size:
        raise TypeError(
            f"ma.tensor was given data of dtype {array.dtype}; tensors hold floats. Write 1.0 instead of 1, or pass "
            f"dtype='float32'"
        )
    native = array.dtype.newbyteorder("=")
    kept = isinstance(source, (np.ndarray, np.generic)) and native in FLOATS
    return Tensor(array.astype(native if kept else np.float32, copy=False), requires_grad)


def as_tensor(value: Operand, like: Tensor) -> Tensor:
    """Return an operand as a Tensor of the dtype of `like`: Python numbers adapt, arrays must have the dtype already.

    Raises
    ------
    TypeError
        For integer arrays, and where float32 and float64 would be mixed.
    """
    if isinstance(value, Tensor):
        result = value
    elif isinstance(value, (bool, int, float, np.bool_, np.integer, np.floating)):
        return Tensor(np.array(value, dtype=like.dtype))
    else:
        result = tensor(value) if isinstance(value, np.ndarray) else tensor(value, dtype=like.dtype)
    if result.dtype != like.dtype:
        raise TypeError(
            f"operands of {like.dtype} and {result.dtype} are not mixed silently: call .astype('{like.dtype}') on the "
            f"second, or .astype('{result.dtype}') on the first"
        )
    return result
