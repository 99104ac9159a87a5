"""Eight numbers of neighbouring columns in one register, which numba does not offer: to and from tables, and turned.

Rows of tables belong to users and items, rows of a block to units; a square of eight by eight that is turned in
registers moves numbers between them at a fifth of the cost of one by one.
"""
# mypy: disable-error-code="no-untyped-def, call-arg, import-untyped, misc"

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

WIDTH = 8
_NUMBERS = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}
_FLAGS = ("contract",)


class Lanes(types.Type):
    """The type of a register."""

    def __init__(self, dtype):
        self.dtype = dtype
        super().__init__(name=f"Lanes({dtype})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, ir.VectorType(_NUMBERS[kind.dtype], WIDTH))


def _address(context, builder, signature, arguments):
    """Of a cell of a table whose rows lie one after the other, as that of a register's numbers."""
    kind, index = signature.args[0], ir.IntType(64)
    array = context.make_array(kind)(context, builder, arguments[0])
    row, column = (
        (builder.sext if signed.signed else builder.zext)(x, index) if x.type.width < 64 else x
        for x, signed in zip(arguments[1:3], signature.args[1:3], strict=True)
    )
    width = cgutils.unpack_tuple(builder, array.shape, 2)[1]
    cell = builder.gep(array.data, [builder.add(builder.mul(row, width), column)])
    return builder.bitcast(cell, ir.VectorType(_NUMBERS[kind.dtype], WIDTH).as_pointer()), kind.dtype.bitwidth // 8


@intrinsic
def load(typing, table, row, column):
    """The numbers at ``table[row, column : column + 8]``; nobody looks whether they are there."""

    def generate(context, builder, signature, arguments):
        address, align = _address(context, builder, signature, arguments)
        return builder.load(address, align=align)

    return Lanes(table.dtype)(table, row, column), generate


@intrinsic
def store(typing, table, row, column, lanes):
    """Write them there."""

    def generate(context, builder, signature, arguments):
        address, align = _address(context, builder, signature, arguments)
        builder.store(arguments[3], address, align=align)
        return context.get_dummy_value()

    return types.void(table, row, column, lanes), generate


@intrinsic
def plus(typing, a, b):
    """The sum of each."""
    return a(a, b), lambda context, builder, signature, given: builder.fadd(*given, flags=_FLAGS)


@intrinsic
def times(typing, a, b):
    """The product of each."""
    return a(a, b), lambda context, builder, signature, given: builder.fmul(*given, flags=_FLAGS)


@intrinsic
def turned(typing, rows):
    """Eight registers as the columns of the square that eight were the rows of."""

    def generate(context, builder, signature, arguments):
        found = cgutils.unpack_tuple(builder, arguments[0], WIDTH)
        for stride in (1, 2, 4):
            first = [c - stride + WIDTH if c & stride else c for c in range(WIDTH)]
            second = [c + WIDTH if c & stride else c + stride for c in range(WIDTH)]
            for r in range(WIDTH):
                if not r & stride:
                    pair = found[r], found[r + stride]
                    found[r], found[r + stride] = (
                        builder.shuffle_vector(*pair, ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), mask))
                        for mask in (first, second)
                    )
        return context.make_tuple(builder, signature.return_type, found)

    return rows(rows), generate
