"""Reverse-mode automatic differentiation: the graph that a forward pass records, and the pass back over it.

A `Function` is one use of one operation. It computes an array from arrays, keeps what its derivative needs, and
remembers where its inputs came from. `backward` starts at a result and hands each Function the gradient of the
result with respect to that Function's output; the Function answers with the gradients with respect to its inputs
(the chain rule).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minadder.arrays import instead, is_pytorch
from minadder.grad_mode import is_grad_enabled, no_grad

if TYPE_CHECKING:
    from minadder.tensor import Tensor

__all__ = ["Array", "Function", "is_grad_enabled", "no_grad"]

Array = npt.NDArray[Any]
Gradients = Array | tuple[Array | None, ...] | None


class Version:
    """Counts the in-place changes of one block of memory; tensors that share the memory share the counter."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


_creation = itertools.count()


class Function:
    """One use of a differentiable operation: a node of the graph.

    A subclass writes `forward` and `backward` side by side. `forward` takes the input arrays and the options and
    returns the output array, which must own its memory or be a view of an input. It may put arrays that the
    derivative needs into `self.saved`: inputs, outputs or its own; shapes and options go into attributes. `backward`
    takes the gradient with respect to the output and returns the gradient with respect to each input: one array for
    one input, else a tuple, None where `self.needs_input_grad` says that nobody asks. It must not change the gradient
    it is given, which other nodes may be given too.

    Examples
    --------
    >>> import minadder as ma
    >>> class Square(ma.Function):
    ...     def forward(self, x):
    ...         self.saved = (x,)
    ...         return x * x
    ...     def backward(self, grad):
    ...         (x,) = self.saved
    ...         return 2 * x * grad
    >>> x = ma.tensor([3.0], requires_grad=True)
    >>> Square.apply(x).backward()
    >>> x.grad
    tensor([6.])
    """

    saved: tuple[Array, ...] = ()
    needs_input_grad: tuple[bool, ...] = ()
    _parents: tuple[Function | Tensor | None, ...] = ()
    _versions: tuple[tuple[Version, int, tuple[int, ...]], ...] = ()
    _input_like: tuple[tuple[tuple[int, ...], np.dtype[Any]], ...] = ()
    _retained: Tensor | None = None
    _released = False
    _index = -1

    forward: Callable[..., Array]
    backward: Callable[[Array], Gradients]

    @classmethod
    def apply(cls, *inputs: Tensor, **options: Any) -> Tensor:
        """Run the operation on tensors and record it in the graph, unless nobody will ask for a gradient."""
        try:
            arrays = [tensor._array for tensor in inputs]
        except AttributeError:
            wrong = next(value for value in inputs if not hasattr(value, "_array"))
            given = "a tensor of PyTorch" if is_pytorch(wrong) else type(wrong).__name__
            raise TypeError(f"{cls.name()} needs tensors, not {given}: {instead(wrong)}") from None
        if not inputs:
            raise TypeError(f"{cls.name()} needs at least one tensor")
        node = cls()
        node._index = next(_creation)
        recorded = is_grad_enabled()
        node.needs_input_grad = needed = tuple([recorded and tensor._requires_grad for tensor in inputs])
        array = np.asarray(node.forward(*arrays, **options))
        if array.dtype.char not in "fd":
            raise TypeError(f"{cls.name()}.forward must return floats, not data of dtype {array.dtype}")
        output = type(inputs[0])._wrap(array)
        memories = [id(owner(own)) for own in (*arrays, array)]
        if memories[-1] in memories[:-1]:  # a view of an input, or the input itself, changes whenever that does
            output._version = inputs[memories.index(memories[-1])]._version
        if True in needed:
            node._record(inputs, output, memories)
        return output

    def _record(self, inputs: tuple[Tensor, ...], output: Tensor, memories: list[int]) -> None:
        """Remember where the inputs came from, and how often the tensors were changed whose memory was saved.

        `memories` tells which block of memory each input and the output lie in. Lists are built here where generators
        would read better, since this runs for every operation and they take half the time.
        """
        self._parents = tuple(
            [
                (tensor._node or tensor) if needed else None
                for tensor, needed in zip(inputs, self.needs_input_grad, strict=True)
            ]
        )
        self._input_like = tuple([(tensor._array.shape, tensor._array.dtype) for tensor in inputs])
        saved = {id(owner(array)) for array in self.saved}
        self._versions = tuple(
            [
                (tensor._version, tensor._version.count, tensor._array.shape)
                for tensor, memory in zip((*inputs, output), memories, strict=True)
                if memory in saved
            ]
        )
        output._node = self
        output._requires_grad = True

    def _check_saved_unchanged(self) -> None:
        for version, count, shape in self._versions:
            if version.count != count:
                raise RuntimeError(
                    f"{self.name()} cannot go backward: a tensor of shape {shape} that it kept in the forward pass has "
                    f"been changed in place {version.count - count} time(s) since. Change a copy instead, or call "
                    f"backward() before the change."
                )

    def _input_gradients(self, grad: Array) -> tuple[Array | None, ...]:
        """Return the checked gradients with respect to the inputs."""
        self._check_saved_unchanged()
        answer = self.backward(grad)
        gradients = answer if isinstance(answer, tuple) else (answer,)
        if len(gradients) != len(self._input_like):
            raise RuntimeError(
                f"{self.name()}.backward returned {len(gradients)} gradient(s) for {len(self._input_like)} input(s)"
            )
        for gradient, (shape, dtype), needed in zip(gradients, self._input_like, self.needs_input_grad, strict=True):
            if not needed:
                continue
            got = type(gradient).__name__
            if isinstance(gradient, (np.ndarray, np.generic)):
                if gradient.shape == shape and gradient.dtype == dtype:
                    continue
                got = f"shape {gradient.shape}, dtype {gradient.dtype}"
            raise RuntimeError(f"{self.name()}.backward returned {got} for an input of shape {shape}, dtype {dtype}")
        return gradients

    def _release(self) -> None:
        self.__dict__.clear()
        self._released = True

    @classmethod
    def name(cls) -> str:
        """Return the operation's name, as messages and graphs show it."""
        return cls.__name__


