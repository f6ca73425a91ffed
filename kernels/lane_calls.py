"""What a user's code may call, on numbers and on vectors of lanes alike, with the same bits for both.

`FRONTS` tells what stands for each function of `math`, `numpy` and Python while a problem's code is compiled:

    exp log log2 log10 log1p expm1 tanh logaddexp        the formulas of `lane_math`, for numbers as well
    sqrt abs floor ceil sign square minimum maximum where clip isnan ...   exact
    sin cos erf lgamma pow ... (`_BY_LANE`)              the C library's, lane by lane

Arrays and other types go to the original function.
"""

import builtins
import math as c_library

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.extending import intrinsic

from . import lane_math
from ._jit import body, inline, overload
from .lane_terms import are_lanes, term_of
from .vector import Vector, _as_vector, _call, absolute, doubles, first_lane, select, sqrt, widest

_0 = np.uint64(0)


def _doubles(*given):
    """Vectors of doubles, with numbers or masks among them."""
    return any(isinstance(t, Vector) and t.kind == "f" for t in given) and all(
        isinstance(t, Vector | types.Number | types.Boolean) for t in given
    )


def _numbers(*given):
    return all(isinstance(t, types.Float | types.Integer | types.Boolean) for t in given)


def _named(name, arguments):
    """A Python function of that name that is never called: its compiled forms are told by types."""
    space = {"__name__": __name__}
    exec(f"def {name}({arguments}):\n    raise NotImplementedError\n", space)
    return space[name]


# ---- functions of one number -----------------------------------------------------------------------------------------


def _formula(name, vector, original):
    """A function that has a formula on vectors; a number is a vector of one lane."""
    front = _named(name, "x")
    # Of arrays of numbers Numba takes the C library's.
    term = term_of(f"{original.__module__}.{name}", _by_lane(f"each_{name}", original), 1)

    @overload(front)
    def _compiled(x):
        if _doubles(x):
            return lambda x: vector(x)
        if _numbers(x):
            return lambda x: first_lane(vector(doubles(np.float64(x), 1)), _0)
        if are_lanes(x):
            return lambda x: term(x)
        return lambda x: original(x)

    return front


def _exact(name, vector, original):
    """A function whose value on a number is the same on every machine."""
    front = _named(name, "x")
    term = term_of(name, front, 1)

    @overload(front)
    def _compiled(x):
        if _doubles(x):
            return lambda x: vector(x)
        if are_lanes(x):
            return lambda x: term(x)
        return lambda x: original(x)

    return front


def _rounded(name):
    """One of LLVM's exact functions, such as `floor`."""

    @intrinsic(prefer_literal=True)
    def call(typingctx, x):
        return x(x), lambda context, builder, sig, args: _call(builder, name, x.llvm, args)

    return call


def _each_lane(function, arguments=1):
    """A compiled function of doubles, called for one lane after another."""

    def typed(*given):
        vector = widest(given)
        kinds = [t if isinstance(t, Vector) else types.float64 for t in given]

        def emit(context, builder, sig, args):
            kind = context.typing_context.resolve_value_type(function)
            inner = kind.get_call_type(context.typing_context, (types.float64,) * len(args), {})
            code = context.get_function(kind, inner)
            values = [_as_vector(context, builder, v, t, vector) for v, t in zip(args, sig.args, strict=True)]
            result = ir.Constant(vector.llvm, ir.Undefined)
            for lane in range(vector.lanes):
                place = ir.Constant(ir.IntType(32), lane)
                value = code(builder, [builder.extract_element(v, place) for v in values])
                result = builder.insert_element(result, value, place)
            return result

        return vector(*kinds), emit

    @intrinsic(prefer_literal=True)
    def one(typingctx, x):
        return typed(x)

    @intrinsic(prefer_literal=True)
    def two(typingctx, x, y):
        return typed(x, y)

    return one if arguments == 1 else two


