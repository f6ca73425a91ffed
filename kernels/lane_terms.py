"""Expressions of whole arrays on vectors of lanes, such as `out[:] = (p - sample[-1]) * sample[:-1]`, element by element.

An operator on an array of lanes makes a term: what is to be done with which operands. An element of a term is computed when
it is asked for, so that an expression makes no array on the way, as Numba does it with arrays of numbers. A term does not
outlive its expression: `lane_source` puts `kept` around what is given a name, which makes an array of it.

Elements are those of Numba's array expressions, with the same bits: operands of one element go with any size.
"""

import operator

import numpy as np
from numba.core import cgutils, types
from numba.core.extending import (
    intrinsic,
    make_attribute_wrapper,
    models,
    overload_attribute,
    register_model,
)
from numba.core.imputils import impl_ret_borrowed

from ._jit import body, overload
from .lane_arrays import empty_numbers, makers
from .lane_sums import LaneSums
from .lane_triangle import finite, used
from .vector import Vector, widest

_FUNCTIONS = {}
_PARTS = "abc"


class LaneTerm(types.Type):
    """A function of numbers by its name, and the types of its operands: arrays, terms, vectors, numbers."""

    def __init__(self, function, operands):
        self.function, self.operands = function, tuple(operands)
        super().__init__(name=f"LaneTerm({function}, {', '.join(str(o) for o in operands)})")

    @property
    def key(self):
        return self.function, self.operands


@register_model(LaneTerm)
class _LaneTermModel(models.StructModel):
    def __init__(self, dmm, kind):
        super().__init__(dmm, kind, list(zip(_PARTS, kind.operands, strict=False)))


for _part in _PARTS:
    make_attribute_wrapper(LaneTerm, _part, _part)


def is_lane_array(kind):
    """Whether a type is of arrays of vectors, of one axis."""
    return isinstance(kind, types.Array) and isinstance(kind.dtype, Vector) and kind.ndim == 1


def are_lanes(*given):
    """Whether an expression of operands of these types is one of arrays of lanes."""
    arrays = [t for t in given if isinstance(t, types.Array | LaneTerm)]
    others = [t for t in given if not isinstance(t, types.Array | LaneTerm)]
    if not arrays or any(isinstance(t, types.Array) and t.ndim != 1 for t in arrays):
        return False
    if not all(isinstance(t, types.Number | types.Boolean | Vector) for t in others):
        return False
    return any(is_lane_array(t) or isinstance(t, LaneTerm | Vector) for t in given)


def _vectors(kind):
    """Types of the vectors among the elements of a type."""
    if isinstance(kind, LaneTerm):
        return [v for o in kind.operands for v in _vectors(o)]
    return [v for v in (getattr(kind, "dtype", None), kind) if isinstance(v, Vector)]


def lanes_of(*given):
    """Of how many lanes the elements of an expression are."""
    return widest([v for t in given for v in _vectors(t)]).lanes


def term_of(name, function, arguments):
    """What makes a term of a compiled function of elements; `name` is the function's alone."""
    _FUNCTIONS[name] = function

    def typed(operands):
        result = LaneTerm(name, operands)

        def emit(context, builder, sig, args):
            made = cgutils.create_struct_proxy(result)(context, builder)
            for part, value in zip(_PARTS, args, strict=False):
                setattr(made, part, value)
            return impl_ret_borrowed(context, builder, result, made._getvalue())

        return result(*operands), emit

    @intrinsic
    def one(typingctx, a):
        return typed((a,))

    @intrinsic
    def two(typingctx, a, b):
        return typed((a, b))

    @intrinsic
    def three(typingctx, a, b, c):
        return typed((a, b, c))

    return (one, two, three)[arguments - 1]


# ---- elements --------------------------------------------------------------------------------------------------------


def item(x, i):
    """Element i of an operand; a number, a vector and an array of one element have only one."""
    raise NotImplementedError


@overload(item)
def _item(x, i):
    if isinstance(x, types.Array):
        return lambda x, i: x[np.uint64(i) * np.uint64(x.size != 1)]
    if not isinstance(x, LaneTerm):
        return lambda x, i: x
    function = _FUNCTIONS[x.function]
    if len(x.operands) == 1:
        return lambda x, i: function(item(x.a, i))
    if len(x.operands) == 2:
        return lambda x, i: function(item(x.a, i), item(x.b, i))
    return lambda x, i: function(item(x.a, i), item(x.b, i), item(x.c, i))


def count(x):
    """How many elements an operand has."""
    raise NotImplementedError


def _joint(a, b):
    return b if a == 1 else a


