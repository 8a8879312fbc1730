"""The summary of a net: its layers, what shapes they give out, their parameters, and the operations that they take."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from minadder import nn
from minadder.analysis.counting import (
    COUNTERS,
    PARTS,
    UNKNOWN,
    Call,
    Count,
    LayerCount,
    Operations,
    observed_calls,
    own_parameters,
    row,
)
from minadder.checks import instance
from minadder.streams import printable
from minadder.tables import WIDTH, table

MISSING = "–"
UNCOUNTED = "?"
OPERATIONS = ("multiplications", "additions", "XNORs")
LONGEST_NAME, LONGEST_SHAPE = 60, 24
"""Characters of a name and of a shape; in a terminal, names have what the other columns leave."""
MOST_NAMED = 5
"""Layers that a line below the table names."""


@dataclass(frozen=True)
class LayerSummary(LayerCount):
    """What one layer takes for one example: a `LayerCount`, and how often it is called.

    Attributes
    ----------
    calls
        How often the net calls it for one example.
    fault
        Why its operations are not counted, None where they are; those of what is inside it are counted all the same.
    """

    calls: int
    fault: str | None

    @property
    def multiplications(self) -> int:
        """Those of the layer, for all that is counted."""
        return self.total().multiplications

    @property
    def additions(self) -> int:
        """Those of the layer, for all that is counted."""
        return self.total().additions

    @property
    def xnors(self) -> int:
        """Those of the layer, for all that is counted."""
        return self.total().xnors


@dataclass(frozen=True, repr=False)
class Summary(Count):
    """What a net consists of; printed, a table, in a notebook too.

    Attributes
    ----------
    layers
        The layers, as `LayerSummary`, in the order in which they are first done.
    net
        The name of the net's class.
    input_shape
        The shape of one example.
    parameter_bytes
        The memory that the parameters take.
    notes
        The lines below the table: sums, what is shared, and what is not counted.
    """

    layers: tuple[LayerSummary, ...]
    net: str
    input_shape: tuple[int, ...]
    parameter_bytes: int
    notes: tuple[str, ...]

    @property
    def multiplications(self) -> int:
        """Those of all layers, for all that is counted."""
        return self.total(PARTS).multiplications

    @property
    def additions(self) -> int:
        """Those of all layers, for all that is counted."""
        return self.total(PARTS).additions

    @property
    def xnors(self) -> int:
        """Those of all layers, for all that is counted."""
        return self.total(PARTS).xnors

    def __str__(self) -> str:
        title, headers, rows = self._cells()
        taken = sum(max(map(len, column)) + 2 for column in list(zip(headers, *rows, strict=True))[1:])
        rows = [[printable(name, min(LONGEST_NAME, WIDTH - taken)), *cells] for name, *cells in rows]
        lines = table(title, headers, rows)[1:]
        notes = [line for note in self.notes for line in textwrap.wrap(note, WIDTH, subsequent_indent="  ")]
        return "\n".join([*lines[:-1], "-" * len(lines[1]), lines[-1], *notes])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        title, headers, rows = self._cells()
        lines = [html_row("th", headers), *(html_row("td", cells) for cells in rows[:-1]), html_row("th", rows[-1])]
        notes = "".join(f"<div>{html.escape(note)}</div>" for note in self.notes)
        return f"<table><caption>{html.escape(title)}</caption>{''.join(lines)}</table>{notes}"

    def _cells(self) -> tuple[str, list[str], list[list[str]]]:
        """Return the table's title, its headers, and the text of its cells, the last line that of the sums.

        Nets without binary layers need no column of XNORs.
        """
        columns = len(OPERATIONS) if self.xnors else len(OPERATIONS) - 1
        rows = [
            [
                layer_name(layer),
                shape_text(layer.output_shape),
                f"{layer.parameters:,}",
                *(cells(layer.total()) if layer.fault is None else [UNCOUNTED] * 3)[:columns],
            ]
            for layer in self.layers
        ]
        least = "" if all(layer.fault is None for layer in self.layers) else "≥ "
        sums = [least + cell for cell in cells(self.total(PARTS))[:columns]]
        rows.append(["all", "", f"{self.parameters:,}", *sums])
        shape = printable(self.input_shape, LONGEST_SHAPE)
        title = f"{printable(self.net, LONGEST_NAME)}, one example of shape {shape}, in evaluation"
        return title, ["layer", "output", "parameters", *OPERATIONS[:columns]], rows


def summary(net: nn.Module, input_shape: Sequence[int]) -> Summary:
    """Return what a net consists of: layers, shapes of their outputs, parameters, operations for one example.

    One example of zeros goes through a copy, in evaluation, and the operations are those that `analysis.count` counts,
    for all parts: filters, biases, batch norms and the rest. Print what is returned, or leave it in the last line of a
    notebook's cell.

    Parameters
    ----------
    net
        Any network, also with layers of your own: what no counter knows is not counted, and said.
    input_shape
        The shape of one example, without the batch, such as (1, 32, 32) or (2,).

    Returns
    -------
    A `Summary`, which has the numbers as attributes: `layers`, `parameters`, `parameter_bytes`, `multiplications`,
    `additions`, `xnors`. Parameters that layers share count once, with the first; a layer that is called several times
    takes its operations each time, and its shape is the last.

    Raises
    ------
    TypeError
        For what is no network, or cannot be copied.
    ValueError
        When such an example does not go through the net; the message names the layer that refuses it.

    Examples
    --------
    >>> import minadder as ma
    >>> from minadder import nn
    >>> net = nn.Sequential(nn.AdderLinear(2, 100), nn.BatchNorm1d(100), nn.ReLU(), nn.Linear(100, 2))
    >>> ma.summary(net, (2,))
    Sequential, one example of shape (2,), in evaluation
    layer            output  parameters  multiplications  additions
    ---------------------------------------------------------------
    0 (AdderLinear)     100         200                0        400
    1 (BatchNorm1d)     100         200              100        100
    2 (ReLU)            100           0                0          0
    3 (Linear)            2         202              200        202
    ---------------------------------------------------------------
    all                             602              300        702
    602 parameters take 2,408 bytes (float32)
    >>> ma.summary(net, (2,)).additions
    702
    """
    instance(net, "net", nn.Module, "a network (an nn.Module)")
    calls = observed_calls(net, input_shape)
    own, modules = own_parameters(net), dict(net.named_modules())
    order = [*calls, *(path for path in modules if path not in calls)]
    layers = tuple(
        layer_summary(path, modules[path], own[modules[path]], calls.get(path, []))
        for path in order
        if own[modules[path]] or type(modules[path]) in COUNTERS or not any(modules[path].children())
    )
    size = sum(parameter.numpy().nbytes for parameter in net.parameters())
    notes = (parameter_note(net, size), *shared_note(modules), *fault_notes(layers), *unseen_note(modules, calls))
    return Summary(layers, type(net).__name__, tuple(map(int, input_shape)), size, notes)


def layer_summary(path: str, module: nn.Module, parameters: int, calls: Sequence[Call]) -> LayerSummary:
    """Return the summary of a layer from its calls."""
    fault = next((call.fault for call in calls if call.fault), None)
    if calls and type(module) not in COUNTERS and not is_ours(module):
        fault = UNKNOWN
    return LayerSummary(**vars(row(path, module, parameters, calls)), calls=len(calls), fault=fault)


def is_ours(module: nn.Module) -> bool:
    """Return whether a class is the library's, where what has no counter takes no operations that count."""
    return type(module).__module__.partition(".")[0] == "minadder"


