"""Loops over rows with a loop that sums within: two rows at once, whose sums do not wait for each other.

    for j in range(d):                        for p in range(n // 2):
        g = theta[j]                              j_a = 2 * p; j = j_a + 1
        for k in range(j + 1):                    at_a = at; at = at_a + (j_a + 1)
            g += params[at] * z[k]       ->       g_a = theta[j_a]; g = theta[j]
            at += 1                               for k in range(j_a + 1): both
        out[j] = g                                for k in range(j_a + 1, j + 1): the second
                                                  out[j_a] = g_a; out[j] = g

An odd row stands alone, behind. Each sum keeps its order. The second row keeps the names, so that they have their values behind
the loop.
"""

import ast
import copy

from .lane_source import loaded, names

_PURE = {"abs", "min", "max", "float", "len", "range"}


class Pairs(ast.NodeTransformer):
    """Changes a gradient, on its tree; `out` is its last argument, which such a loop writes to and does not read."""

    def __init__(self, tree):
        self.out, self.count = tree.args.args[-1].arg, 0
        self.arrays = {a.arg for a in tree.args.args}

    def visit_For(self, node):
        found = _Rows(node, self.out, self.arrays)
        if not found.fits():
            return self.generic_visit(node)
        self.count += 1
        return [ast.fix_missing_locations(ast.copy_location(n, node)) for n in found.paired(f"_pair_{self.count}")]


