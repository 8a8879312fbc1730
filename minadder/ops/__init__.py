"""Differentiable operations on tensors, one family a file: forward and backward side by side.

Importing this package attaches the operators and methods to Tensor.
"""

from minadder.ops.arithmetic import add, divide, multiply, negative, power, subtract
from minadder.ops.batchnorm import batch_norm_eval, batch_norm_train
from minadder.ops.binary import binarize, binary_conv2d, binary_linear
from minadder.ops.elementwise import (
    absolute,
    astype,
    clip,
    exp,
    hardtanh,
    log,
    maximum,
    minimum,
    relu,
    sigmoid,
    sqrt,
    tanh,
    where,
)
from minadder.ops.losses import bce_with_logits, cross_entropy, mse_loss
from minadder.ops.matmul import linear, matmul
from minadder.ops.pool import avg_pool2d, max_pool2d
from minadder.ops.reduction import max, mean, min, std, sum, var
from minadder.ops.shape import (
    broadcast_to,
    concatenate,
    flatten,
    getitem,
    permute,
    reshape,
    squeeze,
    stack,
    transpose,
    unsqueeze,
)
from minadder.ops.windowed import adder2d, adder_linear, conv2d

__all__ = [
    "absolute",
    "add",
    "adder2d",
    "adder_linear",
    "astype",
    "avg_pool2d",
    "batch_norm_eval",
    "batch_norm_train",
    "bce_with_logits",
    "binarize",
    "binary_conv2d",
    "binary_linear",
    "broadcast_to",
    "clip",
    "concatenate",
    "conv2d",
    "cross_entropy",
    "divide",
    "exp",
    "flatten",
    "getitem",
    "hardtanh",
    "linear",
    "log",
    "matmul",
    "max",
    "max_pool2d",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mse_loss",
    "multiply",
    "negative",
    "permute",
    "power",
    "relu",
    "reshape",
    "sigmoid",
    "sqrt",
    "squeeze",
    "stack",
    "std",
    "subtract",
    "sum",
    "tanh",
    "transpose",
    "unsqueeze",
    "var",
    "where",
]
