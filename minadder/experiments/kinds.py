"""One network of every kind of layer, as the papers' tables compare them (Universal AdderNets, Table 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minadder.experiments.table import Measured, Row, Table
from minadder.plot.sweeps import points_beside


def draw(table: Table, rows: Sequence[Measured], what: str) -> Any:
    """Return a figure of points, measured and the papers'."""
    return points_beside(
        [found.row.label for found in rows],
        [found.last for found in rows],
        [found.row.paper for found in rows],
        table.title,
        (f"measured: {what}", f"paper: {table.paper}"),
    )


KINDS = Table(
    name="kinds",
    title="LeNet-5-BN of every kind of layer",
    paper="ResNet-20 on cifar10 (Universal AdderNets, Table 2)",
    rows=(
        Row("binary-all", "binary, every layer", {"layer": "binary"}),
        Row("binary", "binary, ends full precision (BNN)", {"layer": "binary", "full_precision_ends": True}, 84.87),
        Row("adder", "ℓ1 adder (v1)", {"layer": "adder"}, 91.84),
        Row("adder-l2", "ℓ2 adder", {"layer": "adder-l2"}, 92.90),
        Row("adder-lp", "ℓ2 → ℓ1 adder (v2)", {"layer": "adder-lp", "p_until": 0.75}, 92.31),
        Row("conv", "convolution (CNN)", {"layer": "conv"}, 92.93),
    ),
    draw=draw,
    notes=(
        "On mnist, 50 epochs, Chen et al. 2020 report 99.40 for ℓ1 adders and for convolutions. The papers' networks",
        "for cifar10 keep the first and the last layer in full precision; here only the binary one does that says so.",
    ),
)
"""The kinds of layer."""
