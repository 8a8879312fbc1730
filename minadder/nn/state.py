"""A module's state: its parameters and buffers under every path that leads to them, as PyTorch's state dicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from minadder.arrays import plain
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


def fitting(module: Module, state: Mapping[str, Any]) -> list[tuple[Parameter | Array, Array]]:
    """Return each parameter and buffer with its values from a state that may come from elsewhere, once all fit.

    What is shared may stand in the state under one of its paths or under several.
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"a state is a dictionary of arrays by path, not {type(state).__name__}")
    given = {name: as_array(value, name) for name, value in state.items()}
    own = dict(entries(module))
    paths: dict[int, list[str]] = {}
    for path, value in own.items():
        paths.setdefault(id(value), []).append(path)
    missing = [one for shared in paths.values() for one in shared if not given.keys() & shared and not optional(one)]
    unknown = sorted((name for name in given if name not in own), key=str)
    if missing or unknown:
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
    return pairs


def optional(path: str) -> bool:
    """Return whether a state may lack an entry: PyTorch's old ones have no count of batches."""
    return path.rpartition(".")[2] == "num_batches_tracked"


def as_array(value: Any, name: str) -> Array:
    """Return a state's entry as an array; PyTorch's tensors become one too."""
    return plain(value, name) if isinstance(value, np.ndarray) else np.asarray(value)
