"""Sums of gradients that a gradient on lanes writes to as its `out`, so that no gradient of one sample is stored.

A vector of W = S V lanes holds S samples of each of V replicates, sample after sample. `out[j] = x` in a gradient is then

    total[j] = before[j] + w_0 x_0 + ... + w_S-1 x_S-1          the samples in order, nothing fused, dead ones left out

with `before` and `total` in different memory, so that an element that is written twice holds what was written last. An `out`
of this kind cannot be read; a gradient that does so has no form on it, and Numba's typing says so.
"""

import operator

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic, models, overload, overload_attribute, register_model
from numba.core.imputils import lower_builtin
from numba.core.typing import signature
from numba.core.typing.templates import AbstractTemplate, infer_global

from .vector import Vector, _as_vector


class LaneSums(types.Type):
    """Totals of `replicates` lanes from gradients of `lanes`, multiplied by weights or not."""

    def __init__(self, replicates, lanes, weighted):
        self.replicates, self.lanes, self.weighted = replicates, lanes, weighted
        super().__init__(name=f"LaneSums({replicates}, {lanes}, {weighted})")

    @property
    def key(self):
        return self.replicates, self.lanes, self.weighted


@register_model(LaneSums)
class _LaneSumsModel(models.StructModel):
    def __init__(self, dmm, kind):
        members = [
            ("before", types.CPointer(types.float64)),
            ("total", types.CPointer(types.float64)),
            ("size", types.intp),
            ("live", Vector("b", kind.lanes)),
            ("weight", Vector("f", kind.lanes)),
        ]
        super().__init__(dmm, kind, members)


@intrinsic(prefer_literal=True)
def lane_sums(typingctx, array, before, total, size, live, weight, replicates, weighted):
    """Sums of `size` coordinates, of which a flat float64 array has those before from one element on, the new from another.

    live: mask of the samples that count; weight: theirs (if `weighted`, a constant); replicates: V, a constant.
    """
    result = LaneSums(replicates.literal_value, live.lanes, bool(weighted.literal_value))

    def emit(context, builder, sig, args):
        sums = cgutils.create_struct_proxy(result)(context, builder)
        data = context.make_array(array)(context, builder, args[0]).data
        sums.before, sums.total = (builder.gep(data, [at]) for at in args[1:3])
        sums.size, sums.live, sums.weight = args[3:6]
        return sums._getvalue()

    return result(array, types.intp, types.intp, types.intp, live, weight, replicates, weighted), emit


@infer_global(operator.setitem)
class _Add(AbstractTemplate):
    def generic(self, args, kws):
        if len(args) != 3 or not isinstance(args[0], LaneSums) or not isinstance(args[1], types.Integer):
            return None
        value = args[2]
        if isinstance(value, Vector):
            fits = value.kind != "u" and args[0].lanes % value.lanes == 0
        else:
            fits, value = isinstance(value, types.Number | types.Boolean), types.float64
        return signature(types.none, args[0], types.intp, value) if fits else None


@lower_builtin(operator.setitem, LaneSums, types.Integer, types.Any)
def _lower_add(context, builder, sig, args):
    kind = sig.args[0]
    sums = cgutils.create_struct_proxy(kind)(context, builder, args[0])
    value = _as_vector(context, builder, args[2], sig.args[2], Vector("f", kind.lanes))
    if kind.weighted:
        value = builder.fmul(value, sums.weight)
    place = args[1]
    below = builder.icmp_signed("<", place, ir.Constant(place.type, 0))
    place = builder.select(below, builder.add(place, sums.size), place)
    at = builder.mul(place, ir.Constant(place.type, kind.replicates))
    vector = Vector("f", kind.replicates).llvm.as_pointer()
    found = builder.load(builder.bitcast(builder.gep(sums.before, [at]), vector), align=8)
    for sample in range(kind.lanes // kind.replicates):
        lanes = [sample * kind.replicates + v for v in range(kind.replicates)]
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)
        part, live = (builder.shuffle_vector(x, x, mask) for x in (value, sums.live))
        found = builder.select(live, builder.fadd(found, part), found)
    builder.store(found, builder.bitcast(builder.gep(sums.total, [at]), vector), align=8)
    return context.get_dummy_value()


@intrinsic
def _size_of(typingctx, sums):
    def emit(context, builder, sig, args):
        return cgutils.create_struct_proxy(sums)(context, builder, args[0]).size

    return types.intp(sums), emit


@overload_attribute(LaneSums, "size")
def _size(sums):
    return lambda sums: _size_of(sums)


@overload_attribute(LaneSums, "shape")
def _shape(sums):
    return lambda sums: (_size_of(sums),)


@overload(len)
def _length(sums):
    return (lambda sums: _size_of(sums)) if isinstance(sums, LaneSums) else None
