"""The papers' networks, each in every kind of layer."""

from minadder.models.lenet import lenet5_bn
from minadder.models.mlp import mlp

__all__ = ["lenet5_bn", "mlp"]
