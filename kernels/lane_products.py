"""Loops over the elements of arrays in a user's source: what they go along, and sums of products that they take.

for j in range(low, high):
    u += theta[j] * sample[j]        ->    u = u + dot(theta[low:high], sample[low:high])
"""

import ast
import copy

from .lane_source import Unfit, call, let, loaded, names

SIZES = ("size", "shape")


def number(value):
    return ast.Constant(value)


def is_number(node, value):
    return isinstance(node, ast.Constant) and type(node.value) in (int, float) and node.value == value


def plus(a, b):
    """a + b of places, which may be known."""
    if is_number(a, 0):
        return b
    if is_number(b, 0):
        return a
    if isinstance(a, ast.Constant) and isinstance(b, ast.Constant):
        return number(a.value + b.value)
    return ast.BinOp(a, ast.Add(), b)


def text_of(node):
    return ast.unparse(node)


class Loop:
    """`for j in range(low, high)`, other loops over arrays being written so; `inner`: elements have been put for names."""

    def __init__(self, node):
        self.index, self.low, self.high, self.body = "", number(0), None, node.body
        call = node.iter if isinstance(node.iter, ast.Call) and isinstance(node.iter.func, ast.Name) else None
        if node.orelse:
            return
        kind = call.func.id if call is not None and not call.keywords else ""
        target = node.target
        if kind == "range" and isinstance(target, ast.Name) and len(call.args) in (1, 2):
            self.index, self.high = target.id, call.args[-1]
            self.low = call.args[0] if len(call.args) == 2 else self.low
        elif kind == "enumerate" and len(call.args) == 1 and isinstance(target, ast.Tuple) and len(target.elts) == 2:
            if isinstance(target.elts[0], ast.Name):
                self._over(target.elts[0].id, [(target.elts[1], call.args[0])])
        elif kind == "zip" and isinstance(target, ast.Tuple) and len(target.elts) == len(call.args):
            self._over("fastsgd_j", list(zip(target.elts, call.args, strict=True)))

    def _over(self, index, pairs):
        if not all(isinstance(name, ast.Name) for name, _ in pairs):
            return
        self.index, self.high = index, ast.Call(ast.Name("len", ast.Load()), [pairs[0][1]], [])
        table = {name.id: ast.Subscript(array, ast.Name(index, ast.Load()), ast.Load()) for name, array in pairs}
        if any(names(self.body, ast.Store) & table.keys()):
            self.index = ""
        self.body = [Put(table).visit(copy.deepcopy(node)) for node in self.body]


class Put(ast.NodeTransformer):
    """Expressions in place of names that are read."""

    def __init__(self, table):
        self.table = table

    def visit_Name(self, node):
        found = self.table.get(node.id) if isinstance(node.ctx, ast.Load) else None
        return node if found is None else copy.deepcopy(found)


def along(index, loop):
    """What is added to the index of a loop in an element's place, or None."""
    if isinstance(index, ast.Name) and index.id == loop.index:
        return number(0)
    if isinstance(index, ast.BinOp) and isinstance(index.op, ast.Add):
        for one, other in ((index.left, index.right), (index.right, index.left)):
            if isinstance(one, ast.Name) and one.id == loop.index and loop.index not in names(other, ast.Load):
                return other
    if isinstance(index, ast.BinOp) and isinstance(index.op, ast.Sub) and isinstance(index.right, ast.Constant):
        left = along(index.left, loop)
        return None if left is None else plus(left, number(-index.right.value))
    return None


def part_of(array, low, high):
    """array[low:high]"""
    low, text = None if is_number(low, 0) else low, text_of(array)
    if text_of(high) in (f"{text}.size", f"len({text})", f"{text}.shape[0]"):
        high = None
    if low is None and high is None:
        return loaded(array)
    return ast.Subscript(loaded(array), ast.Slice(low, high, None), ast.Load())


class Products(ast.NodeTransformer):
    """Sums of products over a loop as products of arrays."""

    def visit_For(self, node):
        self.generic_visit(node)
        loop = Loop(node)
        if not loop.index or not loop.body:
            return node
        found = [self._product(part, loop) for part in loop.body]
        return node if any(f is None for f in found) else found

    def _product(self, node, loop):
        """`u += a[j] * b[j]` as `u = u + dot(a[low:high], b[low:high])`."""
        target, op, value = _added(node)
        if target is None or loop.index in names([loop.low, loop.high], ast.Load):
            return None
        if not isinstance(value, ast.BinOp) or not isinstance(value.op, ast.Mult):
            return None
        parts = []
        for side in (value.left, value.right):
            if not isinstance(side, ast.Subscript) or not isinstance(side.value, ast.Name | ast.Subscript):
                return None
            place = along(side.slice, loop)
            if place is None or {target, loop.index} & names(side.value, ast.Load):
                return None
            parts.append(part_of(side.value, plus(place, loop.low), plus(place, loop.high)))
        return let(target, ast.BinOp(ast.Name(target, ast.Load()), op, call("dot", node, *parts)), node)


def _added(node):
    """(u, operator, what is added) of `u += x`, `u -= x`, `u = u + x`, `u = u - x`, `u = x + u` of a name."""
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and isinstance(node.op, ast.Add | ast.Sub):
        return node.target.id, node.op, node.value
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        name, value = node.targets[0].id, node.value
        if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add | ast.Sub):
            if isinstance(value.left, ast.Name) and value.left.id == name:
                return name, value.op, value.right
            if isinstance(value.op, ast.Add) and isinstance(value.right, ast.Name) and value.right.id == name:
                return name, value.op, value.left
    return None, None, None


def check_loops(tree, rows):
    """Raise Unfit where a loop goes along rows (by name) in a way that is not a product."""
    for loop in ast.walk(tree):
        if not isinstance(loop, ast.For | ast.While):
            continue
        if isinstance(loop, ast.For) and names(loop.iter, ast.Load) & rows and not only_sizes(loop.iter, rows):
            raise Unfit(loop, "a loop along samples")
        for node in ast.walk(loop):
            if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in rows:
                known = node.slice.operand if isinstance(node.slice, ast.UnaryOp) else node.slice
                if not isinstance(known, ast.Constant | ast.Slice):
                    raise Unfit(node, "a loop along samples")


def only_sizes(node, rows):
    """Whether arrays are asked for nothing but their size."""
    known = set()
    for n in ast.walk(node):
        if isinstance(n, ast.Attribute) and n.attr in SIZES:
            known.add(n.value)
        elif isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "len":
            known |= {_whole_of(a) for a in n.args}
    return all(n in known for n in ast.walk(node) if isinstance(n, ast.Name) and n.id in rows)


def _whole_of(node):
    """The array that a part is of."""
    while isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
        node = node.value
    return node


def is_named(node):
    """Whether a statement gives a value to one name."""
    return isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
