"""How many multiplications, additions and XNORs a network takes for one example, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from minadder import nn
from minadder.analysis.observing import Shape, observe, shape_without_batch
from minadder.checks import described, instance, shown
from minadder.models.residual import BasicBlock, Bottleneck
from minadder.nn.batchnorm import BatchNorm
from minadder.tensor import Tensor

UNKNOWN = "no counter knows what it computes: tell by minadder.analysis.register_counter"

PARTS = ("filters", "bias", "batch norm", "rest")
"""What operations are for: sums over filters; biases, and the scales of binary layers; batch norms; all else."""


@dataclass(frozen=True)
class Operations:
    """Numbers of operations; they can be added.

    Examples
    --------
    >>> from minadder.analysis import Operations
    >>> Operations(multiplications=2) + Operations(additions=3)
    Operations(multiplications=2, additions=3, xnors=0)
    """

    multiplications: int = 0
    additions: int = 0
    xnors: int = 0

    def __add__(self, other: Operations) -> Operations:
        return Operations(
            self.multiplications + other.multiplications, self.additions + other.additions, self.xnors + other.xnors
        )


Parts = dict[str, Operations]
Counter = Callable[[Any, Tensor], Parts]


@dataclass(frozen=True)
class LayerCount:
    """What one layer takes for one example: its operations by part, and the shape of its output without the batch.

    `parameters` are those of the layer itself, a parameter that layers share with the first of them. A layer that is
    called several times counts each time; one that is not called in evaluation has no operations and no output.
    """

    path: str
    kind: str
    output_shape: Shape | None
    parameters: int
    operations: Parts

    def total(self, parts: Collection[str] = PARTS) -> Operations:
        """Return the sum over the parts."""
        return sum((self.operations[part] for part in PARTS if part in parts and part in self.operations), Operations())


@dataclass(frozen=True)
class Count:
    """What a network takes for one example: its layers in the order in which they are called."""

    layers: tuple[LayerCount, ...]

    @property
    def parameters(self) -> int:
        """The number of all learnt values."""
        return sum(layer.parameters for layer in self.layers)

    def total(self, parts: Collection[str] = ("filters",), first_and_last: bool = True) -> Operations:
        """Return the operations of all layers.

        Parameters
        ----------
        parts
            Which of "filters", "bias", "batch norm" and "rest" to count. The papers count the filters alone.
        first_and_last
            Whether to count the first and the last layer with filters.

        Raises
        ------
        ValueError
            For another part.
        """
        unknown = [part for part in parts if part not in PARTS]
        if unknown:
            raise ValueError(f"parts must be among {', '.join(map(repr, PARTS))}, not {', '.join(map(repr, unknown))}")
        with_filters = [layer for layer in self.layers if "filters" in layer.operations]
        left_out = [] if first_and_last else [*with_filters[:1], *with_filters[-1:]]
        return sum((layer.total(parts) for layer in self.layers if layer not in left_out), Operations())


def pairs(layer: Any, output: Tensor) -> int:
    """Return how many pairs (input, filter entry) meet: each output sees a whole filter, over padding too."""
    return output.size * (layer.weight.size // layer.weight.shape[0])


def products(layer: Any, output: Tensor) -> Parts:
    """Return a multiplication and an addition for each pair, and an addition for each output with a bias."""
    number = pairs(layer, output)
    parts = {"filters": Operations(multiplications=number, additions=number)}
    if layer.bias is not None:
        parts["bias"] = Operations(additions=output.size)
    return parts


def distances(layer: Any, output: Tensor) -> Parts:
    """Return two additions for each pair: the difference, and adding it up. The magnitude only drops a sign.

    Where the layer has an exponent `p`, 2 takes a multiplication more, and what is neither 1 nor 2 has no count.
    """
    number, p = pairs(layer, output), getattr(layer, "p", 1.0)
    if p not in (1, 2):
        raise ValueError(
            f"the power p = {p} is neither additions nor a multiplication: count the net at p = 1 or p = 2"
        )
    return {"filters": Operations(multiplications=number if p == 2 else 0, additions=2 * number)}


def agreements(layer: Any, output: Tensor) -> Parts:
    """Return an XNOR and an addition for each pair, and a multiplication by the scale for each output."""
    number = pairs(layer, output)
    return {
        "filters": Operations(additions=number, xnors=number),
        "bias": Operations(multiplications=output.size),
    }


def normalisation(layer: Any, output: Tensor) -> Parts:
    """Return a multiplication by γ/σ and an addition of β − γμ/σ for each output."""
    return {"batch norm": Operations(multiplications=output.size, additions=output.size)}


def means(layer: Any, output: Tensor) -> Parts:
    """Return the additions over each window, and a multiplication by 1 over its size."""
    return {"rest": Operations(multiplications=output.size, additions=output.size * (math.prod(layer.kernel_size) - 1))}


def shortcut(block: Any, output: Tensor) -> Parts:
    """Return the addition of the shortcut; the layers inside the block count by themselves."""
    return {"rest": Operations(additions=output.size)}


COUNTERS: dict[type[nn.Module], Counter] = {
    nn.Conv2d: products,
    nn.Linear: products,
    nn.Adder2d: distances,
    nn.AdderLinear: distances,
    nn.BinaryConv2d: agreements,
    nn.BinaryLinear: agreements,
    BatchNorm: normalisation,
    nn.BatchNorm1d: normalisation,
    nn.BatchNorm2d: normalisation,
    nn.AvgPool2d: means,
    BasicBlock: shortcut,
    Bottleneck: shortcut,
}
"""What counts the operations of each class; a subclass may compute something else, so it needs an entry of its own."""


def register_counter(layer: type[nn.Module], counter: Counter) -> None:
    """Say how the operations of a class of modules are counted.

    Parameters
    ----------
    layer
        The class itself; its subclasses are not meant.
    counter
        From (module, its output for a batch of one) to a dictionary of `Operations` by part: "filters", "bias",
        "batch norm" or "rest". Modules inside the module are counted by themselves.

    Examples
    --------
    >>> from minadder import analysis, nn
    >>> class Twice(nn.Linear):
    ...     def forward(self, x):
    ...         return super().forward(x) * 2
    >>> def twice(layer, output):
    ...     number = output.size * layer.in_features
    ...     return {"filters": analysis.Operations(number, number), "rest": analysis.Operations(output.size)}
    >>> analysis.register_counter(Twice, twice)
    >>> analysis.count(Twice(3, 2, bias=False), (3,)).total(("filters", "rest"))
    Operations(multiplications=8, additions=6, xnors=0)
    """
    if not (isinstance(layer, type) and issubclass(layer, nn.Module)):
        raise TypeError(f"a counter belongs to a subclass of nn.Module, not to {shown(layer)}")
    if not callable(counter):
        raise TypeError(f"counter must be a function of (module, output), not {described(counter)}")
    COUNTERS[layer] = counter


def count(net: nn.Module, input_shape: Sequence[int]) -> Count:
    """Count the operations that a network takes for one example in evaluation (Chen et al. 2020, Tables 2 and 3).

    The shapes are those of a run on one example of zeros, of a copy, so that the network stays as it is. The papers'
    conventions: K products take K multiplications and K additions; K distances 2·K additions and no multiplication, or
    K when they are squared; K XNORs another K additions. A padded cell counts like any other. Comparisons (ReLU, the
    maximum of a window), signs and magnitudes are no arithmetic, and functions such as tanh are not counted.

    Parameters
    ----------
    net
        The network. Arithmetic outside of its modules is not seen, but for the shortcuts of residual blocks.
    input_shape
        The shape of one example, without the batch, such as (3, 32, 32).

    Returns
    -------
    The layers that have parameters or take operations, and their totals.

    Raises
    ------
    TypeError
        For a module with parameters of its own that no counter knows; the message names it.
    ValueError
        For a size below 1, a network that cannot take such an example, or distances to a power other than 1 and 2.

    Examples
    --------
    >>> from minadder import analysis, models
    >>> analysis.count(models.lenet5_bn("adder"), (1, 32, 32)).total()
    Operations(multiplications=0, additions=833040, xnors=0)
    """
    instance(net, "net", nn.Module, "a network (an nn.Module)")
    own, modules = own_parameters(net), dict(net.named_modules())
    for path, module in modules.items():
        if own[module] and type(module) not in COUNTERS:
            raise TypeError(f"{path or 'the net'} ({type(module).__name__}) has parameters, but {UNKNOWN}")
    calls = observed_calls(net, input_shape)
    counted = [path for path in calls if type(modules[path]) in COUNTERS]
    for path in counted:
        fault = next((call.fault for call in calls[path] if call.fault), None)
        if fault:
            raise ValueError(f"{path or 'the net'} ({type(modules[path]).__name__}): {fault}")
    uncalled = [path for path, module in modules.items() if own[module] and path not in calls]
    return Count(
        tuple(row(path, modules[path], own[modules[path]], calls.get(path, [])) for path in (*counted, *uncalled))
    )


@dataclass(frozen=True)
class Call:
    """One call of a module: its output's shape without the batch, its operations, or why they have no count."""

    output_shape: Shape | None
    operations: Parts
    fault: str | None = None


