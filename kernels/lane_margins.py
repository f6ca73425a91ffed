"""Finds in the source of a gradient the form that needs no turned rows: a function of margins, times the sample.

    g_k = s x_{b+k} + t theta_{o+k}      k < n, from coordinate o on, with numbers s, t of each sample
    g_c = e_c                            single coordinates

    u = 0.0
    for j in range(theta.size):            u = 0.0
        u += theta[j] * sample[j]    ->    u = u + dot(theta[:theta.size], sample[:theta.size])
    r = exp(u) - sample[-1]                r = exp(u) - sample[-1]
    for j in range(theta.size):            s, t = r, 0.1
        out[j] = r * sample[j]             return (t,), s, o, n, b, (0,)
                 + 0.1 * theta[j]

Sums over loops become products, what is written to `out` becomes s, t and e_c; the rest stays for `lane_source`. `Unfit` if
something else is done with whole samples, or with `out`.
"""

import ast
import copy

from .lane_products import (
    SIZES,
    Loop,
    Products,
    Put,
    along,
    check_loops,
    is_named,
    is_number,
    number,
    only_sizes,
    part_of,
    plus,
    text_of,
)  # fmt: skip
from .lane_source import Lanes, Unfit, call, let, names

_S, _T, _E = "fastsgd_s", "fastsgd_t", "fastsgd_e"


def _times(a, b):
    if a is None or b is None:
        return None
    return b if is_number(a, 1) else a if is_number(b, 1) else ast.BinOp(a, ast.Mult(), b)


def _sum(a, b, op):
    if b is None:
        return a
    if a is None:
        return b if isinstance(op, ast.Add) else ast.UnaryOp(ast.USub(), b)
    return ast.BinOp(a, op, b)


class _Form:
    """s sample[b + k] + t theta[a + k]; s or t None: there is no such part. Places b, a of the first element."""

    def __init__(self, s=None, b=None, t=None, a=None):
        self.s, self.b, self.t, self.a = s, b, t, a

    def shifted(self, by):
        return _Form(self.s, self.b and plus(self.b, by), self.t, self.a and plus(self.a, by))

    def scaled(self, factor, divide=False):
        if divide:
            return _Form(
                *(x and ast.BinOp(x, ast.Div(), factor) if i % 2 == 0 else x for i, x in enumerate(self._all()))
            )
        return _Form(_times(self.s, factor), self.b, _times(self.t, factor), self.a)

    def _all(self):
        return self.s, self.b, self.t, self.a

    def added(self, other, op, node):
        for mine, theirs in ((self.b, other.b), (self.a, other.a)):
            if mine is not None and theirs is not None and text_of(mine) != text_of(theirs):
                raise Unfit(node, "samples from two places in one sum")
        s, t = _sum(self.s, other.s, op), _sum(self.t, other.t, op)
        return _Form(s, other.b if self.b is None else self.b, t, other.a if self.a is None else self.a)


