"""What each part of the second method is worth (Universal AdderNets, Table 4): all eight combinations of three."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minadder.experiments.table import Measured, Row, Table
from minadder.plot.sweeps import points_beside

UNTIL = 0.75
"""Where p reaches 1, as a fraction of training."""

ACCURACIES = {
    (False, False, False): 80.77,
    (True, False, False): 85.34,
    (False, True, False): 86.21,
    (False, False, True): 90.14,
    (True, True, False): 87.61,
    (True, False, True): 91.83,
    (False, True, True): 91.80,
    (True, True, True): 92.32,
}
"""The paper's test accuracy in percent by (full-precision gradient, ℓ2 → ℓ1, adaptive learning rate)."""


def row(full_precision: bool, schedule: bool, adaptive: bool, accuracy: float) -> Row:
    """Return the row of a combination."""
    parts = {"full precision": full_precision, "ℓ2 → ℓ1": schedule, "ALR": adaptive}
    keys = ("fp" if full_precision else "exact", "l2-l1" if schedule else "l1", "alr" if adaptive else "unscaled")
    return Row(
        "-".join(keys),
        " + ".join(name for name, chosen in parts.items() if chosen) or "none of them",
        {
            "layer": "adder-lp" if schedule else "adder",
            "p_until": UNTIL if schedule else None,
            "weight_grad": "full_precision" if full_precision else "exact",
            "adder_lr": {"name": "AdaptiveLR", "eta": 0.2} if adaptive else None,
        },
        accuracy,
    )


def draw(table: Table, rows: Sequence[Measured], what: str) -> Any:
    """Return a figure of points, measured and the paper's."""
    return points_beside(
        [found.row.label for found in rows],
        [found.last for found in rows],
        [found.row.paper for found in rows],
        table.title,
        (f"measured: {what}", f"paper: {table.paper}"),
    )


V2_ABLATION = Table(
    name="v2-ablation",
    title="LeNet-5-BN of adders by full-precision gradient, ℓ2 → ℓ1, ALR (Universal AdderNets, Table 4)",
    paper="cifar10",
    rows=tuple(row(*parts, accuracy) for parts, accuracy in ACCURACIES.items()),
    draw=draw,
    notes=(
        "Without the full-precision gradient filters have the true one, which at p = 1 is the sign. The inputs' is",
        "HardTanh in ℓ1 layers and the power in ℓp layers.",
    ),
)
"""Eight combinations."""
