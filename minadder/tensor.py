"""Tensor: an array that remembers how it was made.

The class is small: operators and methods such as `+` or `sum` are attached by the files of `minadder.ops`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar, Union

import numpy as np
import numpy.typing as npt

from minadder import autograd
from minadder.arrays import FLOATS as FLOATS
from minadder.arrays import axis_of, float_dtype, from_pytorch, instead, is_pytorch, own_index, parts, plain
from minadder.attached import Attached
from minadder.autograd import Array, Function, Version
from minadder.words import takes_dim

Operand = Union["Tensor", npt.ArrayLike]
Operation = TypeVar("Operation", bound=Callable[..., Any])


class Tensor(Attached):
    """An array of float32 or float64 that remembers how it was made, so that gradients can flow back.

    Make one with `ma.tensor`, which copies. `ma.Tensor(array)` wraps an array of float32 or float64 without a copy: who
    changes the array changes the tensor, and where that is between forward and backward, the gradients are wrong and
    nothing says so.

    Comparisons (`x > 0`) return NumPy arrays of bool. A change in place (`x[0] = 1`, `x += 1`) is only allowed where no
    gradient flows through `x`: on a tensor without `requires_grad`, or inside `no_grad`. `x.data = array` is allowed on
    a leaf with `requires_grad` too. `x.data` and `np.asarray(x)` are read-only views, so that NumPy's functions take
    tensors; no gradient flows through those.

    Attributes
    ----------
    grad
        The gradient of the last result(s) on which `backward` was called, added up; None before. Set it to None to
        start anew.

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

    __slots__ = ("__weakref__", "_array", "_node", "_requires_grad", "_version", "grad")

    __array_ufunc__ = None  # `array * tensor` must ask the tensor, not loop over its elements
    __hash__ = object.__hash__

    def __init__(self, array: Array, requires_grad: bool = False) -> None:
        if not isinstance(array, np.ndarray) or array.dtype not in FLOATS:
            raise TypeError(f"Tensor wraps a NumPy array of float32 or float64, not {kind(array)}: {instead(array)}")
        self._array = plain(array, "the array")
        self._version = Version()
        self._node: Function | None = None
        self._requires_grad = truth(requires_grad, "requires_grad")
        self.grad: Tensor | None = None

    @classmethod
    def _wrap(cls, array: Array) -> Tensor:
        """Make the output of an operation; subclasses such as nn.Parameter give plain tensors too."""
        output = Tensor.__new__(Tensor)
        output._array = array
        output._version = Version()
        output._node = None
        output._requires_grad = False
        output.grad = None
        return output

    @property
    def data(self) -> Array:
        """The values, as a read-only view. Assigning an array of the same shape and dtype replaces those of a leaf."""
        return self.numpy()

    @data.setter
    def data(self, values: Operand) -> None:
        if self._node is not None:
            self._check_unused()
        with autograd.no_grad():
            self.copy_(values)

    @property
    def requires_grad(self) -> bool:
        """Whether gradients are wanted for this tensor, or flow through it. It can be set on leaves."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, requires_grad: bool) -> None:
        if self._node is not None:
            raise RuntimeError("requires_grad can be set on a leaf; this tensor was computed: use detach() first")
        self._requires_grad = truth(requires_grad, "requires_grad")

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

    def numel(self) -> int:
        """Return the number of elements, as `size`."""
        return self.size

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
        self.requires_grad = requires_grad
        return self

    def copy_(self, values: Operand) -> Tensor:
        """Replace the values in place by others of the same shape and dtype; returns the tensor itself."""
        array = self._same_kind(values)
        check_keeps_gradient(values, "copy_() would lose the values' gradient: use detach()")
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
            start = np.array(self._same_kind(grad))
            if start.shape != self.shape or start.dtype != self.dtype:
                raise ValueError(
                    f"the gradient has shape {start.shape}, dtype {start.dtype}; this tensor has shape {self.shape}, "
                    f"dtype {self.dtype}"
                )
        truth(retain_graph, "retain_graph")
        if self._node is None:
            self._accumulate(start)
        else:
            autograd.backward(self._node, start, retain_graph, Tensor._accumulate)

    def _accumulate(self, grad: Array) -> None:
        if self.grad is None:
            self.grad = Tensor._wrap(np.array(grad))  # a copy: a gradient shares memory with nothing
        elif not isinstance(self.grad, Tensor) or self.grad.shape != self.shape or self.grad.dtype != self.dtype:
            what = f"a tensor of shape {self.grad.shape}" if isinstance(self.grad, Tensor) else kind(self.grad)
            raise TypeError(f"grad must be None or a Tensor of shape {self.shape}, dtype {self.dtype}, not {what}")
        else:
            self.grad._change(lambda target: np.add(target, grad, out=target))

    def _check_unused(self) -> None:
        """Raise RuntimeError where a gradient flows through this tensor and the graph is recorded."""
        if self.requires_grad and autograd.is_grad_enabled():
            raise RuntimeError(
                f"a tensor of shape {self.shape} with requires_grad=True cannot be changed in place while the graph is "
                f"recorded: do it inside ma.no_grad(), or make a new tensor (y = x + 1 instead of x += 1)"
            )

    def _same_kind(self, values: Any) -> Array:
        """Return values as an array: arrays and tensors keep their dtype, others take the one of this tensor."""
        if isinstance(values, Tensor):
            return values._array
        return plain(values, "the array") if isinstance(values, np.ndarray) else as_tensor(values, self)._array

    def _change(self, change: Callable[[Array], Any]) -> Tensor:
        """Run a change in place on the array, unless a gradient flows through this tensor."""
        self._check_unused()
        change(self._array)
        self._version.count += 1
        return self

    def _change_by(self, operation: Callable[..., Array], other: Operand, sign: str) -> Tensor:
        operand = as_tensor(other, self)
        loss = f"{sign} with an operand that requires a gradient would lose that gradient"
        check_keeps_gradient(operand, f"{loss}: make a new tensor (y = x {sign[0]} other)")
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
        check_keeps_gradient(
            operand, "x[...] = value would lose the value's gradient: use ma.ops.where or ma.ops.concatenate"
        )
        self._change(lambda target: target.__setitem__(index_arrays(index), operand._array))

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("a tensor of shape () has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __float__(self) -> float:
        return self.item()

    def __int__(self) -> int:
        return int(self.item())

    def __format__(self, spec: str) -> str:
        """Return the only element as a format such as ".3f" writes it; without a format, what `repr` returns."""
        if not spec:
            return repr(self)
        if self.size != 1:
            raise TypeError(
                f"the format {spec!r} is for one number, and this tensor has shape {self.shape}: take the mean, or an "
                f"element of it"
            )
        return format(self.item(), spec)

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                f"the truth of a tensor of shape {self.shape} is ambiguous: use .numpy() with any() or all()"
            )
        return bool(self.item())

    def __eq__(self, other: object) -> Any:
        return np.asarray(self._array == compared(other))

    def __ne__(self, other: object) -> Any:
        return np.asarray(self._array != compared(other))

    def __lt__(self, other: Operand) -> Array:
        return np.asarray(self._array < compared(other))

    def __le__(self, other: Operand) -> Array:
        return np.asarray(self._array <= compared(other))

    def __gt__(self, other: Operand) -> Array:
        return np.asarray(self._array > compared(other))

    def __ge__(self, other: Operand) -> Array:
        return np.asarray(self._array >= compared(other))

    @takes_dim
    def argmax(self, axis: int | None = None) -> Any:
        """Return the index of the largest element, or along an axis an array of indices (NumPy integers)."""
        return self._array.argmax(axis=None if axis is None else axis_of(axis, self.ndim, "axis", "argmax"))

    @takes_dim
    def argmin(self, axis: int | None = None) -> Any:
        """Return the index of the smallest element, or along an axis an array of indices (NumPy integers)."""
        return self._array.argmin(axis=None if axis is None else axis_of(axis, self.ndim, "axis", "argmin"))

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


def check_tensors(function: str, **inputs: Any) -> None:
    """Raise TypeError unless all are tensors; it names the function, the argument and what was given."""
    for name, value in inputs.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{function}: {name} must be a Tensor, not {kind(value)}: {instead(value)}")


def compared(value: Any) -> Any:
    """Return what a tensor is compared with, for NumPy."""
    return plain(value, "the array") if isinstance(value, np.ndarray) else raw(value)


def kind(value: Any) -> str:
    """Return what a value is, for messages."""
    if is_pytorch(value):
        return "a tensor of PyTorch"
    return f"an array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__


def index_arrays(index: Any) -> Any:
    """Return an index for NumPy that nobody can change, with tensors in it refused: indices are integers or bool."""
    if any(
        isinstance(part, Tensor) for outer in (index if isinstance(index, tuple) else (index,)) for part in parts(outer)
    ):
        raise TypeError("a tensor holds floats and cannot be an index: use a NumPy array of integers or of bool")
    return own_index(index)


def tensor(data: Any, dtype: npt.DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Make a Tensor from numbers, nested lists, an array or a tensor. The values are copied.

    Parameters
    ----------
    data
        Floating-point values. An array of float32 or float64 keeps its dtype, another library's too, such as a tensor
        of PyTorch; Python floats and float16 become float32.
        A tensor that requires a gradient is refused, also inside a list, unless inside `no_grad`.
    dtype
        "float32" or "float64" to choose it, and to allow integers or bool in `data`.
    requires_grad
        Whether `backward` shall leave a gradient in `.grad`.

    Raises
    ------
    TypeError
        For integers and long doubles without `dtype`, for complex numbers, objects or strings, for masked entries and
        subclasses of np.ndarray that mean more than their numbers, for a `dtype` other than the two.
    RuntimeError
        Where the gradient of a tensor in `data` would be lost.

    Examples
    --------
    >>> import minadder as ma
    >>> ma.tensor([1, 2], dtype="float64")
    tensor([1., 2.], dtype=float64)
    """
    if is_pytorch(data):
        data = from_pytorch(data)
    source = np.asarray(raw(data)) if hasattr(data, "__array__") else data
    try:
        array = np.array(source)
    except ValueError as error:
        raise ValueError(f"ma.tensor needs numbers in a regular grid: {error}") from None
    check_parts(data)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"ma.tensor needs real numbers, not data of dtype {array.dtype}")
    if dtype is not None:
        return Tensor(array.astype(float_dtype(dtype, "ma.tensor")), requires_grad)
    if array.dtype.kind != "f" and array.size:
        raise TypeError(
            f"ma.tensor was given data of dtype {array.dtype}; tensors hold floats. Write 1.0 instead of 1, or pass "
            f"dtype='float32'"
        )
    if array.dtype.itemsize > np.dtype(np.float64).itemsize:
        raise TypeError(f"a tensor cannot hold {array.dtype}: pass dtype='float64' to round it")
    native = array.dtype.newbyteorder("=")
    kept = isinstance(source, np.ndarray) and native in FLOATS
    return Tensor(array.astype(native if kept else np.float32, copy=False), requires_grad)