def _by_lane(name, original):
    front, call = _named(name, "x"), _each_lane(original)
    term = term_of(name, front, 1)

    @overload(front)
    def _compiled(x):
        if _doubles(x):
            return lambda x: call(x)
        if are_lanes(x):
            return lambda x: term(x)
        return lambda x: original(x)

    return front


def _by_lane_2(name, original):
    front, call = _named(name, "x, y"), _each_lane(original, 2)
    term = term_of(name, front, 2)

    @overload(front)
    def _compiled(x, y):
        if _doubles(x, y):
            return lambda x, y: call(x, y)
        if are_lanes(x, y):
            return lambda x, y: term(x, y)
        return lambda x, y: original(x, y)

    return front


@inline
def _log2(x):
    return lane_math.log(x) * 1.4426950408889634


@inline
def _log10(x):
    return lane_math.log(x) * 0.4342944819032518


@inline
def _sign(x):
    return select(x > 0.0, 1.0, select(x < 0.0, -1.0, select(x == x, 0.0, x)))


@inline
def _square(x):
    return x * x


@inline
def _isnan(x):
    return x != x


@inline
def _isfinite(x):
    return absolute(x) < np.inf


# ---- choices ---------------------------------------------------------------------------------------------------------


@intrinsic(prefer_literal=True)
def _choose_lanes(typingctx, condition, yes, no):
    """`select` with a mask or a truth value, between vectors, masks and numbers."""
    given = (condition, yes, no)
    lanes = widest(given).lanes
    truths = all(isinstance(t, types.Boolean) or (isinstance(t, Vector) and t.kind == "b") for t in (yes, no))
    result, mask = Vector("b" if truths else "f", lanes), Vector("b", lanes)

    def emit(context, builder, sig, args):
        chosen = [_as_vector(context, builder, v, t, result) for v, t in zip(args[1:], sig.args[1:], strict=True)]
        return builder.select(_as_vector(context, builder, args[0], sig.args[0], mask), *chosen)

    scalar = types.boolean if truths else types.float64
    kinds = [t if isinstance(t, Vector) else scalar for t in (yes, no)]
    return result(condition if isinstance(condition, Vector) else types.boolean, *kinds), emit


def choose(condition, yes, no):
    """`yes if condition else no` with both sides evaluated."""
    raise NotImplementedError


_chosen = term_of("choose", choose, 3)


@overload(choose)
def _choose(condition, yes, no):
    if are_lanes(condition, yes, no):
        return lambda condition, yes, no: _chosen(condition, yes, no)
    if any(isinstance(t, Vector) for t in (condition, yes, no)):
        return lambda condition, yes, no: _choose_lanes(condition, yes, no)

    def scalar(condition, yes, no):
        if condition:
            return yes
        return no

    return scalar


def where(condition, x, y):
    """np.where on numbers and vectors."""
    raise NotImplementedError


@overload(where)
def _where(condition, x, y):
    if any(isinstance(t, Vector) for t in (condition, x, y)) or _numbers(condition, x, y):
        return lambda condition, x, y: choose(condition, x, y)
    if are_lanes(condition, x, y):
        return lambda condition, x, y: choose(condition, x, y)
    return lambda condition, x, y: np.where(condition, x, y)


@intrinsic(prefer_literal=True)
def _combine(typingctx, name, a, b):
    """`and_`, `or_` of two masks or truth values."""
    text, lanes = name.literal_value, widest((a, b)).lanes
    result = Vector("b", lanes)

    def emit(context, builder, sig, args):
        pair = [_as_vector(context, builder, v, t, result) for v, t in zip(args[1:], sig.args[1:], strict=True)]
        return getattr(builder, text)(*pair)

    return result(name, *(t if isinstance(t, Vector) else types.boolean for t in (a, b))), emit


@intrinsic(prefer_literal=True)
def _negated(typingctx, a):
    return a(a), lambda context, builder, sig, args: builder.not_(args[0])


