"""Turns the source of a user's function into one that works on vectors of lanes: branches on lanes become choices.

    if demand > theta[j]:              test = demand > theta[j]
        out[j] -= price         ->     out[j] = choose(test, out[j] - price, out[j])

Which names differ from lane to lane ("vary") follows from the arguments that do, by assignment. A branch on what varies is
evaluated on both sides, each on copies of the names it assigns; a test that is the same in all lanes stays a branch.
What cannot be turned (a `while` on what varies, `break` or an early `return` from a loop, a call that writes inside a
branch) raises `Unfit`, with the line; so may Numba's typing afterwards.
"""

import ast
import copy

_SAME = ("size", "shape", "ndim", "itemsize", "nbytes")
_RESULT = "fastsgd_result"
_HARMLESS = {"len", "range", "enumerate", "zip", "min", "max", "abs", "float", "int", "bool", "round"}
_VIEWS = {f"fastsgd_{name}" for name in ("part", "row")}
_HARMLESS |= _VIEWS | {f"fastsgd_{name}" for name in ("dot", "sum", "sqrt", "power", "reshaped", "kept")}
_HARMLESS |= {f"fastsgd_power_{n}" for n in range(65)}


class Unfit(Exception):
    """Why a function has no form on lanes; the line is that of the user's file."""

    def __init__(self, node, what):
        super().__init__(f"{what} in line {getattr(node, 'lineno', 0)}")


def names(nodes, context):
    """Names in nodes that stand in a context (ast.Store or ast.Load)."""
    many = nodes if isinstance(nodes, list) else [nodes]
    return {n.id for node in many for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, context)}


def writes(tree):
    """Whether a function stores to elements of an array."""
    return any(isinstance(n, ast.Subscript) and isinstance(n.ctx, ast.Store) for n in ast.walk(tree))


class Common(ast.NodeTransformer):
    """What holds for both routes: powers without libm where that can be, products of vectors in the order of elements."""

    def __init__(self):
        self.powers = set()

    def visit_BinOp(self, node):
        self.generic_visit(node)
        if isinstance(node.op, ast.MatMult):
            return call("dot", node, node.left, node.right)
        return self._power(node, node.left, node.right) if isinstance(node.op, ast.Pow) else node

    def visit_Call(self, node):
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and not node.keywords:
            method = node.func.attr, len(node.args)
            if method == ("dot", 1):
                return call("dot", node, node.func.value, node.args[0])
            if method == ("sum", 0):
                return call("sum", node, node.func.value)
        return node

    def visit_AugAssign(self, node):
        self.generic_visit(node)
        if isinstance(node.op, ast.MatMult):
            product = call("dot", node, loaded(node.target), node.value)
            return ast.copy_location(ast.Assign([node.target], product), node)
        if not isinstance(node.op, ast.Pow):
            return node
        value = self._power(node, loaded(node.target), node.value)
        return ast.copy_location(ast.Assign([node.target], value), node)

    def _power(self, node, base, exponent):
        value = exponent.value if isinstance(exponent, ast.Constant) else None
        if isinstance(exponent, ast.UnaryOp) and isinstance(exponent.op, ast.USub):
            value = -exponent.operand.value if isinstance(exponent.operand, ast.Constant) else None
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= 64:
            self.powers.add(abs(value))
            found = call(f"power_{abs(value)}", node, base)
        elif value in (0.5, -0.5):
            found = call("sqrt", node, base)
        else:
            return call("power", node, base, exponent)
        if value >= 0:
            return found
        return ast.copy_location(ast.BinOp(ast.Constant(1.0), ast.Div(), found), node)


def call(name, like, *args):
    return ast.copy_location(ast.Call(ast.Name(f"fastsgd_{name}", ast.Load()), list(args), []), like)


def loaded(target):
    node = copy.deepcopy(target)
    node.ctx = ast.Load()
    return node


def let(name, value, like):
    return ast.copy_location(ast.Assign([ast.Name(name, ast.Store())], value), like)


def _kept(node):
    """What is to be given a name: an array in place of an expression of arrays."""
    if isinstance(node, ast.Tuple):
        node.elts = [_kept(e) for e in node.elts]
    return call("kept", node, node) if isinstance(node, ast.BinOp | ast.UnaryOp | ast.Call | ast.IfExp) else node


class _Rename(ast.NodeTransformer):
    def __init__(self, table):
        self.table = table

    def visit_Name(self, node):
        node.id = self.table.get(node.id, node.id)
        return node


