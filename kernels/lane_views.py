"""Parts of a gradient's own arguments without a reference to the whole: `params[d:].reshape(d, d)`, `sample.normals[:d]`.

NumPy's views count references by calls, around which vectors cannot stay in registers, and the shape of a reshaped array is
told by a call as well. What a gradient is given lives as long as it runs, so views of that need none of this. Values, and
the error where a shape does not fit, are NumPy's.
"""

import ast
import operator

from numba.core import types
from numba.core.extending import intrinsic
from numba.np.arrayobj import populate_array

from ._jit import overload
from .lane_terms import LaneTerm, term_of

_DRAWS = ("normals", "uniforms", "exponentials")


def part(x, begin, end):
    """x[begin:end]; None for either as in a slice."""
    raise NotImplementedError


def row(x, i):
    """x[i]."""
    raise NotImplementedError


def reshaped(x, rows, columns):
    """x.reshape(rows, columns)."""
    raise NotImplementedError


def _flat(x):
    return isinstance(x, types.Array) and x.ndim == 1 and x.layout == "C"


def _view(result, array, shape):
    """An intrinsic's result: an array of `result` from element args[1] on."""

    def emit(context, builder, sig, args):
        source = context.make_array(array)(context, builder, args[0])
        made = context.make_array(result)(context, builder)
        size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(array.dtype)))
        sizes = shape(args)
        strides = [builder.mul(size, sizes[1]), size] if len(sizes) == 2 else [size]
        data = builder.gep(source.data, [args[1]])
        populate_array(made, data=data, shape=sizes, strides=strides, itemsize=size, meminfo=None)
        return made._getvalue()

    return emit


@intrinsic
def _piece(typingctx, x, begin, count):
    result = x if x.ndim == 1 else types.Array(x.dtype, 1, "C", readonly=not x.mutable, aligned=x.aligned)
    return result(x, types.intp, types.intp), _view(result, x, lambda args: [args[2]])


@intrinsic
def _matrix(typingctx, x, begin, rows, columns):
    result = types.Array(x.dtype, 2, "C", readonly=not x.mutable, aligned=x.aligned)
    return result(x, types.intp, types.intp, types.intp), _view(result, x, lambda args: [args[2], args[3]])


def _place(i, n, default):
    """Where an end of a slice of n elements is."""
    raise NotImplementedError


@overload(_place)
def _compiled_place(i, n, default):
    if isinstance(i, types.NoneType):
        return lambda i, n, default: default
    return lambda i, n, default: max(i + n, 0) if i < 0 else min(i, n)


@overload(part)
def _part(x, begin, end):
    whole = all(isinstance(t, types.Integer | types.NoneType) for t in (begin, end))
    if not _flat(x) or not whole:
        return lambda x, begin, end: x[begin:end]

    def made(x, begin, end):
        first, behind = _place(begin, x.size, 0), _place(end, x.size, x.size)
        return _piece(x, first, max(behind - first, 0))

    return made


@overload(row)
def _row(x, i):
    if not isinstance(x, types.Array) or x.ndim != 2 or x.layout != "C" or not isinstance(i, types.Integer):
        return lambda x, i: x[i]
    return lambda x, i: _piece(x, (i + x.shape[0] if i < 0 else i) * x.shape[1], x.shape[1])


@overload(reshaped)
def _reshaped(x, rows, columns):
    if not _flat(x) or not all(isinstance(t, types.Integer) for t in (rows, columns)):
        return lambda x, rows, columns: x.reshape(rows, columns)

    def made(x, rows, columns):
        r = x.size // columns if rows < 0 < columns else rows
        c = x.size // rows if columns < 0 < rows else columns
        if r < 0 or c < 0 or r * c != x.size:
            x.reshape(rows, columns)  # raises
        return _matrix(x, 0, r, c)

    return made


def _expression(name):
    """An operator whose value on arrays of numbers is not made before its elements are asked for, as on arrays of lanes."""
    symbol = getattr(operator, name)
    arguments = 1 if name == "neg" else 2
    term = term_of(name, symbol, arguments)

    def one(a):
        raise NotImplementedError

    def two(a, b):
        raise NotImplementedError

    @overload(one)
    def _one(a):
        return (lambda a: term(a)) if _lazy(a) else (lambda a: symbol(a))

    @overload(two)
    def _two(a, b):
        return (lambda a, b: term(a, b)) if _lazy(a, b) else (lambda a, b: symbol(a, b))

    return one if arguments == 1 else two


def _lazy(*given):
    arrays = [t for t in given if isinstance(t, types.Array | LaneTerm)]
    if any(isinstance(t, types.Array) and (t.ndim != 1 or t.dtype != types.float64) for t in arrays):
        return False
    return bool(arrays) and all(isinstance(t, types.Array | LaneTerm | types.Float | types.Integer) for t in given)