class Margins:
    """One gradient (theta, sample, ..., out), as its tree; `convert` changes it into one of (theta, sample, ...).

    It returns ((t, e_0, ...), s, o, end of the range, b, (0, places of the e_i)), where a place is twice a coordinate,
    and one more if it holds within the range as well.

    Attributes:
        tree: ast.FunctionDef.
        arrays: names of what makes an array, as `Lanes` has them.
        sums: names of NumPy's sum in this file.
        pull: whether there is a t.
    """

    def __init__(self, tree, arrays, sums):
        self.tree, self.arrays, self.sums = tree, arrays, sums
        self.theta, self.sample = (a.arg for a in tree.args.args[:2])
        self.out = tree.args.args[-1].arg
        self.forms = {self.sample: _Form(number(1), number(0)), self.theta: _Form(None, None, number(1), number(0))}
        self.rows, self.removed = {self.sample}, set()
        self.range, self.wrote, self.pull, self.places = None, False, False, {}

    def convert(self):
        tree = self.tree
        if self.out in (self.theta, self.sample):
            raise Unfit(tree, "too few arguments")
        Lanes(tree, (), None, {})._single_return()
        if tree.body and isinstance(tree.body[-1], ast.Return):
            last = tree.body.pop()
            if last.value is not None and not _is_none(last.value):
                raise Unfit(last, "a value that is returned")
        if any(isinstance(n, ast.Return) for n in ast.walk(tree)):
            raise Unfit(tree, "`return` out of a loop")
        tree.body = [part for node in tree.body for part in _apart(node)]
        _Sums(self.sums).visit(tree)
        Products().visit(tree)
        ast.fix_missing_locations(tree)
        self.stored = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.stored[node.id] = self.stored.get(node.id, 0) + 1
        self.made = self._filled()
        self.sizes = {
            node.targets[0].id: node.value
            for node in ast.walk(tree)
            if is_named(node) and self.stored[node.targets[0].id] == 1 and only_sizes(node.value, {*self.forms, self.out})
            and names(node.value, ast.Load) & {self.theta, self.out}
        }  # fmt: skip
        body = self._block(tree.body)
        if self.range is None or self.range[2] is None:
            raise Unfit(tree, "no sample in what is written")
        first = tree.body[0]
        extras = [f"{_E}{i}" for i in range(len(self.places))]
        given = [let(name, number(0.0), first) for name in (_S, _T, *extras)]
        low, high, start = self.range
        self._steady([low, high, start, *(c for c, _ in self.places.values())], first)
        values = [call("eight", first, ast.Name(name, ast.Load())) for name in (_T, *extras)]
        places = [ast.BinOp(ast.BinOp(number(2), ast.Mult(), c), ast.Add(), number(int(after)))
                  for c, after in self.places.values()]  # fmt: skip
        found = [
            ast.Tuple(values, ast.Load()), call("eight", first, ast.Name(_S, ast.Load())),
            *(call("place", first, n) for n in (low, high, start)),
            ast.Tuple([call("place", first, n) for n in (number(0), *places)], ast.Load()),
        ]  # fmt: skip
        end = ast.copy_location(ast.Return(ast.Tuple(found, ast.Load())), tree.body[-1])
        tree.body = [*given, *body, end]
        tree.args.args = [a for a in tree.args.args if a.arg != self.out]
        _Sizes(self.out, self.theta).visit(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id == self.out:
                raise Unfit(node, f"`{self.out}` is read")
            if isinstance(node, ast.Name) and node.id in self.removed:
                raise Unfit(node, f"`{node.id}` is used whole")
            stored = isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)
            if stored and names(node.value, ast.Load) & self.forms.keys():
                raise Unfit(node, "an argument that is written to")
        check_loops(tree, self.rows)
        return ast.fix_missing_locations(tree)

    @property
    def extras(self):
        """How many numbers beside s a sample gives: t and the e_c."""
        return 1 + len(self.places)

    def _steady(self, nodes, where):
        """Places must be told by sizes, by params and by constants, through names that have one value."""
        given = {node.targets[0].id: node.value for node in ast.walk(self.tree) if is_named(node)}
        seen, left = set(), list(nodes)
        while left:
            node = left.pop()
            if not only_sizes(node, {*self.forms, self.out}):
                raise Unfit(where, "a place that depends on values")
            for name in names(node, ast.Load) - seen - {self.theta, self.sample, self.out}:
                seen.add(name)
                if name in self.rows and name in given:  # its size alone, which the ends of a part tell
                    left += [n.slice for n in ast.walk(given[name]) if isinstance(n, ast.Subscript)]
                elif name in given and self.stored[name] == 1:
                    left.append(given[name])
                elif name in self.stored:
                    raise Unfit(where, f"`{name}` changes, which tells places")

    # ---- arrays of one's own ---------------------------------------------------------------------------------------------

    def _filled(self):
        """Names of arrays that are made empty and then filled by one loop, from the first element on."""
        made, stores = set(), {}
        for node in ast.walk(self.tree):
            if is_named(node) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func) in self.arrays:
                made.add(node.targets[0].id)
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name):
                stores[node.value.id] = stores.get(node.value.id, 0) + 1
        loops = [Loop(node) for node in ast.walk(self.tree) if isinstance(node, ast.For)]
        once = {name for name in made if self.stored[name] == 1 and stores.get(name) == 1}
        return {name for loop in loops if is_number(loop.low, 0) for name in once if _fills(loop, name)}

    def _fill(self, node, loop, name):
        form = self._form(loop.body[0].value, loop)
        if form is None:
            raise Unfit(node, f"`{name}` is no multiple of a sample")
        self._once(form, node)
        self._named_form(name, form)
        if name not in self.rows:
            return []
        return [let(name, part_of(ast.Name(self.sample, ast.Load()), form.b, plus(form.b, loop.high)), node)]

    def _once(self, form, node):
        for name in {n for part in form._all() if part is not None for n in names(part, ast.Load)}:
            if self.stored.get(name, 0) > 1 and name not in self.forms:
                raise Unfit(node, f"`{name}` changes, which an array is made of")

    def _named_form(self, name, form):
        self.forms[name] = form
        if form.t is None and is_number(form.s, 1):
            self.rows.add(name)
        else:
            self.removed.add(name)

    # ---- forms -------------------------------------------------------------------------------------------------------------

    def _form(self, node, loop):
        """The form of an expression: of its element j in a loop, of the whole array without one. None of a number."""
        if isinstance(node, ast.Name):
            return self.forms.get(node.id) if loop is None else None
        if isinstance(node, ast.Subscript):
            if isinstance(node.slice, ast.Slice):
                base = self._form(node.value, None) if loop is None else None
                low = node.slice.lower or number(0)
                if base is not None and (node.slice.step is not None or _negative(low)):
                    raise Unfit(node, "a part of a sample that is counted from its end, or with a step")
                return base and base.shifted(low)
            if loop is None or loop.index not in names(node.slice, ast.Load):
                return None
            base, place = self._form(node.value, None), along(node.slice, loop)
            if base is None or place is None:
                raise Unfit(node, "elements in a loop other than one after another")
            return base.shifted(place)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            form = self._form(node.operand, loop)
            return form and form.scaled(number(-1.0))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd):
            return self._form(node.operand, loop)
        if not isinstance(node, ast.BinOp):
            return None
        left, right = self._form(node.left, loop), self._form(node.right, loop)
        if left is None and right is None:
            return None
        if isinstance(node.op, ast.Add | ast.Sub):
            if left is None or right is None:
                if is_number(node.left if left is None else node.right, 0):
                    return left if right is None else _Form().added(right, node.op, node)
                raise Unfit(node, "a number added to a sample")
            return left.added(right, node.op, node)
        if isinstance(node.op, ast.Mult) and (left is None or right is None):
            form, factor = (right, node.left) if left is None else (left, node.right)
            return form.scaled(self._scalar(factor, loop))
        if isinstance(node.op, ast.Div) and right is None:
            return left.scaled(self._scalar(node.right, loop), divide=True)
        raise Unfit(node, "a sample in what is not a multiple of it")

    def _scalar(self, node, loop):
        if loop is not None and loop.index in names(node, ast.Load):
            raise Unfit(node, "a factor that is not the same for all elements")
        return node

    # ---- statements --------------------------------------------------------------------------------------------------------

    def _block(self, body):
        return [new for node in body for new in self._statement(node)]

    def _statement(self, node):
        if isinstance(node, ast.If):
            node.body, node.orelse = self._block(node.body) or [ast.Pass()], self._block(node.orelse)
            return [node]
        if isinstance(node, ast.For):
            loop = Loop(node)
            for name in self.made:
                if _fills(loop, name):
                    return self._fill(node, loop, name)
            if self.out in names(node.body, ast.Load) and not only_sizes(ast.Module(node.body, []), {self.out}):
                return self._write_loop(node, loop)
            return [node]
        if is_named(node) and self.stored.get(node.targets[0].id) == 1:
            if node.targets[0].id in self.made:
                return []
            name, form = node.targets[0].id, self._form(node.value, None)
            if form is None:
                return [node]
            self._once(form, node)
            self._named_form(name, form)
            return [node] if name in self.rows else []
        target = _target(node)
        if isinstance(target, ast.Name) and target.id == self.out and isinstance(node, ast.AugAssign):
            return self._write(node, node.op, self._whole(node.value), number(0), self._size(), node.value)
        if not isinstance(target, ast.Subscript) or getattr(target.value, "id", "") != self.out:
            return [node]
        op = node.op if isinstance(node, ast.AugAssign) else None
        where = target.slice
        if isinstance(where, ast.Constant) and where.value is Ellipsis:
            where = ast.Slice(None, None, None)
        if not isinstance(where, ast.Slice):
            return self._write_one(node, where, op)
        low, high = where.lower or number(0), where.upper or self._size()
        if where.step is not None or _negative(low):
            raise Unfit(node, "coordinates that are counted from their end, or with a step")
        if _negative(high):
            high = plus(self._size(), number(-high.operand.value))
        return self._write(node, op, self._whole(node.value), low, high, node.value)

    def _whole(self, value):
        form = self._form(value, None)
        return _Form() if form is None and is_number(value, 0) else form

    def _size(self):
        return ast.Attribute(ast.Name(self.theta, ast.Load()), "size", ast.Load())

    def _write_loop(self, node, loop):
        if not loop.index:
            raise Unfit(node, "a loop that does not count, with `out`")
        table, *_, last = {}, *loop.body
        for part in loop.body[:-1]:
            if not is_named(part):
                raise Unfit(part, "more than one thing done in a loop with `out`")
            table[part.targets[0].id] = Put(table).visit(copy.deepcopy(part.value))
        target = _target(last)
        place = along(target.slice, loop) if isinstance(target, ast.Subscript) else None
        if place is None or getattr(target.value, "id", "") != self.out:
            raise Unfit(last, "elements of `out` other than one after another")
        if any(self.stored.get(name, 0) > 1 for name in table) or loop.index in names([loop.low, loop.high], ast.Load):
            raise Unfit(last, "names that live on in a loop with `out`")
        value = Put(table).visit(copy.deepcopy(last.value))
        form = self._form(value, loop)
        if form is None and is_number(value, 0):
            form = _Form()
        op = last.op if isinstance(last, ast.AugAssign) else None
        if form is None:
            self._scalar(value, loop)
        form = form and form.shifted(loop.low)
        return self._write(node, op, form, plus(place, loop.low), plus(place, loop.high), value)

    def _write(self, node, op, form, low, high, value):
        """Elements low to high of `out` are set to a form, or changed by it, or multiplied by a value."""
        if isinstance(op, ast.Mult | ast.Div) and form is None:
            if self.places or (self.range is not None and self._places(low, high) != self._places(*self.range[:2])):
                raise Unfit(node, "a part of `out` multiplied")
            return [let(name, ast.BinOp(ast.Name(name, ast.Load()), op, value), node) for name in (_S, _T)]
        if form is None or (op is not None and not isinstance(op, ast.Add | ast.Sub)):
            raise Unfit(node, "elements of `out` that are no multiples of a sample")
        if form.t is not None and text_of(form.a) != text_of(low):
            raise Unfit(node, "elements of theta at another place than those of `out`")
        found = self._places(low, high)
        if form.s is not None or form.t is not None:
            if self.range is not None and self._places(*self.range[:2]) != found:
                raise Unfit(node, "several parts of `out`")
            known = self.range[2] if self.range is not None else None
            if known is not None and form.b is not None and text_of(known) != text_of(form.b):
                raise Unfit(node, "several parts of a sample")
            self.range = low, high, known if form.b is None else form.b
        if any(not after for _, after in self.places.values()) and op is None and form.s is None and form.t is None:
            raise Unfit(node, "zeros after single elements")
        self.wrote, self.pull = True, self.pull or form.t is not None
        new = [(name, x) for name, x in ((_S, form.s), (_T, form.t)) if op is None or x is not None]
        new = [(name, number(0.0) if x is None else x) for name, x in new]
        if op is not None:
            new = [(name, ast.BinOp(ast.Name(name, ast.Load()), op, x)) for name, x in new]
        return [let(name, x, node) for name, x in new]

    def _places(self, low, high):
        """The text of a range, the same for all ways to write the number of coordinates."""
        high = Put(self.sizes).visit(copy.deepcopy(high))
        text = text_of(high).replace(self.out, self.theta).replace(f"len({self.theta})", f"{self.theta}.size")
        return text_of(low), text.replace(f"{self.theta}.shape[0]", f"{self.theta}.size")

    def _write_one(self, node, where, op):
        if op is not None:
            raise Unfit(node, "`out` is read")
        key = text_of(where)
        if key in self.places and self.places[key][1] != self.wrote:
            raise Unfit(node, "one element of `out` in several places")
        which = list(self.places).index(key) if key in self.places else len(self.places)
        self.places[key] = where, self.wrote
        return [let(f"{_E}{which}", node.value, node)]


