"""The papers' networks, each in every kind of layer."""

from minadder.models.lenet import lenet5_bn
from minadder.models.lenetpp import lenetpp
from minadder.models.mlp import mlp
from minadder.models.networks import NETWORKS, build
from minadder.models.resnet import resnet, resnet20, resnet32
from minadder.models.resnet_imagenet import resnet18, resnet50
from minadder.models.vgg import vgg_small

__all__ = [
    "NETWORKS",
    "build",
    "lenet5_bn",
    "lenetpp",
    "mlp",
    "resnet",
    "resnet18",
    "resnet20",
    "resnet32",
    "resnet50",
    "vgg_small",
]
