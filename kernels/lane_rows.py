"""Eight rows of a pool side by side without being turned: element j is a vector of the rows' j-th numbers.

A product of the rows with one array runs along the rows,

    rows @ x        lane i: elements 0..7, 8..15, ... of row i times those of x, added from zero lane by lane, fused; the lanes
                    of that as ((0+4)+(2+6)) + ((1+5)+(3+7))

as the margins of `samples`. `lane_margins` writes a user's gradient for them.
"""

import operator

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic, models, overload_attribute, register_model

from ._jit import inline, overload
from .lane_terms import dot
from .lanes import ask_for, lane_sums
from .vector import Panel, Vector, _as_vector, _call, load, panel_zero

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_VECTOR = Vector("f", 8)


class LaneRows(types.Type):
    """Eight rows of `size` doubles; nothing is read behind the last."""

    def __init__(self):
        super().__init__(name="LaneRows")


LANE_ROWS = LaneRows()


@register_model(LaneRows)
class _LaneRowsModel(models.StructModel):
    def __init__(self, dmm, kind):
        members = [(f"row{i}", types.CPointer(types.float64)) for i in range(8)]
        super().__init__(dmm, kind, [*members, ("size", types.intp)])


def _pointers(context, builder, rows):
    made = cgutils.create_struct_proxy(LANE_ROWS)(context, builder, rows)
    return [getattr(made, f"row{i}") for i in range(8)]


def _vector_at(builder, pointer, at):
    kind = _VECTOR.llvm.as_pointer()
    return builder.load(builder.bitcast(builder.gep(pointer, [at]), kind), align=8)


@intrinsic
def eight_rows(typingctx, pool, width, numbers, at, size):
    """Rows numbers[at : at + 8] (flat uint32) of a flat pool whose rows are `width` apart, the first `size` elements."""

    def emit(context, builder, sig, args):
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        index = context.make_array(sig.args[2])(context, builder, args[2]).data
        rows = cgutils.create_struct_proxy(LANE_ROWS)(context, builder)
        for i in range(8):
            place = builder.gep(index, [builder.add(args[3], ir.Constant(_I64, i))])
            number = builder.zext(builder.load(place, align=4), _I64)
            setattr(rows, f"row{i}", builder.gep(data, [builder.mul(number, args[1])]))
        rows.size = args[4]
        return rows._getvalue()

    return LANE_ROWS(pool, types.uint64, numbers, types.uint64, types.intp), emit


@intrinsic(prefer_literal=True)
def fetch_line(typingctx, rows, at, level):
    """Ask for the cache lines that hold element `at` of the rows, into a level (1 or 2, a constant); changes no value."""

    def emit(context, builder, sig, args):
        rows = _pointers(context, builder, args[0])
        ask_for(builder, (builder.gep(row, [args[1]]) for row in rows), level.literal_value)
        return context.get_dummy_value()

    return types.void(rows, types.uint64, level), emit


# ---- elements and parts ----------------------------------------------------------------------------------------------


@intrinsic
def _column(typingctx, rows, at):
    def emit(context, builder, sig, args):
        value = ir.Constant(_VECTOR.llvm, ir.Undefined)
        for i, row in enumerate(_pointers(context, builder, args[0])):
            element = builder.load(builder.gep(row, [args[1]]), align=8)
            value = builder.insert_element(value, element, ir.Constant(_I32, i))
        return value

    return _VECTOR(rows, types.intp), emit


@intrinsic
def _part(typingctx, rows, start, size):
    def emit(context, builder, sig, args):
        made = cgutils.create_struct_proxy(LANE_ROWS)(context, builder)
        for i, row in enumerate(_pointers(context, builder, args[0])):
            setattr(made, f"row{i}", builder.gep(row, [args[1]]))
        made.size = args[2]
        return made._getvalue()

    return LANE_ROWS(rows, types.intp, types.intp), emit


@overload(operator.getitem)
def _element(rows, i):
    if not isinstance(rows, LaneRows):
        return None
    if isinstance(i, types.Integer):
        return lambda rows, i: _column(rows, i + rows.size if i < 0 else i)
    if isinstance(i, types.SliceType) and not i.has_step:

        def part(rows, i):
            start, stop, _ = i.indices(rows.size)
            return _part(rows, start, max(stop - start, 0))

        return part
    return None