@overload(_joint)
def _compiled_joint(a, b):
    return lambda a, b: b if a == 1 else a


@overload(count)
def _count(x):
    if isinstance(x, types.Array):
        return lambda x: x.size
    if not isinstance(x, LaneTerm):
        return lambda x: 1
    if len(x.operands) == 1:
        return lambda x: count(x.a)
    if len(x.operands) == 2:
        return lambda x: _joint(count(x.a), count(x.b))
    return lambda x: _joint(_joint(count(x.a), count(x.b)), count(x.c))


@overload_attribute(LaneTerm, "size")
def _size(x):
    return lambda x: count(x)


@overload_attribute(LaneTerm, "shape")
def _shape(x):
    return lambda x: (count(x),)


@overload(len)
def _length(x):
    return (lambda x: count(x)) if isinstance(x, LaneTerm) else None


@overload(operator.getitem)
def _element(x, i):
    if isinstance(x, LaneTerm) and isinstance(i, types.Integer):
        return lambda x, i: item(x, i + count(x) if i < 0 else i)
    return None


def kept(x, room=None):
    """A term as an array, in a room if one is given; anything else as it is."""
    raise NotImplementedError


@overload(kept)
def _kept(x, room=None):
    if not isinstance(x, LaneTerm):
        return lambda x, room=None: x
    empty = makers(lanes_of(x))[0] if _vectors(x) else empty_numbers

    def made(x, room=None):
        array = empty(count(x), room)
        for i in range(array.size):
            array[i] = item(x, i)
        return array

    return made


# ---- operators -------------------------------------------------------------------------------------------------------


def _operator(symbol):
    make = term_of(symbol.__name__, symbol, 2)

    @overload(symbol)
    def _compiled(a, b):
        return (lambda a, b: make(a, b)) if are_lanes(a, b) else None


def _in_place(name):
    """What stands for `a += b` and the like, where a may be an array: returns a."""
    symbol, changed = getattr(operator, name), getattr(operator, f"i{name}")

    def front(a, b):
        raise NotImplementedError

    @overload(front)
    def _compiled(a, b):
        if not is_lane_array(a) or not are_lanes(a, b):
            return lambda a, b: changed(a, b)

        if isinstance(b, LaneTerm) and a.layout == "C":

            def change(a, b):
                if _undisturbed(b, _part(a, 0, a.size)):
                    for i in range(a.size):
                        a[i] = symbol(a[i], item(b, i))
                else:
                    value = kept(b)
                    for i in range(a.size):
                        a[i] = symbol(a[i], item(value, i))
                return a

            return change

        def change(a, b):
            value = kept(b)
            for i in range(a.size):
                a[i] = symbol(a[i], item(value, i))
            return a

        return change

    return front


IN_PLACE = {f"fastsgd_i{name}": _in_place(name) for name in ("add", "sub", "mul", "truediv")}


def _operators():
    for name in ("add", "sub", "mul", "truediv", "lt", "le", "gt", "ge", "eq", "ne"):
        _operator(getattr(operator, name))


_operators()
_negative = term_of("neg", operator.neg, 1)


@overload(operator.neg)
def _compiled_negative(a):
    return (lambda a: _negative(a)) if are_lanes(a) else None


# ---- whole arrays ----------------------------------------------------------------------------------------------------


@overload(operator.setitem)
def _set(array, where, value):
    """array[i:j:k] = value. What is written to sums of gradients is not read, so nothing is kept on the way."""
    if not isinstance(where, types.SliceType | types.EllipsisType):
        return None
    if isinstance(array, LaneSums) and (are_lanes(value) or isinstance(value, types.Array | types.Number | Vector)):
        if isinstance(where, types.EllipsisType):

            def assign(array, where, value):
                for j in range(array.size):
                    array[j] = item(value, j)

        else:

            def assign(array, where, value):
                start, stop, step = where.indices(array.size)
                for k, j in enumerate(range(start, stop, step)):
                    array[j] = item(value, k)

        return assign
    if is_lane_array(array) and isinstance(value, LaneTerm):
        if array.layout != "C" or isinstance(where, types.EllipsisType):

            def assign(array, where, value):
                array[where] = kept(value)

            return assign

        def assign(array, where, value):
            start, stop, step = where.indices(array.size)
            size = stop - start
            if step == 1 and size > 0 and count(value) == size and _undisturbed(value, _part(array, start, size)):
                for k in range(size):
                    array[start + k] = item(value, k)
            else:
                array[where] = kept(value)

        return assign
    return None


