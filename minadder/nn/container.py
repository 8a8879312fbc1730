"""Modules one after the other, and the module that flattens: Sequential, Flatten."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

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
            if not isinstance(module, Module):
                given = f"the class {module.__name__}" if isinstance(module, type) else type(module).__name__
                raise TypeError(
                    f"Sequential takes modules; {shown(name)} is {given}: write nn.Sequential(nn.Linear(2, 3), …), "
                    "with a * in front of a list of modules"
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
