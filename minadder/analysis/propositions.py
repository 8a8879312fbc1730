"""Gradient descent of one filter towards one input: sign gradient against full precision.

Propositions 1 and 2 stand in the supplement of Chen et al. 2020 and, with y, in Universal AdderNets, Sec. 3.2, of the
journal; the preprint has none.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import minadder as ma
from minadder import nn, optim
from minadder.autograd import Array
from minadder.checks import number, real_array, whole


def descend(
    x: npt.ArrayLike, start: npt.ArrayLike, rate: float, steps: int, weight_grad: str, target: float | None = None
) -> Array:
    """Return the filters of gradient descent on an adder unit of one input (Propositions 1 and 2).

    The problem is min over f of | ‖x − f‖₁ − y |. With y below 0 that is ‖x − f‖₁, and the steps are
    f ← f − α·sgn(f − x) for the sign gradient and f ← f − α·(f − x) for full precision. The first goes back and forth
    around x with an error of up to α in each coordinate, unless (x − f)/α is a whole number at the start; the second
    multiplies the error with 1 − α at each step, so that it converges for 0 < α < 2 (the paper says α < 1).

    For y above 0 the paper says that "the result is obviously the same". It is not: close to the solution both
    gradients point towards x or away from it, whichever side of y the distance is on. With full precision the
    distance is multiplied with 1 − α or 1 + α in turns and stays in (1 − α)·y … (1 + α)·y without converging.

    Parameters
    ----------
    x, start
        The input and the first filter (n,).
    rate
        α.
    steps
        How many steps.
    weight_grad
        The rule of `nn.AdderLinear`: "sign" or "full_precision".
    target
        y; None for any y below 0.

    Returns
    -------
    The filters before the first step and after each (steps + 1, n), float64.

    Raises
    ------
    ValueError
        When the shapes differ, or the rule does not exist.

    Examples
    --------
    >>> from minadder import analysis
    >>> analysis.descend([1.0], [0.0], 0.4, 5, "sign").ravel().round(2).tolist()
    [0.0, 0.4, 0.8, 1.2, 0.8, 1.2]
    >>> analysis.descend([1.0], [0.0], 0.5, 3, "full_precision").ravel().tolist()
    [0.0, 0.5, 0.75, 0.875]
    """
    point, first = real_array(x, "x"), real_array(start, "start")
    rate, steps = number(rate, "rate", "(0, inf)"), whole(steps, "steps", 0)
    target = None if target is None else number(target, "target", "(-inf, inf)")
    if point.ndim != 1 or point.shape != first.shape:
        raise ValueError(f"x and the first filter must have one shape (n,), not {point.shape} and {first.shape}")
    unit = nn.AdderLinear(len(point), 1, weight_grad=weight_grad)
    unit.to("float64")
    unit.weight.data = first[None]
    optimizer = optim.SGD(unit.parameters(), lr=rate, adder_lr=optim.IncreasedLR(1))
    inputs = ma.Tensor(point[None])
    filters = [first]
    for _ in range(steps):
        optimizer.zero_grad()
        distance = -unit(inputs)
        loss = distance if target is None else (distance - target).abs()
        loss.sum().backward()
        optimizer.step()
        filters.append(np.array(unit.weight.numpy()[0]))
    return np.stack(filters)


def distances(filters: Array, x: npt.ArrayLike) -> Array:
    """Return ‖x − f‖₁ of each filter (steps, n)."""
    return np.abs(filters - np.asarray(x)).sum(axis=1)