_OPERATORS = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "truediv", ast.USub: "neg"}
CALLS = {f"fastsgd_{f.__name__}": f for f in (part, row, reshaped)}
CALLS |= {f"fastsgd_lazy_{name}": _expression(name) for name in _OPERATORS.values()}


class Views(ast.NodeTransformer):
    """Changes a gradient, on its tree."""

    def __init__(self, tree):
        self.stored, self.given, self.matrices = {}, set(), set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.stored[node.id] = self.stored.get(node.id, 0) + 1
        self.given = {a.arg for a in tree.args.args} - self.stored.keys()
        size = -1
        while len(self.given) != size:
            size = len(self.given)
            for node in ast.walk(tree):
                if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                    name = node.targets[0].id
                    if self.stored[name] == 1 and self._is_given(node.value):
                        self.given.add(name)
                        self.matrices |= {name} if self._shape(node.value) else set()

    def _is_given(self, node):
        """Whether an expression is an argument or a view of one."""
        if isinstance(node, ast.Name):
            return node.id in self.given
        if isinstance(node, ast.Attribute):
            return node.attr in _DRAWS and self._is_given(node.value)
        if isinstance(node, ast.Subscript):
            return isinstance(node.slice, ast.Slice) and node.slice.step is None and self._is_given(node.value)
        return self._shape(node) is not None

    def _shape(self, node):
        """(rows, columns) of a given array that is reshaped, or None."""
        if not isinstance(node, ast.Call) or node.keywords or not isinstance(node.func, ast.Attribute):
            return None
        shape = node.args[0].elts if len(node.args) == 1 and isinstance(node.args[0], ast.Tuple) else node.args
        fits = node.func.attr == "reshape" and len(shape) == 2 and not any(isinstance(s, ast.Starred) for s in shape)
        return shape if fits and self._is_given(node.func.value) else None

    def visit(self, node):
        """An expression that is not made stands in other expressions alone: other functions want arrays."""
        found = super().visit(node)
        takes = isinstance(found, ast.BinOp | ast.UnaryOp | ast.Compare) or _is_lazy(found) or _chooses(found)
        if not takes and not _is_simple(found):
            _replace(found, lambda n: _call("kept", n, n) if _is_lazy(n) else n)
        return found

    def visit_UnaryOp(self, node):
        self.generic_visit(node)
        name = _OPERATORS.get(type(node.op))
        return _call(f"lazy_{name}", node, node.operand) if name and self._is_array(node.operand) else node

    def visit_BinOp(self, node):
        self.generic_visit(node)
        name, pair = _OPERATORS.get(type(node.op)), (node.left, node.right)
        return _call(f"lazy_{name}", node, *pair) if name and any(self._is_array(n) for n in pair) else node

    def _is_array(self, node):
        """Whether what has been changed is a part of an argument, or made of one."""
        return _is_lazy(node) or _name(node) == "fastsgd_part"

    def visit_Call(self, node):
        shape = self._shape(node)
        if shape is None:
            return self.generic_visit(node)
        return _call("reshaped", node, *(self.visit(n) for n in (node.func.value, *shape)))

    def visit_Subscript(self, node):
        within, at = node.value, node.slice
        if not isinstance(node.ctx, ast.Load):
            return self.generic_visit(node)
        if self._is_given(node):
            return self._part(node, self.visit(within), at)
        if isinstance(within, ast.Name) and within.id in self.matrices & self.given:
            if isinstance(at, ast.Tuple) and len(at.elts) == 2 and not isinstance(at.elts[0], ast.Slice | ast.Tuple):
                i, j = at.elts
                if isinstance(j, ast.Slice) and j.step is None:
                    return self._part(node, _call("row", node, within, self.visit(i)), j)
            elif not isinstance(at, ast.Slice | ast.Tuple):
                return _call("row", node, within, self.visit(at))
        return self.generic_visit(node)

    def _part(self, node, array, at):
        ends = (ast.Constant(None) if end is None else self.visit(end) for end in (at.lower, at.upper))
        return _call("part", node, array, *ends)


def _name(node):
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""


def _is_lazy(node):
    return _name(node).startswith("fastsgd_lazy_")


def _chooses(node):
    """np.where"""
    return isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "where"


def _is_simple(node):
    """An assignment to a name or to elements: it makes an array itself where one is wanted."""
    return (
        isinstance(node, ast.Assign)
        and len(node.targets) == 1
        and isinstance(node.targets[0], ast.Name | ast.Subscript)
    )


def _replace(node, change):
    """Change the expressions that a node is made of."""
    for field, value in ast.iter_fields(node):
        if isinstance(value, ast.expr):
            setattr(node, field, change(value))
        elif isinstance(value, list):
            setattr(node, field, [change(v) if isinstance(v, ast.expr) else v for v in value])


def _call(name, like, *args):
    made = ast.Call(ast.Name(f"fastsgd_{name}", ast.Load()), list(args), [])
    return ast.fix_missing_locations(ast.copy_location(made, like))
