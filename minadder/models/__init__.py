"""The papers' networks, each in every kind of layer."""

from minadder.models.lenet import lenet5_bn
from minadder.models.mlp import mlp
from minadder.models.resnet import resnet, resnet20, resnet32

__all__ = ["lenet5_bn", "mlp", "resnet", "resnet20", "resnet32"]
