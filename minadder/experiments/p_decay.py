"""When p should reach 1 (Universal AdderNets, Table 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minadder.experiments.table import Measured, Row, Table
from minadder.plot.sweeps import lines_beside

ACCURACIES = {3: 91.91, 4: 92.00, 5: 92.11, 6: 92.31, 7: 91.76}
"""The paper's test accuracy in percent by the end of the decay, in eighths of training (300 … 700 of 800 epochs)."""


def draw(table: Table, rows: Sequence[Measured], what: str) -> Any:
    """Return a figure of accuracy by the end of the decay, measured and the paper's."""
    return lines_beside(
        [eighths / 8 for eighths in ACCURACIES],
        [found.last for found in rows],
        list(ACCURACIES.values()),
        table.title,
        (f"measured: {what}", f"paper: {table.paper}"),
        "where p reaches 1, as a fraction of training",
    )


P_DECAY = Table(
    name="p-decay",
    title="LeNet-5-BN of ℓp adders by where p reaches 1 (Universal AdderNets, Table 6)",
    paper="cifar10, 800 epochs",
    rows=tuple(
        Row(f"decay-{eighths}-of-8", f"{eighths}/8 of training", {"layer": "adder-lp", "p_until": eighths / 8}, paper)
        for eighths, paper in ACCURACIES.items()
    ),
    draw=draw,
)
"""Five ends of the decay."""
