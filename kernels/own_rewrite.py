"""A user's functions as the kernels compile them: with the functions of `lane_calls`, on numbers or on lanes.

What a function refers to is compiled with it: its helpers likewise, whether they are compiled by Numba or plain. Numba's
options on them (fast-math, parallel) are not taken over, for the bits would depend on the machine.
"""

import ast
import dis
import math
import types

import numpy as np
from numba.core.registry import cpu_target

from . import lane_arrays, lane_calls, lane_room, lane_rows, lane_terms
from ._jit import body, uncached
from .lane_margins import Margins
from .lane_pairs import Pairs
from .lane_products import Products, check_loops
from .lane_source import Common, Lanes, Unfit, writes
from .lane_views import CALLS as VIEWS
from .lane_views import Views
from .lane_zeros import unread
from .own_source import source

# Whose room the arrays of a function on lanes are in: its own, its caller's, none.
_OWN, _GIVEN, _NONE = "own", "given", "none"
_ARRAYS = "empty", "zeros", "empty_like", "zeros_like"

_CALLS = {
    "fastsgd_choose": lane_calls.choose,
    "fastsgd_both": lane_calls.both,
    "fastsgd_either": lane_calls.either,
    "fastsgd_negation": lane_calls.negation,
    "fastsgd_number": lane_calls.number,
    "fastsgd_power": lane_calls.power,
    "fastsgd_sqrt": lane_calls.SQUARE_ROOT,
    "fastsgd_dot": lane_terms.dot,
    "fastsgd_kept": lane_terms.kept,
    "fastsgd_sum": lane_terms.total,
    "fastsgd_room": lane_room.room,
    "fastsgd_count": lane_terms.count,
    "fastsgd_eight": lane_rows.eight,
    "fastsgd_place": lane_rows.place,
    **lane_terms.IN_PLACE,
    **VIEWS,
}


_FRONTS = lane_calls.FRONTS | {vars(np)["dot"]: lane_terms.dot, np.sum: lane_terms.total}


class _Library(types.ModuleType):
    """`math` or `numpy` with what stands for their functions."""

    def __init__(self, original):
        super().__init__(original.__name__)
        self.original = original

    def __getattr__(self, name):
        found = getattr(object.__getattribute__(self, "original"), name)
        return _stand_in(found)


_LIBRARIES = {math: _Library(math), np: _Library(np)}


def _stand_in(value):
    try:
        return _FRONTS.get(value, value)
    except TypeError:  # not hashable
        return value


def plain(function):
    """The Python function of a compiled one."""
    return getattr(function, "py_func", function)


def _defined(node, space, file):
    tree = ast.fix_missing_locations(ast.Module([node], []))
    found = {}
    exec(compile(tree, file, "exec"), space, found)
    return found[node.name]


