"""Eight rows of a packed pool at once, `lines` (a constant) cache lines each: straight code without a loop.

`ring[at : at + 8]` (flat uint32) are the numbers of the rows in the flat array `pool`.
"""

from llvmlite import ir
from numba.core import types
from numba.core.extending import intrinsic

from .lanes import ask_for
from .vector import Panel, Vector, _call

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_VECTOR = Vector("f", 8)


def _starts(context, builder, pool, ring, at, lines):
    """Pointers to the first elements of the rows; pool and ring: value and type."""
    (pool, pool_type), (ring, ring_type) = pool, ring
    data = context.make_array(pool_type)(context, builder, pool).data
    numbers = context.make_array(ring_type)(context, builder, ring).data
    found = []
    for i in range(8):
        place = builder.gep(numbers, [builder.add(at, ir.Constant(_I64, i))])
        number = builder.zext(builder.load(place, align=4), _I64)
        found.append(builder.gep(data, [builder.mul(number, ir.Constant(_I64, 8 * lines))]))
    return found


def _along(builder, pointer, count):
    return builder.gep(pointer, [ir.Constant(_I64, count)])


@intrinsic(prefer_literal=True)
def fetch_eight(typingctx, pool, ring, at, lines, level):
    """Ask for the rows, into a level (1 or 2, a constant); changes no value."""
    count = lines.literal_value

    def emit(context, builder, sig, args):
        rows = _starts(context, builder, (args[0], pool), (args[1], ring), args[2], count)
        ask_for(builder, (_along(builder, row, 8 * line) for row in rows for line in range(count)), level.literal_value)
        return context.get_dummy_value()

    return types.void(pool, ring, types.uint64, lines, level), emit


@intrinsic(prefer_literal=True)
def dot_eight(typingctx, pool, ring, at, lines, theta, origin):
    """Panel of 8: row i is the sum over lines of (line of row i) * theta[origin + 8 line :], fused, from zero."""
    count, result = lines.literal_value, Panel(8, 8)

    def emit(context, builder, sig, args):
        kind = _VECTOR.llvm.as_pointer()
        rows = _starts(context, builder, (args[0], pool), (args[1], ring), args[2], count)
        start = builder.gep(context.make_array(theta)(context, builder, args[4]).data, [args[5]])
        sums = [ir.Constant(_VECTOR.llvm, None)] * 8
        for line in range(count):
            factor = builder.load(builder.bitcast(_along(builder, start, 8 * line), kind), align=8)
            for i in range(8):
                part = builder.load(builder.bitcast(_along(builder, rows[i], 8 * line), kind), align=8)
                sums[i] = _call(builder, "fma", _VECTOR.llvm, [part, factor, sums[i]])
        value = ir.Constant(context.get_value_type(result), ir.Undefined)
        for i in range(8):
            value = builder.insert_value(value, sums[i], i)
        return value

    return result(pool, ring, types.uint64, lines, theta, types.uint64), emit


@intrinsic(prefer_literal=True)
def last_of_eight(typingctx, pool, ring, at, lines):
    """The last element of each row: the targets."""
    count = lines.literal_value

    def emit(context, builder, sig, args):
        value = ir.Constant(_VECTOR.llvm, ir.Undefined)
        rows = _starts(context, builder, (args[0], pool), (args[1], ring), args[2], count)
        for i in range(8):
            element = builder.load(_along(builder, rows[i], 8 * count - 1), align=8)
            value = builder.insert_element(value, element, ir.Constant(_I32, i))
        return value

    return _VECTOR(pool, ring, types.uint64, lines), emit