def both(a, b):
    """`a and b` of masks or truth values, both evaluated."""
    raise NotImplementedError


@overload(both)
def _both(a, b):
    if isinstance(a, Vector) or isinstance(b, Vector):
        return lambda a, b: _combine("and_", a, b)
    return lambda a, b: bool(a) and bool(b)


def either(a, b):
    """`a or b` of masks or truth values, both evaluated."""
    raise NotImplementedError


@overload(either)
def _either(a, b):
    if isinstance(a, Vector) or isinstance(b, Vector):
        return lambda a, b: _combine("or_", a, b)
    return lambda a, b: bool(a) or bool(b)


def negation(a):
    """`not a` of a mask or a truth value."""
    raise NotImplementedError


@overload(negation)
def _negation(a):
    if isinstance(a, Vector) and a.kind == "b":
        return lambda a: _negated(a)
    return lambda a: not a


# ---- two numbers -----------------------------------------------------------------------------------------------------


@inline
def _smaller(a, b):
    return select(b < a, b, a)


@inline
def _larger(a, b):
    return select(b > a, b, a)


@inline
def _logaddexp(a, b):
    high, low = lane_math.maximum(a, b), lane_math.minimum(a, b)
    # Equal infinities have no difference.
    gap = choose(high == low, 0.0, low - high)
    return high + lane_math.log1p(lane_math.exp(gap))


def _elementwise(name, vector, original):
    """A formula of two numbers, for numbers as well."""
    front = _named(name, "x, y")
    term = term_of(name, front, 2)

    @overload(front)
    def _compiled(x, y):
        if _doubles(x, y):
            return lambda x, y: vector(_lanes_of(x, y), _lanes_of(y, x))
        if _numbers(x, y):
            return lambda x, y: first_lane(vector(doubles(np.float64(x), 1), doubles(np.float64(y), 1)), _0)
        if are_lanes(x, y):
            return lambda x, y: term(x, y)
        return lambda x, y: original(x, y)

    return front


@intrinsic(prefer_literal=True)
def _lanes_of(typingctx, x, like):
    """x as doubles, in as many lanes as the wider of the two has."""
    wanted = Vector("f", widest((x, like)).lanes)

    def emit(context, builder, sig, args):
        return _as_vector(context, builder, args[0], sig.args[0], wanted)

    return wanted(x if isinstance(x, Vector) else types.float64, like), emit


_minimum = _elementwise("minimum", lane_math.minimum, np.minimum)
_maximum = _elementwise("maximum", lane_math.maximum, np.maximum)


def clip(x, low, high):
    """np.clip on numbers and vectors."""
    raise NotImplementedError


@overload(clip)
def _clip(x, low, high):
    if _doubles(x, low, high) or _numbers(x, low, high) or are_lanes(x, low, high):
        return lambda x, low, high: _minimum(_maximum(x, low), high)
    return lambda x, low, high: np.clip(x, low, high)


def number(x):
    """float(x); a mask is 1.0 or 0.0."""
    raise NotImplementedError


@overload(number)
def _number(x):
    if isinstance(x, Vector) and x.kind == "b":
        return lambda x: x + 0.0
    if isinstance(x, Vector):
        return lambda x: x
    return lambda x: float(x)


def power(x, y):
    """x ** y."""
    raise NotImplementedError


@overload(power)
def _power(x, y):
    if _doubles(x, y):
        return lambda x, y: _pow_lanes(x, y)
    if are_lanes(x, y):
        return lambda x, y: _power_term(x, y)
    return lambda x, y: x**y


_pow_lanes = _each_lane(c_library.pow, 2)
_power_term = term_of("power", power, 2)


