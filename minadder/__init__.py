"""minadder: AdderNets, networks that measure ℓ1 distance instead of multiplying, from scratch on NumPy and Numba.

>>> import minadder as ma
>>> from minadder import nn
>>> x = ma.tensor([[1.0, -2.0]], requires_grad=True)
>>> loss = nn.AdderLinear(2, 3)(x).sum()
>>> loss.backward()
>>> x.grad.shape
(1, 2)
"""

from minadder import environment, interruption

if interruption.is_command():
    interruption.handle_signals()  # before all that takes a second to import
    interruption.check_working_folder()
    environment.check_for_command()
else:
    environment.check()

# isort: split
from minadder import analysis, callbacks, data, memory, models, nn, ops, optim, plot
from minadder.autograd import Function, is_grad_enabled, no_grad
from minadder.checkpoint import load, save
from minadder.evaluation import evaluate
from minadder.gradcheck import GradcheckError, gradcheck
from minadder.looking.summary import summary
from minadder.prediction import predict, predict_proba
from minadder.random import manual_seed
from minadder.renewal import renew_statistics
from minadder.tensor import Tensor, tensor
from minadder.training import fit

__version__ = "0.1.0"

memory.keep_freed()

__all__ = [
    "Function",
    "GradcheckError",
    "Tensor",
    "analysis",
    "callbacks",
    "data",
    "evaluate",
    "fit",
    "gradcheck",
    "is_grad_enabled",
    "load",
    "manual_seed",
    "models",
    "nn",
    "no_grad",
    "ops",
    "optim",
    "plot",
    "predict",
    "predict_proba",
    "renew_statistics",
    "save",
    "summary",
    "tensor",
]
