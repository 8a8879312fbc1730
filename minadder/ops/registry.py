"""Every operation, with what a check of it needs. Tests go through this list: what is registered is tested.

The reference of an operation computes in NumPy what the operation shall give. Where an operation has a surrogate
gradient, `gradient_of` names the function whose true gradient that is, so that finite differences can confirm it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minadder import ops
from minadder.autograd import Array
from minadder.kernels.adder import reference as adder
from minadder.kernels.batchnorm import reference as batchnorm
from minadder.kernels.binary import reference as binary
from minadder.kernels.conv import reference as conv
from minadder.kernels.geometry import pair
from minadder.kernels.losses import reference as losses
from minadder.kernels.pool import reference as pool
from minadder.ops import samples
from minadder.ops.batchnorm import by_channel
from minadder.ops.samples import Draw, Sample
from minadder.tensor import Tensor

Kink = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Operation:
    """An operation and how to check it."""

    name: str
    function: Callable[..., Any]
    """From tensors (and options) to a tensor."""
    sample: Callable[[Draw], Sample]
    """Draws arguments on the lattice, away from kinks."""
    reference: Callable[..., Any]
    """From arrays (and options) to an array: what the operation shall give."""
    exact: bool = True
    """Whether values on the lattice are exact in float32, so that operation and reference agree bit for bit."""
    gradient_of: Callable[..., Any] | None = None
    """`gradient_of(number, *arrays, **options)`: the function whose gradient is given to that input; None: itself."""
    kinks: tuple[Kink, ...] = ()
    """The conventions where there is no derivative: (inputs, gradients) pairs of numbers."""

    def differentiated(self, number: int, *arrays: Array, **options: Any) -> Array:
        """Return, in NumPy, the function whose gradient with respect to input `number` the operation gives."""
        if self.gradient_of is not None:
            return np.asarray(self.gradient_of(number, *arrays, **options))
        return np.asarray(self.reference(*arrays, **options))


def windowed(forward: Callable[..., Array], x: Array, w: Array, **options: Any) -> Array:
    """Call a reference kernel with sizes as an operation takes them."""
    sizes = (
        pair(options.pop(name, default), name, 0) for name, default in (("stride", 1), ("padding", 0), ("dilation", 1))
    )
    return forward(x, w, *sizes, options.pop("groups", 1), **options)


def adder_reference(x: Array, w: Array, weight_grad: str = "", input_grad: str = "", **options: Any) -> Array:
    """Return the adder layer's output; the gradient rules do not touch it."""
    return windowed(adder.forward, x, w, **options)


def adder_gradient_of(number: int, x: Array, w: Array, weight_grad: str, input_grad: str, **options: Any) -> Array:
    """Return the function whose gradient the rule of input `number` is."""
    return windowed(adder.forward, x, w, rule=(input_grad, weight_grad)[number], **options)


def binary_reference(x: Array, w: Array, scale: Array, **options: Any) -> Array:
    """Return the binary layer's output."""
    return windowed(lambda x, w, *sizes: binary.forward(x, w, scale, *sizes), x, w, **options)


def binary_gradient_of(number: int, x: Array, w: Array, scale: Array, **options: Any) -> Array:
    """Return the function that is straight where the gradient passes straight through a sign."""
    factors = [binary.signs(x), binary.signs(w)]
    if number < len(factors):
        factors[number] = np.clip((x, w)[number], -1, 1)
    return windowed(conv.forward, *factors, **options) * scale[:, None, None]


def as_images(forward: Callable[..., Array], *arrays: Any, **options: Any) -> Array:
    """Call a reference for images on rows (..., in) and weights (out, in)."""
    number = arrays[:-2]
    x, w = arrays[-2:]
    y = forward(*number, x.reshape(-1, x.shape[-1], 1, 1), w.reshape(*w.shape, 1, 1), **options)
    return y.reshape(*x.shape[:-1], w.shape[0])


def normalise(x: Array, gamma: Array, beta: Array, eps: float = 1e-5, relu: bool = False) -> Array:
    """Return x normalised by its own statistics."""
    return batchnorm.forward_train(by_channel(x), gamma, beta, eps, relu)[0].reshape(x.shape)


def normalise_by(
    x: Array, gamma: Array, beta: Array, mean: Array, var: Array, eps: float = 1e-5, relu: bool = False
) -> Array:
    """Return x normalised by given statistics."""
    return batchnorm.forward_eval(by_channel(x), gamma, beta, mean, var, eps, relu).reshape(x.shape)


