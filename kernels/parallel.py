"""Shares the items of a kernel among threads, with the kernel itself and the parallel loop compiled once.

`prange` around a call compiles the callee again for each of the five modules that Numba makes of a parallel loop, and the loop
again for each kernel. Here one loop calls any kernel by its address, with its arguments written to memory:

    @parallel
    def advance(item, theta, out):      # runs for item = 0 .. count - 1; returns an int64 status, never raises
        ...
        return 0

    advance(count, theta, out)

Each thread takes the next item when it is done with one, so threads that are slowed down by others do less.
"""

import functools
import gc
import struct

import numba
import numpy as np
from llvmlite import ir
from numba import prange, typeof
from numba._dispatcher import compute_fingerprint
from numba.core import cgutils, types
from numba.core.extending import intrinsic

from ._jit import inner, leaf, pjit

_WORD = ir.IntType(64)


@intrinsic
def call(typingctx, address, item, args):
    """Call the compiled function (int64 item, *args) -> int64 at an address."""
    given = (types.int64, *args.types)

    def emit(context, builder, sig, values):
        kind = context.call_conv.get_function_type(types.int64, given)
        function = builder.inttoptr(values[0], kind.as_pointer())
        unpacked = [values[1], *(builder.extract_value(values[2], i) for i in range(len(given) - 1))]
        _, result = context.call_conv.call_function(builder, function, types.int64, given, unpacked)
        return result

    return types.int64(types.uint64, types.int64, args), emit


# ---- arguments in memory: 64-bit words -------------------------------------------------------------------------------


def _words(kind, value):
    """A value of a Numba type as words: data, shape and strides of an array, the items of a tuple, a number."""
    if isinstance(kind, types.Array):
        return [value.size, value.itemsize, value.ctypes.data, *value.shape, *value.strides]
    if isinstance(kind, types.BaseTuple):
        return [word for each, item in zip(kind.types, value, strict=True) for word in _words(each, item)]
    return [struct.unpack("q", struct.pack("d", value))[0] if kind == types.float64 else int(value)]


def _read(context, builder, kind, next_word):
    """The value that `_words` wrote."""
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder)
        count, size, data = next_word(), next_word(), next_word()
        shape, strides = ([next_word() for _ in range(kind.ndim)] for _ in range(2))
        array.meminfo, array.parent = (cgutils.get_null_value(x.type) for x in (array.meminfo, array.parent))
        array.nitems, array.itemsize = count, size
        array.data = builder.inttoptr(data, array.data.type)
        array.shape, array.strides = cgutils.pack_array(builder, shape), cgutils.pack_array(builder, strides)
        return array._getvalue()
    if isinstance(kind, types.BaseTuple):
        return context.make_tuple(builder, kind, [_read(context, builder, each, next_word) for each in kind.types])
    word = next_word()
    if kind == types.float64:
        return builder.bitcast(word, ir.DoubleType())
    return builder.trunc(word, ir.IntType(1 if kind == types.boolean else kind.bitwidth))


@intrinsic
def _unpack(typingctx, pointer):
    """The tuple at a pointer to one, which `_words` wrote."""
    kind = pointer.dtype

    def emit(context, builder, sig, args):
        words = builder.bitcast(args[0], _WORD.as_pointer())
        places = iter(range(10**6))

        def next_word():
            return builder.load(builder.gep(words, [ir.Constant(_WORD, next(places))]))

        return _read(context, builder, kind, next_word)

    return kind(pointer), emit


@intrinsic
def _pointer(typingctx, address):
    return types.voidptr(types.uint64), lambda context, builder, sig, args: builder.inttoptr(
        args[0], context.get_value_type(types.voidptr)
    )


@leaf
def _enter(item, address, words):
    """One item of the kernel at an address."""
    return call(address, item, _unpack(words))


# ---- the loop --------------------------------------------------------------------------------------------------------


@intrinsic
def _take(typingctx, taken):
    """taken[0], which grows by one: no two threads get the same."""

    def emit(context, builder, sig, args):
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        return builder.atomic_rmw("add", data, ir.Constant(_WORD, 1), "monotonic")

    return types.int64(taken), emit


@leaf
def _work(enter, address, count, words, taken):
    """The items that one thread takes."""
    item = _take(taken)
    while item < count:
        call(enter, item, (address, _pointer(words)))
        item = _take(taken)


@pjit
def _loop(threads, enter, address, count, words, taken):
    for _ in prange(threads):
        _work(enter, address, count, words, taken)
    return 0


def address_of_types(compiled, kinds):
    """Address of a compiled function of arguments of some types."""
    # What a compiler makes lives on: looking through it for garbage takes 7 % of the time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        compiled.compile(kinds)
    finally:
        if collecting:
            gc.enable()
    found = compiled.overloads[kinds]
    assert found.signature.return_type == types.int64, f"{compiled.__name__} must return an int64 status"
    return np.uint64(found.library.get_pointer_to_function(found.fndesc.llvm_func_name))


def address_of(compiled, args):
    """Address of a compiled function for `call`, of (int64, *args) with arguments of the types of `args`."""
    return address_of_types(compiled, (types.int64, *(typeof(arg) for arg in args)))


def parallel(function):
    """Compile `function(item, *args)` and return a callable `run(count, *args)` that shares the items among threads."""
    compiled = inner(function)
    found = {}

    def find(args):
        kind = types.Tuple([typeof(arg) for arg in args])
        enter = address_of_types(_enter, (types.int64, types.uint64, types.CPointer(kind)))
        return kind, enter, address_of_types(compiled, (types.int64, *kind.types))

    @functools.wraps(function)
    def run(count, *args):
        key = compute_fingerprint(args)
        if key not in found:
            found[key] = find(args)
        kind, enter, address = found[key]
        words = np.array([word % 2**64 for word in _words(kind, args)], dtype=np.uint64)
        threads = min(int(count), numba.get_num_threads())
        return _loop(threads, enter, address, int(count), np.uint64(words.ctypes.data), np.zeros(1, np.int64))

    run.sequential = compiled
    return run
