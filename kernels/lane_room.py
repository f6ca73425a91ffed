"""Memory for the arrays that a user's function on lanes makes: a room on the stack, as long as its gradient runs.

An array of NumPy's costs a call to the allocator and atomic counts of references, more than the gradient of a small sample.
The gradient makes a room at its head (`room`), which its helpers take as their first argument; arrays are put into it one
behind another and are gone with it. What finds no place there is made by NumPy.
"""

import ast

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic, models, register_model
from numba.np.arrayobj import populate_array

BYTES = 2**16
_WORD, _ROOM = ir.IntType(64), "fastsgd_room_here"
_TAKERS = {f"fastsgd_{name}" for name in ("empty_lanes", "zeros_lanes", "kept", "dot")}


class Room(types.Type):
    """Where a room begins, and how many of its bytes are taken."""

    def __init__(self):
        super().__init__(name="Room")


ROOM = Room()


@register_model(Room)
class _RoomModel(models.StructModel):
    def __init__(self, dmm, kind):
        super().__init__(dmm, kind, [("memory", types.voidptr), ("taken", types.CPointer(types.int64))])


@intrinsic
def room(typingctx):
    """An empty room on the stack of the compiled function that it is called in."""

    def emit(context, builder, sig, args):
        with builder.goto_entry_block():
            memory = builder.alloca(ir.ArrayType(ir.IntType(8), BYTES))
            memory.align = 64
            taken = builder.alloca(_WORD)
        builder.store(ir.Constant(_WORD, 0), taken)
        made = cgutils.create_struct_proxy(ROOM)(context, builder)
        made.memory, made.taken = builder.bitcast(memory, ir.IntType(8).as_pointer()), taken
        return made._getvalue()

    return ROOM(), emit


@intrinsic
def reserve(typingctx, room, size):
    """Where in a room so many bytes begin that are free until it is gone; -1 if there are not as many."""

    def emit(context, builder, sig, args):
        given = cgutils.create_struct_proxy(ROOM)(context, builder, args[0])
        begin = builder.load(given.taken)
        left = builder.sub(ir.Constant(_WORD, BYTES), begin)
        fits = builder.icmp_unsigned("<=", args[1], left)
        builder.store(builder.select(fits, builder.add(begin, args[1]), begin), given.taken)
        return builder.select(fits, begin, ir.Constant(_WORD, -1))

    return types.int64(room, types.int64), emit


def lent(result):
    """What makes an array of a type of one axis from a room, the byte that it begins at and its number of elements."""
    lanes = getattr(result.dtype, "lanes", 1)

    @intrinsic
    def array_in(typingctx, room, begin, count):
        def emit(context, builder, sig, args):
            given = cgutils.create_struct_proxy(ROOM)(context, builder, args[0])
            array = context.make_array(result)(context, builder)
            data = builder.bitcast(builder.gep(given.memory, [args[1]]), array.data.type)
            bytes_ = context.get_constant(types.intp, 8 * lanes)
            populate_array(array, data=data, shape=[args[2]], strides=[bytes_], itemsize=bytes_, meminfo=None)
            return array._getvalue()

        return result(room, types.int64, types.int64), emit

    return array_in


def furnish(tree, helpers, given):
    """Change a function on lanes, on its tree, so that what makes arrays in it takes a room.

    helpers: names of the user's functions in it that take one first; given: whether it takes one itself, or makes it.
    """
    _Furnish(helpers).generic_visit(tree)
    if given:
        tree.args.args.insert(0, ast.arg(_ROOM))
    else:
        made = ast.Assign(
            [ast.Name(_ROOM, ast.Store())], ast.Call(ast.Name("fastsgd_room", ast.Load()), [], [])
        )  # fmt: skip
        tree.body.insert(0, ast.copy_location(made, tree.body[0]))
    ast.fix_missing_locations(tree)


class _Furnish(ast.NodeTransformer):
    def __init__(self, helpers):
        self.helpers = helpers

    def visit_Call(self, node):
        self.generic_visit(node)
        name = getattr(node.func, "id", "")
        if name in _TAKERS:
            node.args.append(ast.Name(_ROOM, ast.Load()))
        elif name in self.helpers:
            node.args.insert(0, ast.Name(_ROOM, ast.Load()))
        return node

    def visit_Lambda(self, node):
        return node

    def visit_FunctionDef(self, node):
        return node