def pooled(forward: Callable[..., Any], x: Array, **options: Any) -> Array:
    """Call a reference for pooling with sizes as an operation takes them."""
    kernel_size = pair(options.pop("kernel_size"), "kernel_size", 1)
    sizes = [kernel_size, pair(options.pop("stride"), "stride", 1), pair(options.pop("padding"), "padding", 0)]
    if "dilation" in options:
        sizes.append(pair(options.pop("dilation"), "dilation", 1))
    result = forward(x, *sizes, **options)
    return np.asarray(result[0] if isinstance(result, tuple) else result)


def reduce_losses(values: Array, reduction: str) -> Array:
    """Return the mean or the sum of the losses, or the losses themselves."""
    if reduction == "none":
        return values
    return np.asarray(values.mean() if reduction == "mean" else values.sum())


def smooth_cross_entropy(z: Array, labels: Array, reduction: str, label_smoothing: float) -> Array:
    """Return the cross-entropy from its definition, with examples of label −100 left out."""
    targets = np.eye(z.shape[1])[np.maximum(labels, 0)] * (1 - label_smoothing) + label_smoothing / z.shape[1]
    each = [losses.cross_entropy_forward(z, np.full(len(z), c))[0] * targets[:, c] for c in range(z.shape[1])]
    values = np.where(labels == -100, 0, np.sum(each, axis=0))
    mean = reduction == "mean"
    return np.asarray(values.sum() / np.count_nonzero(labels != -100)) if mean else reduce_losses(values, reduction)


def with_dtype(function: Callable[..., Tensor], *names: str) -> Callable[..., Tensor]:
    """Return the function with some of its options cast to the dtype of its first tensor."""

    def call(x: Tensor, *tensors: Tensor, **options: Any) -> Tensor:
        cast = {name: value.astype(x.dtype) if name in names else value for name, value in options.items()}
        return function(x, *tensors, **cast)

    return call


