"""Splits as npz files, for the store."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recpoison.data.interactions import Edges, Interactions, Scale
from recpoison.data.splitting import Split

_COLUMNS = ("users", "items", "values", "times", "user_labels", "item_labels")


def save_split(split: Split, path: Path) -> None:
    """Write every table of a split."""
    arrays: dict[str, np.ndarray] = {}
    for name in ("train", "test", "valid"):
        table = getattr(split, name)
        if table is not None:
            arrays |= {f"{name}/{key}": value for key, value in _arrays(table).items()}
    if split.negatives is not None:
        arrays["negatives"] = split.negatives
    arrays["held_out"] = np.array(split.held_out)
    arrays["notes"] = np.array(split.notes, dtype=str)
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the keywords for its flag


def load_split(path: Path) -> Split:
    """Read what ``save_split`` wrote."""
    with np.load(path, allow_pickle=False) as file:
        tables = {name: _table(file, name) for name in ("train", "test", "valid") if f"{name}/users" in file}
        negatives = file.get("negatives")
        held_out, notes = str(file["held_out"]), tuple(map(str, file["notes"]))
    return Split(tables["train"], tables["test"], tables.get("valid"), negatives, held_out, notes)


def _arrays(table: Interactions) -> dict[str, np.ndarray]:
    found = {name: getattr(table, name) for name in _COLUMNS if getattr(table, name) is not None}
    for name in ("user_labels", "item_labels"):
        if name in found and found[name].dtype == object:
            found |= _packed(name, found[name])
    found["sizes"] = np.array([table.n_users, table.n_items])
    if table.zeros is not None:
        found |= {"zero_users": table.zeros.users, "zero_items": table.zeros.items}
    if table.scale is not None:
        found["scale"] = np.array(table.scale, dtype=float)
    return found


def _packed(name: str, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Text as bytes and where each ends: objects would need pickle, and arrays of text the longest's room for each."""
    words = [str(label).encode() for label in labels]
    return {
        name: np.frombuffer(b"".join(words), np.uint8),
        f"{name}_ends": np.cumsum([len(word) for word in words], dtype=np.int64),
    }


def _unpacked(words: np.ndarray, ends: np.ndarray) -> np.ndarray:
    content = words.tobytes()
    labels = np.empty(len(ends), dtype=object)
    labels[:] = [content[start:end].decode() for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    return labels


def _table(file: np.lib.npyio.NpzFile, name: str) -> Interactions:
    def column(key: str) -> np.ndarray | None:
        found, ends = file.get(f"{name}/{key}"), file.get(f"{name}/{key}_ends")
        return found if found is None or ends is None else _unpacked(found, ends)

    users, items, values, times, user_labels, item_labels = (column(key) for key in _COLUMNS)
    sizes, scale = column("sizes"), column("scale")
    zero_users, zero_items = column("zero_users"), column("zero_items")
    assert users is not None
    assert items is not None
    assert values is not None
    assert sizes is not None
    return Interactions(
        users,
        items,
        values,
        int(sizes[0]),
        int(sizes[1]),
        None if scale is None else Scale(*map(float, scale)),
        times,
        user_labels,
        item_labels,
        None if zero_users is None or zero_items is None else Edges(zero_users, zero_items),
    )