@intrinsic
def _size_of(typingctx, rows):
    def emit(context, builder, sig, args):
        return cgutils.create_struct_proxy(rows)(context, builder, args[0]).size

    return types.intp(rows), emit


@overload_attribute(LaneRows, "size")
def _size(rows):
    return lambda rows: _size_of(rows)


@overload_attribute(LaneRows, "shape")
def _shape(rows):
    return lambda rows: (_size_of(rows),)


@overload(len)
def _length(rows):
    return (lambda rows: _size_of(rows)) if isinstance(rows, LaneRows) else None


# ---- products --------------------------------------------------------------------------------------------------------


def _first_lanes(builder, count):
    """The mask of the first `count` of eight lanes."""
    lanes = ir.Constant(ir.VectorType(_I64, 8), list(range(8)))
    start = builder.insert_element(ir.Constant(lanes.type, ir.Undefined), count, ir.Constant(_I32, 0))
    many = builder.shuffle_vector(start, start, ir.Constant(ir.VectorType(_I32, 8), [0] * 8))
    return builder.icmp_unsigned("<", lanes, many)


def _masked(builder, pointer, at, mask):
    """The elements of a mask from `at` on, and zeros: what stands in the others' places may be no number, or no memory."""
    kind, mask_kind = _VECTOR.llvm.as_pointer(), ir.VectorType(ir.IntType(1), 8)
    function = builder.module.declare_intrinsic(
        "llvm.masked.load.v8f64.p0v8f64", (), ir.FunctionType(_VECTOR.llvm, [kind, _I32, mask_kind, _VECTOR.llvm])
    )
    place = builder.bitcast(builder.gep(pointer, [at]), kind)
    return builder.call(function, [place, ir.Constant(_I32, 8), mask, ir.Constant(_VECTOR.llvm, None)])


def _with_products(builder, panel, parts, x):
    for i, part in enumerate(parts):
        total = _call(builder, "fma", _VECTOR.llvm, [part, x, builder.extract_value(panel, i)])
        panel = builder.insert_value(panel, total, i)
    return panel


@intrinsic
def _add_products(typingctx, panel, rows, at, x):
    def emit(context, builder, sig, args):
        pointers = _pointers(context, builder, args[1])
        return _with_products(builder, args[0], (_vector_at(builder, row, args[2]) for row in pointers), args[3])

    return panel(Panel(8, 8), rows, types.uint64, _VECTOR), emit


@intrinsic
def _add_last_products(typingctx, panel, rows, at, x, count):
    """As `_add_products`, of `count` < 8 elements of the rows and of a flat array."""

    def emit(context, builder, sig, args):
        mask = _first_lanes(builder, args[4])
        data = context.make_array(sig.args[3])(context, builder, args[3]).data
        pointers = _pointers(context, builder, args[1])
        parts = (_masked(builder, row, args[2], mask) for row in pointers)
        return _with_products(builder, args[0], parts, _masked(builder, data, args[2], mask))

    return panel(Panel(8, 8), rows, types.uint64, x, types.uint64), emit


def _rows_times(a, b, room=None):
    p, whole, rest = panel_zero(8, 8), b.size & ~7, b.size & 7
    for j in range(0, whole, 8):
        p = _add_products(p, a, j, load(b, j, 8))
    if rest > 0:
        p = _add_last_products(p, a, whole, b, rest)
    return lane_sums(p)


def _is_plain(kind):
    return isinstance(kind, types.Array) and kind.ndim == 1 and kind.layout == "C" and kind.dtype == types.float64


@overload(dot)
def _dot(a, b, room=None):
    if isinstance(a, LaneRows) and _is_plain(b):
        return _rows_times
    if isinstance(b, LaneRows) and _is_plain(a):
        return lambda a, b, room=None: dot(b, a)
    return None


@intrinsic(prefer_literal=True)
def eight(typingctx, x):
    """A number or truth value in eight lanes, a vector of eight as it is; nothing else has a form."""
    if isinstance(x, Vector) and (x.lanes != 8 or x.kind == "u"):
        return None
    if not isinstance(x, types.Number | types.Boolean | Vector):
        return None
    given = x if isinstance(x, Vector) else types.float64
    return _VECTOR(given), lambda context, builder, sig, args: _as_vector(
        context, builder, args[0], sig.args[0], _VECTOR
    )


@inline
def place(x):
    """A whole number as an int64."""
    return np.int64(x)
