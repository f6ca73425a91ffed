"""Zeros at the ends of the rows of a matrix that multiplies a vector of lanes, as those of a Cholesky factor: left out.

A sum of products that begins with 0.0 is never -0.0, so a product that is 0 changes no bit of it; each is 0 if the vector's
elements are finite.
"""

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.extending import intrinsic

from ._jit import inline
from .lanes import any_lane
from .vector import fma

_ROWS, _BLOCK = 4, 8
_WORD = ir.IntType(64)


@intrinsic
def _used_of_block(typingctx, a, i, first):
    """Of columns first .. first + 7 of rows i .. i + 3 of a C matrix float64, how many up to the last that is not all 0."""

    def emit(context, builder, sig, args):
        matrix = context.make_array(a)(context, builder, args[0])
        columns, kind = builder.extract_value(matrix.shape, 1), ir.VectorType(_WORD, _BLOCK)
        found = ir.Constant(kind, [0] * _BLOCK)
        for row in range(_ROWS):
            at = builder.add(builder.mul(builder.add(args[1], ir.Constant(_WORD, row)), columns), args[2])
            place = builder.bitcast(builder.gep(matrix.data, [at]), kind.as_pointer())
            found = builder.or_(found, builder.load(place, align=8))
        # The sign does not count.
        found = builder.shl(found, ir.Constant(kind, [1] * _BLOCK))
        mask = builder.icmp_unsigned("!=", found, ir.Constant(kind, [0] * _BLOCK))
        bits = builder.zext(builder.bitcast(mask, ir.IntType(_BLOCK)), _WORD)
        zeros = builder.ctlz(bits, ir.Constant(ir.IntType(1), 0))
        return builder.sub(ir.Constant(_WORD, 64), zeros)

    return types.int64(a, types.int64, types.int64), emit


@inline
def used(a, i):
    """How many columns rows i .. i + 3 of a C matrix float64[n >= i + 4, > 8] have up to their last one that is not 0."""
    columns = a.shape[1]
    while columns > 0:
        first = max(columns - _BLOCK, 0)
        found = _used_of_block(a, i, first)
        if found > 0:
            return first + found
        columns = first
    return 0


@inline
def finite(x):
    """Whether all elements of an array of vectors, not empty, are finite."""
    found = x[0] * 0.0
    for i in range(1, x.size):
        found = fma(x[i], 0.0, found)
    return not any_lane(found != np.float64(0.0))
