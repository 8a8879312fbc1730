"""Layers, losses and networks. What is there has PyTorch's names, arguments and defaults, but for what stands here.

These arguments of PyTorch's are not there, and giving one is a TypeError:

- of every layer and loss: device, dtype (`net.to("float64")` converts a net), inplace, size_average, reduce;
- of Conv2d: padding_mode. Its padding is a number or a pair, never "same" or "valid";
- of BatchNorm1d and BatchNorm2d: affine, track_running_stats, bias; γ, β and running statistics are always there, and
  momentum is a number, never None;
- of MaxPool2d: return_indices, ceil_mode; of AvgPool2d: ceil_mode, divisor_override;
- of Hardtanh: min_val, max_val, min_value, max_value; it clips to [−1, 1];
- of CrossEntropyLoss and BCEWithLogitsLoss: weight; of BCEWithLogitsLoss: pos_weight.

These are otherwise than in PyTorch:

- images and what enters a batch norm always have a batch axis; CrossEntropyLoss takes logits (N, C) and class numbers;
- `reduction` is the first argument of the losses, and AvgPool2d takes count_include_pad by name alone; MSELoss wants
  targets of the outputs' shape, and does not broadcast them;
- a Parameter is made of an array, and requires a gradient until `requires_grad_(False)`; Sequential takes names as one
  dictionary of modules, and has no methods of a list, which ModuleList has;
- modules' methods take fewer arguments: `load_state_dict` casts no dtype, copies always, and raises ValueError;
  num_batches_tracked may be missing; `to` takes a dtype; what a hook returns does not replace the output;
- `utils` has clip_grad_norm_ alone, without foreach, and for norms of a p above 0.

State dicts of nets with the same names go both ways: `theirs.load_state_dict(ours.to_torch())` and
`ours.from_torch(theirs.state_dict())`. The values of `ours.state_dict()` are NumPy arrays, and the safetensors files of
`ma.save` are those that PyTorch reads.
"""

from minadder.nn import utils
from minadder.nn.activation import Hardtanh, ReLU, Sigmoid, Tanh
from minadder.nn.batchnorm import BatchNorm1d, BatchNorm2d
from minadder.nn.container import Flatten, Identity, ModuleList, Sequential
from minadder.nn.conv import Adder2d, BinaryConv2d, Conv2d
from minadder.nn.convert import convert
from minadder.nn.dropout import Dropout
from minadder.nn.linear import AdderLinear, BinaryLinear, Linear
from minadder.nn.loss import BCEWithLogitsLoss, CrossEntropyLoss, MSELoss
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
    "Dropout",
    "Flatten",
    "Hardtanh",
    "Identity",
    "Linear",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "ModuleList",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "convert",
    "utils",
]
