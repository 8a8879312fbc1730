"""How the adaptive learning rate's η matters (Universal AdderNets, Table 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minadder.experiments.table import Measured, Row, Table
from minadder.plot.sweeps import lines_beside

ACCURACIES = {1.0: 99.28, 0.5: 99.35, 0.2: 99.40, 0.1: 99.35, 0.05: 99.30}
"""The paper's test accuracy in percent by η."""


def draw(table: Table, rows: Sequence[Measured], what: str) -> Any:
    """Return a figure of accuracy by η, measured and the paper's."""
    return lines_beside(
        list(ACCURACIES),
        [found.last for found in rows],
        list(ACCURACIES.values()),
        table.title,
        (f"measured: {what}", f"paper: {table.paper}"),
        "η",
        logarithmic=True,
    )


ETA = Table(
    name="eta",
    title="LeNet-5-BN of adders by the adaptive learning rate's η (Universal AdderNets, Table 5)",
    paper="mnist, 50 epochs, one run",
    rows=tuple(
        Row(f"eta-{eta:g}", f"η = {eta:g}", {"adder_lr": {"name": "AdaptiveLR", "eta": eta}}, accuracy)
        for eta, accuracy in ACCURACIES.items()
    ),
    draw=draw,
    setting=("mnist", 50),
)
"""Five values of η."""