def whole_power(n):
    """The function x -> x ** n for a whole number n >= 0, by squaring."""
    lines, factor = [f"def power_{n}(x):"], "x"
    result, rest, place = "", n, 0
    while rest:
        if rest & 1:
            result = f"({result} * {factor})" if result else factor
        rest >>= 1
        if rest:
            place += 1
            lines.append(f"    x{place} = {factor} * {factor}")
            factor = f"x{place}"
    lines.append(f"    return {result or 'x * 0.0 + 1.0'}")
    space = {"__name__": __name__}
    exec("\n".join(lines), space)
    front, compiled = _named(f"power_{n}", "x"), body(space[f"power_{n}"])
    term = term_of(f"power_{n}", compiled, 1)

    @overload(front)
    def _compiled(x):
        if are_lanes(x):
            return lambda x: term(x)
        return lambda x: compiled(x)

    return front


@overload(builtins.abs)
def _abs(x):
    return (lambda x: absolute(x)) if _doubles(x) else None


@overload(builtins.min)
def _min(x, y):
    return (lambda x, y: _smaller(x, y)) if _doubles(x, y) else None


@overload(builtins.max)
def _max(x, y):
    return (lambda x, y: _larger(x, y)) if _doubles(x, y) else None


@overload(builtins.min)
def _min_of_three(x, y, z):
    return (lambda x, y, z: min(min(x, y), z)) if _doubles(x, y, z) else None


@overload(builtins.max)
def _max_of_three(x, y, z):
    return (lambda x, y, z: max(max(x, y), z)) if _doubles(x, y, z) else None


# ---- what stands for what --------------------------------------------------------------------------------------------

_BY_LANE = (
    "sin cos tan asin acos atan sinh cosh asinh acosh atanh erf erfc gamma lgamma",
    "arcsin arccos arctan arcsinh arccosh arctanh exp2 cbrt",
)


def _table():
    """{original function: what stands for it}."""
    found = {}
    for name, vector in (
        ("exp", lane_math.exp),
        ("expm1", lane_math.expm1),
        ("log", lane_math.log),
        ("log1p", lane_math.log1p),
        ("log2", _log2),
        ("log10", _log10),
        ("tanh", lane_math.tanh),
    ):
        for library in (c_library, np):
            original = getattr(library, name)
            found[original] = _formula(name, vector, original)
    for library, name, vector in (
        (c_library, "sqrt", sqrt),
        (np, "sqrt", sqrt),
        (c_library, "fabs", absolute),
        (np, "fabs", absolute),
        (np, "abs", absolute),
        (np, "floor", _rounded("floor")),
        (np, "ceil", _rounded("ceil")),
        (np, "sign", _sign),
        (np, "square", _square),
        (np, "isnan", _isnan),
        (c_library, "isnan", _isnan),
        (np, "isfinite", _isfinite),
        (c_library, "isfinite", _isfinite),
    ):
        original = getattr(library, name)
        found[original] = _exact(f"exact_{name}", vector, original)
    for library, names in ((c_library, _BY_LANE[0]), (np, "sin cos tan sinh cosh " + _BY_LANE[1])):
        for name in names.split():
            original = getattr(library, name, None)
            if original is not None:
                found[original] = _by_lane(f"lanes_{name}", original)
    for library, name in (
        (c_library, "pow"),
        (c_library, "atan2"),
        (np, "arctan2"),
        (c_library, "hypot"),
        (np, "hypot"),
    ):
        original = getattr(library, name)
        found[original] = _by_lane_2(f"lanes_{name}", original)
    found |= {np.minimum: _minimum, np.maximum: _maximum}
    found |= {np.where: where, np.clip: clip}
    for name, front in (("logical_and", both), ("logical_or", either), ("logical_not", negation)):
        found[getattr(np, name)] = front
    name = "logaddexp"
    original = getattr(np, name)
    found[original] = _elementwise(name, _logaddexp, original)
    return found


FRONTS = _table()
SQUARE_ROOT = FRONTS[c_library.sqrt]
EXPONENTIAL, LOGARITHM = FRONTS[c_library.exp], FRONTS[c_library.log]
