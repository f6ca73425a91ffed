"""A vector type for kernels: `W` doubles, unsigned 64-bit words or truth values side by side, one a replicate.

Values are LLVM vectors (`<16 x double>`), so a kernel written with them reads like its scalar formula and is not at
the mercy of the auto-vectoriser. Operators work lane by lane and take scalars on either side:

    z = radius * cosine + 2.0
    bits = (words >> 12) | 0x3FF0000000000000

`+ - *  /` on doubles, `+ - * & | ^ << >>` on words, comparisons give a mask for `select`. Nothing is fused, reordered
or approximated: `fma` is a fused multiply-add, `sqrt` and `/` are correctly rounded, on every instruction set.

Normals in single precision are made of shorter kin, float32 and unsigned 32-bit words, with the same operators.
"""

import operator

from llvmlite import ir
from numba.core import types
from numba.core.extending import intrinsic, models, register_model
from numba.core.imputils import lower_builtin, lower_cast
from numba.core.typeconv import Conversion
from numba.core.typing import signature
from numba.core.typing.templates import AbstractTemplate, infer_global

from ._jit import AVX512

_LANE = {"f": ir.DoubleType(), "u": ir.IntType(64), "b": ir.IntType(1), "s": ir.FloatType(), "h": ir.IntType(32)}
_SCALAR = {"f": types.float64, "u": types.uint64, "b": types.boolean, "s": types.float32, "h": types.uint32}


class Vector(types.Type):
    """`lanes` values of one kind: "f" float64, "u" uint64, "b" truth value, "s" float32, "h" uint32."""

    def __init__(self, kind, lanes):
        self.kind = kind
        self.lanes = lanes
        super().__init__(name=f"Vector({kind}, {lanes})")

    @property
    def key(self):
        return self.kind, self.lanes

    @property
    def llvm(self):
        return ir.VectorType(_LANE[self.kind], self.lanes)

    # A number is as good as a vector that has it in every lane: `total = 0.0` may be followed by `total += x`. So is a
    # vector of fewer lanes, again and again.
    def can_convert_from(self, typingctx, other):
        given = {"f": types.Number | types.Boolean, "s": types.Number | types.Boolean, "b": types.Boolean}
        numbers = isinstance(other, given.get(self.kind, ()))
        narrower = isinstance(other, Vector) and other.kind == self.kind and self.lanes % other.lanes == 0
        return Conversion.safe if numbers or narrower else None

    def unify(self, typingctx, other):
        return self if self.can_convert_from(typingctx, other) is not None else None


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, fe_type.llvm)


def _splat(builder, scalar, lanes):
    """A vector with `scalar` in every lane."""
    vector = ir.VectorType(scalar.type, lanes)
    if isinstance(scalar, ir.Constant):
        return ir.Constant(vector, [scalar.constant] * lanes)
    zero = ir.Constant(ir.IntType(32), 0)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, zero)
    mask = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), mask)


def widest(given):
    """The vector type with the most lanes among types; None if there is none, or the lanes of one do not fit."""
    vectors = [t for t in given if isinstance(t, Vector)]
    found = max(vectors, key=lambda v: v.lanes, default=None)
    return None if any(found.lanes % v.lanes for v in vectors) else found


def _tiled(builder, value, lanes):
    """A vector again and again, up to so many lanes."""
    count = value.type.count
    if count == lanes:
        return value
    mask = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [lane % count for lane in range(lanes)])
    return builder.shuffle_vector(value, value, mask)


def _as_vector(context, builder, value, given, wanted):
    """`value` of Numba type `given` (vector or scalar) as a vector of type `wanted`."""
    if isinstance(given, Vector):
        value = _tiled(builder, value, wanted.lanes)
        return builder.uitofp(value, wanted.llvm) if (given.kind, wanted.kind) == ("b", "f") else value
    scalar = context.cast(builder, value, given, _SCALAR[wanted.kind])
    return _splat(builder, scalar, wanted.lanes)


@lower_cast(Vector, Vector)
@lower_cast(types.Number, Vector)
@lower_cast(types.Boolean, Vector)
def _number_to_vector(context, builder, given, wanted, value):
    return _as_vector(context, builder, value, given, wanted)


