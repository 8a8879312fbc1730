"""Which learning rate and which gradient adder filters need (Chen et al. 2020, Sec. 4.5 and Fig. 3)."""

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
"""Gradient rules of filters and input: Eqs. 5 and 6 of Chen et al. 2020, the distance's true gradient, half of each."""

PAPER = {
    ("unscaled", "sign"): 29.26,
    ("unscaled", "full precision"): 54.91,
    ("ILR", "sign"): 97.72,
    ("ALR", "sign"): 97.99,
    ("ILR", "full precision"): 98.99,
    ("ALR", "full precision"): 99.40,
}
"""The paper's test accuracies in percent, by learning rate and the filters' gradient."""

Setting = tuple[str, dict[str, Any] | None, str]

RULES = "Full precision: X − F for the filters, HardTanh for the input. Sign: for both, the distance's true gradient."

SETTINGS: tuple[Setting, ...] = (
    ("unscaled", UNSCALED, "sign"),
    ("unscaled", UNSCALED, "sign, HardTanh"),
    ("unscaled", UNSCALED, "full precision"),
    ("ILR ×100", ILR, "sign"),
    ("ILR ×100", ILR, "sign, HardTanh"),
    ("ALR η = 0.2", alr(0.2), "sign"),
    ("ALR η = 0.2", alr(0.2), "sign, HardTanh"),
    ("ALR η = 0.01", alr(0.01), "sign"),
    ("ILR ×100", ILR, "full precision"),
    ("ALR η = 0.2", alr(0.2), "full precision"),
)
"""What the learning rate is called, its rule, and the gradients.

With the sign, steps are as large near the optimum as far from it, so that a smaller η is tried too."""

LESS_DECAY = 3e-4
"""A weight decay at which fewer of sign gradients' channels close in 50 epochs.

The paper's 5e-4 shrinks what no gradient holds to e^−2.9 in that time. Filters near 0 all compute the same, and a batch
norm near 0 lets its channel's ReLU close for good: `minadder analyse channels` counts them."""

SIGN_ETA = 0.005
"""Of η = 0.01, 0.005 and 0.003 the one that did best with the sign, without any decay."""

LESS_DECAY_SETTINGS: tuple[Setting, ...] = (
    ("unscaled", UNSCALED, "sign"),
    ("unscaled", UNSCALED, "full precision"),
    ("ILR ×100", ILR, "sign"),
    (f"ALR η = {SIGN_ETA}", alr(SIGN_ETA), "sign"),
    ("ILR ×100", ILR, "full precision"),
    ("ALR η = 0.2", alr(0.2), "full precision"),
)
"""The paper's six rows in its order."""


def row(rate: str, rule: dict[str, Any] | None, gradient: str, **more: Any) -> Row:
    """Return the row of a setting, and more that differs from the recipe."""
    label = f"{rate}, {gradient}"
    key = label.lower().replace("η = ", "").replace(" ×100", "").replace(",", "").replace(" ", "-")
    paper = PAPER[rate.split()[0], gradient.split(",")[0]]
    return Row(key, label, {"adder_lr": rule, **GRADIENTS[gradient], **more}, paper)


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
    title="LeNet-5-BN of adders by learning rate and gradient (Chen et al. 2020, Sec. 4.5)",
    paper="mnist, 50 epochs, one run",
    rows=tuple(row(*setting) for setting in SETTINGS),
    draw=draw,
    setting=("mnist", 50),
    notes=(
        RULES,
        "The paper does not say whether its sign rows have HardTanh for the input, nor what their η is.",
    ),
)
"""Unscaled gradients, increased and adaptive learning rates, each with full-precision gradients and with signs."""

ABLATION_LESS_DECAY = Table(
    name="ablation-less-decay",
    title=f"LeNet-5-BN of adders by learning rate and gradient, weight decay {LESS_DECAY:g}",
    paper="mnist, 50 epochs, one run, weight decay 0.0005 (Chen et al. 2020, Sec. 4.5)",
    rows=tuple(row(*setting, weight_decay=LESS_DECAY) for setting in LESS_DECAY_SETTINGS),
    draw=draw,
    notes=(RULES, "Weight decay, and η for the sign, are not the paper's: those of `ablation` are."),
)
"""The same with a smaller weight decay, at which fewer of sign gradients' channels close in 50 epochs."""