class Lanes:
    """One function with given arguments that vary.

    Attributes:
        tree: ast.FunctionDef, overwritten by `convert`.
        helper: called as helper(name, tuple of which arguments vary) for a call of a global function; returns (its new
            name, whether it writes), or None if it is none of the user's.
        arrays: names of NumPy's functions as they are written in this file that make an array, by "empty" or "zeros".
    """

    def __init__(self, tree, varying, helper, arrays):
        self.tree, self.helper, self.arrays = tree, helper, arrays
        self.arguments = {a.arg for a in tree.args.args}
        self.varying = set(varying)
        self.count = self.loops = 0
        self.early = set()
        self.places, self.origin = {}, {}  # nodes of each name; what a copy of a name is a copy of

    def convert(self):
        self._single_return()
        self.local = names(self.tree.body, ast.Store) | self.arguments
        for place, node in enumerate(ast.walk(self.tree)):
            node.fastsgd = place
            if isinstance(node, ast.Name):
                self.places.setdefault(node.id, []).append(node)
        self.indices, self.steady, self.numbers = self._only_indices(), _steady(self.tree), _numbers(self.tree)
        size = -1
        while len(self.varying) != size:
            size = len(self.varying)
            self._spread(self.tree.body, False)
        self.tree.body = self._block(self.tree.body, None)
        # What a turn of a loop may leave to the next one in some lanes has to be there in the first.
        first = self.tree.body[0] if self.tree.body else self.tree
        self.tree.body[:0] = [let(name, ast.Constant(0.0), first) for name in sorted(self.early)]
        ast.fix_missing_locations(self.tree)
        return self.tree

    def _only_indices(self):
        """Names that are set by the heads of loops alone and read in their bodies alone: nothing of them lives on."""
        within = {}
        for loop in ast.walk(self.tree):
            if isinstance(loop, ast.For):
                nodes = {n.fastsgd for n in ast.walk(loop) if isinstance(n, ast.Name)}
                for name in names(loop.target, ast.Store):
                    within.setdefault(name, set()).update(nodes)
        heads = {n.fastsgd for loop in ast.walk(self.tree) if isinstance(loop, ast.For) for n in ast.walk(loop.target)}
        return {
            name
            for name, nodes in within.items()
            if all(n.fastsgd in (heads if isinstance(n.ctx, ast.Store) else nodes) for n in self.places[name])
        }

    # ---- what varies -------------------------------------------------------------------------------------------------

    def varies(self, node):
        if isinstance(node, ast.Name):
            return node.id in self.varying
        if isinstance(node, ast.Attribute):
            return node.attr not in _SAME and self.varies(node.value)
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id == "len":
                return False
            if self._array(node):
                return True
            inner = [node.func.value] if isinstance(node.func, ast.Attribute) else []
            return any(self.varies(n) for n in [*inner, *node.args, *(k.value for k in node.keywords)])
        return any(self.varies(n) for n in ast.iter_child_nodes(node))

    def _array(self, node):
        return self.arrays.get(ast.unparse(node.func)) if len(node.args) == 1 and not node.keywords else None

    def _spread(self, body, within):
        """Add the names to `varying` that are assigned what varies, or where it depends on what varies."""
        for node in body:
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if within or (node.value is not None and self.varies(node.value)):
                    for target in targets:
                        self.varying |= names(target, ast.Store)
            elif isinstance(node, ast.For):
                if within or self.varies(node.iter):
                    self._spread_loop(node, within)
                self._spread(node.body + node.orelse, within)
            elif isinstance(node, ast.If | ast.While):
                inside = within or self.varies(node.test)
                self._spread(node.body + node.orelse, inside)
            for inner in ast.walk(node) if not hasattr(node, "body") else []:
                if isinstance(inner, ast.NamedExpr) and (within or self.varies(inner.value)):
                    self.varying.add(inner.target.id)

    def _spread_loop(self, node, within):
        call = node.iter if isinstance(node.iter, ast.Call) and isinstance(node.iter.func, ast.Name) else None
        if call is not None and call.func.id == "range":
            return  # a range is the same in all lanes, or Numba has no type for it
        target = node.target
        if call is not None and call.func.id == "enumerate" and isinstance(target, ast.Tuple):
            self.varying |= names(target.elts[1:], ast.Store)
        elif self.varies(node.iter):
            self.varying |= names(target, ast.Store)

    # ---- returns -----------------------------------------------------------------------------------------------------

    def _single_return(self):
        """Give a function that returns from branches one return, at its end."""
        body = self._returns(self.tree.body)
        if body and isinstance(body[-1], ast.If) and _ends(body):
            found = [n.value for n in ast.walk(body[-1]) if isinstance(n, ast.Return)]
            empty = all(v is None or (isinstance(v, ast.Constant) and v.value is None) for v in found)
            self._assign_results(body[-1], empty)
            if not empty:
                body.append(ast.copy_location(ast.Return(ast.Name(_RESULT, ast.Load())), body[-1]))
        self.tree.body = body

    def _returns(self, body):
        """Put what follows a branch that returns into the branches, so that a return is always the last statement."""
        for place, node in enumerate(body):
            if isinstance(node, ast.If) and any(isinstance(n, ast.Return) for n in ast.walk(node)):
                rest = body[place + 1 :]
                node.body = self._returns(node.body + ([] if _ends(node.body) else copy.deepcopy(rest)))
                node.orelse = self._returns(node.orelse + ([] if _ends(node.orelse) else copy.deepcopy(rest)))
                for side in (node.body, node.orelse):
                    if not _ends(side):
                        side.append(ast.copy_location(ast.Return(None), node))
                return body[: place + 1]
            if isinstance(node, ast.Return):
                return body[: place + 1]
        return body

    def _assign_results(self, branch, empty):
        for side in (branch.body, branch.orelse):
            last = side[-1]
            if isinstance(last, ast.If):
                self._assign_results(last, empty)
            elif empty:
                side[-1] = ast.copy_location(ast.Pass(), last)
            else:
                side[-1] = let(_RESULT, last.value or ast.Constant(None), last)

    # ---- statements --------------------------------------------------------------------------------------------------

    def _fresh(self, name):
        self.count += 1
        return f"{name}_{self.count}"

    def _block(self, body, mask):
        return [new for node in body for new in self._statement(node, mask)]

    def _statement(self, node, mask):
        if isinstance(node, ast.If):
            if self.varies(node.test):
                return self._branch(node, mask)
            node.test = self._expression(node.test, mask)
            node.body, node.orelse = self._block(node.body, mask), self._block(node.orelse, mask)
            return [node]
        if isinstance(node, ast.For | ast.While):
            head = "iter" if isinstance(node, ast.For) else "test"
            if head == "test" and self.varies(node.test):
                raise Unfit(node, "`while` with a condition that differs from replicate to replicate")
            setattr(node, head, self._expression(getattr(node, head), mask))
            self.loops += 1
            node.body, node.orelse = self._block(node.body, mask), self._block(node.orelse, mask)
            self.loops -= 1
            return [node]
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            return [self._assignment(node, mask)]
        if mask is not None and not (isinstance(node, ast.Pass) or _plain(node)):
            what = type(node).__name__.lower()
            raise Unfit(node, f"`{what}` in a branch that differs from replicate to replicate")
        for field, value in ast.iter_fields(node):
            if isinstance(value, ast.expr):
                found = self._expression(value, mask)
                setattr(node, field, _kept(found) if isinstance(node, ast.Return) else found)
        return [node]

    def _assignment(self, node, mask):
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        stores = [t for target in targets for t in ast.walk(target) if isinstance(t, ast.Subscript)]
        if mask is None or not any(isinstance(t.ctx, ast.Store) for t in stores):
            node.value = self._expression(node.value, mask)
            if isinstance(node, ast.AugAssign):
                return self._changed(node, mask)
            if not stores and not self._stays(targets, node.value):
                node.value = _kept(node.value)
            return node
        target = targets[0]
        if len(targets) > 1 or not isinstance(target, ast.Subscript):
            raise Unfit(node, "an assignment to several elements in a branch that differs from replicate to replicate")
        old, value = loaded(target), self._expression(node.value, mask)
        if isinstance(node, ast.AugAssign):
            value = ast.copy_location(ast.BinOp(loaded(target), node.op, value), node)
        chosen = call("choose", node, ast.Name(mask, ast.Load()), value, old)
        return ast.copy_location(ast.Assign([target], chosen), node)

    def _changed(self, node, mask):
        """`x += y` of what may be an array, which changes in place."""
        name = {ast.Add: "iadd", ast.Sub: "isub", ast.Mult: "imul", ast.Div: "itruediv"}.get(type(node.op))
        if mask is not None or name is None or not isinstance(node.target, ast.Name) or node.target.id in self.numbers:
            return node
        value = call(name, node, loaded(node.target), node.value)
        return ast.copy_location(ast.Assign([node.target], value), node)

    def _stays(self, targets, value):
        """Whether a name may stand for an expression of arrays, which is computed again where the name is read."""
        once = len(targets) == 1 and isinstance(targets[0], ast.Name) and targets[0].id not in self.arguments
        once = once and sum(isinstance(n.ctx, ast.Store) for n in self.places.get(targets[0].id, [])) == 1
        parts = list(ast.walk(value))
        if any(_is_lazy(n) for n in parts) and not self.varies(value):
            return False  # of numbers, and any function may take it
        return once and self.steady and not any(_costs(n) for n in parts)

    def _branch(self, node, mask):
        test = self._fresh("test")
        out = [let(test, self._expression(node.test, mask), node)]
        self.varying.add(test)
        if any(isinstance(n, ast.Return) for n in ast.walk(node)):
            raise Unfit(node, "`return` out of a loop or of one side of a branch")
        sides, merged = [], []
        for body, negated in ((node.body, False), (node.orelse, True)):
            lines, table = self._side(node, body, test, negated, mask)
            out += lines
            sides.append((table, _surely(body)))
        (yes, sure_yes), (no, sure_no) = sides
        for name in sorted(yes.keys() | no.keys()):
            if not self._used_elsewhere(name, node):
                continue
            a, b = (ast.Name(table.get(name, name), ast.Load()) for table in (yes, no))
            if self._set_elsewhere(name, node) or (name in sure_yes and name in sure_no):
                merged.append(let(name, _kept(call("choose", node, ast.Name(test, ast.Load()), a, b)), node))
            else:  # it has no value in the other lanes, so nothing reads it there
                merged.append(let(name, a if name in yes else b, node))
        return out + merged

    def _side(self, node, body, test, negated, mask):
        """Statements of one side of a branch on its own copies of the names it assigns, and {name: copy}."""
        out, here = [], test
        if any(isinstance(n, ast.Subscript) and isinstance(n.ctx, ast.Store) for s in body for n in ast.walk(s)):
            value = ast.Name(test, ast.Load())
            value = call("negation", node, value) if negated else value
            here = self._fresh("mask")
            self.varying.add(here)
            whole = value if mask is None else call("both", node, ast.Name(mask, ast.Load()), value)
            out.append(let(here, whole, node))
        table = {name: self._fresh(name) for name in sorted(names(body, ast.Store))}
        sure = _surely(body, reads=True)
        for name, copied in table.items():
            self.varying.add(copied)
            if name not in sure and self._root(name) not in self.indices and self._set_elsewhere(name, node):
                out.append(let(copied, ast.Name(name, ast.Load()), node))
        renamed = [_Rename(table).visit(copy.deepcopy(s)) for s in body]
        self.local |= set(table.values())
        self.origin |= {copied: self._root(name) for name, copied in table.items()}
        return out + self._block(renamed, here), table

    def _root(self, name):
        return self.origin.get(name, name)

    def _outside(self, name, branch):
        """Places of a name, or of what it is a copy of, in the function as it was given, other than in a branch."""
        inside, root = {n.fastsgd for n in ast.walk(branch) if hasattr(n, "fastsgd")}, self._root(name)
        return [n for n in self.places.get(root, []) if n.fastsgd not in inside]

    def _used_elsewhere(self, name, branch):
        return self._root(name) not in self.indices and bool(self._outside(name, branch))

    def _set_elsewhere(self, name, branch):
        root = self._root(name)
        if root in self.arguments or any(isinstance(n.ctx, ast.Store) for n in self._outside(name, branch)):
            return True
        if self.loops > 0:
            self.early.add(root)
        return self.loops > 0

    # ---- expressions -------------------------------------------------------------------------------------------------

    def _expression(self, node, mask):
        return _Expressions(self, mask).visit(node)


