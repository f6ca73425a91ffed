"""`out[:] = 0.0` with one `out[j] += x` after it, as many write a gradient: `out[j] = 0.0 + x`, so that `out` is not read.

An `out` that is written alone needs no memory of its own on lanes (`lane_sums`); the value is the same.
"""

import ast

_SIZES = ("size", "shape")


def unread(tree, alike=""):
    """Change a function on its tree, if it begins with zeros in its last argument and adds to each element once at most.

    alike: an argument that has as many elements as the last one. The zeros go where each element is surely added to.
    """
    out = tree.args.args[-1].arg if tree.args.args else ""
    zeros = next((place for place, node in enumerate(tree.body) if _is_zero(node, out)), None)
    if zeros is None:
        return
    after = [found for at in range(zeros + 1, len(tree.body)) for found in _once(tree.body, at, out)]
    if len(after) != 1:
        return
    body, place = after[0]
    added = body[place]
    known = set(ast.walk(tree.body[zeros])) | set(ast.walk(added.target))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in _SIZES:
            known.add(node.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len":
            known |= set(node.args)
    if any(isinstance(n, ast.Name) and n.id == out and n not in known for n in ast.walk(tree)):
        return
    target = added.target
    if isinstance(target, ast.Name):
        target = ast.Subscript(ast.Name(out, ast.Load()), ast.Slice(), ast.Store())
    value = ast.BinOp(ast.Constant(0.0), added.op, added.value)
    body[place] = ast.fix_missing_locations(ast.copy_location(ast.Assign([target], value), added))
    if any(isinstance(n, ast.Name) and n.id == alike and isinstance(n.ctx, ast.Store) for n in ast.walk(tree)):
        alike = out
    if body is tree.body or any(node.body is body and _is_all(node, {out, alike}) for node in _loops(tree)):
        tree.body[zeros] = ast.copy_location(ast.Pass(), tree.body[zeros])


def _loops(tree):
    return [node for node in tree.body if isinstance(node, ast.For)]


def _is_all(loop, arrays):
    """Whether a loop that counts goes through all elements of one of some arrays."""
    if any(isinstance(n, ast.Break | ast.Continue | ast.Return) for n in ast.walk(loop)):
        return False
    over = loop.iter.args[0]
    if loop.iter.func.id == "enumerate":
        return isinstance(over, ast.Name) and over.id in arrays
    return ast.unparse(over) in {form.format(a) for a in arrays for form in ("len({})", "{}.size", "{}.shape[0]")}


def _is_whole(node, out):
    """out[:]"""
    if (
        not isinstance(node, ast.Subscript)
        or getattr(node.value, "id", "") != out
        or not isinstance(node.slice, ast.Slice)
    ):
        return False
    return node.slice.lower is None and node.slice.upper is None and node.slice.step is None


def _is_element(node, out, index):
    return isinstance(node, ast.Subscript) and (getattr(node.value, "id", ""), getattr(node.slice, "id", "")) == (
        out,
        index,
    )


def _is_zero(node, out):
    """out[:] = 0.0, or a loop that does so."""
    index = _index(node)
    if index is not None and len(node.body) == 1:
        node = node.body[0]
    if not isinstance(node, ast.Assign) or len(node.targets) != 1 or not isinstance(node.value, ast.Constant):
        return False
    target = node.targets[0]
    there = _is_element(target, out, index) if index is not None else _is_whole(target, out)
    return there and type(node.value.value) in (int, float) and str(float(node.value.value)) == "0.0"


def _index(node):
    """The name that counts from 0 in a loop, each number once; None of any other statement."""
    call = node.iter if isinstance(node, ast.For) and not node.orelse else None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or len(call.args) != 1 or call.keywords:
        return None
    target = node.target
    if call.func.id == "enumerate" and isinstance(target, ast.Tuple):
        target = target.elts[0]
    elif call.func.id != "range":
        return None
    return target.id if isinstance(target, ast.Name) else None


def _once(body, at, out):
    """(statements, place) of what a statement of a function adds to out, each element once at most."""
    node = body[at]
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add | ast.Sub):
        if _is_whole(node.target, out) or getattr(node.target, "id", "") == out:
            return [(body, at)]
        return []
    index = _index(node)
    if index is None:
        return []
    stores = [n for n in ast.walk(node) if isinstance(n, ast.Name) and n.id == index and isinstance(n.ctx, ast.Store)]
    found = [
        (node.body, place)
        for place, part in enumerate(node.body)
        if isinstance(part, ast.AugAssign)
        and isinstance(part.op, ast.Add | ast.Sub)
        and _is_element(part.target, out, index)
    ]
    return found if len(stores) == 1 else []