def _call(builder, name, result, args):
    """Call an LLVM intrinsic that exists for every lane count."""
    lanes = f"v{result.count}f{32 if isinstance(result.element, ir.FloatType) else 64}"
    function = builder.module.declare_intrinsic(
        f"llvm.{name}.{lanes}", (), ir.FunctionType(result, [result] * len(args))
    )
    return builder.call(function, args)


# ---- operators -------------------------------------------------------------------------------------------------------

_ARITHMETIC = {
    operator.add: {"f": "fadd", "s": "fadd", "u": "add", "h": "add"},
    operator.sub: {"f": "fsub", "s": "fsub", "u": "sub", "h": "sub"},
    operator.mul: {"f": "fmul", "s": "fmul", "u": "mul", "h": "mul"},
    operator.truediv: {"f": "fdiv", "s": "fdiv"},
    operator.and_: {"u": "and_", "h": "and_", "b": "and_"},
    operator.or_: {"u": "or_", "h": "or_", "b": "or_"},
    operator.xor: {"u": "xor", "h": "xor", "b": "xor"},
    operator.lshift: {"u": "shl", "h": "shl"},
    operator.rshift: {"u": "lshr", "h": "lshr"},
}
_IN_PLACE = {
    operator.add: operator.iadd,
    operator.sub: operator.isub,
    operator.mul: operator.imul,
    operator.truediv: operator.itruediv,
}
_COMPARISON = {
    operator.lt: "<",
    operator.le: "<=",
    operator.gt: ">",
    operator.ge: ">=",
    operator.eq: "==",
    operator.ne: "!=",
}


def _operand(args, arithmetic):
    """The vector type that two operands are taken as, or None if they do not go together.

    In arithmetic a mask is 1.0 where it holds and 0.0 elsewhere.
    """
    vectors = [a for a in args if isinstance(a, Vector)]
    if arithmetic and any(v.kind == "b" for v in vectors):
        vectors = [Vector("f", v.lanes) if v.kind == "b" else v for v in vectors]
    vector = widest(vectors)
    if vector is None or any(v.kind != vector.kind for v in vectors):
        return None
    return vector if all(isinstance(a, Vector | types.Number | types.Boolean) for a in args) else None


def _register(op, result_of, emit, arithmetic):
    """Teach Numba `op` on vectors: its type (`result_of`) and its code (`emit`)."""

    @infer_global(op)
    class _Template(AbstractTemplate):
        def generic(self, args, kws):
            vector = _operand(args, arithmetic) if len(args) == 2 else None
            result = result_of(vector) if vector is not None else None
            if result is None:
                return None
            return signature(result, *(a if isinstance(a, Vector) else _SCALAR[vector.kind] for a in args))

    def lower(context, builder, sig, args):
        vector = _operand(sig.args, arithmetic)
        left, right = (_as_vector(context, builder, v, t, vector) for v, t in zip(args, sig.args, strict=True))
        return emit(builder, vector, left, right)

    scalars = (types.Number, types.Boolean)
    for pair in ((Vector, Vector), *((Vector, s) for s in scalars), *((s, Vector) for s in scalars)):
        lower_builtin(op, *pair)(lower)


def _compare(builder, vector, symbol, a, b):
    if vector.kind not in "fs":
        return builder.icmp_unsigned(symbol, a, b)
    # As in Python, NaN differs from everything.
    return (builder.fcmp_unordered if symbol == "!=" else builder.fcmp_ordered)(symbol, a, b)


def _register_all():
    for op, names in _ARITHMETIC.items():
        for one in (op, _IN_PLACE[op]) if op in _IN_PLACE else (op,):
            _register(
                one,
                lambda v, names=names: v if v.kind in names else None,
                lambda builder, v, a, b, names=names: getattr(builder, names[v.kind])(a, b),
                arithmetic=op in _IN_PLACE,
            )
    for op, symbol in _COMPARISON.items():
        _register(
            op,
            lambda v: Vector("b", v.lanes),
            lambda builder, v, a, b, symbol=symbol: _compare(builder, v, symbol, a, b),
            arithmetic=False,
        )


_register_all()


