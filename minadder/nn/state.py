"""A module's state: its parameters and buffers under every path that leads to them, as PyTorch's state dicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minadder.arrays import from_pytorch, is_pytorch, plain
from minadder.autograd import Array
from minadder.nn.parameter import Parameter
from minadder.tensor import raw

if TYPE_CHECKING:
    from minadder.nn.module import Module


def entries(
    module: Module, prefix: str = "", above: tuple[Module, ...] = ()
) -> Iterator[tuple[str, Parameter | Array]]:
    """Yield (path, parameter or buffer) under every path: more than once where modules or parameters are shared."""
    for name, value in vars(module).items():
        if isinstance(value, Parameter):
            yield prefix + name, value
    for name in module._buffer_names:
        yield prefix + name, getattr(module, name)
    for name, child in module.named_children():
        if child not in above and child is not module:  # a module inside itself has no end of paths
            yield from entries(child, f"{prefix}{name}.", (*above, module))


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` did not find in the state, and what it found there and did not know."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def fitting(
    module: Module, state: Mapping[str, Any], strict: bool
) -> tuple[list[tuple[Parameter | Array, Array]], IncompatibleKeys]:
    """Return each parameter and buffer with its values from a state that may come from elsewhere, once all fit.

    What is shared may stand in the state under one of its paths or under several. Names that are missing or unknown are
    returned too, and unless `strict` no error.
    """
    check_state(state)
    own = dict(entries(module))
    given = {name: as_array(value, name) for name, value in state.items() if strict or name in own}
    paths: dict[int, list[str]] = {}
    for path, value in own.items():
        paths.setdefault(id(value), []).append(path)
    missing = [one for shared in paths.values() for one in shared if not given.keys() & shared and not optional(one)]
    unknown = sorted((name for name in state if name not in own), key=str)
    if strict and (missing or unknown):
        raise ValueError(
            f"the state does not fit {type(module).__name__}: missing {sorted(missing) or 'nothing'}, "
            f"unknown {unknown or 'nothing'}"
        )
    for path in (path for path in own if path in given):  # files have them in any order
        values, wanted = given[path], raw(own[path])
        if values.shape != wanted.shape or values.dtype != wanted.dtype:
            raise ValueError(
                f"{path} of {type(module).__name__} has shape {wanted.shape}, dtype {wanted.dtype}, but the "
                f"state holds shape {values.shape}, dtype {values.dtype}"
            )
    pairs = []
    for shared in paths.values():
        first, *others = [path for path in shared if path in given] or [""]
        for other in others:
            if given[first].tobytes() != given[other].tobytes():
                raise ValueError(
                    f"{first} and {other} of {type(module).__name__} are one and the same, but the state holds "
                    f"different values for them"
                )
        if first:
            pairs.append((own[first], given[first]))
    return pairs, IncompatibleKeys(missing, unknown)


def check_state(state: Any) -> None:
    """Raise TypeError for what is no dictionary, such as a network of PyTorch."""
    if not isinstance(state, Mapping):
        what = "its state_dict()" if hasattr(state, "state_dict") else "such as net.state_dict() returns"
        raise TypeError(f"a state is a dictionary of arrays by path, not {type(state).__name__}: pass one, {what}")


def to_torch(module: Module) -> dict[str, Any]:
    """Return a module's state as tensors of PyTorch, of memory of their own."""
    try:
        import torch
    except ImportError as error:
        raise ImportError("to_torch() needs PyTorch, which is not installed: pip install torch") from error
    return {path: torch.from_numpy(np.array(raw(value))) for path, value in entries(module)}


def arrays_from_torch(state: Any) -> dict[str, Any]:
    """Return a state of PyTorch as arrays: those of half precision, which NumPy or a net has not, as float32."""
    check_state(state)
    return {name: from_any_device(value) if is_pytorch(value) else value for name, value in state.items()}


def from_any_device(value: Any) -> Array:
    """Return a PyTorch tensor as an array, wherever it lies and whether or not it requires a gradient."""
    value = value.detach().cpu()
    return from_pytorch(value.float() if value.is_floating_point() and value.element_size() < 4 else value)


def optional(path: str) -> bool:
    """Return whether a state may lack an entry: PyTorch's old ones have no count of batches."""
    return path.rpartition(".")[2] == "num_batches_tracked"


def as_array(value: Any, name: str) -> Array:
    """Return a state's entry as an array; PyTorch's tensors become one too."""
    return plain(value, name) if isinstance(value, np.ndarray) else np.asarray(value)