def observed_calls(net: nn.Module, input_shape: Sequence[int]) -> dict[str, list[Call]]:
    """Return what one example calls, by path, in the order in which modules are first done; see `observe`."""
    calls: dict[str, list[Call]] = {}
    observe(net, input_shape, lambda path, *called: calls.setdefault(path, []).append(call_of(*called)))
    return calls


def call_of(module: nn.Module, output: Any) -> Call:
    """Return a call of a module, without operations where no counter knows its class."""
    shape, counter = shape_without_batch(output), COUNTERS.get(type(module))
    try:
        return Call(shape, {} if counter is None else counter(module, output))
    except ValueError as error:
        return Call(shape, {}, str(error))


def own_parameters(net: nn.Module) -> dict[nn.Module, int]:
    """Return how many learnt values each module itself holds; shared ones belong to the first that holds them."""
    seen: set[nn.Parameter] = set()
    sizes = {}
    for module in net.modules():
        new = {value for value in vars(module).values() if isinstance(value, nn.Parameter)} - seen
        seen |= new
        sizes[module] = sum(parameter.size for parameter in new)
    return sizes


def row(path: str, module: nn.Module, parameters: int, calls: Sequence[Call]) -> LayerCount:
    """Return the count of a layer over all its calls, with the shape of the last output."""
    shape = calls[-1].output_shape if calls else None
    return LayerCount(path, type(module).__name__, shape, parameters, summed(calls))


def summed(calls: Sequence[Call]) -> Parts:
    """Return the operations of all calls, by part."""
    return {
        part: sum((call.operations[part] for call in calls if part in call.operations), Operations())
        for part in PARTS
        if any(part in call.operations for call in calls)
    }
