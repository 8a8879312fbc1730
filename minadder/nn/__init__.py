"""Layers, losses and networks. What is there has PyTorch's names, arguments and defaults, but for what stands here.

These arguments of PyTorch's are not there, and giving one is a TypeError:

- of every layer and loss: device, dtype (`net.to("float64")` converts a net), inplace, size_average, reduce;
- of Conv2d: padding_mode. Its padding is a number or a pair, never "same" or "valid";
- of BatchNorm1d and BatchNorm2d: affine, track_running_stats, bias; γ, β and running statistics are always there, and
  momentum is a number, never None;
- of MaxPool2d: return_indices, ceil_mode; of AvgPool2d: ceil_mode, divisor_override;
- of Hardtanh: min_val, max_val, min_value, max_value; it clips to [−1, 1];
- of CrossEntropyLoss: weight, ignore_index, label_smoothing; of BCEWithLogitsLoss: weight, pos_weight.

These are otherwise than in PyTorch:

- images and what enters a batch norm always have a batch axis; CrossEntropyLoss takes logits (N, C) and class numbers;
- `reduction` is the first argument of the losses, and AvgPool2d takes count_include_pad by name alone;
- a Parameter is made of an array, and always requires a gradient; Sequential takes names as one dictionary of modules;
- modules' methods take fewer arguments: `load_state_dict` is always strict, in names, shapes and dtypes, but that
  num_batches_tracked may be missing; `to` takes a dtype; what a hook returns does not replace the output.

State dicts of nets with the same names go both ways: here their values are NumPy arrays (PyTorch's are taken as they
are, and PyTorch wants `torch.tensor` of ours), and the safetensors files of `ma.save` are those that PyTorch reads.
"""

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
