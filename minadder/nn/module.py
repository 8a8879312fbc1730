"""Module: the base of all layers and networks. It finds its parameters, keeps their names, and says where it failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from minadder.arrays import FLOATS, float_dtype, instead, plain
from minadder.autograd import Array
from minadder.checks import flag
from minadder.nn.attributes import check_attribute, check_name, warn_of_hidden
from minadder.nn.parameter import Parameter
from minadder.nn.state import IncompatibleKeys, arrays_from_torch, entries, fitting, to_torch
from minadder.tensor import Tensor, forget_gradients, kind, raw

Hook = Callable[["Module", tuple[Any, ...], Any], None]


class Module:
    """The base of layers and networks, as in PyTorch: assign parameters and modules as attributes, write `forward`.

    Attributes
    ----------
    training
        Whether layers behave as in training (batch statistics) or as in evaluation (running statistics); `train()` and
        `eval()` switch it.

    Examples
    --------
    >>> import minadder as ma
    >>> from minadder import nn
    >>> class Twice(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.layer = nn.Linear(2, 2)
    ...     def forward(self, x):
    ...         return self.layer(self.layer(x))
    >>> [name for name, _ in Twice().named_parameters()]
    ['layer.weight', 'layer.bias']
    >>> Twice()(ma.tensor([[1.0, 2.0, 3.0]]))
    Traceback (most recent call last):
    ...
    ValueError: Twice.layer (Linear): the input's last axis must have size 2, as the weight of shape (2, 2) has; \
the input's shape is (1, 3)
    """

    training = True
    _buffer_names: tuple[str, ...] = ()
    _hooks: tuple[HookHandle, ...] = ()

    def __setattr__(self, name: str, value: Any) -> None:
        check_attribute(self, name, value)
        super().__setattr__(name, value)

    def forward(self, *inputs: Any) -> Any:
        """Compute the output; each module writes its own."""
        raise TypeError(f"{type(self).__name__} has no forward method: write `def forward(self, x): ...`")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        try:
            output = self.forward(*inputs, **options)
        except (ValueError, TypeError, RuntimeError) as error:
            self._locate(error)
            raise
        for handle in self._hooks:
            handle.hook(self, inputs, output)
        return output

    def _locate(self, error: Exception) -> None:
        """Put the path of the module that failed in front of the error's message."""
        failed, path, message = getattr(error, "_module_path", (self, "", str(error)))
        if failed is not self:
            name = next((name for name, child in self.named_children() if child is failed), None)
            if name is not None:
                path = f".{name}{path}"
        innermost = getattr(error, "_innermost", type(self).__name__)
        error._module_path = (self, path, message)  # type: ignore[attr-defined]
        error._innermost = innermost  # type: ignore[attr-defined]
        suffix = f" ({innermost})" if failed is not self else ""
        error.args = (f"{type(self).__name__}{path}{suffix}: {message}", *error.args[1:])

    def register_buffer(self, name: str, array: Array) -> None:
        """Keep a copy of an array that is not learnt but belongs to the state, such as BN's running mean.

        It becomes an attribute. A buffer of that name is replaced.
        """
        if not isinstance(array, np.ndarray):
            raise TypeError(f"the buffer {name!r} must be an array, not {kind(array)}: use .numpy() or np.asarray(...)")
        check_name(self, name)
        if name not in self._buffer_names:
            self._buffer_names = (*self._buffer_names, name)
        setattr(self, name, np.array(plain(array, f"the buffer {name!r}")))

    def register_forward_hook(self, hook: Hook) -> HookHandle:
        """Call `hook(module, inputs, output)` after each forward, until `remove()` is called on what is returned."""
        if not callable(hook):
            raise TypeError(f"a hook is a function hook(module, inputs, output), not {kind(hook)}")
        handle = HookHandle(self, hook)
        self._hooks = (*self._hooks, handle)
        return handle

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield (name, module) of the modules that are attributes of this one."""
        return ((name, value) for name, value in vars(self).items() if isinstance(value, Module))

    def children(self) -> Iterator[Module]:
        """Yield the modules that are attributes of this one."""
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Yield (path, module) of this module and all modules inside it, each once."""
        seen: set[Module] = set()
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:
            path, module = stack.pop()
            if module in seen:
                continue
            seen.add(module)
            yield path, module
            inner = [(f"{path}.{name}" if path else name, child) for name, child in module.named_children()]
            stack.extend(reversed(inner))

    def modules(self) -> Iterator[Module]:
        """Yield this module and all modules inside it, each once."""
        return (module for _, module in self.named_modules())

    def _named(self, own: Callable[[Module], Iterator[tuple[str, Any]]]) -> Iterator[tuple[str, Any]]:
        for path, module in self.named_modules():
            for name, value in own(module):
                yield (f"{path}.{name}" if path else name), value

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield (path, parameter) of this module and all modules inside it, each parameter once."""
        warn_of_hidden(set(self.modules()))
        seen: set[Parameter] = set()
        for path, parameter in self._named(lambda module: iter(tuple(vars(module).items()))):
            if isinstance(parameter, Parameter) and parameter not in seen:
                seen.add(parameter)
                yield path, parameter

    def parameters(self) -> Iterator[Parameter]:
        """Yield the parameters of this module and all modules inside it, each once."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Array]]:
        """Yield (path, array) of the buffers of this module and all modules inside it."""
        return self._named(lambda module: ((name, getattr(module, name)) for name in module._buffer_names))

    def train(self, mode: bool = True) -> Module:
        """Switch this module and all inside it to training (or evaluation) behaviour; returns the module itself."""
        flag(mode, "mode")
        modules = set(self.modules())
        warn_of_hidden(modules)
        for module in modules:
            module.training = bool(mode)
        return self

    def eval(self) -> Module:
        """Switch this module and all inside it to evaluation behaviour; returns the module itself."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        """Switch `requires_grad` of all parameters, as to freeze a part of a net; returns the module itself.

        An optimiser takes those alone that require a gradient: `[p for p in net.parameters() if p.requires_grad]`.

        Examples
        --------
        >>> from minadder import nn
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
        >>> frozen = net[0].requires_grad_(False)
        >>> [p.requires_grad for p in net.parameters()]
        [False, False, True, True]
        """
        wanted = flag(requires_grad, "requires_grad")
        for parameter in self.parameters():
            parameter.requires_grad_(wanted)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters: each `grad` becomes None, or 0 with `set_to_none=False`."""
        forget_gradients(self.parameters(), set_to_none)

    def to(self, dtype: Any) -> Module:
        """Convert all parameters and floating-point buffers to "float32" or "float64"; returns the module itself.

        Make the optimiser afterwards: the parameters' gradients are forgotten.
        """
        dtype = float_dtype(dtype, "to")
        for parameter in self.parameters():
            parameter._array = parameter._array.astype(dtype)
            parameter._version.count += 1
            parameter.grad = None
        for module in self.modules():
            for name in module._buffer_names:
                array = getattr(module, name)
                if array.dtype in FLOATS:
                    setattr(module, name, array.astype(dtype))
        return self

    def state_dict(self) -> dict[str, Array]:
        """Return copies of all parameters and buffers, with PyTorch's names: what is shared under every path."""
        warn_of_hidden(set(self.modules()))
        return {path: np.array(raw(value)) for path, value in entries(self)}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy parameters and buffers from a dictionary of arrays (or PyTorch tensors) by path.

        Nothing is changed unless everything fits. What is shared may stand under one of its paths or under several.

        Parameters
        ----------
        state
            What `state_dict()` returned, here or in PyTorch.
        strict
            Whether all names must be there, and no others; else those that fit are copied.

        Returns
        -------
        IncompatibleKeys
            `missing_keys` and `unexpected_keys`, lists of names: both empty when `strict`.

        Raises
        ------
        TypeError
            When the state is no dictionary of arrays.
        ValueError
            When a name is missing or unknown and `strict`; when a shape or dtype differs, or something shared has two
            values.

        Examples
        --------
        >>> from minadder import nn
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
        >>> net.load_state_dict({"0.weight": net[0].weight.numpy(), "head": 1.0}, strict=False)
        IncompatibleKeys(missing_keys=['0.bias', '1.weight', '1.bias'], unexpected_keys=['head'])
        """
        pairs, keys = fitting(self, state, flag(strict, "strict"))
        for own, values in pairs:
            if isinstance(own, Parameter):
                own.data = values
            else:
                own[...] = values
        return keys

    def to_torch(self) -> dict[str, Any]:
        """Return copies of all parameters and buffers as PyTorch tensors: `theirs.load_state_dict(net.to_torch())`.

        Raises
        ------
        ImportError
            When PyTorch is not installed.
        """
        return to_torch(self)

    def from_torch(self, state: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy parameters and buffers from PyTorch: `net.from_torch(theirs.state_dict())`, or what `torch.load` gives.

        As `load_state_dict`, but the tensors may lie on any device, require a gradient, and be of half precision, which
        becomes float32.

        Parameters
        ----------
        state
            PyTorch tensors by name.
        strict
            Whether all names must be there, and no others.

        Returns
        -------
        IncompatibleKeys
            `missing_keys` and `unexpected_keys`, as of `load_state_dict`.

        Raises
        ------
        TypeError, ValueError
            As of `load_state_dict`. Nothing is changed then.
        """
        return self.load_state_dict(arrays_from_torch(state), strict)

    def extra_repr(self) -> str:
        """Return what the module's line in `repr` says between the brackets."""
        return ""

    def __repr__(self) -> str:
        lines = [f"({name}): " + repr(child).replace("\n", "\n  ") for name, child in self.named_children()]
        head = f"{type(self).__name__}({self.extra_repr()}"
        return head + ("\n  " + "\n  ".join(lines) + "\n)" if lines else ")")


class HookHandle:
    """Takes a hook off its module again."""

    def __init__(self, module: Module, hook: Hook) -> None:
        self.module = module
        self.hook = hook

    def remove(self) -> None:
        """Take the hook off; what has been taken off stays off."""
        self.module._hooks = tuple(handle for handle in self.module._hooks if handle is not self)


def as_input(x: Any) -> Tensor:
    """Return a module's input as a Tensor; arrays of floats are copied, so that they may be refilled before backward.

    Raises
    ------
    TypeError
        For integers and other things, naming the fix.
    """
    if isinstance(x, Tensor):
        return x
    if isinstance(x, np.ndarray) and x.dtype in FLOATS:
        return Tensor(np.array(plain(x, "the input")))
    raise TypeError(f"the input must be a Tensor or an array of float32 or float64, not {kind(x)}: {instead(x)}")