@infer_global(operator.neg)
class _Negate(AbstractTemplate):
    def generic(self, args, kws):
        if len(args) == 1 and isinstance(args[0], Vector) and args[0].kind == "f":
            return signature(args[0], args[0])
        return None


@lower_builtin(operator.neg, Vector)
def _lower_negate(context, builder, sig, args):
    return builder.fneg(args[0])


# ---- functions -------------------------------------------------------------------------------------------------------


@intrinsic(prefer_literal=True)
def fma(typingctx, a, b, c):
    """a * b + c with one rounding; scalars or vectors in any mixture (all scalars: a scalar)."""
    vector = widest((a, b, c))
    args = [t if isinstance(t, Vector) else _SCALAR[vector.kind] if vector else types.float64 for t in (a, b, c)]
    if vector is None:

        def scalar(context, builder, sig, values):
            return builder.fma(*values)

        return types.float64(*args), scalar

    def emit(context, builder, sig, values):
        vectors = [_as_vector(context, builder, v, t, vector) for v, t in zip(values, sig.args, strict=True)]
        return _call(builder, "fma", vector.llvm, vectors)

    return vector(*args), emit


@intrinsic(prefer_literal=True)
def sqrt(typingctx, x):
    """Correctly rounded square root of a vector."""
    return x(x), lambda context, builder, sig, args: _call(builder, "sqrt", x.llvm, args)


@intrinsic(prefer_literal=True)
def absolute(typingctx, x):
    """|x| of a vector of doubles."""
    return x(x), lambda context, builder, sig, args: _call(builder, "fabs", x.llvm, args)


@intrinsic(prefer_literal=True)
def select(typingctx, mask, yes, no):
    """`yes` where the mask holds, `no` elsewhere."""
    vector = Vector((yes if isinstance(yes, Vector) else no).kind, widest((mask, yes, no)).lanes)
    args = [t if isinstance(t, Vector) else _SCALAR[vector.kind] for t in (yes, no)]

    def emit(context, builder, sig, values):
        chosen = [_as_vector(context, builder, v, t, vector) for v, t in zip(values[1:], sig.args[1:], strict=True)]
        return builder.select(_tiled(builder, values[0], vector.lanes), *chosen)

    return vector(mask, *args), emit


@intrinsic(prefer_literal=True)
def as_double(typingctx, x):
    """The doubles that have these 64-bit words as their bits."""
    result = Vector("f", x.lanes)
    return result(x), lambda context, builder, sig, args: builder.bitcast(args[0], result.llvm)


@intrinsic(prefer_literal=True)
def as_words(typingctx, x):
    """The bits of doubles as 64-bit words."""
    result = Vector("u", x.lanes)
    return result(x), lambda context, builder, sig, args: builder.bitcast(args[0], result.llvm)


def _conversion(name, given, kind, code):
    """An intrinsic that makes a vector of another kind, lane by lane, by one LLVM instruction."""

    def front(typingctx, x):
        if not isinstance(x, Vector) or x.kind != given:
            return None
        result = Vector(kind, x.lanes)
        return result(x), lambda context, builder, sig, args: getattr(builder, code)(args[0], result.llvm)

    front.__name__ = name
    return intrinsic(front)


# 32-bit words as signed integers, each rounded to the nearest float32; and bits as they are.
signed_single = _conversion("signed_single", "h", "s", "sitofp")
as_single = _conversion("as_single", "h", "s", "bitcast")
as_halves = _conversion("as_halves", "s", "h", "bitcast")


