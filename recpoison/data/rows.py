"""Rows of a source, with ids as it writes them, and their numbering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recpoison.data.ids import Ids, join
from recpoison.data.interactions import Interactions, Scale


@dataclass(frozen=True, eq=False)
class Rows:
    """What a file says.

    Args:
        users: ``(n,)`` ids.
        items: ``(n,)`` ids.
        values: ``(n,)`` ratings or counts; None where the file has none.
        times: ``(n,)`` seconds; None where the file has none.
    """

    users: Ids
    items: Ids
    values: np.ndarray | None = None
    times: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.users)


def stack(parts: Sequence[Rows]) -> Rows:
    """One table after another; a column that a part lacks is dropped."""
    if len(parts) == 1:
        return parts[0]

    def append(name: str) -> np.ndarray | None:
        arrays = [getattr(part, name) for part in parts]
        return None if any(array is None for array in arrays) else np.concatenate(arrays)

    users, items = join([part.users for part in parts]), join([part.items for part in parts])
    return Rows(users, items, append("values"), append("times"))


def number(rows: Rows, scale: tuple[float, float, float] | None) -> Interactions:
    """Give users and items ids from 0 in the order of their labels. Without values every row counts 1."""
    return Interactions(
        rows.users.codes,
        rows.items.codes,
        np.ones(len(rows)) if rows.values is None else rows.values,
        len(rows.users.labels),
        len(rows.items.labels),
        None if scale is None else Scale(*scale),
        rows.times,
        rows.users.labels,
        rows.items.labels,
    )