OPERATIONS = (
    Operation("add", ops.add, samples.binary, np.add),
    Operation("subtract", ops.subtract, samples.binary, np.subtract),
    Operation("multiply", ops.multiply, samples.binary, np.multiply),
    Operation("divide", ops.divide, samples.binary, np.divide, exact=False),
    Operation("power", ops.power, samples.powers, np.power, exact=False, kinks=(((0.0, 2.0), (0.0, 0.0)),)),
    Operation("negative", ops.negative, samples.unary, np.negative),
    Operation("exp", ops.exp, samples.unary, np.exp, exact=False),
    Operation("log", ops.log, samples.unary_positive, np.log, exact=False),
    Operation("sqrt", ops.sqrt, samples.unary_positive, np.sqrt, exact=False),
    Operation("absolute", ops.absolute, samples.unary, np.abs, kinks=(((0.0,), (0.0,)),)),
    Operation("relu", ops.relu, samples.unary, lambda x: np.where(x > 0, x, 0), kinks=(((0.0,), (0.0,)),)),
    Operation("tanh", ops.tanh, samples.unary, np.tanh, exact=False),
    Operation("sigmoid", ops.sigmoid, samples.unary, lambda x: 1 / (1 + np.exp(-x)), exact=False),
    Operation(
        "hardtanh",
        ops.hardtanh,
        samples.unary,
        lambda x: np.clip(x, -1, 1),
        kinks=(((1.0,), (0.0,)), ((-1.0,), (0.0,))),
    ),
    Operation(
        "clip", ops.clip, samples.clipped, lambda x, low, high: x if low is high is None else np.clip(x, low, high)
    ),
    Operation("maximum", ops.maximum, samples.binary, np.maximum, kinks=(((1.0, 1.0), (0.5, 0.5)),)),
    Operation("minimum", ops.minimum, samples.binary, np.minimum, kinks=(((1.0, 1.0), (0.5, 0.5)),)),
    Operation(
        "where",
        lambda x, y, condition: ops.where(condition, x, y),
        samples.chosen,
        lambda x, y, condition: np.where(condition, x, y),
    ),
    Operation(
        "binarize",
        ops.binarize,
        samples.unary,
        lambda x: np.where(x >= 0, 1.0, -1.0),
        gradient_of=lambda number, x: np.clip(x, -1, 1),
        kinks=(((1.0,), (1.0,)), ((-1.0,), (1.0,))),
    ),
    Operation("sum", ops.sum, samples.reduced, lambda x, axis, keepdims: np.sum(x, axis, keepdims=keepdims)),
    Operation(
        "mean", ops.mean, samples.reduced, lambda x, axis, keepdims: np.mean(x, axis, keepdims=keepdims), exact=False
    ),
    Operation("max", ops.max, samples.reduced, lambda x, axis, keepdims: np.max(x, axis, keepdims=keepdims)),
    Operation("min", ops.min, samples.reduced, lambda x, axis, keepdims: np.min(x, axis, keepdims=keepdims)),
    Operation(
        "var",
        ops.var,
        samples.spread,
        lambda x, axis, correction, keepdims: np.var(x, axis, ddof=correction, keepdims=keepdims),
        exact=False,
    ),
    Operation(
        "std",
        ops.std,
        samples.spread,
        lambda x, axis, correction, keepdims: np.std(x, axis, ddof=correction, keepdims=keepdims),
        exact=False,
    ),
    Operation(
        "reshape", lambda x, shape: ops.reshape(x, shape), samples.reshaped, lambda x, shape: np.reshape(x, shape)
    ),
    Operation("transpose", lambda x, axes: ops.transpose(x, *axes), samples.transposed, np.transpose),
    Operation("permute", lambda x, axes: ops.permute(x, axes), samples.transposed, np.transpose),
    Operation("broadcast_to", ops.broadcast_to, samples.broadcast, np.broadcast_to),
    Operation("getitem", ops.getitem, samples.indexed, lambda x, index: x[index]),
    Operation(
        "concatenate",
        lambda *tensors, axis: ops.concatenate(tensors, axis),
        samples.joined,
        lambda *arrays, axis: np.concatenate(arrays, axis),
    ),
    Operation(
        "stack",
        lambda *tensors, axis: ops.stack(tensors, axis),
        samples.stacked,
        lambda *arrays, axis: np.stack(arrays, axis),
    ),
    Operation("matmul", ops.matmul, samples.matrices, np.matmul),
    Operation("linear", ops.linear, samples.rows_and_weight, lambda x, w: x @ w.T),
    Operation(
        "conv2d",
        ops.conv2d,
        samples.images_and_filters,
        lambda x, w, **options: windowed(conv.forward, x, w, **options),
    ),
    Operation("adder2d", ops.adder2d, samples.adder_images, adder_reference, gradient_of=adder_gradient_of),
    Operation(
        "adder2d_power",
        ops.adder2d,
        samples.adder_powers,
        adder_reference,
        exact=False,
        gradient_of=adder_gradient_of,
    ),
    Operation(
        "adder_linear",
        ops.adder_linear,
        samples.adder_rows,
        lambda x, w, **rules: as_images(adder_reference, x, w, **rules),
        gradient_of=lambda number, x, w, **rules: as_images(adder_gradient_of, number, x, w, **rules),
    ),
    Operation(
        "binary_conv2d", ops.binary_conv2d, samples.binary_images, binary_reference, gradient_of=binary_gradient_of
    ),
    Operation(
        "binary_linear",
        ops.binary_linear,
        samples.binary_rows,
        lambda x, w, scale: as_images(lambda x, w: binary_reference(x, w, scale), x, w),
        gradient_of=lambda number, x, w, scale: as_images(lambda x, w: binary_gradient_of(number, x, w, scale), x, w),
    ),
    Operation(
        "batch_norm_train",
        lambda *tensors, **options: ops.batch_norm_train(*tensors, **options)[0],
        samples.normalised,
        normalise,
        exact=False,
    ),
    Operation(
        "batch_norm_eval",
        with_dtype(ops.batch_norm_eval, "mean", "var"),
        samples.normalised_by,
        normalise_by,
        exact=False,
    ),
    Operation(
        "max_pool2d",
        ops.max_pool2d,
        samples.max_pooled,
        lambda x, **options: pooled(pool.max_pool_forward, x, **options),
    ),
    Operation(
        "avg_pool2d",
        ops.avg_pool2d,
        samples.avg_pooled,
        lambda x, **options: pooled(pool.avg_pool_forward, x, **options),
        exact=False,
    ),
    Operation(
        "cross_entropy",
        ops.cross_entropy,
        samples.classified,
        lambda z, labels, reduction: reduce_losses(losses.cross_entropy_forward(z, labels)[0], reduction),
        exact=False,
    ),
    Operation("cross_entropy_smoothed", ops.cross_entropy, samples.smoothed, smooth_cross_entropy, exact=False),
    Operation(
        "mse_loss",
        ops.mse_loss,
        samples.compared,
        lambda x, target, reduction: reduce_losses((x - target) ** 2, reduction),
        exact=False,
    ),
    Operation(
        "bce_with_logits",
        with_dtype(ops.bce_with_logits, "targets"),
        samples.decided,
        lambda z, targets, reduction: reduce_losses(losses.bce_with_logits_forward(z, targets), reduction),
        exact=False,
    ),
)
"""Every differentiable operation."""

REGISTRY = {operation.name: operation for operation in OPERATIONS}
"""The operations by name."""
