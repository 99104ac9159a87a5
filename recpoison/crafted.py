"""What was crafted, as a run leaves it: the fake users in the source's ids, and what tells one change from another."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import pandas as pd

from recpoison.changes import Change, FakeProfiles

COLUMNS = ["seed", "fake_user", "item", "value"]
_ABOUT = ("targets", "cutoff", "best")


def fake_users(changes: Mapping[int, FakeProfiles], ids: Mapping[int, np.ndarray | None]) -> pd.DataFrame:
    """One row for each item of a fake user: the columns of ``fake_users.csv``.

    Args:
        changes: The fake users of each seed; they are numbered from 0.
        ids: ``(n_items,)`` ids of a seed's items in their source; where they are not known, items keep their numbers.
    """
    tables = []
    for seed, change in changes.items():
        names = ids.get(seed)
        items = change.items if names is None else names[change.items]
        rows = (np.full(len(items), seed), change.profile, items.astype(str), change.values)
        tables.append(pd.DataFrame(dict(zip(COLUMNS, rows, strict=True))))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)


def fingerprint(change: Change) -> str:
    """sha256 of what a change does, whatever it was made for: the rows of fake users, or the shift of each table."""
    found = hashlib.sha256()
    for name, array in sorted(change.arrays().items()):
        if name not in _ABOUT and "/" not in name:  # traces and norms
            found.update(f"{name} {array.dtype.str} {array.shape}".encode())
            found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