def parameter_note(net: nn.Module, size: int) -> str:
    """Return the line that says what memory the parameters take."""
    parameters = list(net.parameters())
    dtypes = ", ".join(sorted({str(parameter.dtype) for parameter in parameters})) or "none"
    return f"{sum(parameter.size for parameter in parameters):,} parameters take {size:,} bytes ({dtypes})"


def shared_note(modules: dict[str, nn.Module]) -> Iterator[str]:
    """Yield the line that says which modules and parameters are shared, if there are any."""
    first: dict[Any, str] = {module: path for path, module in modules.items()}
    shared = []
    for path, module in modules.items():
        for name, value in vars(module).items():
            place = f"{path}.{name}" if path else name
            if isinstance(value, (nn.Module, nn.Parameter)) and first.setdefault(value, place) != place:
                shared.append(f"{place} is {first[value] or 'the net'}")
    if shared:
        yield f"parameters counted once: {listed(shared)}"


def fault_notes(layers: Sequence[LayerSummary]) -> Iterator[str]:
    """Yield the lines that say why operations are not counted."""
    for fault in dict.fromkeys(layer.fault for layer in layers if layer.fault):
        yield f"not counted ({UNCOUNTED}): {listed([layer_name(one) for one in layers if one.fault == fault])}: {fault}"


def unseen_note(modules: dict[str, nn.Module], calls: dict[str, list[Call]]) -> Iterator[str]:
    """Yield the line that says which nets and blocks may take operations besides those of the layers inside."""
    unseen = {
        type(modules[path]).__name__: None
        for path in calls
        if any(modules[path].children()) and type(modules[path]) not in COUNTERS and not is_ours(modules[path])
    }
    if unseen:
        yield f"not seen: what the forward methods of {listed(list(unseen))} compute beside their layers"


def listed(names: Sequence[str]) -> str:
    """Return names for a line, the first few where there are many."""
    more = [f"{len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED else []
    return ", ".join([*(printable(name) for name in names[:MOST_NAMED]), *more])


def layer_name(layer: LayerSummary) -> str:
    """Return what a line calls a layer: its path, its class, and how often it is called unless that is once."""
    often = "" if layer.calls == 1 else f", {layer.calls} calls" if layer.calls else ", not called"
    return printable(f"{layer.path} ({layer.kind}{often})" if layer.path else f"{layer.kind}{often}")


def shape_text(shape: tuple[Any, ...] | None) -> str:
    """Return a shape as text, those of several outputs with commas."""
    if shape is None:
        return MISSING
    if any(size is None or isinstance(size, tuple) for size in shape):
        return printable(", ".join(map(shape_text, shape)), LONGEST_SHAPE)
    return printable("×".join(map(str, shape)) or "1", LONGEST_SHAPE)


def cells(operations: Operations) -> list[str]:
    """Return the three numbers, with commas."""
    return [f"{number:,}" for number in (operations.multiplications, operations.additions, operations.xnors)]


def html_row(tag: str, cells: Sequence[str]) -> str:
    """Return a line of a table in HTML, the first column to the left, the others to the right."""
    sides = ["left", *["right"] * (len(cells) - 1)]
    inside = (
        f'<{tag} style="text-align:{side}">{html.escape(cell)}</{tag}>' for side, cell in zip(sides, cells, strict=True)
    )
    return f"<tr>{''.join(inside)}</tr>"
