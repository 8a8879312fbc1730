"""Optimisers, learning rates of adder filters, and schedules of learning rates and of p.

SGD, Adam and AdamW take PyTorch's steps, and have its names and defaults, but for these:

- SGD wants its lr; lr is above 0, and momentum below 1;
- of all are not there maximize, foreach, differentiable, fused, of Adam and AdamW amsgrad, capturable, of Adam
  decoupled_weight_decay; giving one is a TypeError. `adder_lr` is there instead;
- parameters that require no gradient are refused, and all come without their names; `step` takes no closure, and
  groups are given at the start;
- an optimiser's state dict is of a form of its own, which PyTorch does not read, nor is PyTorch's read here.

`Cosine`, `Polynomial` and `Step` do what CosineAnnealingLR, PolynomialLR and MultiStepLR do, with other arguments, as
functions of the share of the training that is done.
"""

from minadder.optim.adam import Adam, AdamW
from minadder.optim.adder_lr import AdaptiveLR, AdderLR, IncreasedLR
from minadder.optim.exponents import LinearP
from minadder.optim.optimizer import Optimizer
from minadder.optim.schedules import Cosine, Polynomial, Schedule, Step
from minadder.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
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
