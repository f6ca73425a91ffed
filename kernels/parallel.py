"""Shares the items of a kernel among threads, with the kernel itself compiled once.

`prange` around a call compiles the callee again for each of the five modules that Numba makes of a parallel loop. Here the
loop calls the kernel by its address, so its code exists once and a cold start takes a third of the time:

    @parallel
    def advance(item, theta, out):      # runs for item = 0 .. count - 1; returns an int64 status, never raises
        ...
        return 0

    advance(count, theta, out)
"""

import functools

import numpy as np
from numba import prange, typeof
from numba._dispatcher import compute_fingerprint
from numba.core import types
from numba.core.extending import intrinsic

from ._jit import jit, pjit


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


@pjit
def _loop(address, count, *args):
    for item in prange(count):
        call(address, np.int64(item), args)
    return 0


def address_of(compiled, args):
    """Address of a compiled function for `call`, of (int64, *args) with arguments of the types of `args`."""
    kinds = (types.int64, *(typeof(arg) for arg in args))
    compiled.compile(kinds)
    found = compiled.overloads[kinds]
    assert found.signature.return_type == types.int64, f"{compiled.__name__} must return an int64 status"
    return np.uint64(found.library.get_pointer_to_function(found.fndesc.llvm_func_name))


def parallel(function):
    """Compile `function(item, *args)` and return a callable `run(count, *args)` that shares the items among threads."""
    compiled = jit(function)
    addresses = {}

    @functools.wraps(function)
    def run(count, *args):
        key = compute_fingerprint(args)
        if key not in addresses:
            addresses[key] = address_of(compiled, args)
        return _loop(addresses[key], count, *args)

    run.sequential = compiled
    return run
