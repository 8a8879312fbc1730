"""Fully-connected layers as pairs of adder layers (Lemma 5), and nets of bounded width that approximate (Theorem 6).

They are numbered as in the preprint of Universal AdderNets; in the journal they are Lemma 4 and Theorem 5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from minadder import checks, nn
from minadder.analysis.approximation import Function, check_function, values_of
from minadder.analysis.box import Box
from minadder.analysis.two_layers import scaled_adder
from minadder.autograd import Array
from minadder.checks import fits_memory, instance, real_array, whole


@dataclass(frozen=True, eq=False)
class SameOrZero:
    """A fully-connected layer Yᵢ = Aᵢ·Σⱼ Bᵢⱼ·Xⱼ + cᵢ: in each row all weights are one value or zero.

    That is Eq. 35 (preprint 17), with a bias.

    Parameters
    ----------
    scale
        A (m,).
    mask
        B (m, d), True where the weight is Aᵢ.
    bias
        c (m,).

    Raises
    ------
    ValueError
        When the shapes do not fit, or a number is not finite.

    Examples
    --------
    >>> from minadder.analysis import SameOrZero
    >>> SameOrZero([2.0], [[True, False]], [1.0]).weights
    array([[2., 0.]])
    """

    scale: Array
    mask: npt.NDArray[np.bool_]
    bias: Array

    def __init__(self, scale: npt.ArrayLike, mask: npt.ArrayLike, bias: npt.ArrayLike) -> None:
        object.__setattr__(self, "scale", real_array(scale, "scale"))
        object.__setattr__(self, "mask", real_array(mask, "mask") != 0)
        object.__setattr__(self, "bias", real_array(bias, "bias"))
        rows = self.mask.shape[:1]
        if self.mask.ndim != 2 or 0 in self.mask.shape or self.scale.shape != rows or self.bias.shape != rows:
            raise ValueError(
                f"the mask must have shape (m, d), scale and bias (m,), not {self.mask.shape}, {self.scale.shape} and "
                f"{self.bias.shape}"
            )
        if not (np.isfinite(self.scale).all() and np.isfinite(self.bias).all()):
            raise ValueError("scale and bias must be finite")

    @property
    def weights(self) -> Array:
        """The weights (m, d) of the layer as an ordinary one."""
        return self.scale[:, None] * self.mask

    def range(self, box: Box) -> Box:
        """Return a box that holds the outputs of all inputs in a box."""
        ends = self.weights[None] * np.stack([box.low, box.high])[:, None, :]
        return Box(ends.min(axis=0).sum(axis=1) + self.bias, ends.max(axis=0).sum(axis=1) + self.bias)

    def linear(self) -> nn.Linear:
        """Return the layer as an ordinary one, float64."""
        layer = nn.Linear(self.mask.shape[1], self.mask.shape[0])
        layer.to("float64")
        assert layer.bias is not None
        layer.weight.data = self.weights
        layer.bias.data = self.bias
        return layer


def lemma5_layers(layer: SameOrZero, box: Box) -> dict[str, nn.Module]:
    """Return two adder layers of 2m + 2 hidden units that compute a fully-connected one: Lemma 5 (journal 4).

    Where a filter's entry lies below all values of a coordinate, |Xⱼ − Wⱼ| = Xⱼ − Wⱼ; where above, Wⱼ − Xⱼ. So an
    adder unit computes any sum ±X₁ ± … ± X_d and a constant. Hidden are Pᵢ = Σⱼ (2Bᵢⱼ − 1)·Xⱼ and −Pᵢ for each row,
    and S = ΣXⱼ and −S, since Pᵢ + S = 2·Σⱼ Bᵢⱼ·Xⱼ. The second layer takes the distance from 0, or from the greatest
    value that turns the sign round: +Pᵢ, −(−Pᵢ), +S, −(−S), and of all other pairs the sum Pₖ + (−Pₖ), a constant.

    What differs from the proof as printed:

    - Eq. 36 (preprint 18) lets Wᵢⱼ have both signs and asks for Wᵢⱼ > max |Xₖ|; it is |Wᵢⱼ| that must be outside the
      data's range. Here it lies a little beyond the range's ends. On the ends themselves a value that rounding puts
      outside would turn round in all units that shall not see it, and the error would grow several times over from
      layer to layer.
    - "A large enough bias" before the ReLU is not needed: a distance is never negative.
    - "2i-th neuron" stands for the m + i-th, or the first layer would have two units i = 2.

    Parameters
    ----------
    layer
        The layer to replace.
    box
        What its inputs lie in; outside it the pair of adder layers is another function.

    Returns
    -------
    The layers by name: adder1, bn1, relu, adder2, bn2; float64, in evaluation mode.

    Raises
    ------
    ValueError
        When the box has another dimension than the layer's inputs.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder import analysis, nn
    >>> layer = analysis.SameOrZero([2.0, -1.0], [[True, False], [True, True]], [0.0, 1.0])
    >>> net = nn.Sequential(analysis.lemma5_layers(layer, analysis.Box([-1.0, -1.0], [1.0, 1.0])))
    >>> net(np.array([[0.5, -0.25]])).tolist()
    [[1.0, 0.75]]
    """
    instance(layer, "layer", SameOrZero, "an analysis.SameOrZero")
    instance(box, "box", Box, "an analysis.Box")
    m, d = layer.mask.shape
    box = box.grown(margin(box))
    if box.dimension != d:
        raise ValueError(f"the layer has {d} inputs, but the box has dimension {box.dimension}")
    signs = np.where(layer.mask, 1, -1)
    ones = np.ones((1, d), np.int64)
    signs = np.concatenate([signs, -signs, ones, -ones])
    first = np.where(signs > 0, box.low, box.high)
    most = float((box.high - box.low).sum())  # of each hidden unit: it is 0 at one corner, and this at the opposite one
    turned = np.zeros((m, 2 * m + 2), np.bool_)
    turned[np.arange(m), m + np.arange(m)] = True
    turned[:, -1] = True
    # the distances are 2·(Pᵢ + S) + constants: `most` for each of the m − 1 other pairs, and for the signs turned
    # round twice that; and each hidden unit has a constant of its own, −Σ low where it adds, Σ high where it takes off
    constants = np.where(signs > 0, -box.low, box.high).sum(axis=1)
    rows = np.arange(m)
    rest = (m - 1) * most + constants[rows] - constants[m + rows] + constants[-2] - constants[-1] + 2 * most
    second = np.where(turned, most, 0.0)
    adder1, bn1 = scaled_adder(first, np.ones(2 * m + 2), np.zeros(2 * m + 2))
    adder2, bn2 = scaled_adder(second, layer.scale / 4, layer.bias - layer.scale / 4 * rest)
    return {"adder1": adder1, "bn1": bn1, "relu": nn.ReLU(), "adder2": adder2, "bn2": bn2}


def margin(box: Box) -> float:
    """Return how far beyond a box filters lie: a power of two, so that lattices stay ones, from 1/16 to 1/8 of it."""
    longest = float((box.high - box.low).max())
    return 2.0 ** (math.floor(math.log2(longest)) - 3) if longest > 0 else 0.125


def adder_net(layers: Sequence[SameOrZero], box: Box) -> nn.Sequential:
    """Return an adder net that computes fully-connected layers with ReLU between them, two adder layers for each.

    Parameters
    ----------
    layers
        The layers; ReLU stands between them, not behind the last.
    box
        What the inputs lie in. What each layer's inputs lie in follows from it.

    Returns
    -------
    A net in evaluation mode, float64.

    Raises
    ------
    ValueError
        When a layer has other inputs than the layer before has outputs.
    """
    modules: dict[str, nn.Module] = {}
    for number, layer in enumerate(same_or_zero(layers), start=1):
        if number > 1:
            modules[f"relu{number - 1}"] = nn.ReLU()
            box = Box(np.maximum(box.low, 0.0), np.maximum(box.high, 0.0))
        modules |= {f"layer{number}_{name}": module for name, module in lemma5_layers(layer, box).items()}
        box = layer.range(box)
    net = nn.Sequential(modules)
    net.eval()
    return net


def same_or_zero(layers: Sequence[SameOrZero]) -> tuple[SameOrZero, ...]:
    """Return layers as a tuple; TypeError for what are none."""
    instance(layers, "layers", (tuple, list), "a list of analysis.SameOrZero")
    return tuple(
        instance(layer, f"layers[{i}]", SameOrZero, "an analysis.SameOrZero") for i, layer in enumerate(layers)
    )


def linear_net(layers: Sequence[SameOrZero]) -> nn.Sequential:
    """Return the fully-connected layers themselves with ReLU between them, float64."""
    modules: dict[str, nn.Module] = {}
    for number, layer in enumerate(same_or_zero(layers), start=1):
        if number > 1:
            modules[f"relu{number - 1}"] = nn.ReLU()
        modules[f"fc{number}"] = layer.linear()
    net = nn.Sequential(modules)
    net.eval()
    return net


def widest(net: nn.Module) -> int:
    """Return the most units that a weight layer of the net has."""
    return max(module.out_features for module in net.modules() if isinstance(module, (nn.AdderLinear, nn.Linear)))


Change = tuple[int, float, tuple[int, ...], float]
"""A unit, A, the units that are summed, and c."""


class Register:
    """Writes fully-connected layers of d + 4 units that keep the inputs, a distance, a term, and two sums.

    The units are x₁ … x_d (measured from the box's low end), then `distance`, `term`, `plus`, `minus`; all are at
    least 0, so that a ReLU between the layers lets them pass. Each layer is told only what changes; x, plus and minus
    are kept where nothing is said, distance and term become 0.
    """

    def __init__(self, dimension: int) -> None:
        self.width = dimension + 4
        self.distance, self.term, self.plus, self.minus = range(dimension, dimension + 4)
        self.kept = (*range(dimension), self.plus, self.minus)
        self.layers: list[SameOrZero] = []

    def add(self, *changes: Change) -> None:
        """Add a layer in which so much changes."""
        scale, bias = np.ones(self.width), np.zeros(self.width)
        mask = np.zeros((self.width, self.width), np.bool_)
        mask[self.kept, self.kept] = True
        for unit, factor, summed, shift in changes:
            scale[unit], bias[unit] = factor, shift
            mask[unit] = False
            mask[unit, summed] = True
        self.layers.append(SameOrZero(scale, mask, bias))


def staircase(function: Function, box: Box, cells: int, ramp: float) -> list[SameOrZero]:
    """Return fully-connected layers of d + 4 units that approximate a function by a staircase (for Theorem 6).

    The proof of Theorem 6 points to a construction by Lu et al. 2017 and says that its weights are the same or zero
    in each row, without showing it. This one has that property: cell by cell it measures the distance to the cell,
    Σⱼ ReLU(lowⱼ − xⱼ) + ReLU(xⱼ − highⱼ), in one unit, makes of it the height ReLU(|h| − |h|·distance/ramp) in another,
    and adds it to one of two sums, for heights above and below 0. At the end the sums are subtracted, as plus +
    (M − minus) − M, since a row cannot hold 1 and −1.

    Parameters
    ----------
    function
        f, from points (N, d) to values (N,).
    box
        Where to approximate it.
    cells
        How many cells along each axis; each is as high as f at its centre.
    ramp
        How far the steps are spread, as a share of a cell in (0, 1]. In one dimension neighbouring ramps add up
        to the straight line between the heights.

    Returns
    -------
    1 + cells^d·(2d + 1) + 2 layers (fewer where f is 0 at a cell's centre), for `adder_net` or `linear_net`.

    Raises
    ------
    ValueError
        For no cells, a ramp outside (0, 1], or a function that is not finite.
    """
    check_function(function, box)
    cells, ramp = whole(cells, "cells", 1), checks.number(ramp, "ramp", "(0, 1]")
    fits_memory((cells,) * box.dimension, 8 * box.dimension, "the cells' centres")
    d = box.dimension
    register = Register(d)
    x, t = range(d), (register.distance, register.term)
    size = (box.high - box.low) / cells
    spread = ramp * float(size.min())
    heights = values_of(function, box.grid(cells))
    to_sum: int | None = None  # where the cell before adds its term
    for index, height in zip(product(range(cells), repeat=d), heights, strict=True):
        if height == 0:
            continue
        place = np.array(index)  # half a ramp lies in each cell, but none at the box's ends
        low = place * size + np.where(place > 0, spread / 2, 0.0)
        high = (place + 1) * size - np.where(place < cells - 1, spread / 2, 0.0)
        terms = [change for j in x for change in ((-1.0, (j,), low[j]), (1.0, (j,), -high[j]))]
        for number, term in enumerate(terms):
            changes: list[Change] = [(register.term, *term)]
            if number > 0:
                changes.append((register.distance, 1.0, t if number > 1 else t[1:], 0.0))
            elif to_sum is not None:
                changes.append((to_sum, 1.0, (to_sum, register.term), 0.0))
            register.add(*changes)
        register.add((register.term, -abs(height) / spread, t, abs(height)))
        to_sum = register.plus if height > 0 else register.minus
    return [entry(box, register), *register.layers, *last_layers(register, heights, to_sum)]


def entry(box: Box, register: Register) -> SameOrZero:
    """Return the layer from the inputs to the units: xⱼ − lowⱼ, and 0."""
    mask = np.zeros((register.width, box.dimension), np.bool_)
    mask[range(box.dimension), range(box.dimension)] = True
    return SameOrZero(np.ones(register.width), mask, np.concatenate([-box.low, np.zeros(4)]))


def last_layers(register: Register, heights: Array, to_sum: int | None) -> list[SameOrZero]:
    """Return the layers that add the last term, turn the sum of what is below 0 round, and add both sums."""
    most = float(-heights[heights < 0].sum())
    plus = (register.plus, register.term) if to_sum == register.plus else (register.plus,)
    minus = (register.minus, register.term) if to_sum == register.minus else (register.minus,)
    end = Register(register.width - 4)
    end.add((register.plus, 1.0, plus, 0.0), (register.minus, -1.0, minus, most))
    row = np.zeros((1, register.width), np.bool_)
    row[0, [register.plus, register.minus]] = True
    return [*end.layers, SameOrZero([1.0], row, [-most])]
