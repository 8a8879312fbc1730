"""Looking into networks: operations and their cost, gradients, variances, weights, and nets that are only built."""

from minadder.analysis.approximation import Tents, fitted_tents, random_tents
from minadder.analysis.bounded_width import SameOrZero, adder_net, lemma5_layers, linear_net, staircase
from minadder.analysis.box import Box
from minadder.analysis.channels import closed_channels
from minadder.analysis.cost import cycles, energy
from minadder.analysis.counting import Count, LayerCount, Operations, count, register_counter
from minadder.analysis.features import Separation, separation
from minadder.analysis.gradients import filter_gradient_norms
from minadder.analysis.propositions import descend
from minadder.analysis.two_layers import lemma2_net, radial_sum, scaled_adder
from minadder.analysis.variance import (
    OutputVariance,
    adder_variance,
    conv_variance,
    misprinted_adder_variance,
    output_variance,
)
from minadder.analysis.weights import WeightFits, fit_weights

__all__ = [
    "Box",
    "Count",
    "LayerCount",
    "Operations",
    "OutputVariance",
    "SameOrZero",
    "Separation",
    "Tents",
    "WeightFits",
    "adder_net",
    "adder_variance",
    "closed_channels",
    "conv_variance",
    "count",
    "cycles",
    "descend",
    "energy",
    "filter_gradient_norms",
    "fit_weights",
    "fitted_tents",
    "lemma2_net",
    "lemma5_layers",
    "linear_net",
    "misprinted_adder_variance",
    "output_variance",
    "radial_sum",
    "random_tents",
    "register_counter",
    "scaled_adder",
    "separation",
    "staircase",
]