def _referred(code):
    """Names of globals in a function's code and the functions within it."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= _referred(constant)
    return found


class Rewriting:
    """One user's functions for one route; each is made once.

    Attributes:
        lanes: of how many lanes the vectors are; 0 for numbers.
        rows: whether samples are rows that are not turned, for a gradient on them (`lane_margins`).
        pairs: whether loops that sum go along two rows at once (`lane_pairs`).
        margins: the `Margins` of such a gradient.
        compiled: False for plain Python functions, which are for looking for errors in.
    """

    def __init__(self, lanes, compiled=True, rows=False, pairs=False):
        self.lanes, self.compiled, self.rows, self.pairs, self.margins = lanes, compiled, rows, pairs, None
        self.made, self.gradient = {}, None

    def function(self, function, varying=()):
        """The function for the kernels; `varying`: which arguments differ from lane to lane. Raises Unfit."""
        self.gradient = plain(function)  # as many elements in its first argument as in its last
        found, *_ = self._made(plain(function), tuple(varying), _OWN)
        return found

    def _made(self, function, varying, room):
        """[the function, whether it stores to arrays, whether it takes a room first]; `room`: whose it has, on lanes."""
        key = (function, varying, room) if self.lanes else (function,)
        if key not in self.made:
            self.made[key] = [None, True, False]
            tree = source(function) if self.compiled else None
            space = dict(function.__globals__)
            if function.__closure__:
                space |= {
                    name: cell.cell_contents
                    for name, cell in zip(function.__code__.co_freevars, function.__closure__, strict=True)
                }
            stores = self._stores(function, tree)
            self.made[key][1] = stores
            self._globals(function, space, tree is None)
            self.made[key][2] = bool(self.lanes) and tree is not None and room == _GIVEN
            if tree is None:
                made = self._plain(function, space)
            else:
                made = self._from_source(function, tree, varying, space, room)
            if _is_function(space.get(function.__name__)) and plain(space[function.__name__]) is function:
                space[function.__name__] = made
            self.made[key][0] = made
        return self.made[key]

    def _stores(self, function, tree):
        if tree is not None:
            return writes(tree)
        return any(i.opname in ("STORE_SUBSCR", "STORE_SLICE") for i in dis.get_instructions(function.__code__))

    def _compile(self, function, recursive):
        if not self.compiled:
            return function
        return uncached(function) if recursive else body(function)

    def _plain(self, function, space):
        closure = function.__closure__ or ()
        made = types.FunctionType(function.__code__, space, function.__name__, function.__defaults__, closure)
        return self._compile(made, function.__name__ in _referred(function.__code__))

    def _from_source(self, function, tree, varying, space, room):
        common = Common()
        tree = common.visit(tree)
        for power in common.powers:
            space[f"fastsgd_power_{power}"] = _powers(power)
        space |= _CALLS
        recursive = function.__name__ in _referred(function.__code__)
        if self.lanes:
            if recursive:
                raise Unfit(tree, f"{function.__name__} calls itself")
            arguments = [a.arg for a in tree.args.args]
            vary = [name for name, does in zip(arguments, varying, strict=False) if does]
            arrays = {}
            for name, value in space.items():
                if value is np or value is _LIBRARIES[np]:
                    arrays |= {f"{name}.{array}": array for array in _ARRAYS}
            arrays |= {n: v.__name__ for n, v in space.items() if any(v is getattr(np, a) for a in _ARRAYS)}

            takers = set()

            def helper(name, vary):
                value = space.get(name)
                if not _is_function(value):
                    return None
                made, stores, takes = self._made(plain(value), vary, _NONE if room == _NONE else _GIVEN)
                new = name + "_" + "".join("v" if v else "s" for v in vary)
                space[new] = made
                takers.update([new] if takes else [])
                return new, stores

            unread(tree, tree.args.args[0].arg if function is self.gradient else "")
            if self.rows:
                tree = self._along_rows(function, tree, vary, arrays, space)
            elif function is self.gradient:
                tree = Pairs(tree).visit(tree) if self.pairs else tree
                tree = Views(tree).visit(tree)
            tree = Lanes(tree, vary, helper, arrays).convert()
            space["fastsgd_empty_lanes"], space["fastsgd_zeros_lanes"] = lane_arrays.makers(self.lanes)
            if room != _NONE:
                lane_room.furnish(tree, takers, room == _GIVEN)
        made = _defined(tree, space, function.__code__.co_filename)
        made.__defaults__ = function.__defaults__
        return self._compile(made, recursive)

    def _along_rows(self, function, tree, vary, arrays, space):
        if function is not self.gradient:
            tree = Products().visit(tree)
            check_loops(tree, set(vary))
            return tree
        sums = {f"{name}.sum" for name, value in space.items() if value is np or value is _LIBRARIES[np]}
        sums |= {name for name, value in space.items() if value is np.sum or value is lane_terms.total}
        self.margins = Margins(tree, arrays, sums)
        return self.margins.convert()

    def _globals(self, function, space, sourceless):
        """Replace what the function refers to by what stands for it."""
        for name in _referred(function.__code__) | set(function.__code__.co_freevars):
            if name not in space:
                continue
            value = space[name]
            if _is_function(value):
                called = plain(value)
                if called is function or (self.lanes and not sourceless):
                    continue  # itself, or called by another name already
                made = self._made(called, (True,) * called.__code__.co_argcount, _NONE)[0]
                space[name] = value if made is None else made
            elif self.compiled and isinstance(value, types.ModuleType):
                space[name] = _LIBRARIES.get(value, value)
            elif self.compiled:
                space[name] = _stand_in(value)


def _is_function(value):
    """A Python function of the user's, compiled or not; not one of ours or that Numba has a form of its own for."""
    if hasattr(value, "py_func"):
        return not (value.py_func.__module__ or "").startswith("fastsgd.kernels.")
    if not isinstance(value, types.FunctionType) or (value.__module__ or "").startswith(("numpy", "numba", "math")):
        return False
    cpu_target.typing_context.refresh()  # what was registered since Numba last compiled anything
    return cpu_target.typing_context._lookup_global(value) is None


_POWERS = {}


def _powers(n):
    if n not in _POWERS:
        _POWERS[n] = lane_calls.whole_power(n)
    return _POWERS[n]
