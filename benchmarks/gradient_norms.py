"""Table 1 of Chen et al. 2020: norms of the filters' gradients at the first iteration, adder net against CNN.

    python benchmarks/gradient_norms.py

What must reproduce is the gap of orders of magnitude, not the digits: they depend on the initial weights.
"""

from __future__ import annotations

from environment import description, write_table

import minadder as ma
from minadder import analysis, data, models

SEED = 0
PAPER = {"adder": (0.0009, 0.0012, 0.0146), "conv": (0.2261, 0.2990, 0.4646)}


def main() -> None:
    """Measure both networks on the first batch of MNIST and write the table."""
    train, _ = data.load("mnist")
    inputs, labels = next(iter(data.Loader(train, batch_size=256, shuffle=True, seed=SEED)))
    norms = {}
    for layer in ("adder", "conv"):
        ma.manual_seed(SEED)
        norms[layer] = list(analysis.filter_gradient_norms(models.lenet5_bn(layer), inputs, labels).values())[:3]
    lines = ["LeNet-5-BN on MNIST, batch 256: l2 norm of the gradient of the filters at iteration 1", ""]
    lines.append(f"{'layer':8}{'adder':>12}{'CNN':>12}{'CNN / adder':>14}{'paper: adder':>15}{'paper: CNN':>13}")
    for number, (adder, conv) in enumerate(zip(norms["adder"], norms["conv"], strict=True)):
        paper = f"{PAPER['adder'][number]:>15}{PAPER['conv'][number]:>13}"
        lines.append(f"{number + 1:<8}{adder:>12.6f}{conv:>12.6f}{conv / adder:>14.1f}{paper}")
    write_table("gradient_norms.txt", description("python benchmarks/gradient_norms.py", SEED), lines)


if __name__ == "__main__":
    main()
