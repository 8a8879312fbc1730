"""The graph that backward will walk, as a picture."""

from __future__ import annotations

from typing import Any

from minadder.autograd import Function, reachable
from minadder.checks import instance
from minadder.evaluation import check_net
from minadder.nn import Module, Parameter
from minadder.ops.batchnorm import BatchNormEval, BatchNormTrain
from minadder.plot.boxes import Box, box_figure
from minadder.tensor import Tensor

MOST_BOXES = 300
"""More than this nobody can read."""

Shape = tuple[int, ...]


def graph(tensor: Tensor, net: Module | None = None, title: str = "") -> Any:
    r"""Return a figure of the operations that a tensor was computed by, with shapes: what `backward` will walk upwards.

    An arrow leads from what an operation was given to the operation; each box tells the shape of what comes out of it.
    Green are parameters, and pink other tensors that get a gradient; grey is what gets none, such as the data. Graphviz
    places the boxes where its program `dot` is installed.

    Parameters
    ----------
    tensor
        The result, such as a loss, before `backward` was called on it.
    net
        The network whose parameters' names are shown.
    title
        What stands above.

    Raises
    ------
    TypeError
        For what is no tensor, and a `net` that is no network.
    ValueError
        When the tensor has no graph, or one of more than 300 boxes.
    RuntimeError
        When `backward` has freed the graph.

    Examples
    --------
    >>> import minadder as ma
    >>> from minadder import nn
    >>> net = nn.Sequential(nn.AdderLinear(2, 3), nn.BatchNorm1d(3), nn.ReLU())
    >>> loss = net(ma.tensor([[1.0, -2.0], [0.0, 1.0]])).sum()
    >>> [text.get_text().split("\n")[0] for text in ma.plot.graph(loss, net).axes[0].texts]
    ['Sum', 'BatchNorm + ReLU', 'AdderLinear', '1.weight', '1.bias', 'no gradient', '0.weight']
    """
    instance(tensor, "tensor", Tensor, "a Tensor, such as a loss")
    if net is not None:
        check_net(net)
    root = tensor._node
    if root is None:
        raise ValueError(
            f"the tensor of shape {tensor.shape} has no graph: it was not computed from what requires a gradient, or "
            f"unrecorded. Draw the output of a net or of a loss, outside no_grad() and without detach()"
        )
    nodes = sorted(reachable(root), key=lambda node: node._index, reverse=True)
    if any(node._released for node in nodes):
        raise RuntimeError(
            "backward was already called on this graph, which has freed it: draw it before backward(), or call "
            "backward(retain_graph=True)"
        )
    boxes, arrows = boxes_and_arrows(nodes, tensor.shape, {} if net is None else names_of(net))
    if len(boxes) > MOST_BOXES:
        raise ValueError(
            f"the graph has {len(boxes)} boxes, and nobody can read more than {MOST_BOXES}: draw that of a part, such "
            f"as the output of one block of the net on its own input"
        )
    return box_figure(boxes, arrows, title)


def names_of(net: Module) -> dict[Tensor, str]:
    """Return the paths of a net's parameters."""
    return {parameter: path for path, parameter in net.named_parameters()}


def boxes_and_arrows(
    nodes: list[Function], shape: Shape, names: dict[Tensor, str]
) -> tuple[list[Box], list[tuple[int, int]]]:
    """Return a box for each node and for what it was given, and the arrows between them; nodes come from the youngest.

    A node does not know the shape of its output: those that it was given to do.
    """
    places: dict[Function | Tensor, int] = {nodes[0]: 0}
    boxes = [Box("result", (title_of(nodes[0]), str(shape)))]
    arrows = []
    for node in nodes:
        for parent, (given, _) in zip(node._parents, node._input_like, strict=True):
            if parent is None:
                boxes.append(Box("constant", ("no gradient", str(given))))
                place = len(boxes) - 1
            elif parent in places:
                place = places[parent]
            else:
                place = places[parent] = len(boxes)
                boxes.append(box_of(parent, given, names))
            arrows.append((place, places[node]))
    return boxes, arrows


def box_of(parent: Function | Tensor, shape: Shape, names: dict[Tensor, str]) -> Box:
    """Return the box of an operation or of a leaf."""
    if isinstance(parent, Function):
        return Box("operation", (title_of(parent), str(shape)))
    if isinstance(parent, Parameter):
        return Box("parameter", (names.get(parent, "parameter"), str(shape)))
    return Box("input", ("tensor", str(shape)))


def title_of(node: Function) -> str:
    """Return what a node does, in the words of the layers: a batch norm may have a ReLU in it."""
    if isinstance(node, (BatchNormTrain, BatchNormEval)):
        return "BatchNorm + ReLU" if len(node.saved) > 2 else "BatchNorm"
    return node.name()
