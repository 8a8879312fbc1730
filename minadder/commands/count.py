"""The command `minadder count`: how many operations a network takes, layer by layer, and what they cost."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable

from minadder import analysis, models, streams
from minadder.analysis.cost import ENERGY
from minadder.analysis.counting import PARTS, Count, Operations
from minadder.commands.arguments import positive_int
from minadder.epochs import set_p
from minadder.looking.summary import MISSING, OPERATIONS, cells, shape_text
from minadder.nn.convert import KINDS
from minadder.tables import WIDTH, table

PAPERS = {
    "lenet5-bn": {"conv": ("~435 K", "~435 K", MISSING), "adder": ("almost none", "~870 K", MISSING)},
    "vgg-small": {
        "conv": ("0.65 G", "0.65 G", "0"),
        "adder": ("0", "1.30 G", "0"),
        "adder-l2": ("0.65 G", "1.30 G", "0"),
        "binary": ("0", "0.65 G", "0.65 G"),
    },
    "resnet20": {
        "conv": ("41.17 M", "41.17 M", "0"),
        "adder": ("0", "82.34 M", "0"),
        "adder-l2": ("41.17 M", "82.34 M", "0"),
        "binary": ("0", "41.17 M", "41.17 M"),
    },
    "resnet32": {
        "conv": ("69.12 M", "69.12 M", "0"),
        "adder": ("0", "138.24 M", "0"),
        "adder-l2": ("69.12 M", "138.24 M", "0"),
        "binary": ("0", "69.12 M", "69.12 M"),
    },
    "resnet18": {
        "conv": ("1.8 G", "1.8 G", "0"),
        "adder": ("0", "3.6 G", "0"),
        "adder-l2": ("1.8 G", "3.6 G", "0"),
        "binary": ("0", "1.8 G", "1.8 G"),
    },
    "resnet50": {
        "conv": ("3.9 G", "3.9 G", "0"),
        "adder": ("0", "7.7 G", "0"),
        "adder-l2": ("3.9 G", "7.7 G", "0"),
        "binary": ("0", "3.9 G", "3.9 G"),
    },
}
"""#Mul., #Add. and XNOR as printed (Chen et al. 2020, Sec. 4.1; Universal AdderNets, Tables 2 and 3)."""

PAPER_CYCLES = {("lenet5-bn", "conv"): "~2.6 M", ("lenet5-bn", "adder"): "~1.7 M"}
"""By network and kind, as printed (Chen et al. 2020, Sec. 4.1)."""

