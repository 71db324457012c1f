"""Sums and products of tilting weights, eight tilts at a time: one in each lane of a vector register.

The grid of ``t`` has eight points in each octave, ``t = (8 + j) t_low / 8 * 2**o``. With ``u = exp(t_low z / 8)`` the
weights of the first octave are ``u**8 .. u**15``, those of each further octave the squares of the ones before. So a
reward costs one exponential, and each of its weights a few multiplications in registers.

The loops are written as vector instructions of the compiler's intermediate language (narrower machines get several for
one), because compilers do not find them by themselves.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 8  # tilts at a time, the points of an octave
OCTAVES = 12  # whose sums are made in one pass

_DOUBLE, _INDEX = ir.DoubleType(), ir.IntType(64)
_VECTOR = ir.VectorType(_DOUBLE, LANES)
_FREE = ("fast",)  # the order of sums, and fused multiplication and addition, are the compiler's choice


def _constant(value: float) -> Any:
    return ir.Constant(_VECTOR, [value] * LANES)


def _spread(builder: Any, x: Any) -> Any:
    """A vector with ``x`` in every lane."""
    undefined, places = ir.Constant(_VECTOR, ir.Undefined), ir.VectorType(ir.IntType(32), LANES)
    one = builder.insert_element(undefined, x, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, undefined, ir.Constant(places, [0] * LANES))


def _powers(builder: Any, powers: Any, i: Any, stride: Any) -> Any:
    """``x**8, x**9, ..., x**15``, one a lane, from ``x, x**2, x**4, x**8``: entry ``i`` of each row of ``powers``."""
    power = []
    for _ in range(4):
        power.append(_spread(builder, builder.load(builder.gep(powers, [i]))))
        i = builder.add(i, stride)
    result = power[3]
    for bit in range(3):
        odd = ir.Constant(ir.VectorType(ir.IntType(1), LANES), [bool(j >> bit & 1) for j in range(LANES)])
        result = builder.select(odd, builder.fmul(result, power[bit], flags=_FREE), result)
    return result


def _data(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    return context.make_array(kind)(context, builder, array).data


def _load(builder: Any, data: Any, at: Any) -> Any:
    place = builder.bitcast(builder.gep(data, [at]), ir.PointerType(_VECTOR))
    return builder.load(place, align=8)


def _store(builder: Any, value: Any, data: Any, at: Any) -> None:
    place = builder.bitcast(builder.gep(data, [at]), ir.PointerType(_VECTOR))
    builder.store(value, place, align=8)


def _add_to(builder: Any, total: Any, value: Any) -> None:
    builder.store(builder.fadd(builder.load(total), value, flags=_FREE), total)


@intrinsic
def tilted_sums(context: Any, powers: Any, stride: Any, start: Any, stop: Any, sums: Any, at: Any) -> Any:
    """Sums over the rewards ``start`` to ``stop`` of the weights at the tilts of :data:`OCTAVES` octaves.

    ``powers`` holds ``u, u**2, u**4, u**8`` of each reward, in rows of length ``stride``. ``sums[at:]`` gets
    ``sum u**((8 + j) 2**o)`` at ``8 o + j``.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        powers, stride, start, stop, sums, at = arguments
        powers = _data(context, builder, signature.args[0], powers)
        sums = _data(context, builder, signature.args[4], sums)
        total = [cgutils.alloca_once_value(builder, _constant(0.0)) for _ in range(OCTAVES)]
        with cgutils.for_range_slice(builder, start, stop, ir.Constant(_INDEX, 1)) as (i, _):
            w = _powers(builder, powers, i, stride)
            for o in range(OCTAVES):
                _add_to(builder, total[o], w)
                w = builder.fmul(w, w, flags=_FREE)
        for o in range(OCTAVES):
            place = builder.add(at, ir.Constant(_INDEX, o * LANES))
            _store(builder, builder.load(total[o]), sums, place)
        return context.get_dummy_value()

    array, index = types.Array(types.float64, 1, "C"), types.intp
    return types.void(array, index, index, index, array, index), emit


