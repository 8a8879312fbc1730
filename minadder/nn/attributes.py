"""What may become an attribute of a module, so that no parameter, module or buffer is lost without a word."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np

from minadder.arrays import plain
from minadder.nn.parameter import Parameter
from minadder.tensor import Tensor, kind

if TYPE_CHECKING:
    from minadder.nn.module import Module

MOST_LOOKED_AT = 100
"""How many members of a list are looked at for modules in it: a list of data may have millions."""


HOLDERS = (list, tuple, set, frozenset, dict)


def is_module(value: Any) -> bool:
    """Return whether a value is a module, whose class imports this file."""
    return hasattr(type(value), "named_children")


def check_attribute(module: Module, name: str, value: Any) -> None:
    """Raise TypeError where an assignment would take a parameter, a module or a buffer away; None may be assigned."""
    old, where = vars(module).get(name), f"{type(module).__name__}.{name}"
    if isinstance(old, Parameter) and not (value is None or isinstance(value, Parameter)):
        raise TypeError(
            f"{where} is a parameter; {kind(value)} in its place would be neither trained nor saved: change its values "
            f"by `.{name}.data = array`, or assign nn.Parameter(array)"
        )
    if is_module(old) and not (value is None or is_module(value)):
        raise TypeError(f"{where} is a module, and {kind(value)} is none: assign a module or None")
    if name in module._buffer_names and not isinstance(value, np.ndarray):
        raise TypeError(f"{where} is a buffer; assign an array, not {kind(value)}: use .numpy() or np.asarray(...)")
    if name in module._buffer_names:
        plain(value, where)
    if type(value) is Tensor and value.requires_grad and value.is_leaf:
        warnings.warn(
            f"{where} is a tensor that requires a gradient but no parameter, and is neither trained nor saved: assign "
            f"nn.Parameter(array)",
            stacklevel=4,
        )


def check_name(module: Module, name: str) -> None:
    """Raise ValueError unless a buffer may have this name."""
    taken = isinstance(name, str) and hasattr(module, name) and name not in module._buffer_names
    if not isinstance(name, str) or not name or "." in name or taken:
        raise ValueError(f"{name!r} cannot name a buffer: it is no string, empty, taken, or holds a dot")


_warned: WeakSet[Module] = WeakSet()
"""The modules that were warned of: each is once."""


def warn_of_hidden(modules: set[Module]) -> None:
    """Warn of modules and parameters that are only in a list or a dictionary, where a module does not look for them."""
    for module in modules:
        for name, value in tuple(vars(module).items()):
            if isinstance(value, HOLDERS) and value and module not in _warned and hides(value, modules):
                _warned.add(module)
                warnings.warn(
                    f"{type(module).__name__}.{name} holds modules or parameters in a {type(value).__name__}, where "
                    f"they are not trained, not saved and not switched by eval(): use nn.ModuleList, or nn.Sequential, "
                    f"or assign each as an attribute, as by setattr(self, f'{name}{{i}}', layer)",
                    stacklevel=4,
                )


def hides(value: Any, modules: set[Module]) -> bool:
    """Return whether nested lists and dictionaries hold a module or a parameter that is no attribute of any module."""
    for member in members(value):
        if is_module(member) and member not in modules:
            return True
        if isinstance(member, Parameter) and not any(member is own for m in modules for own in vars(m).values()):
            return True
    return False


def members(value: Any, depth: int = 3) -> Iterator[Any]:
    """Yield what is inside lists and dictionaries, and in those inside them, but no numbers and names."""
    inside = value.values() if isinstance(value, dict) else value
    for member in itertools.islice(inside, MOST_LOOKED_AT):
        if type(member) in (int, float, str):
            continue
        if isinstance(member, HOLDERS) and depth:
            yield from members(member, depth - 1)
        else:
            yield member
