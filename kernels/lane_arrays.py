"""Arrays of vectors of lanes in compiled code."""

import functools

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.extending import box, intrinsic, models, register_model
from numba.core.imputils import impl_ret_borrowed
from numba.np.arrayobj import populate_array

from ._jit import body, inner, overload
from .lane_room import Room, lent, reserve
from .vector import Vector
from .views import workspaces


@inner
def workspace(count):
    """Zeros float64[count] that begin with a cache line."""
    return workspaces(0, count)[1]


class LaneArray(types.Array):
    """A vector of vectors: element j is the replicates' j-th number. Its memory is aligned as that of doubles."""

    def __init__(self, lanes):
        super().__init__(Vector("f", lanes), 1, "C", aligned=False)


register_model(LaneArray)(models.ArrayModel)


@box(LaneArray)
def _not_for_python(kind, value, c):
    c.pyapi.err_set_string("PyExc_TypeError", "vectors of lanes are for compiled code alone")
    return c.pyapi.get_null_object()


@intrinsic(prefer_literal=True)
def borrow_lanes(typingctx, array, begin, count, lanes):
    """`count` vectors of `lanes` (a constant) doubles from element `begin` of a flat array on, as `borrow`."""
    result, size = LaneArray(lanes.literal_value), 8 * lanes.literal_value

    def emit(context, builder, sig, args):
        source = context.make_array(sig.args[0])(context, builder, args[0])
        view = context.make_array(result)(context, builder)
        data = builder.bitcast(builder.gep(source.data, [args[1]]), view.data.type)
        bytes_ = context.get_constant(types.intp, size)
        populate_array(view, data=data, shape=[args[2]], strides=[bytes_], itemsize=bytes_, meminfo=None)
        return view._getvalue()

    return result(array, types.intp, types.intp, lanes), emit


@intrinsic(prefer_literal=True)
def stack_lanes(typingctx, count, lanes):
    """`count` vectors of `lanes`, both constants, on the stack of the compiled function: in registers where these are few."""
    result, size = LaneArray(lanes.literal_value), 8 * lanes.literal_value

    def emit(context, builder, sig, args):
        with builder.goto_entry_block():
            memory = builder.alloca(ir.ArrayType(result.dtype.llvm, count.literal_value))
            memory.align = 64
        view = context.make_array(result)(context, builder)
        bytes_ = context.get_constant(types.intp, size)
        shape = [context.get_constant(types.intp, count.literal_value)]
        data = builder.bitcast(memory, view.data.type)
        populate_array(view, data=data, shape=shape, strides=[bytes_], itemsize=bytes_, meminfo=None)
        return view._getvalue()

    return result(count, lanes), emit


@intrinsic(prefer_literal=True)
def _as_lanes(typingctx, array, lanes):
    result, size = LaneArray(lanes.literal_value), 8 * lanes.literal_value

    def emit(context, builder, sig, args):
        source = context.make_array(sig.args[0])(context, builder, args[0])
        view = context.make_array(result)(context, builder)
        bytes_ = context.get_constant(types.intp, size)
        count = builder.udiv(source.nitems, context.get_constant(types.intp, lanes.literal_value))
        data = builder.bitcast(source.data, view.data.type)
        populate_array(
            view,
            data=data,
            shape=[count],
            strides=[bytes_],
            itemsize=bytes_,
            meminfo=source.meminfo,
            parent=source.parent,
        )
        return impl_ret_borrowed(context, builder, result, view._getvalue())

    return result(array, lanes), emit


@functools.cache
def makers(lanes):
    """np.empty(count) and np.zeros(count) of vectors, in a room if one is given."""
    lend = lent(LaneArray(lanes))

    def empty(count, room=None):
        raise NotImplementedError

    @overload(empty)
    def _empty(count, room=None):
        if not isinstance(room, Room):
            return lambda count, room=None: _as_lanes(np.empty(count * lanes), lanes)

        def made(count, room=None):
            begin = reserve(room, np.int64(count) * (8 * lanes))
            return lend(room, begin, np.int64(count)) if begin >= 0 else _as_lanes(np.empty(count * lanes), lanes)

        return made

    @body
    def zeros(count, room=None):
        array = empty(count, room)
        for i in range(array.size):
            array[i] = 0.0
        return array

    return empty, zeros


_lend_numbers = lent(types.Array(types.float64, 1, "C"))


def empty_numbers(count, room=None):
    """np.empty(count), in a room if one is given."""
    raise NotImplementedError


@overload(empty_numbers)
def _empty_numbers(count, room=None):
    if not isinstance(room, Room):
        return lambda count, room=None: np.empty(count)

    def made(count, room=None):
        begin = reserve(room, (np.int64(count) + 7) // 8 * 64)  # vectors behind them begin with a cache line
        return _lend_numbers(room, begin, np.int64(count)) if begin >= 0 else np.empty(count)

    return made
