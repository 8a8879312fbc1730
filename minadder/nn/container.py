"""Modules that hold modules, and modules without parameters between them: Sequential, ModuleList, Flatten, Identity."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Any

import numpy as np

from minadder.checks import LARGEST, shown, whole
from minadder.nn.activation import ReLU
from minadder.nn.batchnorm import BatchNorm1d, BatchNorm2d
from minadder.nn.module import Module, as_input
from minadder.tensor import Tensor


class Sequential(Module):
    """Modules one after the other.

    Parameters
    ----------
    modules
        The modules, or one dictionary of modules by name. Without names they are called "0", "1", ….

    Examples
    --------
    >>> from minadder import nn
    >>> net = nn.Sequential({"fc": nn.Linear(2, 3), "act": nn.ReLU()})
    >>> net
    Sequential(
      (fc): Linear(2, 3, bias=True)
      (act): ReLU()
    )
    >>> net[0]
    Linear(2, 3, bias=True)
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            named: Mapping[str, Any] = modules[0]
        else:
            named = {str(number): module for number, module in enumerate(modules)}
        for name, module in named.items():
            check_module(
                module,
                f"Sequential takes modules; {shown(name)}",
                "write nn.Sequential(nn.Linear(2, 3), …), with a * in front of a list of modules",
            )
            if not isinstance(name, str) or not name or "." in name or hasattr(self, name):
                raise ValueError(f"{name!r} cannot name a module: it is no string, empty, taken, or holds a dot")
            setattr(self, name, module)

    def forward(self, x: Any) -> Any:
        """Return the last module's output. A batch norm and the ReLU directly behind it run as one operation."""
        modules = tuple(self)
        done = False
        for module, behind in zip_longest(modules, modules[1:]):
            if done:  # this ReLU, with the batch norm in front of it
                done = False
            elif run_as_one(module, behind):
                x = module(x, relu=True)
                done = True
            else:
                x = module(x)
        return x

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __len__(self) -> int:
        return len(tuple(self.children()))

    def __getitem__(self, index: int | slice) -> Module:
        named = tuple(self.named_children())
        return Sequential(dict(named[index])) if isinstance(index, slice) else named[index][1]


class ModuleList(Module):
    """A list of modules, which are found where those in a plain list are not: trained, saved, switched by `eval()`.

    It has no forward: write in that of your module which of them are called.

    Parameters
    ----------
    modules
        The modules, any iterable of them; they are called "0", "1", ….

    Raises
    ------
    TypeError
        For what is no module, or no iterable.

    Examples
    --------
    >>> import minadder as ma
    >>> from minadder import nn
    >>> class Deep(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    ...     def forward(self, x):
    ...         for layer in self.layers:
    ...             x = layer(x).relu()
    ...         return x
    >>> Deep()(ma.tensor([[1.0, 2.0]])).shape
    (1, 2)
    >>> len(Deep().state_dict())
    6
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(() if modules is None else modules)

    def append(self, module: Module) -> ModuleList:
        """Put a module at the end; returns the list itself."""
        return self.extend((module,))

    def extend(self, modules: Iterable[Module]) -> ModuleList:
        """Put several modules at the end; returns the list itself."""
        return self._hold([*self, *modules_in(modules)])

    def insert(self, index: int, module: Module) -> None:
        """Put a module in front of the one at an index."""
        held = list(self)
        held.insert(whole(index, "index", -LARGEST), module)
        self._hold(held)

    def pop(self, index: int = -1) -> Module:
        """Take the module at an index out, and return it."""
        module = self[index]
        del self[index]
        return module

    def _hold(self, modules: list[Any]) -> ModuleList:
        """Hold these modules, named by their places, and no others."""
        for module in modules:
            check_module(module, "ModuleList takes modules; one", "write nn.ModuleList([nn.Linear(2, 3), …])")
        for name, _ in tuple(self.named_children()):
            delattr(self, name)
        for place, module in enumerate(modules):
            setattr(self, str(place), module)
        return self

    def forward(self, *inputs: Any) -> Any:
        """Raise TypeError: a list does not know which of its modules to call."""
        raise TypeError("ModuleList cannot be called: call its modules, or take nn.Sequential for one after the other")

    def __iadd__(self, modules: Iterable[Module]) -> ModuleList:
        return self.extend(modules)

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __len__(self) -> int:
        return len(tuple(self.children()))

    def __getitem__(self, index: int | slice) -> Any:
        held = list(self)[index]
        return ModuleList(held) if isinstance(held, list) else held

    def __setitem__(self, index: int, module: Module) -> None:
        held: list[Any] = list(self)
        held[whole(index, "index", -LARGEST)] = module
        self._hold(held)

    def __delitem__(self, index: int | slice) -> None:
        held = list(self)
        del held[index]
        self._hold(held)


def modules_in(modules: Any) -> Iterator[Any]:
    """Iterate over modules; TypeError for what cannot be iterated over."""
    if isinstance(modules, (Mapping, np.ndarray)) or not isinstance(modules, Iterable):
        raise TypeError(f"ModuleList takes a list of modules, not {type(modules).__name__}")
    return iter(modules)


def check_module(module: Any, what: str, otherwise: str) -> None:
    """Raise TypeError for what is no module, saying what it is and what to write."""
    if not isinstance(module, Module):
        given = f"the class {module.__name__}" if isinstance(module, type) else type(module).__name__
        raise TypeError(f"{what} is {given}: {otherwise}")


def run_as_one(module: Module, behind: Module | None) -> bool:
    """Return whether they are a batch norm and a ReLU, and nobody looks at what passes between them.

    Subclasses may compute something else, and hooks are to see the output of each.
    """
    return type(module) in (BatchNorm1d, BatchNorm2d) and type(behind) is ReLU and not (module._hooks or behind._hooks)


class Flatten(Module):
    """The axes behind the batch merged into one, (N, ...) → (N, K).

    Parameters
    ----------
    start_dim, end_dim
        The first and the last axis to merge.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import nn
    >>> nn.Flatten()(np.zeros((2, 3, 4), np.float32)).shape
    (2, 12)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = whole(start_dim, "start_dim", -LARGEST)
        self.end_dim = whole(end_dim, "end_dim", -LARGEST)

    def forward(self, x: Any) -> Tensor:
        """Return x with the axes merged."""
        return as_input(x).flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """Return the axes."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Identity(Module):
    """What it is given, as it is: a place where another module may stand. It takes any arguments, and ignores them.

    Examples
    --------
    >>> import minadder as ma
    >>> from minadder import nn
    >>> nn.Identity()(ma.tensor([1.0]))
    tensor([1.])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Any) -> Tensor:
        """Return x."""
        return as_input(x)
