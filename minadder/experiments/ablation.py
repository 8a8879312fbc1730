"""Which learning rate and which gradient adder filters need (Chen et al. 2020, section 4.5 and Fig. 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minadder.experiments.table import Measured, Row, Table
from minadder.plot.sweeps import curves_beside

UNSCALED, ILR = None, {"name": "IncreasedLR", "factor": 100.0}


def alr(eta: float) -> dict[str, Any]:
    """Return the adaptive learning rate as jobs name it."""
    return {"name": "AdaptiveLR", "eta": eta}


GRADIENTS = {
    "full precision": {"weight_grad": "full_precision", "input_grad": "hardtanh"},
    "sign": {"weight_grad": "sign", "input_grad": "sign"},
    "sign, HardTanh": {"weight_grad": "sign", "input_grad": "hardtanh"},
}
"""Gradient rules of filters and input: the paper's (Eqs. 5 and 6), the true gradient of distances, and half of each."""

SETTINGS: tuple[tuple[str, dict[str, Any] | None, str, float], ...] = (
    ("unscaled", UNSCALED, "sign", 29.26),
    ("unscaled", UNSCALED, "sign, HardTanh", 29.26),
    ("unscaled", UNSCALED, "full precision", 54.91),
    ("ILR ×100", ILR, "sign", 97.72),
    ("ILR ×100", ILR, "sign, HardTanh", 97.72),
    ("ALR η = 0.2", alr(0.2), "sign", 97.99),
    ("ALR η = 0.2", alr(0.2), "sign, HardTanh", 97.99),
    ("ALR η = 0.01", alr(0.01), "sign", 97.99),
    ("ILR ×100", ILR, "full precision", 98.99),
    ("ALR η = 0.2", alr(0.2), "full precision", 99.40),
)
"""What the learning rate is called, its rule, the gradients, and the paper's test accuracy in percent.

With the sign, steps are as large near the optimum as far from it, so that a smaller η is tried too."""


def row(rate: str, rule: dict[str, Any] | None, gradient: str, accuracy: float) -> Row:
    """Return the row of a setting."""
    label = f"{rate}, {gradient}"
    key = label.lower().replace("η = ", "").replace(" ×100", "").replace(",", "").replace(" ", "-")
    return Row(key, label, {"adder_lr": rule, **GRADIENTS[gradient]}, accuracy)


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
    title="LeNet-5-BN of adders by learning rate and gradient (Chen et al. 2020, section 4.5)",
    paper="mnist, 50 epochs, one run",
    rows=tuple(row(*setting) for setting in SETTINGS),
    draw=draw,
    setting=("mnist", 50),
    notes=(
        "Full precision: X − F for the filters, HardTanh for the input. Sign: for both, the distance's true gradient.",
        "The paper does not say whether its sign rows have HardTanh for the input, nor what their η is.",
    ),
)
"""Unscaled gradients, increased and adaptive learning rates, each with full-precision gradients and with signs."""