@intrinsic
def _part(typingctx, array, start, size):
    """(address of element `start` of an array of vectors, address behind `size` of them)."""
    result = types.UniTuple(types.intp, 2)

    def emit(context, builder, sig, args):
        first = context.make_array(array)(context, builder, args[0]).data
        ends = [builder.gep(first, [args[1]]), builder.gep(first, [builder.add(args[1], args[2])])]
        return context.make_tuple(
            builder, result, [builder.ptrtoint(p, context.get_value_type(types.intp)) for p in ends]
        )

    return result(array, types.intp, types.intp), emit


def _undisturbed(x, part):
    """Whether elements of a term may be written to a part of an array one by one: none is read after it was written over."""
    raise NotImplementedError


@overload(_undisturbed)
def _compiled_undisturbed(x, part):
    if isinstance(x, LaneTerm):
        if len(x.operands) == 1:
            return lambda x, part: _undisturbed(x.a, part)
        if len(x.operands) == 2:
            return lambda x, part: _undisturbed(x.a, part) and _undisturbed(x.b, part)
        return lambda x, part: _undisturbed(x.a, part) and _undisturbed(x.b, part) and _undisturbed(x.c, part)
    if not is_lane_array(x):
        return lambda x, part: True  # numbers: an array of them is in other memory
    if x.layout != "C":
        return lambda x, part: False

    def apart(x, part):
        first, behind = _part(x, 0, x.size)
        return behind <= part[0] or first >= part[1] or (first == part[0] and behind == part[1])

    return apart


def total(x, axis=None):
    """np.sum; of one axis in the order of the elements."""
    raise NotImplementedError


@overload(total)
def _total(x, axis=None):
    if not (are_lanes(x) and (axis is None or isinstance(axis, types.NoneType | types.Omitted))):
        if axis is None or isinstance(axis, types.NoneType | types.Omitted):
            return lambda x, axis=None: np.sum(x)
        return lambda x, axis=None: np.sum(x, axis)

    def added(x, axis=None):
        found = 0.0
        for i in range(count(x)):
            found += item(x, i)
        return found

    return added


def dot(a, b, room=None):
    """a @ b of arrays of one or two axes, sums in the order of the elements, nothing fused, no BLAS."""
    return a @ b


@overload(dot)
def _dot(a, b, room=None):
    shapes = tuple(t.ndim if isinstance(t, types.Array) else 1 if isinstance(t, LaneTerm) else 0 for t in (a, b))
    make = empty_numbers
    if _vectors(a) or _vectors(b):
        make = makers(lanes_of(a, b))[0]
    if shapes == (1, 1):
        return _dot_of_vectors
    if shapes == (2, 1):
        triangular = a.layout == "C" and a.dtype == types.float64 and bool(_vectors(b))
        short, columns_of = (_many_and_finite, used) if triangular else (_no, _all)

        def matrix_vector(a, b, room=None):
            given = kept(b, room)
            out = make(a.shape[0], room)
            whole, columns = a.shape[0] // 4 * 4, a.shape[1]
            shorter = short(a, given)
            for i in range(0, whole, 4):  # four rows at once: their sums do not wait for each other
                x0, x1, x2, x3 = 0.0, 0.0, 0.0, 0.0
                for j in range(columns_of(a, i) if shorter else columns):
                    y = given[j]
                    x0 += a[i, j] * y
                    x1 += a[i + 1, j] * y
                    x2 += a[i + 2, j] * y
                    x3 += a[i + 3, j] * y
                out[i], out[i + 1], out[i + 2], out[i + 3] = x0, x1, x2, x3
            for i in range(whole, a.shape[0]):
                found = 0.0
                for j in range(columns):
                    found += a[i, j] * given[j]
                out[i] = found
            return out

        return matrix_vector
    if shapes == (1, 2):

        def vector_matrix(a, b, room=None):
            given = kept(a, room)
            out = make(b.shape[1], room)
            for j in range(b.shape[1]):
                out[j] = 0.0
            for i in range(b.shape[0]):
                for j in range(b.shape[1]):
                    out[j] += given[i] * b[i, j]
            return out

        return vector_matrix
    return _dot_of_matrices if shapes == (2, 2) else None


@body
def _many_and_finite(a, x):
    return a.shape[1] > 8 and finite(x)


@body
def _no(a, x):
    return False


@body
def _all(a, i):
    return a.shape[1]


def _dot_of_vectors(a, b, room=None):
    found = 0.0
    for i in range(count(a)):
        found += item(a, i) * item(b, i)
    return found


def _dot_of_matrices(a, b, room=None):
    out = np.zeros((a.shape[0], b.shape[1]))
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            for j in range(b.shape[1]):
                out[i, j] += a[i, k] * b[k, j]
    return out
