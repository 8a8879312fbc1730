"""Operations on the shape: reshape, flatten, transpose, permute, squeeze, unsqueeze, broadcast, index, join."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minadder.arrays import axis_of, integer, integers
from minadder.autograd import Array, Function
from minadder.ops.arithmetic import sum_to
from minadder.tensor import Tensor, check_tensors, index_arrays, kind, method
from minadder.words import takes_dim


class Reshape(Function):
    """The same elements in another shape."""

    def forward(self, x: Array, shape: tuple[int, ...]) -> Array:
        """Return x in another shape."""
        self.shape = x.shape
        return x.reshape(shape)

    def backward(self, grad: Array) -> Array:
        """Return G in the shape of x."""
        return grad.reshape(self.shape)


class Transpose(Function):
    """The axes in another order."""

    def forward(self, x: Array, axes: tuple[int, ...]) -> Array:
        """Return x with its axes in another order."""
        self.axes = axes
        return x.transpose(axes)

    def backward(self, grad: Array) -> Array:
        """Return G with its axes put back."""
        return grad.transpose(np.argsort(self.axes))


class BroadcastTo(Function):
    """Copies along new axes and along axes of size 1."""

    def forward(self, x: Array, shape: tuple[int, ...]) -> Array:
        """Return x repeated up to a shape."""
        self.shape = x.shape
        return np.broadcast_to(x, shape)

    def backward(self, grad: Array) -> Array:
        """Return G summed over the copies."""
        return sum_to(grad, self.shape)


class GetItem(Function):
    """Elements picked by an index."""

    def forward(self, x: Array, index: Any) -> Array:
        """Return x[index]."""
        self.shape, self.index = x.shape, index
        return np.asarray(x[index])

    def backward(self, grad: Array) -> Array:
        """Return G at the picked places, summed where one was picked twice, and 0 elsewhere."""
        x_grad = np.zeros(self.shape)  # float64, for one element may be picked very often
        np.add.at(x_grad, self.index, grad)
        return x_grad.astype(grad.dtype)


class Concatenate(Function):
    """Tensors one after the other along an axis."""

    def forward(self, *arrays: Array, axis: int) -> Array:
        """Return the arrays joined along an axis."""
        self.axis = axis
        self.ends = np.cumsum([array.shape[axis] for array in arrays])[:-1]
        return np.concatenate(arrays, axis=axis)

    def backward(self, grad: Array) -> tuple[Array, ...]:
        """Return the parts of G."""
        return tuple(np.split(grad, self.ends, axis=self.axis))


@method("reshape", "view")
def reshape(x: Tensor, *shape: Any) -> Tensor:
    """Return the same elements in another shape, given as numbers or as one tuple; -1 stands for what is left.

    `x.view(...)` is the same: no memory is copied where that is possible, and none is refused where it is not.

    Examples
    --------
    >>> import minadder as ma
    >>> ma.tensor([1.0, 2.0, 3.0, 4.0]).reshape(2, -1)
    tensor([[1., 2.],
            [3., 4.]])
    """
    check_tensors("reshape", x=x)
    sizes = integers(in_one(shape), "a size", "reshape")
    if min(sizes, default=0) < -1:  # NumPy takes any number below 0 for -1
        raise ValueError(f"reshape: a size is at least 0, or -1 for what is left, not {min(sizes)}")
    return Reshape.apply(x, shape=sizes)


@method("flatten")
def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Return the tensor with the axes from `start_dim` to `end_dim` merged into one; the tensor itself for one axis."""
    check_tensors("flatten", x=x)
    start_dim, end_dim = integer(start_dim, "start_dim", "flatten"), integer(end_dim, "end_dim", "flatten")
    if x.ndim == 0:
        return reshape(x, 1)
    for axis in (start_dim, end_dim):
        if not -x.ndim <= axis < x.ndim:
            raise ValueError(f"flatten: axis {axis} is out of range for a tensor of shape {x.shape}")
    first, last = start_dim % x.ndim, end_dim % x.ndim
    if first > last:
        raise ValueError(f"flatten: start_dim (={start_dim}) lies behind end_dim (={end_dim}) in shape {x.shape}")
    if first == last:
        return x
    merged = math.prod(x.shape[first : last + 1])
    return reshape(x, (*x.shape[:first], merged, *x.shape[last + 1 :]))


