"""Strategies for shapes, precisions, layouts, and for arrays on a dyadic lattice away from kinks.

Random floats sit beside a kink surprisingly often, and then finite differences say nothing. The values here are
multiples of a power of two plus a part of it: never 0, 1 or −1, no two of them equal, and exact in float32 too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from hypothesis.extra import numpy as extra

from minadder.autograd import Array
from minadder.ops.registry import Operation
from minadder.ops.samples import Draw, Sample
from minadder.testing.layouts import LAYOUTS

Shape = tuple[int, ...]

SPACING = 0.5
"""How far lattice points lie apart, unless more of them are wanted than there are."""

seeds = st.integers(0, 2**32 - 1)
"""Seeds of generators for values; shapes and options are drawn one by one so that a failure shrinks to small ones."""


def shapes(min_dims: int = 0, max_dims: int = 3, min_side: int = 1, max_side: int = 4) -> st.SearchStrategy[Shape]:
    """Draw shapes; with `min_side=0` also those of arrays without elements.

    Examples
    --------
    >>> from hypothesis import find
    >>> from minadder import testing
    >>> find(testing.shapes(), lambda shape: len(shape) == 2)
    (1, 1)
    >>> find(testing.shapes(min_side=0), lambda shape: 0 in shape)
    (0,)
    """
    return extra.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=max_side)


def broadcastable_shapes(count: int = 2) -> st.SearchStrategy[tuple[Shape, ...]]:
    """Draw so many shapes that NumPy broadcasts together, for a function of so many inputs.

    Examples
    --------
    >>> from hypothesis import find
    >>> from minadder import testing
    >>> find(testing.broadcastable_shapes(2), lambda shapes: len(shapes[0]) != len(shapes[1]))
    ((), (1,))
    """
    found = extra.mutually_broadcastable_shapes(num_shapes=count, max_dims=3, max_side=4)
    return found.map(lambda shapes: shapes.input_shapes)


def dtypes() -> st.SearchStrategy[np.dtype[Any]]:
    """Draw float32 or float64, the dtypes that tensors have."""
    return st.sampled_from((np.dtype(np.float32), np.dtype(np.float64)))


def layouts() -> st.SearchStrategy[str]:
    """Draw the name of a layout in memory: `LAYOUTS[name](array)` is a copy that lies so."""
    return st.sampled_from(sorted(LAYOUTS))


def offsets(count: int) -> list[float]:
    """Return so many different numbers between 0 and 1: ½, ¼, ¾, ⅛, … (van der Corput's sequence)."""
    return [int(f"{number:b}"[::-1], 2) / 2 ** number.bit_length() for number in range(1, count + 1)]


def lattice_values(
    rng: np.random.Generator, shapes: Sequence[Shape], low: float = -3.0, high: float = 3.0
) -> tuple[Array, ...]:
    """Return float64 arrays of these shapes on the lattice: no two values of one array, or of two, are equal.

    The points are (k + o)·s for integers k, with an own offset o for each array, between `low` and `high`. The spacing
    s is ½, or the largest power of two below at which the largest array finds enough of them.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder.testing.lattice import lattice_values
    >>> one, other = lattice_values(np.random.default_rng(0), [(4,), (2,)])
    >>> one.tolist(), other.tolist()
    ([-1.25, -0.25, 0.75, 0.25], [-2.875, -1.875])
    """
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"the lattice needs low < high, both finite, not low={low} and high={high}")
    most = max((math.prod(shape) for shape in shapes), default=0)
    spacing = SPACING
    while (high - low) / spacing - 1 < most:
        spacing /= 2
    arrays = []
    for shape, offset in zip(shapes, offsets(len(shapes)), strict=True):
        numbers = np.arange(math.ceil(low / spacing - offset), math.floor(high / spacing - offset) + 1)
        chosen = rng.choice(numbers, math.prod(shape), replace=False)
        arrays.append(np.asarray((chosen.reshape(shape) + offset) * spacing))
    return tuple(arrays)


