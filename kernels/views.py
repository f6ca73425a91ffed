"""Flat arrays of doubles: memory that suits vectors, two vectors written in turn, parts without a reference to the whole."""

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.extending import intrinsic
from numba.np.arrayobj import populate_array

from ._jit import inner
from .vector import Vector, _pointer


@inner
def workspaces(first, second):
    """Two arrays of float64, the first uninitialised, the second zero, side by side from the start of a cache line.

    A vector across two cache lines costs two accesses, and arrays apart may lie a multiple of 4 KiB from each other, where
    the processor takes a load for one that must wait for a store: up to 9 % of the time of a recursion.
    """
    begin = (first + 7) // 8 * 8
    room = np.empty(begin + second + 7)
    skip = (-(room.ctypes.data >> 3)) & 7
    room[skip + begin :] = 0.0
    return room[skip : skip + first], room[skip + begin : skip + begin + second]


@intrinsic(prefer_literal=True)
def store_pairs(typingctx, array, index, a, b):
    """Write a[0], b[0], a[1], b[1], ... to a flat float64 array from `index` on."""

    def emit(context, builder, sig, args):
        order = [lane + side * a.lanes for lane in range(a.lanes) for side in (0, 1)]
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order)
        both = builder.shuffle_vector(args[2], args[3], mask)
        builder.store(
            both, _pointer(context, builder, sig.args[0], args[0], args[1], Vector("f", 2 * a.lanes)), align=8
        )
        return context.get_dummy_value()

    return types.void(array, types.uint64, a, b), emit


@intrinsic
def borrow(typingctx, array, begin, count):
    """array[begin : begin + count] of a flat array, without a reference to its owner, which must outlive the result.

    A slice counts references with two atomic operations, which cost more than the gradient of a small sample.
    """
    result = types.Array(array.dtype, 1, "C")

    def emit(context, builder, sig, args):
        source = context.make_array(sig.args[0])(context, builder, args[0])
        view = context.make_array(result)(context, builder)
        size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(array.dtype)))
        populate_array(
            view, data=builder.gep(source.data, [args[1]]), shape=[args[2]], strides=[size], itemsize=size, meminfo=None
        )
        return view._getvalue()

    return result(array, types.intp, types.intp), emit


@intrinsic
def keep(typingctx, array):
    """The last use of an array of which parts are borrowed: its memory stays up to here."""
    return types.void(array), lambda context, builder, sig, args: context.get_dummy_value()