@method("transpose")
def transpose(x: Tensor, *axes: int) -> Tensor:
    """Return the tensor with its axes in the given order, as in NumPy; without one, reversed."""
    check_tensors("transpose", x=x)
    order = integers(axes, "an axis", "transpose") or tuple(range(x.ndim))[::-1]
    counted = [axis + x.ndim if axis < 0 else axis for axis in order]
    if sorted(counted) != list(range(x.ndim)):
        raise ValueError(f"transpose needs each of the {x.ndim} axes of shape {x.shape} once, not {order}")
    return Transpose.apply(x, axes=tuple(counted))


@method("permute")
def permute(x: Tensor, *dims: Any) -> Tensor:
    """Return the tensor with its axes in the given order, as numbers or as one tuple, as in PyTorch.

    Examples
    --------
    >>> import minadder as ma
    >>> ma.tensor([[[1.0], [2.0]]]).permute(2, 0, 1).shape
    (1, 1, 2)
    """
    check_tensors("permute", x=x)
    order = integers(in_one(dims), "an axis", "permute")
    if not order and x.ndim:
        raise ValueError(f"permute needs each of the {x.ndim} axes of shape {x.shape} once, not none")
    return transpose(x, *order)


@method("squeeze")
@takes_dim
def squeeze(x: Tensor, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """Return the tensor without axes of size 1: all of them (None) or the given ones."""
    check_tensors("squeeze", x=x)
    listed = axis if isinstance(axis, tuple) else () if axis is None else (axis,)
    axes = tuple(axis_of(each, x.ndim, "an axis", "squeeze") for each in listed)
    return reshape(x, np.squeeze(x.numpy(), None if axis is None else axes).shape)


@method("unsqueeze")
@takes_dim
def unsqueeze(x: Tensor, axis: int) -> Tensor:
    """Return the tensor with a new axis of size 1 at a place."""
    check_tensors("unsqueeze", x=x)
    return reshape(x, np.expand_dims(x.numpy(), axis_of(axis, x.ndim + 1, "axis", "unsqueeze")).shape)


@method("broadcast_to")
def broadcast_to(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the tensor repeated along new axes and along axes of size 1, up to a shape. No memory is copied."""
    check_tensors("broadcast_to", x=x)
    return BroadcastTo.apply(x, shape=integers(shape, "the shape", "broadcast_to"))


@method("__getitem__")
def getitem(x: Tensor, index: Any) -> Tensor:
    """Return x[index] for any of NumPy's indices: numbers, slices, None, ..., arrays of integers or of bool."""
    return GetItem.apply(x, index=index_arrays(index))  # a copy: a list changed later must not move the gradient


@takes_dim
def concatenate(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Return tensors of one dtype joined along an existing axis.

    Raises
    ------
    ValueError
        For no tensors, an axis out of range, or shapes that differ along another axis.
    TypeError
        For mixed dtypes.
    """
    tensors, axis = sequence(tensors, "concatenate"), integer(axis, "axis", "concatenate")
    if not -tensors[0].ndim <= axis < tensors[0].ndim:
        raise ValueError(f"concatenate: axis {axis} is out of range for tensors of shape {tensors[0].shape}")
    dtypes = {str(tensor.dtype) for tensor in tensors}
    if len(dtypes) > 1:
        raise TypeError(f"concatenate needs tensors of one dtype, not {sorted(dtypes)}: use .astype(...)")
    return Concatenate.apply(*tensors, axis=axis)


@takes_dim
def stack(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Return tensors of one shape joined along a new axis."""
    listed = sequence(tensors, "stack")
    axis = axis_of(axis, listed[0].ndim + 1, "axis", "stack")
    return concatenate([unsqueeze(tensor, axis) for tensor in listed], axis)


def in_one(numbers: tuple[Any, ...]) -> Any:
    """Return what was given as one tuple or list, or else the numbers themselves."""
    return numbers[0] if len(numbers) == 1 and isinstance(numbers[0], (tuple, list)) else numbers


def sequence(tensors: Any, function: str) -> tuple[Tensor, ...]:
    """Return the tensors that are to be joined; TypeError or ValueError unless there are some and nothing else."""
    if isinstance(tensors, Tensor) or not isinstance(tensors, Iterable):
        raise TypeError(f"{function} needs a list of tensors, not {kind(tensors)}")
    listed = tuple(tensors)
    if not listed:
        raise ValueError(f"{function} needs at least one tensor")
    for tensor in listed:
        check_tensors(function, **{"each part": tensor})
    return listed
