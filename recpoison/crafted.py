"""What was crafted, as a run leaves it: the fake users in the source's ids, and what tells one change from another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from recpoison.attacks.base import Attack
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


class Holders(NamedTuple):
    """Who of the fake users has a promoted item, or more of them.

    Args:
        n_fakes: Fake users.
        holding: Those who have one.
        n_targets: Promoted items.
        unheld: Those that no fake user has.
    """

    n_fakes: int
    holding: int
    n_targets: int
    unheld: int


def holders(change: FakeProfiles, targets: np.ndarray) -> Holders:
    """Who of the fake users of a change has one of the ``targets``."""
    rows = np.isin(change.items, targets)
    held = np.unique(change.items[rows])
    return Holders(change.n_fakes, len(np.unique(change.profile[rows])), len(targets), len(targets) - len(held))


def lacking_targets(label: str, attack: Attack, found: Sequence[Holders]) -> list[str]:
    """A sentence where fake users lack the items that they should promote, counted over seeds; else nothing.

    Args:
        label: What tables call the attack.
        attack: The attack; one that does not promote needs no such items.
        found: Of each seed.
    """
    n_fakes, holding, n_targets, unheld = (sum(column) for column in zip(*found, strict=True)) if found else (0,) * 4
    if not attack.promotes or (holding == n_fakes and not unheld):
        return []
    seeds = f" over {len(found)} seeds" if len(found) > 1 else ""
    told = []
    if holding == 0:
        told = [f"no fake user (of {n_fakes:,}{seeds}) has a promoted item"]
    elif holding < n_fakes:
        told = [f"{holding:,} of {n_fakes:,} fake users{seeds} have a promoted item"]
    if holding and unheld:
        told.append(f"{unheld:,} of {n_targets:,} promoted items{seeds} are in no fake profile")
    remedy = "; attack.click_targets=true gives them to every fake user"
    return [f"{label}: {' and '.join(told)}{remedy if getattr(attack, 'click_targets', None) is False else ''}"]
