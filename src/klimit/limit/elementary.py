"""Exponential and logarithm for compiled loops: unlike the library's, they become vector code."""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from klimit.limit.compiled import INNER

_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10  # the first with zeros at its end
_ROOT_2 = 1.4142135623730951
_SHIFTER = 6755399441055744.0  # 1.5 * 2**52: added to a small whole number, it leaves it in the lowest bits
_SMALLEST = -708.0  # exp of less is no normal number any more
_MANTISSA, _ONE, _BIAS, _EXPONENT = (1 << 52) - 1, 1023 << 52, 1023, 52


@intrinsic
def _bits(context: Any, x: Any) -> Any:
    """The bits of a float64, as an int64."""

    def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), emit


@intrinsic
def _from_bits(context: Any, bits: Any) -> Any:
    """The float64 with the bits of an int64."""

    def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), emit


@numba.njit(fastmath={"contract"}, **INNER)
def exp(x: float) -> float:
    """``e**x`` of ``x`` at most 0, to about one unit in the last place; at least 1e-308."""
    x = max(x, _SMALLEST)
    shifted = x * _LOG2_E + _SHIFTER
    whole = shifted - _SHIFTER
    r = (x - whole * _LN2_HIGH) - whole * _LN2_LOW
    p = 1.0 / 6227020800.0  # the series to the 13th power
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * (r * r) + r
    return (p + 1.0) * _from_bits((_bits(shifted) + _BIAS) << _EXPONENT)


@numba.njit(**INNER)
def power(x: float) -> int:
    """The power of two in a normal number above 0: that number is between it and twice it."""
    return (_bits(x) >> _EXPONENT) - _BIAS


@numba.njit(**INNER)
def mantissa(x: float) -> float:
    """What is left of a normal number above 0 without its power of two: from 1 to 2."""
    return _from_bits((_bits(x) & _MANTISSA) | _ONE)


@numba.njit(fastmath={"contract"}, **INNER)
def log(x: float) -> float:
    """The natural logarithm of a normal number above 0, to about one unit in the last place."""
    m = mantissa(x)
    large = m > _ROOT_2
    m = 0.5 * m if large else m
    whole = power(x) + (1.0 if large else 0.0)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    p = 1.0 / 23.0  # 2 artanh s by its series
    p = p * z + 1.0 / 21.0
    p = p * z + 1.0 / 19.0
    p = p * z + 1.0 / 17.0
    p = p * z + 1.0 / 15.0
    p = p * z + 1.0 / 13.0
    p = p * z + 1.0 / 11.0
    p = p * z + 1.0 / 9.0
    p = p * z + 1.0 / 7.0
    p = p * z + 1.0 / 5.0
    p = p * z + 1.0 / 3.0
    return whole * _LN2_HIGH + (2.0 * s + (2.0 * s * z * p + whole * _LN2_LOW))
