"""One propagation over a graph on CUDA, by Triton: a program adds the rows of a node's neighbours."""
# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def spread(
    below, table, above, roots, order, indptr, indices, size, layers,
    LAST: tl.constexpr, TILE: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Write ``above``: root (table + root · sum of the neighbours' rows of ``below``).

    If ``LAST``, 1 / (``layers`` + 1) stands for the first root. ``order`` has
    the nodes with most neighbours first, so that none is left alone at the end.
    """
    node = tl.load(order + tl.program_id(0)).to(tl.int64)
    at, end = tl.load(indptr + node).to(tl.int64), tl.load(indptr + node + 1).to(tl.int64)
    columns = tl.arange(0, WIDTH)
    inside = columns < size
    total = tl.zeros([WIDTH], dtype=below.dtype.element_ty)
    while at < end:
        places = at + tl.arange(0, TILE)
        here = places < end
        cells = tl.load(indices + places, mask=here, other=0).to(tl.int64)[:, None] * size + columns[None, :]
        total += tl.sum(tl.load(below + cells, mask=here[:, None] & inside[None, :], other=0.0), 0)
        at += TILE
    root = tl.load(roots + node)
    values = tl.load(table + node * size + columns, mask=inside, other=0.0) + root * total
    if LAST:
        values /= layers + 1
    else:
        values *= root
    tl.store(above + node * size + columns, values, mask=inside)
