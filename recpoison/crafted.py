"""What was crafted, as a run leaves it: the fake users in the source's ids, and what tells one change from another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

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


def write_fake_users(
    changes: Iterable[tuple[int, FakeProfiles]], ids: Mapping[int, np.ndarray | None], file: Path
) -> None:
    """Write ``fake_users.csv``, one seed after the other; nothing where there is no row.

    Args:
        changes: The fake users of each seed.
        ids: As of ``fake_users``.
        file: Where to; not there yet.
    """
    for seed, change in changes:
        table = fake_users({seed: change}, ids)
        if len(table):
            table.to_csv(file, mode="a", header=not file.exists(), index=False, encoding="utf-8")


def fingerprint(change: Change) -> str:
    """sha256 of what a change does, whatever it was made for: the rows of fake users, or the shift of each table."""
    found = hashlib.sha256()
    for name, array in sorted(change.arrays().items()):
        if name not in _ABOUT and "/" not in name:  # traces and norms
            found.update(f"{name} {array.dtype.str} {array.shape}".encode())
            found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
