"""Real users whose rows fake users borrow."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from recpoison.errors import ConfigError


class Borrowed(NamedTuple):
    """Items that some templates rated, a few of each.

    Args:
        items: ``(n_templates, count)`` item ids, ascending in each row and distinct.
        values: ``(n_templates, count)`` the templates' own ratings of them.
    """

    items: np.ndarray
    values: np.ndarray

    def dense(self, n_items: int) -> np.ndarray:
        """``(n_templates, n_items)`` float32, 0 where nothing is borrowed."""
        matrix = np.zeros((len(self.items), n_items), dtype=np.float32)
        np.put_along_axis(matrix, self.items, self.values.astype(np.float32), axis=1)
        return matrix


class Templates:
    """The users who rated enough items that may be fillers.

    Args:
        ratings: ``(n_users, n_items)`` of all real users; a stored cell is rated, whatever its value.
        targets: Items that are no part of a template.
        selected: Items that are no fillers, but part of a template.
        count: Fillers that each must be able to lend.

    Raises:
        ConfigError: If nobody can.
    """

    def __init__(self, ratings: sp.csr_matrix, targets: np.ndarray, selected: np.ndarray, count: int) -> None:
        self.targets, self.selected, self.count = targets, selected, count
        whole = _without(ratings, targets)
        fillers = _without(whole, selected)
        lengths = np.diff(fillers.indptr)
        self.users = np.flatnonzero(lengths >= count)
        if not len(self.users):
            raise ConfigError(
                f"attack.fillers is {count}, but no user rated so many items besides targets and selected ones, and a "
                f"fake user borrows its fillers from one: give {lengths.max()} or less"
            )
        self.whole, self.fillers = whole[self.users], fillers[self.users]

    def __len__(self) -> int:
        return len(self.users)

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """All that tells these templates from others."""
        return self.whole.indptr, self.whole.indices, self.whole.data, self.selected, np.array(self.count)

    @cached_property
    def has_selected(self) -> np.ndarray:
        """``(n_templates, n_selected)`` whether a template rated a selected item."""
        pattern = sp.csr_matrix((np.ones(self.whole.nnz), self.whole.indices, self.whole.indptr), self.whole.shape)
        return np.asarray(pattern[:, self.selected].toarray() > 0)

    def borrow(self, rows: np.ndarray, rng: np.random.Generator) -> Borrowed:
        """``count`` distinct fillers of each of the templates ``rows`` (numbers from 0), uniform over what it rated."""
        part = self.fillers[rows]
        lengths = np.diff(part.indptr)
        row = np.repeat(np.arange(len(rows)), lengths)
        order = np.argsort(row + rng.random(part.nnz))  # a random order in each row, whose first items are taken
        place = np.arange(part.nnz) - np.repeat(part.indptr[:-1], lengths)
        cells = np.sort(order[place < self.count].reshape(len(rows), self.count), axis=1)
        return Borrowed(part.indices[cells].astype(np.int64), part.data[cells])


def _without(matrix: sp.csr_matrix, columns: np.ndarray) -> sp.csr_matrix:
    """``matrix`` with no cell in ``columns``."""
    kept = ~np.isin(matrix.indices, columns)
    indptr = np.concatenate([[0], np.cumsum(kept)])[matrix.indptr]
    return sp.csr_matrix((matrix.data[kept], matrix.indices[kept], indptr), matrix.shape)
