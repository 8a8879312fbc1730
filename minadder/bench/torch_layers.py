"""The same layers in PyTorch: the broadcasting expression that the papers' equations suggest, and the alternatives.

A layer's windows become the columns of a matrix X (K, P), its filters the rows of W (T, K). Broadcasting then makes an
array (T, K, P), of one number for each |x − w|: 604 MB for a layer of ResNet-20 with a batch of 64.

The module can be imported without PyTorch; `torch` is None then.
"""

from __future__ import annotations

import contextlib
import importlib
import shutil
from collections.abc import Callable
from typing import Any

from minadder import memory
from minadder.bench.shapes import FLOAT_BYTES, Layer

torch: Any = None
with contextlib.suppress(ImportError):
    torch = importlib.import_module("torch")

TEMPORARY_BYTES = 640 << 20
"""Above so much in one temporary array, broadcasting is measured on a part of the batch and its time scaled up."""

Expression = Callable[[Any, Any, Layer], Any]


class Adder(torch.autograd.Function if torch else object):  # type: ignore[misc]  # no base without PyTorch
    """Y = −Σ |W − X| (Chen et al. 2020, Eq. 2) for filters (T, K) and columns (K, P), all of it by broadcasting."""

    @staticmethod
    def forward(context: Any, w: Any, x: Any) -> Any:
        """Return Y (T, P)."""
        context.save_for_backward(w, x)
        return -(w[:, :, None] - x[None]).abs().sum(1)

    @staticmethod
    def backward(context: Any, grad: Any) -> Any:
        """Return the full-precision filter gradient and the HardTanh input gradient (Chen et al. 2020, Eqs. 5–6)."""
        w, x = context.saved_tensors
        w_grad = ((x[None] - w[:, :, None]) * grad[:, None]).sum(2)
        x_grad = ((w[:, :, None] - x[None]).clamp(-1, 1) * grad[:, None]).sum(0)
        return w_grad, x_grad


def windows(x: Any, layer: Layer) -> Any:
    """Return the windows of x as (N, K, H'·W').

    Windows of one point are picked, not unfolded: for them `torch.compile` of PyTorch 2.13 makes an unfolding's
    gradient that writes outside its memory.
    """
    if layer.w_shape[2:] == (1, 1) and layer.padding == 0:
        return x[:, :, :: layer.stride, :: layer.stride].flatten(2)
    return torch.nn.functional.unfold(x, layer.w_shape[2:], stride=layer.stride, padding=layer.padding)


def columns(x: Any, layer: Layer) -> Any:
    """Return the windows of x as columns (K, P)."""
    unfolded = windows(x, layer)
    return unfolded.permute(1, 0, 2).reshape(unfolded.shape[1], -1)


def as_images(y: Any, layer: Layer) -> Any:
    """Return (T, P) as (N, T, H', W')."""
    _, filters, height, width = layer.y_shape
    return y.reshape(filters, -1, height, width).transpose(0, 1).contiguous()


def broadcast(x: Any, w: Any, layer: Layer) -> Any:
    """Return the adder layer's output (N, T, H', W') for x (N, C, H, W) and filters w (T, C, kh, kw)."""
    return as_images(Adder.apply(w.reshape(w.shape[0], -1), columns(x, layer)), layer)


def cdist(x: Any, w: Any, layer: Layer) -> Any:
    """Return the same by `torch.cdist`, whose own gradients are the sign gradients."""
    y = -torch.cdist(w.reshape(w.shape[0], -1), windows(x, layer).transpose(1, 2), p=1.0)
    return y.reshape(-1, *layer.y_shape[1:])


def convolution(x: Any, w: Any, layer: Layer) -> Any:
    """Return the CNN twin's output: a convolution, or where the adder layer is fully connected a linear layer."""
    if layer.fully_connected:
        return torch.nn.functional.linear(x[:, :, 0, 0], w[:, :, 0, 0])[:, :, None, None]
    return torch.nn.functional.conv2d(x, w, stride=layer.stride, padding=layer.padding)


def no_compiler() -> str | None:
    """Return why `torch.compile` cannot be measured, None where it can."""
    if not any(shutil.which(name) for name in ("g++", "clang++", "c++")):
        return "no C++ compiler for torch.compile"
    return None


def compiled() -> Expression:
    """Return `broadcast` under `torch.compile`; what was compiled for other layers is forgotten."""
    torch._dynamo.reset()
    expression: Expression = torch.compile(broadcast, dynamic=False)
    return expression


def batch_that_fits(layer: Layer) -> int:
    """Return the largest batch whose temporary array is within `TEMPORARY_BYTES`: at least 1, at most the layer's.

    Examples
    --------
    >>> from minadder.bench import shapes, torch_layers
    >>> [torch_layers.batch_that_fits(layer) for layer in shapes.resnet18()]
    [1, 1, 1, 1]
    """
    one_image = layer.with_batch(1).elements * FLOAT_BYTES
    return max(1, min(layer.x_shape[0], TEMPORARY_BYTES // one_image))


class Pass:
    """An expression on a layer's x, w and output gradient, forward or forward and backward, as a case to measure.

    It runs as in a program without minadder: memory that it frees goes back to the system (`memory.give_back_freed`).
    That matters where an expression makes large arrays in each pass, as broadcasting does.
    """

    def __init__(self, expression: Expression, layer: Layer, arrays: tuple[Any, Any, Any], backward: bool) -> None:
        self.expression, self.layer, self.backward = expression, layer, backward
        self.x, self.w = (torch.from_numpy(array).requires_grad_(backward) for array in arrays[:2])
        self.grad = torch.from_numpy(arrays[2])

    def __enter__(self) -> None:
        """Have freed memory go back to the system."""
        memory.give_back_freed()

    def __exit__(self, *error: object) -> None:
        """Have freed memory kept."""
        memory.keep_freed()

    def __call__(self) -> Any:
        """Run it."""
        self.x.grad = self.w.grad = None
        y = self.expression(self.x, self.w, self.layer)
        if self.backward:
            y.backward(self.grad)
        return y
