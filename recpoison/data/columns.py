"""Columns of a table as users, items, ratings and times; rows that say none of these are counted."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from recpoison.data.ids import Ids, ids_of_column, ids_of_numbers, ids_of_texts
from recpoison.data.layout import Layout
from recpoison.data.rows import Rows
from recpoison.errors import DataError
from recpoison.progress import Progress

_WHOLE = re.compile(r"\s*\+?0*(\d+?)(?:\.0*)?\s*")


class UnusableRows(ValueError):
    """Rows without an id, or whose rating or time is missing, no number or off the scale.

    Args:
        counts: How many rows have which fault, in words.
        n_rows: Rows looked at.
        marks: Distinct ratings off the scale, if they are few enough to be marks of rows without a rating.
    """

    def __init__(self, counts: dict[str, int], n_rows: int, marks: tuple[float, ...] = ()) -> None:
        self.marks = marks
        self.everywhere = sum(counts.values()) == n_rows
        self.in_words = f"of {n_rows:,} {'row' if n_rows == 1 else 'rows'} {_faults(counts)}"
        super().__init__(self.in_words)


def _faults(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {'has' if count == 1 else 'have'} {fault}" for fault, count in counts.items())


def rows_of(path: Path, columns: dict[str, pd.Series], layout: Layout, progress: Progress) -> Rows:
    """The columns of each role as rows.

    Ratings that ``layout.missing`` lists go first, then rows that cannot be used, if ``layout.drop_invalid`` is true.

    Args:
        path: The file, for messages.
        columns: The columns by role.
        layout: What they mean.
        progress: Hears what was left out, and which ratings lie between the steps of the scale.

    Raises:
        UnusableRows: If rows cannot be used and are not to be dropped.
        ValueError: If ids cannot be told apart or are too long.
        DataError: If no row is left.
    """
    values = numbers(columns["rating"]) if "rating" in columns else None
    times = seconds(columns["time"]) if "time" in columns else None
    n_rows = len(columns["user"])
    unrated = np.isin(values, layout.missing) if values is not None and layout.missing else np.zeros(n_rows, dtype=bool)
    faults = _look(columns, values, times, layout, unrated)
    counts = {name: int(bad.sum()) for name, bad in faults.items()}
    if counts and not layout.drop_invalid:
        raise UnusableRows(counts, n_rows, _marks(values, layout))
    notes = _notes(unrated, counts, n_rows, layout)
    dropped = np.logical_or.reduce([unrated, *faults.values()])
    if n_rows and dropped.all():
        raise DataError(f"{path} leaves no row: {'; '.join(notes)}: check the columns and dataset.missing")
    keep = ~dropped if dropped.any() else slice(None)
    users, items = (_ids(columns[role][keep]) for role in ("user", "item"))
    rows = Rows(users, items, None if values is None else values[keep], None if times is None else times[keep])
    for note in (*notes, *_off_grid(rows.values, layout), *_alike("users", users), *_alike("items", items)):
        progress.note(f"{path.name}: {note}")
    return rows


def _ids(column: pd.Series) -> Ids:
    if column.dtype == np.int64:
        return ids_of_numbers(column.to_numpy())
    return ids_of_texts(column.to_numpy()) if column.dtype == object else ids_of_column(column)


def _look(
    columns: dict[str, pd.Series],
    values: np.ndarray | None,
    times: np.ndarray | None,
    layout: Layout,
    unrated: np.ndarray,
) -> dict[str, np.ndarray]:
    """Masks of the rows with each fault that there is; a row counts for its first, an unrated one for none."""
    looked = {f"no {role}": columns[role].isna().to_numpy() for role in ("user", "item")}
    if values is not None:
        looked["no rating that is a number"] = np.isnan(values)
        if layout.scale is not None:
            low, high, _ = layout.scale
            looked[f"a rating off the scale {low:g} to {high:g}"] = (values < low) | (values > high)
    if times is not None:
        looked["no time in seconds or as an ISO date"] = np.isnan(times)
    seen, faults = unrated, {}
    for name, bad in looked.items():
        if bad.any() and (bad := bad & ~seen).any():
            faults[name] = bad
            seen = seen | bad
    return faults


def _marks(values: np.ndarray | None, layout: Layout) -> tuple[float, ...]:
    if values is None or layout.scale is None:
        return ()
    low, high, _ = layout.scale
    marks = np.unique(values[(values < low) | (values > high)])
    return tuple(marks.tolist()) if len(marks) <= 2 else ()


def _notes(unrated: np.ndarray, counts: dict[str, int], n_rows: int, layout: Layout) -> tuple[str, ...]:
    notes = []
    if layout.missing:
        marks = ", ".join(f"{mark:g}" for mark in layout.missing)
        notes.append(f"{int(unrated.sum()):,} of {n_rows:,} rows are dropped as not rated (dataset.missing=[{marks}])")
    if counts:
        notes.append(f"{sum(counts.values()):,} of {n_rows:,} rows are dropped as invalid: {_faults(counts)}")
    return tuple(notes)


def _alike(role: str, ids: Ids) -> tuple[str, ...]:
    """Ids that a reader of numbers would take for one."""
    if ids.labels.dtype != object:
        return ()
    labels = pd.Series(ids.labels, dtype=object)
    bare = pd.Series([found[1] if (found := _WHOLE.fullmatch(label)) else None for label in labels], dtype=object)
    again = bare.notna() & bare.duplicated()
    if not again.any():
        return ()
    pair = labels[bare == bare[again.idxmax()]]
    return (
        f"{int(again.sum()):,} ids of {role} are another's number written otherwise, such as {pair.iloc[0]!r} and "
        f"{pair.iloc[1]!r}: they are kept apart",
    )


def _off_grid(values: np.ndarray | None, layout: Layout) -> tuple[str, ...]:
    if values is None or layout.scale is None:
        return ()
    low, _, step = layout.scale
    places = (values - low) / step
    off = np.abs(places - np.rint(places)) > 1e-6
    if not off.any():
        return ()
    return (
        f"{int(off.sum()):,} of {len(values):,} ratings, such as {values[off.argmax()]:g}, are no whole number of "
        f"steps of {step:g} above {low:g}: fake ratings follow the steps, these stay as they are",
    )


def numbers(column: pd.Series) -> np.ndarray:
    """``(n,)`` numbers; NaN where the column has none."""
    if pd.api.types.is_numeric_dtype(column):
        values = column.to_numpy(np.float64, na_value=np.nan)
        return values if np.isfinite(values).all() else np.where(np.isfinite(values), values, np.nan)
    codes, texts = pd.factorize(column)
    return _each(_numbers_of(texts), codes)


def seconds(column: pd.Series) -> np.ndarray:
    """``(n,)`` seconds since 1970 from a column of numbers, or of ISO dates; NaN where it has none."""
    if pd.api.types.is_numeric_dtype(column):
        return numbers(column)
    codes, texts = pd.factorize(column)
    if pd.api.types.is_datetime64_any_dtype(column):
        return _each(_since_1970(pd.to_datetime(pd.Series(texts), utc=True)), codes)
    found, dates = _numbers_of(texts), _dates_of(texts)
    return _each(found if np.isfinite(found).sum() >= np.isfinite(dates).sum() else dates, codes)


def _numbers_of(texts: np.ndarray) -> np.ndarray:
    values = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce").to_numpy(np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _dates_of(texts: np.ndarray) -> np.ndarray:
    dates = pd.to_datetime(pd.Series(texts, dtype=object), format="ISO8601", utc=True, errors="coerce")
    dated = np.array([str(text).strip()[:4].isdigit() for text in texts], dtype=bool)  # pandas takes "today" for a date
    return np.where(dated, _since_1970(dates), np.nan)


def _since_1970(dates: pd.Series) -> np.ndarray:
    return (dates - pd.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy(np.float64)


def _each(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The value of each row; code -1, a missing one, gives NaN."""
    return np.append(values, np.nan)[codes]
