"""Looking into networks: operations and their cost, gradients, variances, weights, features."""

from minadder.analysis.cost import cycles, energy
from minadder.analysis.counting import Count, LayerCount, Operations, count, register_counter
from minadder.analysis.features import Separation, separation
from minadder.analysis.gradients import filter_gradient_norms
from minadder.analysis.variance import (
    OutputVariance,
    adder_variance,
    conv_variance,
    misprinted_adder_variance,
    output_variance,
)
from minadder.analysis.weights import WeightFits, fit_weights

__all__ = [
    "Count",
    "LayerCount",
    "Operations",
    "OutputVariance",
    "Separation",
    "WeightFits",
    "adder_variance",
    "conv_variance",
    "count",
    "cycles",
    "energy",
    "filter_gradient_norms",
    "fit_weights",
    "misprinted_adder_variance",
    "output_variance",
    "register_counter",
    "separation",
]