class _Expressions(ast.NodeTransformer):
    def __init__(self, function, mask):
        self.function, self.mask = function, mask

    def visit_IfExp(self, node):
        if not self.function.varies(node.test):
            return self.generic_visit(node)
        return call("choose", node, *(self.visit(n) for n in (node.test, node.body, node.orelse)))

    def visit_BoolOp(self, node):
        if not self.function.varies(node):
            return self.generic_visit(node)
        name = "both" if isinstance(node.op, ast.And) else "either"
        found, *rest = (self.visit(v) for v in node.values)
        for value in rest:
            found = call(name, node, found, value)
        return found

    def visit_UnaryOp(self, node):
        if isinstance(node.op, ast.Not) and self.function.varies(node.operand):
            return call("negation", node, self.visit(node.operand))
        return self.generic_visit(node)

    def visit_Compare(self, node):
        if len(node.ops) == 1 or not self.function.varies(node):
            return self.generic_visit(node)
        terms = [self.visit(t) for t in (node.left, *node.comparators)]
        pairs = zip(terms, node.ops, terms[1:], strict=False)
        found, *rest = (ast.copy_location(ast.Compare(copy.deepcopy(a), [op], [b]), node) for a, op, b in pairs)
        for pair in rest:
            found = call("both", node, found, pair)
        return found

    def visit_Call(self, node):
        function = self.function
        vary = tuple(function.varies(a) for a in node.args)
        array = function._array(node)
        node.args = [self.visit(a) for a in node.args]
        node.keywords = [self.visit(k) for k in node.keywords]
        if array:
            if array.endswith("_like"):
                return call(f"{array.removesuffix('_like')}_lanes", node, call("count", node, *node.args))
            return call(f"{array}_lanes", node, *node.args)
        if not isinstance(node.func, ast.Name) or node.func.id in function.local:
            node.func = self.visit(node.func) if isinstance(node.func, ast.Attribute) else node.func
            return node
        if node.func.id in ("float", "bool", "int") and any(vary):
            if node.func.id == "float":
                return call("number", node, *node.args)
            raise Unfit(node, f"{node.func.id}() of what differs from replicate to replicate")
        found = None if node.keywords else function.helper(node.func.id, vary)
        if found is not None:
            name, stores = found
            if stores and self.mask is not None:
                raise Unfit(node, f"a call of {node.func.id}, which writes to an array, in a branch")
            node.func.id = name
            node.args = [_kept(a) for a in node.args]
        return node