@intrinsic
def first_octave(context: Any, powers: Any, stride: Any, start: Any, stop: Any, weights: Any, at: Any) -> Any:
    """Set ``weights[at:]`` to ``u**8 .. u**15``, eight for each of the rewards ``start`` to ``stop``."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        powers, stride, start, stop, weights, at = arguments
        powers = _data(context, builder, signature.args[0], powers)
        weights = _data(context, builder, signature.args[4], weights)
        eight = ir.Constant(_INDEX, LANES)
        with cgutils.for_range_slice(builder, start, stop, ir.Constant(_INDEX, 1)) as (i, _):
            place = builder.add(at, builder.mul(builder.sub(i, start), eight))
            _store(builder, _powers(builder, powers, i, stride), weights, place)
        return context.get_dummy_value()

    array, index = types.Array(types.float64, 1, "C"), types.intp
    return types.void(array, index, index, index, array, index), emit


@intrinsic
def interpolate_ahead(context: Any, values: Any, weights: Any, octaves: Any, out: Any) -> Any:
    """Of each octave's eight points, combinations of the values in the two octaves after it.

    ``out[8 o + j]`` is the sum over the sixteen ``m`` of ``values[8 (o + 1) + m] weights[8 m + j]``.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, weights, octaves, out = arguments
        values, weights = (_data(context, builder, signature.args[k], (values, weights)[k]) for k in range(2))
        out = _data(context, builder, signature.args[3], out)
        eight = ir.Constant(_INDEX, LANES)
        with cgutils.for_range(builder, octaves) as loop:
            here = builder.mul(loop.index, eight)
            total = _constant(0.0)
            for m in range(2 * LANES):
                value = builder.load(builder.gep(values, [builder.add(here, ir.Constant(_INDEX, LANES + m))]))
                weight = _load(builder, weights, ir.Constant(_INDEX, LANES * m))
                part = builder.fmul(_spread(builder, value), weight, flags=_FREE)
                total = builder.fadd(total, part, flags=_FREE)
            _store(builder, total, out, here)
        return context.get_dummy_value()

    array = types.Array(types.float64, 1, "C")
    return types.void(array, array, types.intp, array), emit


@intrinsic
def multiply_and_square(
    context: Any,
    weights: Any,
    start: Any,
    stop: Any,
    scales: Any,
    products: Any,
    one: Any,
    two: Any,
    three: Any,
) -> Any:
    """Multiply products by ``1 - w a`` for all weights ``w`` in ``weights[start:stop]``, and square the weights.

    There are eight weights a reward. At each of the three places ``one``, ``two`` and ``three``, ``scales`` has the
    ``a`` of the eight tilts, and ``products`` what is multiplied.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        weights, start, stop, scales, products, *places = arguments
        weights = _data(context, builder, signature.args[0], weights)
        scales = _data(context, builder, signature.args[3], scales)
        products = _data(context, builder, signature.args[4], products)
        unity = _constant(1.0)
        scale = [_load(builder, scales, place) for place in places]
        product = [cgutils.alloca_once_value(builder, _load(builder, products, place)) for place in places]
        with cgutils.for_range_slice(builder, start, stop, ir.Constant(_INDEX, LANES)) as (i, _):
            w = _load(builder, weights, i)
            for a, total in zip(scale, product, strict=True):
                factor = builder.fsub(unity, builder.fmul(w, a, flags=_FREE), flags=_FREE)
                builder.store(builder.fmul(builder.load(total), factor, flags=_FREE), total)
            _store(builder, builder.fmul(w, w, flags=_FREE), weights, i)
        for place, total in zip(places, product, strict=True):
            _store(builder, builder.load(total), products, place)
        return context.get_dummy_value()

    array, index = types.Array(types.float64, 1, "C"), types.intp
    return types.void(array, index, index, array, array, index, index, index), emit