def truth(value: Any, name: str) -> bool:
    """Return True or False; TypeError for anything else."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} is True or False, not {value!r}")
    return bool(value)


def forget_gradients(tensors: Iterable[Tensor], set_to_none: bool) -> None:
    """Set each tensor's `grad` to None, or the gradient that is there to 0 in place."""
    none = truth(set_to_none, "set_to_none")
    for each in tensors:
        if none:
            each.grad = None
        elif each.grad is not None:
            each.grad._change(lambda target: target.fill(0))


def check_keeps_gradient(value: Any, otherwise: str) -> None:
    """Raise RuntimeError where a change in place by this value would lose the value's gradient."""
    if isinstance(value, Tensor) and value.requires_grad and autograd.is_grad_enabled():
        raise RuntimeError(f"{otherwise}, or do it inside ma.no_grad()")


def check_parts(data: Any) -> None:
    """Raise for tensors in the data whose gradient would be lost, and for arrays that mean more than their numbers."""
    for part in parts(data):
        if isinstance(part, np.ndarray):
            plain(part, "the array")
        elif isinstance(part, Tensor) and part.requires_grad and autograd.is_grad_enabled():
            raise RuntimeError(
                f"numbers are copied, so that the gradient of a tensor of shape {part.shape} would be lost: join "
                f"tensors by ma.ops.stack or ma.ops.concatenate, or take the values alone by detach()"
            )


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
        return Tensor(as_number(value, like.dtype))
    elif isinstance(value, np.matrix):
        raise TypeError("np.matrix multiplies as matrices, a tensor entry by entry: pass np.asarray(...) of it")
    else:
        result = tensor(value) if hasattr(value, "__array__") else tensor(value, dtype=like.dtype)
    if result.dtype != like.dtype:
        raise TypeError(
            f"operands of {like.dtype} and {result.dtype} are not mixed silently: call .astype('{like.dtype}') on the "
            f"second, or .astype('{result.dtype}') on the first"
        )
    return result


def as_number(value: Any, dtype: np.dtype[Any]) -> Array:
    """Return a Python or NumPy number as an array without axes."""
    try:
        return np.array(value, dtype=dtype)
    except OverflowError:
        raise ValueError(f"an int of {value.bit_length()} bits is beyond the range of {dtype}") from None
