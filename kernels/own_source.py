"""The source of a user's function as it was when its module was made, whatever has become of the file since."""

import __future__

import ast
import inspect
import linecache
import textwrap
import types

_FUTURE = sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)


def source(function):
    """The function's definition as ast.FunctionDef with the line numbers of its file, or None if it is not at hand."""
    lines = lines_of(function)
    try:
        tree = ast.parse(textwrap.dedent("".join(lines or ())))
    except SyntaxError:
        return None
    node = tree.body[0] if len(tree.body) == 1 else None
    if not isinstance(node, ast.FunctionDef) or node.name != function.__name__:
        return None
    node.decorator_list, node.returns = [], None
    for argument in ast.walk(node.args):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    ast.increment_lineno(node, function.__code__.co_firstlineno - 1)
    return node


def lines_of(function):
    """The lines of a function's definition, with its decorators, or None if they are not at hand."""
    lines = _file_of(function)
    first = function.__code__.co_firstlineno - 1
    if not 0 <= first < len(lines) or not _is_current(function, "".join(lines)):
        return None
    return inspect.getblock(lines[first:])


def _file_of(function):
    """The lines of the function's file: from its module, if that keeps them, else from disk."""
    space, file = function.__globals__, function.__code__.co_filename
    loader = space.get("__loader__")
    if getattr(loader, "path", None) == file and hasattr(loader, "text"):
        return loader.get_source(space["__name__"]).splitlines(keepends=True)
    linecache.checkcache(file)
    return linecache.getlines(file, space)


def _is_current(function, text):
    """Whether a text of the file compiles to this function: it may have changed since it was imported."""
    mine = function.__code__
    try:
        whole = compile(text, mine.co_filename, "exec", mine.co_flags & _FUTURE, dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    places = [whole]
    while places:
        code = places.pop()
        places += [c for c in code.co_consts if isinstance(c, types.CodeType)]
        if code == mine:  # constants and lines as well, not the file's name
            return True
    return False