def _halves_turned(builder, value, lanes, stride):
    """Every stride-th element of a vector, the upper half of them first."""
    order = [stride * ((lane + lanes // 2) % lanes) for lane in range(lanes)]
    return builder.shuffle_vector(value, value, ir.Constant(ir.VectorType(ir.IntType(32), lanes), order))


@intrinsic(prefer_literal=True)
def low_halves(typingctx, x):
    """The low 32 bits of words, lanes in the order that `widened` undoes: it costs one shuffle, their own order three."""
    result = Vector("h", x.lanes)

    def emit(context, builder, sig, args):
        halves = builder.bitcast(args[0], ir.VectorType(ir.IntType(32), 2 * x.lanes))
        return _halves_turned(builder, halves, x.lanes, 2)

    return result(x), emit


@intrinsic(prefer_literal=True)
def widened(typingctx, x):
    """Float32 made of `low_halves` as doubles, exactly, in the order of the lanes that the words came from."""
    result = Vector("f", x.lanes)

    def emit(context, builder, sig, args):
        return builder.fpext(_halves_turned(builder, args[0], x.lanes, 1), result.llvm)

    return result(x), emit


@intrinsic(prefer_literal=True)
def join_low(typingctx, low, high):
    """Words made of the low 32 bits of two: (low & 0xFFFFFFFF) | (high << 32), as one shuffle."""

    def emit(context, builder, sig, args):
        halves = ir.VectorType(ir.IntType(32), 2 * low.lanes)
        order = [2 * lane + side * halves.count for lane in range(low.lanes) for side in (0, 1)]
        mask = ir.Constant(ir.VectorType(ir.IntType(32), halves.count), order)
        parts = (builder.bitcast(x, halves) for x in args)
        return builder.bitcast(builder.shuffle_vector(*parts, mask), low.llvm)

    return low(low, high), emit


_TWO_52 = 0x4330000000000000  # the bits of 2^52, to whose low bits a small integer is added


def _exponent_512(builder, x):
    """`exponent` by the operation that AVX-512 has for it, eight lanes at a time."""
    eight, parts = ir.VectorType(ir.DoubleType(), 8), []
    kind = ir.FunctionType(eight, [eight, eight, ir.IntType(8), ir.IntType(32)])
    getexp = builder.module.declare_intrinsic("llvm.x86.avx512.mask.getexp.pd.512", (), kind)
    every_lane, rounding = ir.Constant(ir.IntType(8), 255), ir.Constant(ir.IntType(32), 4)
    for start in range(0, x.type.count, 8):
        mask = ir.Constant(ir.VectorType(ir.IntType(32), 8), list(range(start, start + 8)))
        part = builder.shuffle_vector(x, x, mask)
        parts.append(builder.call(getexp, [part, part, every_lane, rounding]))
    while len(parts) > 1:
        lanes = 2 * parts[0].type.count
        mask = ir.Constant(ir.VectorType(ir.IntType(32), lanes), list(range(lanes)))
        parts = [builder.shuffle_vector(a, b, mask) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


@intrinsic(prefer_literal=True)
def exponent(typingctx, x):
    """The integer e with 2^e <= x < 2^(e + 1), as a double; x: positive, normal, finite."""

    def emit(context, builder, sig, args):
        if AVX512 and x.lanes in (8, 16, 32):
            return _exponent_512(builder, args[0])
        words = Vector("u", x.lanes).llvm
        field = builder.lshr(builder.bitcast(args[0], words), ir.Constant(words, [52] * x.lanes))
        shifted = builder.bitcast(builder.or_(field, ir.Constant(words, [_TWO_52] * x.lanes)), x.llvm)
        return builder.fsub(shifted, ir.Constant(x.llvm, [2.0**52 + 1023.0] * x.lanes))

    return x(x), emit


@intrinsic
def align_stack(typingctx):
    """At the head of a compiled function: vectors that find no register go to whole cache lines of the stack.

    Without it they lie at any multiple of 16 bytes, most often across two lines, which costs two accesses each.
    """

    def emit(context, builder, sig, args):
        attributes = builder.function.attributes
        attributes.add("nounwind")  # llvmlite writes no attribute at all if this set is empty
        attributes.alignstack = 64
        return context.get_dummy_value()

    return types.void(), emit


@intrinsic(prefer_literal=True)
def doubles(typingctx, x, lanes):
    """A vector of `lanes` (a constant) doubles, all equal to x."""
    result = Vector("f", lanes.literal_value)

    def emit(context, builder, sig, args):
        return _splat(builder, args[0], result.lanes)

    return result(types.float64, lanes), emit


@intrinsic(prefer_literal=True)
def words(typingctx, x, lanes):
    """A vector of `lanes` (a constant) words, all equal to x."""
    result = Vector("u", lanes.literal_value)

    def emit(context, builder, sig, args):
        return _splat(builder, args[0], result.lanes)

    return result(types.uint64, lanes), emit


@intrinsic(prefer_literal=True)
def lane_numbers(typingctx, lanes):
    """The words 0, 1, ..., lanes - 1."""
    result = Vector("u", lanes.literal_value)

    def emit(context, builder, sig, args):
        return ir.Constant(result.llvm, list(range(result.lanes)))

    return result(lanes), emit


def _pointer(context, builder, array_type, array, index, vector):
    """Address of element `index` of a flat contiguous array, as a pointer to a vector."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), vector.llvm.as_pointer())


@intrinsic(prefer_literal=True)
def load(typingctx, array, index, lanes):
    """The `lanes` (a constant) elements of a flat array of float64 or uint64 from `index` on."""
    result = Vector("f" if array.dtype == types.float64 else "u", lanes.literal_value)

    def emit(context, builder, sig, args):
        return builder.load(_pointer(context, builder, sig.args[0], args[0], args[1], result), align=8)

    return result(array, types.uint64, lanes), emit


@intrinsic(prefer_literal=True)
def store(typingctx, array, index, x):
    """Write a vector to a flat array from `index` on."""

    def emit(context, builder, sig, args):
        builder.store(args[2], _pointer(context, builder, sig.args[0], args[0], args[1], x), align=8)
        return context.get_dummy_value()

    return types.void(array, types.uint64, x), emit


@intrinsic(prefer_literal=True)
def first_lane(typingctx, x, lane):
    """Element `lane` of a vector."""

    def emit(context, builder, sig, args):
        return builder.extract_element(args[0], builder.trunc(args[1], ir.IntType(32)))

    return _SCALAR[x.kind](x, types.uint64), emit


# ---- panels: a few vectors as one value ------------------------------------------------------------------------------


class Panel(types.Type):
    """`rows` vectors of doubles held in registers: the accumulators of a block of rows of a matrix product."""

    def __init__(self, rows, lanes):
        self.rows = rows
        self.lanes = lanes
        super().__init__(name=f"Panel({rows}, {lanes})")

    @property
    def key(self):
        return self.rows, self.lanes

    @property
    def vector(self):
        return Vector("f", self.lanes)


@register_model(Panel)
class _PanelModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, ir.ArrayType(fe_type.vector.llvm, fe_type.rows))


@intrinsic(prefer_literal=True)
def panel_zero(typingctx, rows, lanes):
    """A panel of zeros; `rows` and `lanes` are constants."""
    result = Panel(rows.literal_value, lanes.literal_value)

    def emit(context, builder, sig, args):
        return ir.Constant(context.get_value_type(result), None)

    return result(rows, lanes), emit


@intrinsic(prefer_literal=True)
def panel_fma(typingctx, panel, first, coefficients, index, x):
    """Add coefficients[index + row] * x to each row >= `first` (a constant) of a panel."""
    skip = first.literal_value

    def emit(context, builder, sig, args):
        rows, _, array, start, vector = args
        data = context.make_array(sig.args[2])(context, builder, array).data
        for row in range(skip, panel.rows):
            offset = builder.add(start, ir.Constant(start.type, row))
            scalar = builder.load(builder.gep(data, [offset]), align=8)
            factor = _splat(builder, scalar, panel.lanes)
            total = _call(builder, "fma", vector.type, [factor, vector, builder.extract_value(rows, row)])
            rows = builder.insert_value(rows, total, row)
        return rows

    return panel(panel, first, coefficients, types.uint64, x), emit


@intrinsic(prefer_literal=True)
def panel_row(typingctx, panel, row):
    """Row `row` (a constant) of a panel."""
    number = row.literal_value

    def emit(context, builder, sig, args):
        return builder.extract_value(args[0], number)

    return panel.vector(panel, row), emit


@intrinsic(prefer_literal=True)
def panel_load(typingctx, rows, array, index, lanes):
    """A panel of `rows` (a constant) successive vectors of a flat array, from element `index` on."""
    result = Panel(rows.literal_value, lanes.literal_value)

    def emit(context, builder, sig, args):
        value = ir.Constant(context.get_value_type(result), ir.Undefined)
        for row in range(result.rows):
            where = builder.add(args[2], ir.Constant(args[2].type, row * result.lanes))
            vector = builder.load(_pointer(context, builder, sig.args[1], args[1], where, result.vector), align=8)
            value = builder.insert_value(value, vector, row)
        return value

    return result(rows, array, types.uint64, lanes), emit


@intrinsic(prefer_literal=True)
def panel_store(typingctx, array, index, panel):
    """Write the rows of a panel one after another to a flat array, from element `index` on."""

    def emit(context, builder, sig, args):
        for row in range(panel.rows):
            where = builder.add(args[1], ir.Constant(args[1].type, row * panel.lanes))
            pointer = _pointer(context, builder, sig.args[0], args[0], where, panel.vector)
            builder.store(builder.extract_value(args[2], row), pointer, align=8)
        return context.get_dummy_value()

    return types.void(array, types.uint64, panel), emit


@intrinsic(prefer_literal=True)
def panel_scale(typingctx, coefficients, index, panel):
    """coefficients[index + row] * row, for each row of a panel."""

    def emit(context, builder, sig, args):
        array, start, rows = args
        data = context.make_array(sig.args[0])(context, builder, array).data
        for row in range(panel.rows):
            scalar = builder.load(builder.gep(data, [builder.add(start, ir.Constant(start.type, row))]), align=8)
            product = builder.fmul(_splat(builder, scalar, panel.lanes), builder.extract_value(rows, row))
            rows = builder.insert_value(rows, product, row)
        return rows

    return panel(coefficients, types.uint64, panel), emit


@intrinsic(prefer_literal=True)
def panel_axpy(typingctx, a, x, y):
    """a * x + y of two panels, fused, with a scalar a."""

    def emit(context, builder, sig, args):
        factor = _splat(builder, args[0], x.lanes)
        rows = args[2]
        for row in range(x.rows):
            total = _call(
                builder,
                "fma",
                factor.type,
                [factor, builder.extract_value(args[1], row), builder.extract_value(rows, row)],
            )
            rows = builder.insert_value(rows, total, row)
        return rows

    return y(types.float64, x, y), emit


@intrinsic(prefer_literal=True)
def panel_triangle(typingctx, panel, coefficients, index, vectors, where):
    """Add a lower triangular block: row i gets coefficients[index + j * rows + i] * vector j for j = 0 .. i, in order.

    The vectors stand one after another in the flat array `vectors` from element `where` on.
    """

    def emit(context, builder, sig, args):
        rows, array, start, source, origin = args
        data = context.make_array(sig.args[1])(context, builder, array).data
        for column in range(panel.rows):
            at = builder.add(origin, ir.Constant(origin.type, column * panel.lanes))
            vector = builder.load(_pointer(context, builder, sig.args[3], source, at, panel.vector), align=8)
            for row in range(column, panel.rows):
                offset = builder.add(start, ir.Constant(start.type, column * panel.rows + row))
                factor = _splat(builder, builder.load(builder.gep(data, [offset]), align=8), panel.lanes)
                total = _call(builder, "fma", vector.type, [factor, vector, builder.extract_value(rows, row)])
                rows = builder.insert_value(rows, total, row)
        return rows

    return panel(panel, coefficients, types.uint64, vectors, types.uint64), emit


@intrinsic(prefer_literal=True)
def reduce_add(typingctx, x):
    """Sum of the lanes: halves are added until one is left, ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)) for eight."""

    def emit(context, builder, sig, args):
        value, lanes = args[0], x.lanes
        while lanes > 1:
            lanes //= 2
            low = ir.Constant(ir.VectorType(ir.IntType(32), lanes), list(range(lanes)))
            high = ir.Constant(ir.VectorType(ir.IntType(32), lanes), list(range(lanes, 2 * lanes)))
            value = builder.fadd(builder.shuffle_vector(value, value, low), builder.shuffle_vector(value, value, high))
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    return types.float64(x), emit


@intrinsic(prefer_literal=True)
def panel_fma_rows(typingctx, x, y, panel):
    """x * y + panel, row by row, fused."""

    def emit(context, builder, sig, args):
        total = args[2]
        for row in range(panel.rows):
            rows = [builder.extract_value(value, row) for value in args]
            total = builder.insert_value(total, _call(builder, "fma", rows[0].type, rows), row)
        return total

    return panel(x, y, panel), emit