class _Sums(ast.NodeTransformer):
    """Sums of products of two arrays as products."""

    def __init__(self, sums):
        self.sums = sums

    def visit_Call(self, node):
        self.generic_visit(node)
        given = ast.unparse(node.func) in self.sums or getattr(node.func, "id", "") == "fastsgd_sum"
        value = node.args[0] if given and len(node.args) == 1 and not node.keywords else None
        if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Mult):
            return call("dot", node, value.left, value.right)
        return node


class _Sizes(ast.NodeTransformer):
    """The size of theta in place of that of `out`."""

    def __init__(self, out, theta):
        self.out, self.theta = out, theta

    def visit_Attribute(self, node):
        if node.attr in SIZES and isinstance(node.value, ast.Name) and node.value.id == self.out:
            node.value.id = self.theta
        return self.generic_visit(node)

    def visit_Call(self, node):
        if isinstance(node.func, ast.Name) and node.func.id == "len" and getattr(node.args[0], "id", "") == self.out:
            node.args[0].id = self.theta
        return self.generic_visit(node)


def _apart(node):
    """`x, y = a, b` as two statements, where that is the same."""
    if not isinstance(node, ast.Assign) or len(node.targets) != 1:
        return [node]
    target, value = node.targets[0], node.value
    if not isinstance(target, ast.Tuple) or not isinstance(value, ast.Tuple) or len(target.elts) != len(value.elts):
        return [node]
    if names(target, ast.Store) & names(value, ast.Load) or not all(isinstance(t, ast.Name) for t in target.elts):
        return [node]
    return [ast.copy_location(ast.Assign([t], v), node) for t, v in zip(target.elts, value.elts, strict=True)]


def _fills(loop, name):
    """Whether a loop does nothing but set an array's elements, one after another."""
    if not loop.index or len(loop.body) != 1 or not isinstance(loop.body[0], ast.Assign):
        return False
    target = loop.body[0].targets[0]
    return isinstance(target, ast.Subscript) and text_of(target) == f"{name}[{loop.index}]"


def _target(node):
    if isinstance(node, ast.Assign):
        return node.targets[0] if len(node.targets) == 1 else None
    return node.target if isinstance(node, ast.AugAssign) else None


def _negative(node):
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant)


def _is_none(node):
    return isinstance(node, ast.Constant) and node.value is None
