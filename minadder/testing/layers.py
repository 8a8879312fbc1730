"""Strategies for whole layers with a sliding window: images, filters, stride, padding, dilation and groups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from minadder.autograd import Array
from minadder.kernels.geometry import Pair, output_size
from minadder.ops.samples import Draw, Sample
from minadder.testing.lattice import DrawByHypothesis, cotangent, seeds


class Layer(NamedTuple):
    """An input, filters, an incoming gradient, and how the window slides."""

    x: Array
    w: Array
    grad: Array
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int

    @property
    def window(self) -> tuple[Pair, Pair, Pair, int]:
        """Return stride, padding, dilation and groups, as kernels take them."""
        return self.stride, self.padding, self.dilation, self.groups

    @property
    def sample(self) -> Sample:
        """Return x and w, with stride, padding, dilation and groups as options, as `check_function` takes them."""
        names = "stride", "padding", "dilation", "groups"
        return Sample((self.x, self.w), dict(zip(names, self.window, strict=True)))

    def astype(self, dtype: Any) -> Layer:
        """Return the same values in a precision."""
        return self._replace(x=self.x.astype(dtype), w=self.w.astype(dtype), grad=self.grad.astype(dtype))

    def gaussian(self, seed: int) -> Layer:
        """Return a layer of the same shapes with normal values, on which the order of a sum shows; float64."""
        rng = np.random.default_rng(seed)
        x, w, grad = (rng.standard_normal(array.shape) for array in (self.x, self.w, self.grad))
        return self._replace(x=x, w=w, grad=grad)


def lattice_layer(
    x_shape: tuple[int, int, int, int],
    filters: int,
    kernel_size: Pair,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
    seed: int = 0,
) -> Layer:
    """Return a layer with values on the lattice: x in ½ℤ, filters in ½ℤ + ¼, gradients in ¼ℤ; float64.

    Every |x − w| stays at least ¼ away from the kinks at 0 and ±1, and sums are exact in float32.
    """
    rng = np.random.default_rng(seed)
    draw = Draw(rng)
    w = draw.quarters((filters, x_shape[1] // groups, *kernel_size))
    output = output_size(x_shape[2:], kernel_size, stride, padding, dilation)
    grad = cotangent(rng, (x_shape[0], filters, *output))
    return Layer(draw.halves(x_shape), w, grad, stride, padding, dilation, groups)


@st.composite
def layers(draw: Callable[..., Any]) -> Layer:
    """Draw a small layer: 1×1 windows, windows as large as the input, strides that do not divide, groups, batch 1.

    One in three is wider than a vector, one in six also as high, and padded so that it could be as large as its input.

    Examples
    --------
    >>> from hypothesis import given
    >>> from minadder import ops, testing
    >>> import minadder as ma
    >>> @given(testing.layers())
    ... def test_a_convolution_keeps_the_batch(layer):
    ...     y = ops.conv2d(ma.tensor(layer.x), ma.tensor(layer.w), **layer.sample.options)
    ...     assert y.shape == layer.grad.shape
    >>> test_a_convolution_keeps_the_batch()
    """
    source = DrawByHypothesis(draw)
    kernel, stride = source.pair(1, 4), source.pair(1, 4)
    padding, dilation = source.pair(0, 3), source.pair(1, 3)
    groups = source.pick((1, 1, 2, 3))
    least = [max(1, d * (k - 1) + 1 - 2 * p) for k, p, d in zip(kernel, padding, dilation, strict=True)]
    height, width = (size + source.integer(0, 6) for size in least)
    extra = source.pick(((0, 0), (0, 0), (0, 0), (0, 0), (0, 27), (17, 20)))
    x_shape = source.integer(1, 4), groups * source.integer(1, 5), height + extra[0], width + extra[1]
    filters = groups * source.integer(1, 9)
    return lattice_layer(x_shape, filters, kernel, stride, padding, dilation, groups, draw(seeds))
