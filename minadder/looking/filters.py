"""The filters of a net's layer as a picture."""

from __future__ import annotations

from typing import Any

from minadder.checks import described, shown
from minadder.evaluation import check_net
from minadder.nn import Module, Parameter
from minadder.plot.images import filter_grid


def filters(net: Module, layer: str | None = None, title: str | None = None) -> Any:
    """Return a figure of a layer's filters, as `ma.plot.filter_grid` draws them.

    Parameters
    ----------
    net
        The network.
    layer
        The layer's path, such as "conv1" or "layer1.0.conv2"; by default the first that has filters.
    title
        What stands above; by default the path.

    Raises
    ------
    TypeError
        For what is no network, or no path.
    ValueError
        When there is no such layer, or it has no filters; the message tells which have.

    Examples
    --------
    >>> import minadder as ma
    >>> len(ma.plot.filters(ma.models.lenet5_bn("adder")).axes)
    7
    """
    check_net(net)
    found = {path: weight for path, module in net.named_modules() if (weight := filters_of(module)) is not None}
    if layer is not None and not isinstance(layer, str):
        raise TypeError(
            f"layer must be the path of a layer, such as {next(iter(found), 'conv1')!r}, not {described(layer)}"
        )
    path = next(iter(found), None) if layer is None else layer
    if path is None or path not in found:
        what = "no layer" if path is None else f"no layer {shown(path)}"
        known = ", ".join(map(repr, found)) or "none"
        raise ValueError(f"the net, a {type(net).__name__}, has {what} with filters; those that have are: {known}")
    return filter_grid(found[path], path if title is None else title)


def filters_of(module: Module) -> Parameter | None:
    """Return a layer's filters (T, C, kh, kw) or (T, K), or None where it has none."""
    weight = getattr(module, "weight", None)
    return weight if isinstance(weight, Parameter) and weight.ndim in (2, 4) else None