class _Rows:
    def __init__(self, loop, out, arrays):
        self.loop, self.out, self.arrays = loop, out, arrays
        self.carried = {}  # name: how much more it is a row later, and whether that is for each turn of the inner loop

    # ---- what fits ---------------------------------------------------------------------------------------------------

    def fits(self):
        self.index, self.rows = _counted(self.loop)
        inner = [n for n in self.loop.body if isinstance(n, ast.For)]
        if self.index is None or len(inner) != 1 or not self._simple(self.loop.body, inner[0]):
            return False
        self.inner, (self.turn, self.turns) = inner[0], _counted(inner[0])
        stored = names(self.loop.body, ast.Store)
        self.private = stored - {self.turn}
        if self.turn is None or self.turn == self.index or self.index in stored or stored & self.arrays:
            return False
        if not self._sums() or not self._length():
            return False
        self.private -= self.carried.keys()
        place = self.loop.body.index(self.inner)
        others = self.loop.body[:place] + self.loop.body[place + 1 :]
        if self.turn in names(others, (ast.Load, ast.Store)):
            return False
        known = set()
        return self._known(self.loop.body, known) and known == self.private

    def _simple(self, body, inner):
        """Whether statements do nothing but assign to names and to elements of `out`, which is not read."""
        for node in body:
            if node is inner:
                if any(not isinstance(n, ast.AugAssign) or not isinstance(n.target, ast.Name) for n in inner.body):
                    return False
            elif isinstance(node, ast.If):
                if not self._simple(node.body + node.orelse, inner):
                    return False
            elif isinstance(node, ast.Assign | ast.AugAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if not all(self._target(t, isinstance(node, ast.Assign)) for t in targets):
                    return False
            elif not isinstance(node, ast.Pass):
                return False
        whole = ast.Module(body, [])
        written = {n.value for n in ast.walk(whole) if isinstance(n, ast.Subscript) and isinstance(n.ctx, ast.Store)}
        for n in ast.walk(whole):
            if isinstance(n, ast.Name) and n.id == self.out and n not in written:
                return False
            if isinstance(n, ast.Call) and not (isinstance(n.func, ast.Attribute) or _pure(getattr(n.func, "id", ""))):
                return False
            if isinstance(n, ast.NamedExpr | ast.Lambda | ast.comprehension):
                return False
        return True

    def _target(self, target, plain):
        if isinstance(target, ast.Name):
            return True
        if isinstance(target, ast.Tuple):
            return all(isinstance(e, ast.Name) for e in target.elts)
        return plain and isinstance(target, ast.Subscript) and getattr(target.value, "id", "") == self.out

    def _sums(self):
        """Find what is carried from row to row: names that grow by a number of steps that is known before the row."""
        grown = [(n, True) for n in self.inner.body] + [
            (n, False) for n in self.loop.body if isinstance(n, ast.AugAssign)
        ]
        stores = [n.id for n in ast.walk(self.loop) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
        places = {
            i.id
            for n in ast.walk(self.loop)
            if isinstance(n, ast.Subscript)
            for i in ast.walk(n.slice)
            if isinstance(i, ast.Name)
        }
        for node, each in grown:
            name = getattr(node.target, "id", None)
            steady = not names(node.value, ast.Load) & (self.private | {self.turn})
            number = isinstance(node.value, ast.Constant) and type(node.value.value) is int
            # A place is a whole number, so that turns can be counted at once; other sums would be rounded in other ways.
            steady = steady and (not each or (number and name in places))
            if isinstance(node.op, ast.Add) and stores.count(name) == 1 and steady:
                self.carried[name] = node.value, each
        return all(isinstance(n.op, ast.Add | ast.Sub) for n in self.inner.body)

    def _length(self):
        """Find how many turns the inner loop has: as many in each row, or one more with each."""
        node, self.more = self.turns, 0
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and isinstance(node.left, ast.Constant):
            node = ast.BinOp(node.right, node.op, node.left)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and isinstance(node.right, ast.Constant):
            node = node.left if type(node.right.value) is int and node.right.value >= 0 else None
        if isinstance(node, ast.Name) and node.id == self.index:
            self.more = 1
            return True
        return not names(self.turns, ast.Load) & (self.private | {self.index, self.turn})

    def _known(self, body, known):
        """Whether a row reads nothing that another left; `known`: names that are surely assigned, added to."""
        for node in body:
            read = names(node.test if isinstance(node, ast.If) else node, ast.Load) & self.private
            if isinstance(node, ast.If):
                sides = [set(known), set(known)]
                if not read <= known or not all(map(self._known, (node.body, node.orelse), sides)):
                    return False
                known |= sides[0] & sides[1]
                continue
            if node is self.inner or isinstance(node, ast.AugAssign):
                read |= names(node, ast.Store) & self.private
            if not read <= known:
                return False
            known |= names(node, ast.Store) & self.private
        return True

    # ---- what is made of it ------------------------------------------------------------------------------------------

    def paired(self, mark):
        first = {name: name + mark for name in self.private | self.carried.keys() | {self.index}}
        rows, number, a = f"rows{mark}", f"number{mark}", first[self.index]
        place = self.loop.body.index(self.inner)
        before, after = self.loop.body[:place], self.loop.body[place + 1 :]
        body = [_let(a, ast.BinOp(ast.Constant(2), ast.Mult(), _name(number)))]
        body += [_let(self.index, ast.BinOp(_name(a), ast.Add(), ast.Constant(1)))]
        for name, (step, each) in sorted(self.carried.items()):
            length = self._turns(first)
            more = ast.BinOp(_named(step, first), ast.Mult(), length) if each else _named(step, first)
            body += [_let(first[name], _name(name)), _let(name, ast.BinOp(_name(first[name]), ast.Add(), more))]
        body += [_named(n, first) for n in before] + copy.deepcopy(before)
        both = [_named(n, first) for n in self.inner.body] + copy.deepcopy(self.inner.body)
        body.append(_loop(self.turn, [self._turns(first)], both))
        if self.more:
            body.append(_loop(self.turn, [self._turns(first), loaded(self.turns)], copy.deepcopy(self.inner.body)))
        body += [_named(n, first) for n in after] + copy.deepcopy(after)
        positive = ast.Compare(loaded(self.rows), [ast.Gt()], [ast.Constant(0)])
        half = ast.BinOp(_name(rows), ast.FloorDiv(), ast.Constant(2))
        whole = ast.BinOp(copy.deepcopy(half), ast.Mult(), ast.Constant(2))
        return [
            _let(rows, ast.IfExp(positive, loaded(self.rows), ast.Constant(0))),
            _loop(number, [half], body),
            _loop(self.index, [whole, _name(rows)], self.loop.body),
        ]

    def _turns(self, first):
        """Of the inner loop in the first row."""
        found = _named(self.turns, first)
        if self.more:
            return found
        positive = ast.Compare(found, [ast.Gt()], [ast.Constant(0)])
        return ast.IfExp(positive, copy.deepcopy(found), ast.Constant(0))


def _counted(loop):
    """(index, count) of `for index in range(count)`; (None, None) of any other."""
    call = loop.iter
    fits = isinstance(call, ast.Call) and getattr(call.func, "id", "") == "range" and len(call.args) == 1
    if not fits or call.keywords or loop.orelse or not isinstance(loop.target, ast.Name):
        return None, None
    if any(isinstance(n, ast.Call) and getattr(n.func, "id", "") != "len" for n in ast.walk(call.args[0])):
        return None, None
    return loop.target.id, call.args[0]


def _pure(name):
    return name in _PURE or name.startswith("fastsgd_")


def _name(name):
    return ast.Name(name, ast.Load())


def _let(name, value):
    return ast.Assign([ast.Name(name, ast.Store())], value)


def _loop(index, ends, body):
    return ast.For(ast.Name(index, ast.Store()), ast.Call(_name("range"), ends, []), body, [])


def _named(node, table):
    """A copy with other names."""
    copied = copy.deepcopy(node)
    for n in ast.walk(copied):
        if isinstance(n, ast.Name):
            n.id = table.get(n.id, n.id)
    return copied
