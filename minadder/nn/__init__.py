"""Layers and networks, with PyTorch's names, arguments, defaults and semantics wherever PyTorch has the thing."""

from minadder.nn.activation import Hardtanh, ReLU, Sigmoid, Tanh
from minadder.nn.batchnorm import BatchNorm1d, BatchNorm2d
from minadder.nn.container import Flatten, Sequential
from minadder.nn.conv import Adder2d, BinaryConv2d, Conv2d
from minadder.nn.convert import convert
from minadder.nn.linear import AdderLinear, BinaryLinear, Linear
from minadder.nn.loss import BCEWithLogitsLoss, CrossEntropyLoss
from minadder.nn.module import Module
from minadder.nn.parameter import Parameter
from minadder.nn.pool import AvgPool2d, MaxPool2d

__all__ = [
    "Adder2d",
    "AdderLinear",
    "AvgPool2d",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "BinaryConv2d",
    "BinaryLinear",
    "Conv2d",
    "CrossEntropyLoss",
    "Flatten",
    "Hardtanh",
    "Linear",
    "MaxPool2d",
    "Module",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "convert",
]