FIRST_AND_LAST = (
    "The papers say that they leave out batch norms, the first and the last layer; but their 69.12 M of ResNet-32 hold "
    "the first and the last."
)
NOTES = {
    "lenet5-bn": "The papers do not say what their ~435 K hold: this net's sums, batch norms and means together are "
    "424,604 multiplications and 427,766 additions as a CNN. A candidate: 416,520 for the sums, 6,518 for biases, and "
    "2 × 6,424 for the batch norms of the three windowed layers make 435,886.",
    "vgg-small": "The papers' 0.65 G are those of no usual VGG-small. This one, with six 3×3 layers and one "
    "fully-connected layer, is that of the literature on binary nets: 0.608 G. With fully-connected layers of 1024, "
    "1024 and 10 units, as BinaryNet has, it takes 0.617 G. A seventh 3×3 layer with 512 filters behind the last "
    "maximum would make 0.645 G.",
    "resnet20": f"The papers' 41.17 M are 0.36 M more than these layers take. {FIRST_AND_LAST}",
    "resnet32": FIRST_AND_LAST,
    "resnet50": "The stride of a stage is at its first block's 3×3 layer, as in torchvision. At the 1×1 layer before "
    "it the filters take 3.86 G pairs in place of 4.09 G: that is the papers' 3.9 G, and 7.7 G additions.",
}
"""By network: what stands between the count and the papers' figures."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.description = (
        "Count the multiplications, additions and XNORs that a network takes for one example in evaluation, layer by "
        "layer, beside the papers' figures, with the papers' cycles and the energy in 45 nm (Horowitz, ISSCC 2014)."
    )
    parser.add_argument("network", choices=tuple(models.NETWORKS), help="the network")
    parser.add_argument(
        "--layer", choices=tuple(KINDS), default="adder", help="the kind of its layers (default: %(default)s)"
    )
    parser.add_argument(
        "--input", type=shape, metavar="CxHxW", help="the shape of an example, as 3x32x32 (default: the network's own)"
    )
    parser.add_argument(
        "--num-classes", type=positive_int, metavar="N", help="the size of the output (default: the network's)"
    )


def shape(text: str) -> tuple[int, ...]:
    """Return the shape that a text such as 3x32x32 names."""
    sizes = text.lower().replace("×", "x").split("x")
    if len(sizes) != 3 or not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise argparse.ArgumentTypeError(f"must be three sizes of at least 1, such as 3x32x32, not {text!r}")
    return tuple(map(int, sizes))


def run(options: argparse.Namespace) -> int:
    """Count and print the tables; return the exit code."""
    network = models.NETWORKS[options.network]
    input_shape = options.input or network.input_shape
    num_classes = network.num_classes if options.num_classes is None else options.num_classes
    net = models.build(options.network, options.layer, num_classes, input_shape)
    kind, printed = options.layer, f"{options.layer} layers"
    if kind == "adder-lp":
        set_p(net, 1.0)
        kind, printed = "adder", f"{printed} at p = 1, where training ends"
    counted = analysis.count(net, input_shape)
    name = f"{options.network}, {printed}, {'×'.join(map(str, input_shape))}, {num_classes} classes"
    streams.say(*layer_table(counted, f"{name}: operations for one example")[1:])
    own = (input_shape, num_classes) == (network.input_shape, network.num_classes)
    papers = PAPERS.get(options.network, {}).get(kind) if own else None
    streams.say(*total_table(counted, papers))
    if papers is not None and options.network in NOTES:
        streams.say(textwrap.fill(NOTES[options.network], WIDTH))
    streams.say(*cost_table(counted.total(), PAPER_CYCLES.get((options.network, kind)) if own else None))
    return 0


def layer_table(counted: Count, title: str) -> list[str]:
    """Return the table by layer, with all that each layer takes."""
    rows = [
        [
            f"{layer.path} ({layer.kind})",
            shape_text(layer.output_shape),
            f"{layer.parameters:,}",
            *cells(layer.total()),
        ]
        for layer in counted.layers
    ]
    rows.append(["all", "", f"{counted.parameters:,}", *cells(counted.total(PARTS))])
    return table(title, ["layer", "output", "parameters", *OPERATIONS], rows)


def total_table(counted: Count, papers: tuple[str, str, str] | None) -> list[str]:
    """Return the table of totals under each convention, and the papers' figures where they are of this network."""
    rows = [
        ["filters of all layers", *cells(counted.total())],
        ["  without the first and the last", *cells(counted.total(first_and_last=False))],
        ["  with biases and binary scales", *cells(counted.total(PARTS[:2]))],
        ["  with batch norms too", *cells(counted.total(PARTS[:3]))],
        ["  with shortcuts and means too", *cells(counted.total(PARTS))],
    ]
    if papers is not None:
        rows.append(["papers", *papers])
    return table(
        "totals (a product is 1 multiplication and 1 addition, a distance 2 additions, an XNOR 1 and 1 addition)",
        ["counted", *OPERATIONS],
        rows,
    )


def cost_table(operations: Operations, papers: str | None) -> list[str]:
    """Return the table of cycles and energy of the filters of all layers, with the papers' cycles where known."""
    rows = [["cycles, 2 an addition and 4 a multiplication (VIA Nano 2000)", known(operations, analysis.cycles, "", 1)]]
    if papers is not None:
        rows.append(["  papers", papers])
    for numbers, cost in ENERGY.items():

        def joules(operations: Operations, numbers: str = numbers) -> float:
            return analysis.energy(operations, numbers)

        each = f"{cost.addition} pJ an addition, {cost.multiplication} pJ a multiplication"
        rows.append([f"energy in {numbers}, {each}", known(operations, joules, " µJ", 1e-6)])
    title = "cost of the filters of all layers, one operation after the other; energy in 45 nm (Horowitz, ISSCC 2014)"
    return table(title, ["cost", "one example"], rows)


def known(operations: Operations, cost: Callable[[Operations], float], unit: str, factor: float) -> str:
    """Return a cost as text, a dash where the source says nothing of an XNOR."""
    if operations.xnors:
        return f"{MISSING} (no figure for an XNOR)"
    value = cost(operations) * factor
    return f"{value:,.4g}{unit}" if unit else f"{value:,}"
