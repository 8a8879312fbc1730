"""Optimisers, adder learning rates and learning-rate schedules, with PyTorch's semantics where PyTorch has them."""

from minadder.optim.adam import Adam
from minadder.optim.adder_lr import AdaptiveLR, AdderLR, IncreasedLR
from minadder.optim.exponents import LinearP
from minadder.optim.optimizer import Optimizer
from minadder.optim.schedules import Cosine, Polynomial, Schedule, Step
from minadder.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdaptiveLR",
    "AdderLR",
    "Cosine",
    "IncreasedLR",
    "LinearP",
    "Optimizer",
    "Polynomial",
    "Schedule",
    "Step",
]