def _is_lazy(node):
    return isinstance(node, ast.Call) and getattr(node.func, "id", "").startswith("fastsgd_lazy_")


def _costs(node):
    """Whether what makes a value is not to be done again wherever it is read."""
    if isinstance(node, ast.Call):
        return getattr(node.func, "id", "") not in _VIEWS and not _is_lazy(node)
    return isinstance(node, ast.IfExp)


def _numbers(tree):
    """Names that are a number somewhere, so are never an array."""
    given = [n for n in ast.walk(tree) if isinstance(n, ast.Assign) and isinstance(n.value, ast.Constant)]
    return {t.id for node in given for t in node.targets if isinstance(t, ast.Name)}


def _steady(tree):
    """Whether a function surely changes no array but its last argument, which it does not read."""
    out, allowed, numbers = tree.args.args[-1].arg if tree.args.args else "", set(), _numbers(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            if not isinstance(node.value, ast.Name) or node.value.id != out:
                return False
            allowed.add(node.value)
        elif isinstance(node, ast.Attribute) and node.attr in _SAME:
            allowed.add(node.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id not in _HARMLESS and not _is_lazy(node):
                return False
            allowed |= set(node.args) if node.func.id == "len" else set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == out and node not in allowed:
            return False
        # An array changes in place.
        if isinstance(node, ast.AugAssign) and getattr(node.target, "id", "") not in numbers:
            return False
    return True


def _ends(body):
    """Whether a return is reached on every way through."""
    if not body:
        return False
    last = body[-1]
    return isinstance(last, ast.Return) or (isinstance(last, ast.If) and _ends(last.body) and _ends(last.orelse))


def _plain(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _surely(body, reads=False):
    """Names that are assigned on every way through; with `reads`, those that are so before anything reads them."""
    found, read = set(), set()
    for node in body:
        if isinstance(node, ast.Assign):
            read |= names(node.value, ast.Load)
            new = {t.id for target in node.targets for t in _elements(target) if isinstance(t, ast.Name)}
            for target in node.targets:
                read |= names(target, ast.Load)
            found |= new - read if reads else new
        elif isinstance(node, ast.If):
            read |= names(node.test, ast.Load)
            both = _surely(node.body, reads) & _surely(node.orelse, reads)
            found |= both - read if reads else both
            read |= names(node, ast.Load)
        else:
            read |= names(node, ast.Load) | (names(node, ast.Store) if reads else set())
    return found


def _elements(target):
    return [e for t in target.elts for e in _elements(t)] if isinstance(target, ast.Tuple | ast.List) else [target]
