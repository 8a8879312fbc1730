"""All that a run of the benchmark found, and what follows from it: speeds, percentages, ratios."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from minadder.bench.layers import MATMUL, Measured
from minadder.bench.memory import Memory
from minadder.bench.scaling import Scaled
from minadder.bench.steps import Steps, Toy

ROOFS: dict[str, tuple[str, ...]] = {
    "adder forward": ("peak distance",),
    "adder input gradient": ("peak hardtanh",),
    "adder filter gradient": (MATMUL,),
    "adder sign filter gradient": ("peak sign",),
    "adder forward+backward": ("peak distance", "peak hardtanh", "peak product"),
    "conv forward": ("peak product",),
    "conv backward": ("peak product", "peak product"),
    "conv forward+backward": ("peak product", "peak product", "peak product"),
    "torch conv forward": ("peak product",),
    "torch conv forward+backward": ("peak product", "peak product", "peak product"),
}
"""For each case, the machine's rate that each of its passes over all elements is held against."""


@dataclass
class Results:
    """What was measured. `rates` are the machine's terms a second by name, `bandwidth` its G bytes a second."""

    facts: dict[str, Any]
    rates: dict[str, float] = field(default_factory=dict)
    bandwidth: float | None = None
    layers: list[Measured] = field(default_factory=list)
    steps: list[Steps] = field(default_factory=list)
    toy: Toy | None = None
    memory: list[Memory] = field(default_factory=list)
    scaling: list[Scaled] = field(default_factory=list)

    def speed(self, measured: Measured, case: str) -> float | None:
        """Return G elements a second of a case, None where it was not measured."""
        seconds = measured.time(case)
        return None if seconds is None else len(ROOFS[case]) * measured.layer.elements / seconds / 1e9

    def percent(self, measured: Measured, case: str) -> float | None:
        """Return how much of the time a case would take at the machine's rates; None where either is not known."""
        seconds = measured.time(case)
        if seconds is None or any(roof not in self.rates for roof in ROOFS[case]):
            return None
        return 100 * sum(measured.layer.elements / self.rates[roof] for roof in ROOFS[case]) / seconds

    def content(self) -> dict[str, Any]:
        """Return everything, each run's seconds included, as JSON can hold it."""
        layers = [
            {**asdict(measured), "elements": measured.layer.elements, "transfers": measured.layer.transfers}
            for measured in self.layers
        ]
        return {**asdict(self), "layers": layers}
