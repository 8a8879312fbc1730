"""Looking into networks: their operations and what these cost, how large their gradients are."""

from minadder.analysis.cost import cycles, energy
from minadder.analysis.counting import Count, LayerCount, Operations, count, register_counter
from minadder.analysis.gradients import filter_gradient_norms

__all__ = [
    "Count",
    "LayerCount",
    "Operations",
    "count",
    "cycles",
    "energy",
    "filter_gradient_norms",
    "register_counter",
]
