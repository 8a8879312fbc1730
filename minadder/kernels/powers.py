"""|d|^q for many d and one q, without a call of the C library for each: two lookups and a polynomial.

With |d| = 2^e · m and 1 ≤ m < 2, |d|^q is 2^(q·e) · m^q. The first factor comes from two tables, of 2^(q·16·a) and of
2^(q·b) with e = 16·a + b. The second is a polynomial of m, another one for each 16th part of [1, 2), in float64 for
each 32nd. So each lookup is by a few bits of d.

Most numbers are ordinary: 2^-31 ≤ |d| < 2, as kernels scale what layers are given. Where float32 has vector registers
that can be looked up in, `simd_powers.py` finds the powers of these by a lookup of 2^(q·e) and a polynomial for all m.

The error is at most `Format.error` relative to |d|^q. d = 0 gives exactly 0, and what is smaller than
`Format.smallest` counts as 0. From `Format.largest` on, for infinity and for NaN, the result is not finite: callers
look for that and compute such sums in another way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numba import extending
from numba.core import types
from numpy.polynomial import chebyshev, polynomial

from minadder.autograd import Array
from minadder.jit import kernel

LOW = 16
"""Entries of the table of low exponents."""

NODES = 64
"""Points in a segment at which its polynomial is fitted."""

ORDINARY = 32
"""How many exponents ordinary numbers have: as many entries as a lookup in two registers of 512 bits has."""

STEPS = 8
"""Entries of a lookup in a register of 256 bits."""

FIRST_ORDINARY = -31
"""The least of these exponents. With the bias it is a multiple of their count: the highest bits tell the ordinary."""

TINY = 1e-12
"""Leading coefficients are at least that large, as the others are divided by them: nearer to 0 at q = 0, 1, 2 alone."""

LARGE_DEGREE, SMALL_DEGREE = 5, 6
"""Degree of the polynomial of ordinary numbers where q ≥ 1 and where q < 1: it leaves out at most 4.2e-7, 2.1e-7."""


@dataclass(frozen=True)
class Format:
    """How the numbers of a dtype are laid out, and what follows for the tables."""

    mantissa_bits: int
    exponent_bits: int
    segment_bits: int
    """[1, 2) is cut into 2^segment_bits parts with a polynomial each."""
    degree: int
    """Of the polynomials: what they leave out is about as much as the rounding."""
    error: float
    """Bound on the relative error of a power: of five roundings, the polynomials and the tables."""

    @property
    def bias(self) -> int:
        """What is added to an exponent to store it."""
        return (1 << (self.exponent_bits - 1)) - 1

    @property
    def high(self) -> int:
        """Entries of the table of high exponents."""
        return (1 << self.exponent_bits) // LOW

    @property
    def ordinary(self) -> int:
        """Where in the table that begins which ordinary numbers take."""
        return LOW + self.high + (1 << self.segment_bits) * (self.degree + 1)

    @property
    def smallest(self) -> float:
        """Smaller numbers count as 0."""
        return 2.0 ** (LOW - self.bias)

    @property
    def largest(self) -> float:
        """From here on powers are infinite: with the last fourth of the exponents."""
        return 2.0 ** (LOW * (self.high - self.high // 4) - self.bias)


FORMATS: dict[Any, Format] = {
    np.dtype(np.float32): Format(mantissa_bits=23, exponent_bits=8, segment_bits=4, degree=2, error=8e-7),
    np.dtype(np.float64): Format(mantissa_bits=52, exponent_bits=11, segment_bits=5, degree=7, error=1e-12),
}


@lru_cache(maxsize=128)
def tables(exponent: float, dtype: Any, factor: float = 1.0) -> Array:
    """Return what factor · |d|^exponent takes from memory, in one row.

    It holds 2^(q·(b − 8)) for b < 16; for each high exponent a factor · 2^(q·(16·a + 8 − bias)); the polynomials'
    coefficients, the constant ones of all segments first; and in float32 what `ordinary_table` returns.

    Parameters
    ----------
    exponent
        In [0, 2].
    dtype
        float32 or float64.
    factor
        What all powers are multiplied by.

    Examples
    --------
    >>> import numpy as np
    >>> from minadder.kernels import powers
    >>> table = powers.tables(1.5, np.dtype("float32"))
    >>> [round(float(powers.power(np.float32(d), table)), 5) for d in (0.0, 0.25, -4.0)]
    [0.0, 0.125, 8.0]
    """
    layout = FORMATS[np.dtype(dtype)]
    low = 2.0 ** (exponent * (np.arange(LOW) - LOW // 2))
    with np.errstate(over="ignore"):
        high = factor * 2.0 ** (exponent * (LOW * np.arange(layout.high) + LOW // 2 - layout.bias))
    high[0], high[-layout.high // 4 :] = 0, np.inf
    segments = 1 << layout.segment_bits
    coefficients = [segment_polynomial(exponent, layout.degree, segments, segment) for segment in range(segments)]
    ordinary = ordinary_table(exponent, factor) if layout.mantissa_bits == 23 else np.zeros(0)
    with np.errstate(over="ignore"):
        return np.concatenate([low, high, np.ravel(coefficients, order="F"), ordinary]).astype(dtype)


def ordinary_table(exponent: float, factor: float) -> Array:
    """Return what factor · |d|^exponent of ordinary numbers takes from memory, in one row.

    That is, for each exponent e from the first on factor · 2^(q·e) · c, where c is the leading coefficient of the
    polynomial; the same for two lookups of three bits, 2^(q·b) for b < 8, and twice those of each eighth exponent; and
    the coefficients divided by c but for c itself, the constant one first. So the highest power of m needs no
    multiplication by its coefficient. Where q < 1 the polynomial is one of m + s, where s makes the second coefficient
    0: s comes before the others.
    """
    degree = LARGE_DEGREE if exponent >= 1 else SMALL_DEGREE
    around_middle: Any = polynomial.Polynomial(segment_polynomial(exponent, degree, 1, 0))
    around_zero: Any = around_middle(polynomial.Polynomial([-1.5, 1]))
    coefficients = np.pad(around_zero.coef, (0, degree + 1 - len(around_zero.coef)))
    leading = coefficients[-1] if abs(coefficients[-1]) > TINY else TINY
    rest = coefficients[:-1] / leading
    if exponent < 1:
        shift = float(np.float32(rest[-1] / degree))
        shifted = around_zero(polynomial.Polynomial([-shift, 1])).coef
        rest = np.concatenate([[shift], np.pad(shifted, (0, degree))[: degree - 1] / leading])
    scales = leading * factor * 2.0 ** (exponent * (FIRST_ORDINARY + np.arange(ORDINARY)))
    steps, starts = 2.0 ** (exponent * np.arange(STEPS)), np.tile(scales[::STEPS], 2)
    return np.concatenate([scales, steps, starts, rest])


def segment_polynomial(exponent: float, degree: int, segments: int, segment: int) -> Array:
    """Return the coefficients, lowest first, of a polynomial of m minus the segment's middle that is close to m^q.

    It is fitted at Chebyshev's points, for the largest relative error to be small.
    """
    half = 0.5 / segments
    middle = 1 + (2 * segment + 1) * half
    places = np.cos((np.arange(NODES) + 0.5) * np.pi / NODES)
    wanted = (middle + half * places) ** exponent
    fitted = chebyshev.cheb2poly(chebyshev.chebfit(places, wanted, degree, w=1 / wanted))
    padded = np.zeros(degree + 1)
    padded[: len(fitted)] = fitted
    return np.asarray(padded / half ** np.arange(degree + 1))


def pieces(d: Any) -> tuple[int, int, int, int, int]:
    """Return the bits of a number that is not negative, and what its `Format` says, for kernels."""
    layout = FORMATS[d.dtype]
    bits = int(d.view(f"i{d.itemsize}"))
    return bits, layout.mantissa_bits, layout.high, layout.segment_bits, layout.degree


overload: Callable[..., Any] = extending.overload


@overload(pieces)  # type: ignore[untyped-decorator]
def compiled_pieces(d: Any) -> Any:
    """Return what Numba compiles for it, which must see the dtype."""

    def of_single(d: Any) -> Any:
        return np.int64(np.float32(d).view(np.int32)), 23, 16, 4, 2

    def of_double(d: Any) -> Any:
        return np.int64(np.float64(d).view(np.int64)), 52, 128, 5, 7

    return of_single if d == types.float32 else of_double


@kernel
def power(d: float, table: Array) -> float:
    """Return |d|^q from the tables of q: what the vector registers' power does lane by lane."""
    bits, mantissa, high, segment_bits, degree = pieces(abs(d))
    scale = table[(bits >> mantissa) & (LOW - 1)] * table[LOW + ((bits >> (mantissa + 4)) & (high - 1))]
    rest_bits, segments = mantissa - segment_bits, 1 << segment_bits
    real = table.dtype.type
    rest = real(bits & ((1 << rest_bits) - 1)) / real(1 << mantissa) - real(0.5) / real(segments)
    first = LOW + high + ((bits >> rest_bits) & (segments - 1))
    total = table[first + segments * degree]
    for n in range(degree - 1, -1, -1):
        total = total * rest + table[first + segments * n]
    return scale * total


@kernel
def signed_power(d: float, table: Array) -> float:
    """Return sgn(d)·|d|^q."""
    value = power(d, table)
    return -value if d < 0 else value