def owner(array: Array) -> Array:
    """Return the array that a view was made of, over any number of steps; an array that is no view is its own."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def reachable(root: Function) -> Iterator[Function]:
    """Yield every node that `root` was computed from, `root` included, each once, without recursion."""
    seen = {root}
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        for parent in node._parents:
            if isinstance(parent, Function) and parent not in seen:
                seen.add(parent)
                stack.append(parent)


def backward(root: Function, grad: Array, retain_graph: bool, deliver: Callable[[Tensor, Array], None]) -> None:
    """Send `grad`, the gradient with respect to the output of `root`, back to every leaf of the graph.

    A node may only run when the gradients from all its uses have been added up: in `b = a + a; c = b * b` the node
    of `b` must wait for both factors. A node is always created after the nodes that it uses, so that going through
    the nodes from the youngest to the oldest is such an order (a topological one).

    Parameters
    ----------
    root
        The node to start from.
    grad
        An array of the shape and dtype of the node's output.
    retain_graph
        Keep what the nodes saved, so that backward can be called again; else it is freed on the way.
    deliver
        Called with each leaf, and each tensor that retains its gradient, and a part of its gradient: the parts of all
        calls add up to it. An array that is given may be other nodes' too.

    Raises
    ------
    RuntimeError
        When the graph was already freed, or when a saved tensor was changed in place.
    """
    order = sorted(reachable(root), key=attrgetter("_index"), reverse=True)
    if any(node._released for node in order):
        raise RuntimeError(
            "backward was already called on this graph, and what it needs has been freed. Run the forward pass again, "
            "or pass retain_graph=True to the first backward."
        )
    arrived: dict[Function, Array] = {root: grad}
    shared: set[Function] = {root}
    for node in order:
        gradient = arrived.pop(node, None)
        if gradient is None:
            continue
        if node._retained is not None:
            deliver(node._retained, gradient)
        for parent, part in zip(node._parents, node._input_gradients(gradient), strict=True):
            if parent is None or part is None:
                continue
            if not isinstance(parent, Function):
                deliver(parent, part)
            elif parent not in arrived:
                arrived[parent] = part
                shared.add(parent)
            elif parent in shared:  # the array may be another node's too: do not add into it
                arrived[parent] = arrived[parent] + part
                shared.discard(parent)
            else:
                arrived[parent] += part
        if not retain_graph:
            node._release()