def lattice_inputs(
    shapes: Sequence[Shape] | st.SearchStrategy[Any], low: float = -3.0, high: float = 3.0
) -> st.SearchStrategy[tuple[Array, ...]]:
    """Draw the inputs of one function: float64 arrays on the lattice of which no two values are equal.

    Parameters
    ----------
    shapes
        A shape for each input, or a strategy that draws them, such as `broadcastable_shapes()`.
    low, high
        Where the values lie.

    Examples
    --------
    >>> from hypothesis import given
    >>> from minadder import testing
    >>> @given(testing.lattice_inputs([(2, 3), (3,)]))
    ... def test_inputs_never_tie(inputs):
    ...     x, y = inputs
    ...     assert (x != y).all()
    >>> test_inputs_never_tie()
    """

    @st.composite  # whose values Hypothesis shows, where it shows how `builds` was called
    def inputs(draw: Callable[..., Any]) -> tuple[Array, ...]:
        return lattice_values(np.random.default_rng(draw(seeds)), draw(drawn(shapes)), low, high)

    return inputs()


def drawn(value: Any) -> st.SearchStrategy[Any]:
    """Return a strategy as it is, and one that draws nothing else for a value."""
    return value if isinstance(value, st.SearchStrategy) else st.just(value)


def lattice_arrays(
    shape: Shape | st.SearchStrategy[Shape] | None = None,
    dtype: npt.DTypeLike | st.SearchStrategy[np.dtype[Any]] = np.float64,
    layout: str | st.SearchStrategy[str] | None = None,
    low: float = -3.0,
    high: float = 3.0,
) -> st.SearchStrategy[Array]:
    """Draw an array on the lattice away from kinks: its values are never 0, 1 or −1, and no two are equal.

    Parameters
    ----------
    shape
        Its shape, or a strategy; None draws any small one.
    dtype
        Its dtype, or a strategy, such as `dtypes()`.
    layout
        How it lies in memory, a name in `LAYOUTS` or a strategy, such as `layouts()`; None: one value after the other.
    low, high
        Where its values lie: `low=0.25` for a logarithm.

    Examples
    --------
    >>> import numpy as np
    >>> from hypothesis import given
    >>> from minadder import testing
    >>> @given(testing.lattice_arrays(dtype=testing.dtypes(), layout=testing.layouts()))
    ... def test_nothing_sits_on_a_kink(x):
    ...     assert not np.isin(x, [-1, 0, 1]).any()
    >>> test_nothing_sits_on_a_kink()
    """

    @st.composite
    def array(draw: Callable[..., Any]) -> Array:
        size, kind, name = draw(drawn(shapes() if shape is None else shape)), draw(drawn(dtype)), draw(drawn(layout))
        (values,) = lattice_values(np.random.default_rng(draw(seeds)), [size], low, high)
        return values.astype(kind) if name is None else LAYOUTS[name](values.astype(kind))

    return array()


class DrawByHypothesis(Draw):
    """A source of choices that Hypothesis makes and shrinks.

    Parameters
    ----------
    draw
        What a composite strategy or `st.data()` draws with.
    """

    def __init__(self, draw: Callable[..., Any]) -> None:
        super().__init__(np.random.default_rng(draw(seeds)))
        self._draw = draw

    def integer(self, low: int, high: int) -> int:
        """Return an integer from low to high, both included."""
        return int(self._draw(st.integers(low, high)))


@st.composite
def samples_of(draw: Callable[..., Any], source: Operation | Callable[[Draw], Sample]) -> Sample:
    """Draw arguments of an operation of the registry, or from a function of `minadder.ops.samples`."""
    strategy = source.sample if isinstance(source, Operation) else source
    return strategy(DrawByHypothesis(draw))


def cotangent(rng: np.random.Generator, shape: Shape) -> Array:
    """Return weights for outputs from ¼ℤ, never all equal where there are several; float64."""
    weights = np.asarray(rng.integers(-8, 9, shape) / 4)
    weights.reshape(-1)[:1] = 1.75
    weights.reshape(-1)[1:2] = -0.5
    return weights
