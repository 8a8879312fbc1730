"""One example of zeros goes through a copy of a network, so that each module is seen and the network stays as it is."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from minadder import nn, random
from minadder.autograd import no_grad
from minadder.checks import fits_memory, instance, sizes
from minadder.nn.attributes import members
from minadder.tensor import Tensor

Shape = tuple[Any, ...]
"""Sizes; where a module gives out several tensors, their shapes."""

Watcher = Callable[[str, nn.Module, Any], None]


def observe(net: nn.Module, input_shape: Sequence[int], watch: Watcher) -> None:
    """Tell a watcher of each call of each module, in evaluation, for one example.

    Parameters
    ----------
    net
        The network. It is copied: its mode, statistics, gradients and hooks stay, and so do the random states.
    input_shape
        The shape of one example, without the batch.
    watch
        Called as watch(path, module, output) behind each call, in their order; the module is that of the copy.

    Raises
    ------
    TypeError
        For what is no network, or cannot be copied.
    ValueError
        For a size below 1, and where the example does not go through the network; the message names the layer.
    """
    instance(net, "net", nn.Module, "a network (an nn.Module)")
    input_shape = sizes(input_shape, "input_shape")
    fits_memory(input_shape, 8, "an input")
    dtype = next((parameter.dtype for parameter in net.parameters()), np.dtype(np.float32))
    twin = copied(net).eval()
    paths = {module: path for path, module in twin.named_modules()}
    for module in paths:
        module._hooks = ()  # whoever listens is told nothing of this run
        module.register_forward_hook(lambda module, inputs, output: watch(paths[module], module, output))
    with no_grad(), random_states_kept():
        try:
            twin(Tensor(np.zeros((1, *input_shape), dtype)))
        except (ValueError, TypeError, RuntimeError, IndexError) as error:
            raise ValueError(
                f"{error}. So one example of input_shape {input_shape} does not go through the net: give the shape of "
                f"one example without the batch, such as (channels, height, width) for images or (2,) for points"
            ) from error


def copied(net: nn.Module) -> nn.Module:
    """Return a copy of a network; computed tensors that its modules hold, which have no copy, are in both."""
    held = (value for module in net.modules() for value in members(vars(module)))
    memo: dict[int, Any] = {id(value): value for value in held if type(value) is Tensor and not value.is_leaf}
    try:
        return copy.deepcopy(net, memo)
    except Exception as error:
        raise TypeError(
            f"{type(net).__name__} cannot be copied ({error}), which it is so that it stays as it is: let no module "
            f"hold what has no copy, such as an open file"
        ) from error


@contextlib.contextmanager
def random_states_kept() -> Iterator[None]:
    """Put the random generators of the library and of NumPy back to where they were."""
    own, legacy = random.generator_state(), np.random.get_state()  # noqa: NPY002  (a net of one's own may draw from it)
    try:
        yield
    finally:
        random.set_generator_state(own)
        np.random.set_state(legacy)  # noqa: NPY002


def shape_without_batch(output: Any) -> Shape | None:
    """Return the shape of what a module gave out for a batch of one; of several tensors their shapes, else None.

    Examples
    --------
    >>> import minadder as ma
    >>> from minadder.analysis.observing import shape_without_batch
    >>> shape_without_batch(ma.tensor([[1.0, 2.0]]))
    (2,)
    """
    if isinstance(output, (Tensor, np.ndarray)):
        return output.shape[1:] if output.shape[:1] == (1,) else output.shape
    if isinstance(output, Mapping):
        return shape_without_batch(tuple(output.values()))
    if isinstance(output, (tuple, list)):
        return tuple(shape_without_batch(one) for one in output)
    return None
