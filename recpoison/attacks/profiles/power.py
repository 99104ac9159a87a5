"""Which users or items a neighbourhood method leans on (Wilson and Seminario, RecSys 2013 and 2014)."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

RULES = ("in_degree", "similarity", "ratings")
ENOUGH = 50  # common rows from which a similarity counts in full: significance weighting (Herlocker et al. 1999)
_BYTES = 32 << 20  # of a block of similarities


def influence(rows: sp.csr_matrix, rule: str, neighbours: int) -> np.ndarray:
    """How influential each row is, ``(n,)``.

    ``in_degree``: in how many other rows' nearest neighbours it is. ``similarity``: the sum of its similarities to its
    own nearest neighbours. ``ratings``: how many cells it has. Similarity is the cosine of who has what, times n / 50
    where only n < 50 cells are common; rows without a common cell are no neighbours, and of equally near ones the lower
    number is nearer. Departure: the authors take Pearson's correlation of ratings, which clicks do not have.

    Args:
        rows: ``(n, m)``; a stored cell is one, whatever its value.
        rule: Which of the three.
        neighbours: Nearest neighbours of a row.
    """
    ones = sp.csr_matrix((np.ones(rows.nnz, dtype=np.float32), rows.indices, rows.indptr), rows.shape)
    counts = np.diff(ones.indptr)
    if rule == "ratings":
        return counts.astype(np.float64)
    lengths = np.sqrt(np.maximum(counts, 1)).astype(np.float32)
    k, found = min(neighbours, len(counts) - 1), np.zeros(len(counts))
    columns = ones.T.tocsr()
    step = max(1, _BYTES // (4 * len(counts)))
    for start in range(0, len(counts) if k > 0 else 0, step):
        block = np.arange(start, min(start + step, len(counts)))
        common = np.asarray((ones[block] @ columns).toarray())
        similar = common / (lengths[block, None] * lengths) * np.minimum(common, ENOUGH) / ENOUGH
        similar[np.arange(len(block)), block] = 0
        nearest = np.argsort(-similar, axis=1, kind="stable")[:, :k]
        near = np.take_along_axis(similar, nearest, axis=1)
        if rule == "in_degree":
            np.add.at(found, nearest[near > 0], 1)
        else:
            found[block] = near.sum(1)
    return found


def most_influential(rows: sp.csr_matrix, rule: str, neighbours: int, count: int) -> np.ndarray:
    """The ``count`` rows of the largest influence, largest first, then by number; empty rows last."""
    has = np.diff(rows.indptr) > 0
    return np.lexsort((-influence(rows, rule, neighbours), ~has))[:count]


def idle_power(rule: str) -> dict[str, str]:
    """The neighbourhood, where only ratings are counted."""
    return {"neighbours": "rule is ratings, which knows no neighbours"} if rule == "ratings" else {}
