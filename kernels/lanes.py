"""A few vector operations that gathers and integer draws need, beside those of `vector`."""

from llvmlite import ir
from numba.core import types
from numba.core.extending import intrinsic

from .vector import Vector, _as_vector, _call, _pointer, _splat

_I32 = ir.IntType(32)


def ask_for(builder, pointers, level):
    """Ask for the cache lines at pointers, into a level (1 or 2); changes no value."""
    kind = ir.IntType(8).as_pointer()
    function = builder.module.declare_intrinsic(
        "llvm.prefetch.p0i8", (), ir.FunctionType(ir.VoidType(), [kind, _I32, _I32, _I32])
    )
    read, keep, data_cache = (ir.Constant(_I32, v) for v in (0, 4 - level, 1))
    for pointer in pointers:
        builder.call(function, [builder.bitcast(pointer, kind), read, keep, data_cache])


@intrinsic(prefer_literal=True)
def prefetch(typingctx, array, index, level):
    """Ask for the cache line that holds element `index` of a flat array, into a level (1 or 2); changes no value."""

    def emit(context, builder, sig, args):
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        ask_for(builder, [builder.gep(data, [args[1]])], level.literal_value)
        return context.get_dummy_value()

    return types.void(array, types.uint64, level), emit


@intrinsic(prefer_literal=True)
def any_lane(typingctx, mask):
    """True if a mask holds in some lane."""

    def emit(context, builder, sig, args):
        bits = builder.bitcast(args[0], ir.IntType(mask.lanes))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return types.boolean(mask), emit


@intrinsic(prefer_literal=True)
def halves_below(typingctx, a, b):
    """Bits 2 l and 2 l + 1 say whether the low and the high 32 bits of lane l of a are below those of b (or scalar b)."""

    def emit(context, builder, sig, args):
        right = _as_vector(context, builder, args[1], b, a)
        kind = ir.VectorType(_I32, 2 * a.lanes)
        mask = builder.icmp_unsigned("<", builder.bitcast(args[0], kind), builder.bitcast(right, kind))
        return builder.zext(builder.bitcast(mask, ir.IntType(2 * a.lanes)), ir.IntType(64))

    return types.uint64(a, b if isinstance(b, Vector) else types.uint64), emit


@intrinsic(prefer_literal=True)
def any_low_below(typingctx, a, b):
    """True if the low 32 bits of some lane of a are below the scalar b < 2^32."""

    def emit(context, builder, sig, args):
        lanes, halves = a.lanes, ir.VectorType(_I32, 2 * a.lanes)
        least = builder.bitcast(args[0], halves)
        while lanes > 8:  # registers are folded into one, so that there is one comparison
            sides = [list(range(start, start + lanes)) for start in (0, lanes)]
            parts = [
                builder.shuffle_vector(least, least, ir.Constant(ir.VectorType(_I32, lanes), side)) for side in sides
            ]
            least = builder.select(builder.icmp_unsigned("<", *parts), *parts)
            lanes //= 2
        # The upper half of each lane meets zero, which nothing is below.
        bound = builder.bitcast(_splat(builder, args[1], lanes), least.type)
        mask = builder.icmp_unsigned("<", least, bound)
        bits = builder.bitcast(mask, ir.IntType(2 * lanes))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return types.boolean(a, types.uint64), emit


@intrinsic(prefer_literal=True)
def equal_bits(typingctx, array, index, word, lanes):
    """Bit l says whether array[index + l] == word, l < lanes (a constant <= 64); flat uint32 array."""
    count = lanes.literal_value

    def emit(context, builder, sig, args):
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        kind = ir.VectorType(_I32, count)
        words = builder.load(builder.bitcast(builder.gep(data, [args[1]]), kind.as_pointer()), align=4)
        mask = builder.icmp_unsigned("==", words, _splat(builder, args[2], count))
        return builder.zext(builder.bitcast(mask, ir.IntType(count)), ir.IntType(64))

    return types.uint64(array, types.uint64, types.uint32, lanes), emit


