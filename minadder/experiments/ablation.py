"""Which learning rate and which gradient adder filters need (Chen et al. 2020, section 4.5 and Fig. 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minadder.experiments.table import Measured, Row, Table
from minadder.plot.sweeps import curves_beside

RATES: dict[str, tuple[str, dict[str, Any] | None]] = {
    "unscaled": ("unscaled", None),
    "ilr": ("ILR ×100", {"name": "IncreasedLR", "factor": 100.0}),
    "alr": ("ALR η = 0.2", {"name": "AdaptiveLR", "eta": 0.2}),
}
"""The learning rates of adder filters: what the table calls them, and the rule."""

GRADIENTS = {"sign": "sign", "full_precision": "full precision"}
"""The filters' gradient rules, and what the table calls them."""

ACCURACIES = {
    ("unscaled", "sign"): 29.26,
    ("unscaled", "full_precision"): 54.91,
    ("ilr", "sign"): 97.72,
    ("ilr", "full_precision"): 98.99,
    ("alr", "sign"): 97.99,
    ("alr", "full_precision"): 99.40,
}
"""The paper's test accuracy in percent by learning rate and gradient."""


def draw(table: Table, rows: Sequence[Measured], what: str) -> Any:
    """Return a figure of test accuracy by epoch, and the accuracies at the end beside the paper's."""
    return curves_beside(
        [found.row.label for found in rows],
        [found.curves for found in rows],
        [found.last for found in rows],
        [found.row.paper for found in rows],
        table.title,
        (f"measured: {what}", f"paper: {table.paper}"),
    )


ABLATION = Table(
    name="ablation",
    title="LeNet-5-BN of adders by learning rate and gradient of the filters (Chen et al. 2020, section 4.5)",
    paper="mnist, 50 epochs, one run",
    rows=tuple(
        Row(
            f"{rate}-{gradient.replace('_', '-')}",
            f"{RATES[rate][0]}, {GRADIENTS[gradient]}",
            {"adder_lr": RATES[rate][1], "weight_grad": gradient},
            accuracy,
        )
        for (rate, gradient), accuracy in ACCURACIES.items()
    ),
    draw=draw,
    setting=("mnist", 50),
    notes=("The gradient is the filters'; the input's is HardTanh in all rows, of which the paper says nothing.",),
)
"""Three learning rates with two gradients each."""