@intrinsic(prefer_literal=True)
def maybe_equal(typingctx, array, index, b, tile):
    """False only if array[index : index + b], and each batch beside it in a register, holds b different words.

    array: flat uint32; b <= tile, a constant: 4 or 8 (batches fill 32 words), 16, 32 or 64. The low 16 bits alone are
    compared, each with all.
    """
    size = tile.literal_value
    count = 32 if size <= 8 else size
    half = ir.IntType(16)

    def turned(builder, x, by, unit):
        """Each tile, in units of so many halves, turned by a multiple of a unit."""
        across = size // unit
        order = [i // across * across + (i + by) % across for i in range(count // unit)]
        words = builder.bitcast(x, ir.VectorType(ir.IntType(16 * unit), count // unit))
        mask = ir.Constant(ir.VectorType(_I32, len(order)), order)
        return builder.bitcast(builder.shuffle_vector(words, words, mask), x.type)

    def emit(context, builder, sig, args):
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        wide = ir.VectorType(_I32, count).as_pointer()
        words = builder.load(builder.bitcast(builder.gep(data, [args[1]]), wide), align=4)
        x = builder.trunc(words, ir.VectorType(half, count))
        # What is beyond b becomes different from all others, and rarely equal to one of the batch.
        numbers = ir.Constant(x.type, [i % size for i in range(count)])
        inside = builder.icmp_unsigned("<", numbers, _splat(builder, builder.trunc(args[2], half), count))
        x = builder.select(inside, x, ir.Constant(x.type, [65535 - i % size for i in range(count)]))
        next_one = turned(builder, x, 1, 1)
        differ = [builder.icmp_unsigned("!=", x, x), builder.icmp_unsigned("!=", x, next_one)]
        # Turns by an even number move pairs, which costs less; even and odd ones do not wait for each other.
        for by in range(2, size // 2 + 1):
            other = turned(builder, next_one if by % 2 else x, by // 2, 2)
            equal = builder.icmp_unsigned("!=", x, other)
            differ[by % 2] = equal if by == 2 else builder.and_(differ[by % 2], equal)
        both = builder.and_(*differ) if size > 2 else differ[1]
        bits = builder.bitcast(both, ir.IntType(count))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, -1))

    return types.boolean(array, types.uint64, types.uint64, tile), emit


@intrinsic(prefer_literal=True)
def store_low_words(typingctx, array, index, a):
    """Write the low 32 bits of each lane to a flat uint32 array from `index` on."""

    def emit(context, builder, sig, args):
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        kind = ir.VectorType(_I32, a.lanes)
        pointer = builder.bitcast(builder.gep(data, [args[1]]), kind.as_pointer())
        builder.store(builder.trunc(args[2], kind), pointer, align=4)
        return context.get_dummy_value()

    return types.void(array, types.uint64, a), emit


@intrinsic(prefer_literal=True)
def store_interleaved(typingctx, array, index, a, b):
    """Write the words a[0], b[0], a[1], b[1], ..., low half first, to a flat uint32 array from `index` on."""

    def emit(context, builder, sig, args):
        order = [lane + side * a.lanes for lane in range(a.lanes) for side in (0, 1)]
        mask = ir.Constant(ir.VectorType(_I32, len(order)), order)
        both = builder.shuffle_vector(args[2], args[3], mask)
        builder.store(
            both, _pointer(context, builder, sig.args[0], args[0], args[1], Vector("u", 2 * a.lanes)), align=4
        )
        return context.get_dummy_value()

    return types.void(array, types.uint64, a, b), emit


def _row(context, builder, array_type, array, rows_type, rows, column, row):
    """Pointer to element rows[row] + column of a flat array."""
    table = context.make_array(rows_type)(context, builder, rows).data
    start = builder.load(builder.gep(table, [ir.Constant(ir.IntType(64), row)]), align=8)
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [builder.add(start, column)])


@intrinsic(prefer_literal=True)
def prefetch_rows(typingctx, array, rows, column, level):
    """Ask for the cache lines that hold array[rows[i] + column], i < 8, into a level (1 or 2); changes no value."""

    def emit(context, builder, sig, args):
        where = (_row(context, builder, sig.args[0], args[0], sig.args[1], args[1], args[2], i) for i in range(8))
        ask_for(builder, where, level.literal_value)
        return context.get_dummy_value()

    return types.void(array, rows, types.uint64, level), emit


@intrinsic(prefer_literal=True)
def panel_dots(typingctx, panel, array, rows, column, vectors, places):
    """Add array[rows[i] + column : ...] * vectors[places[i] + column : ...] to row i of a panel, fused."""

    def emit(context, builder, sig, args):
        value, kind = args[0], panel.vector.llvm.as_pointer()
        for i in range(panel.rows):
            left = _row(context, builder, sig.args[1], args[1], sig.args[2], args[2], args[3], i)
            right = _row(context, builder, sig.args[4], args[4], sig.args[5], args[5], args[3], i)
            factors = [builder.load(builder.bitcast(pointer, kind), align=8) for pointer in (left, right)]
            total = _call(builder, "fma", panel.vector.llvm, [*factors, builder.extract_value(value, i)])
            value = builder.insert_value(value, total, i)
        return value

    return panel(panel, array, rows, types.uint64, vectors, places), emit


@intrinsic(prefer_literal=True)
def panel_dot(typingctx, panel, array, rows, column, x):
    """Add array[rows[i] + column : ...] * x to row i of a panel, fused; x is a vector."""

    def emit(context, builder, sig, args):
        value, kind = args[0], panel.vector.llvm.as_pointer()
        for i in range(panel.rows):
            pointer = _row(context, builder, sig.args[1], args[1], sig.args[2], args[2], args[3], i)
            row = builder.load(builder.bitcast(pointer, kind), align=8)
            total = _call(builder, "fma", panel.vector.llvm, [row, args[4], builder.extract_value(value, i)])
            value = builder.insert_value(value, total, i)
        return value

    return panel(panel, array, rows, types.uint64, x), emit


@intrinsic(prefer_literal=True)
def panel_squares(typingctx, panel, array, index, stride, x):
    """Add (x * v) * v, the last product fused, to row i of a panel; v = array[index + i stride : ...], x is a vector."""

    def emit(context, builder, sig, args):
        value, source, start, step, weight = args
        for i in range(panel.rows):
            where = builder.add(start, builder.mul(step, ir.Constant(step.type, i)))
            v = builder.load(_pointer(context, builder, sig.args[1], source, where, panel.vector), align=8)
            total = _call(
                builder, "fma", panel.vector.llvm, [builder.fmul(weight, v), v, builder.extract_value(value, i)]
            )
            value = builder.insert_value(value, total, i)
        return value

    return panel(panel, array, types.uint64, types.uint64, x), emit


@intrinsic(prefer_literal=True)
def lane_sums(typingctx, panel):
    """Lane i of the result is the sum of the eight lanes of row i of a panel, as ((0+4)+(2+6)) + ((1+5)+(3+7))."""

    def emit(context, builder, sig, args):
        # Each level adds the upper to the lower half of what is left of every vector, two vectors at a time.
        level, width = [builder.extract_value(args[0], i) for i in range(8)], 8
        while width > 1:
            half = width // 2
            starts = range(0, 8, width)
            low = [s + i + side * 8 for side in (0, 1) for s in starts for i in range(half)]
            high = [s + i + half + side * 8 for side in (0, 1) for s in starts for i in range(half)]
            pick = [ir.Constant(ir.VectorType(_I32, 8), order) for order in (low, high)]
            level = [
                builder.fadd(*(builder.shuffle_vector(a, b, order) for order in pick))
                for a, b in zip(level[::2], level[1::2], strict=True)
            ]
            width = half
        return level[0]

    return panel.vector(panel), emit


@intrinsic(prefer_literal=True)
def gather_rows(typingctx, array, rows, column):
    """The eight elements array[rows[i] + column] of a flat float64 array."""
    result = Vector("f", 8)

    def emit(context, builder, sig, args):
        value = ir.Constant(result.llvm, ir.Undefined)
        for i in range(8):
            pointer = _row(context, builder, sig.args[0], args[0], sig.args[1], args[1], args[2], i)
            value = builder.insert_element(value, builder.load(pointer, align=8), ir.Constant(_I32, i))
        return value

    return result(array, rows, types.uint64), emit


@intrinsic(prefer_literal=True)
def panel_gather(typingctx, panel, array, index, x):
    """Add x * array[index + lanes * row : ...] to each row of a panel, fused; x is a scalar."""

    def emit(context, builder, sig, args):
        rows, _, start, scalar = args
        factor = context.cast(builder, scalar, sig.args[3], types.float64)
        zero = ir.Constant(_I32, 0)
        first = builder.insert_element(ir.Constant(panel.vector.llvm, ir.Undefined), factor, zero)
        splat = ir.Constant(ir.VectorType(_I32, panel.lanes), [0] * panel.lanes)
        factor = builder.shuffle_vector(first, first, splat)
        for row in range(panel.rows):
            where = builder.add(start, ir.Constant(start.type, row * panel.lanes))
            vector = builder.load(_pointer(context, builder, sig.args[1], args[1], where, panel.vector), align=8)
            total = _call(builder, "fma", vector.type, [factor, vector, builder.extract_value(rows, row)])
            rows = builder.insert_value(rows, total, row)
        return rows

    return panel(panel, array, types.uint64, types.float64), emit


@intrinsic(prefer_literal=True)
def store_columns(typingctx, array, i0, i1, i2, i3, i4, i5, i6, i7, out, at, stride, columns):
    """out[at + j * stride + row] = array[i_row + j] for the 8 rows from i0, ..., i7 on and j below `columns`, 4 or 8."""
    half, vector = Vector("f", 4), Vector("f", 8)

    def emit(context, builder, sig, args):
        source, *starts, target, first, step, _ = args

        def shuffled(a, b, order):
            return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_I32, 8), order))

        def joined(row, other, part):
            """Four elements of a row and four of another, put together on the way from memory."""
            places = (builder.add(starts[i], ir.Constant(starts[i].type, part)) for i in (row, other))
            ends = (_pointer(context, builder, sig.args[0], source, place, half) for place in places)
            return builder.shuffle_vector(*(builder.load(end, align=8) for end in ends), four)

        four = ir.Constant(ir.VectorType(_I32, 8), list(range(8)))
        for part in range(0, columns.literal_value, 4):
            pairs = []  # elements 0 and 2, and 1 and 3, of the first four rows and of the others
            for base in (0, 4):
                a, b = joined(base, base + 2, part), joined(base + 1, base + 3, part)
                pairs.append([shuffled(a, b, [k + i // 2 * 2 + i % 2 * 8 for i in range(8)]) for k in (0, 1)])
            for j in range(4):
                order = [lane + lane // 2 * 2 + j // 2 * 2 for lane in range(4)]
                column = shuffled(pairs[0][j % 2], pairs[1][j % 2], order + [8 + lane for lane in order])
                where = builder.add(first, builder.mul(step, ir.Constant(step.type, part + j)))
                builder.store(column, _pointer(context, builder, sig.args[9], target, where, vector), align=8)
        return context.get_dummy_value()

    return types.void(array, *[types.uint64] * 8, out, types.uint64, types.uint64, columns), emit
