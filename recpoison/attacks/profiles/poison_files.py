"""Fake users in the files of other projects: each form is told by its ending and its content, and none is unpickled."""

from __future__ import annotations

import csv
import json
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from recpoison.errors import DataError, shown

_PICKLED = (".pickle", ".pkl", ".pt", ".pth")
_WHY = "a pickle, which runs its author's code when it is read: save the fake users as json, csv, or numbers in npy"
_ARLIB = re.compile(r"fakeUser\d+")
_RUN = ["seed", "fake_user", "item", "value"]  # columns of a run's fake_users.csv
_FORMS = "json, npz, npy, data, txt, tsv or csv"


class PoisonFile(NamedTuple):
    """What a file holds, before anything is compared with the data.

    Args:
        users: ``(n,)`` who clicked, as text.
        items: ``(n,)`` what, as text.
        values: ``(n,)`` how it was rated; None where the file has clicks alone.
        targets: Items that the file says it is about, as text; None where it does not say.
        numbered: Whether items are numbers from 0 by the file's very form, such as columns of a matrix.
        n_items: Columns of a matrix; None of other forms.
        share: Whether values are shares of the highest rating, as APT writes them.
        with_real: Whether real users stand beside the fake ones.
    """

    users: np.ndarray
    items: np.ndarray
    values: np.ndarray | None = None
    targets: list[str] | None = None
    numbered: bool = False
    n_items: int | None = None
    share: bool = False
    with_real: bool = False


def read_poison(path: Path) -> PoisonFile:
    """The fake users of a file, in its order.

    Raises:
        DataError: If there is no such file, it would have to be unpickled, or it is not what its ending promises.
    """
    if not path.is_file():
        raise DataError(f"attack.path: there is no file {path.absolute()}: give a path from where you are")
    with path.open("rb") as file:
        head = file.read(2)
    if path.suffix in _PICKLED or (head[:1] == b"\x80" and len(head) > 1 and 2 <= head[1] <= 5):
        raise DataError(f"{path} is {_WHY}")
    readers = {".json": _json, ".npz": _npz, ".npy": _npy}
    try:
        found = readers.get(path.suffix, _text)(path)
    except (UnicodeDecodeError, json.JSONDecodeError, zipfile.BadZipFile, EOFError, RecursionError) as error:
        raise DataError(f"{path} is not what its ending promises ({error}): give {_FORMS}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if not len(found.users):
        raise DataError(f"{path} holds no clicks: give a file with fake users")
    if found.values is not None and not np.isfinite(found.values).all():
        raise DataError(f"{path} holds ratings that are no finite numbers: correct them")
    return found


def _json(path: Path) -> PoisonFile:
    """VAT and PamaCF: ``target_items``, and ``fake_users`` from a name to items; or a list of lists."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(content, list):
        return _lists(content, path)
    fakes = content.get("fake_users") if isinstance(content, dict) else None
    if not isinstance(fakes, dict) or not all(map(_is_profile, fakes.values())):
        raise DataError(f"{path} has no fake_users, a mapping from names to lists of item ids: give a file as VAT's")
    targets = content.get("target_items")
    if targets is not None and not _is_profile(targets):
        raise DataError(f"{path} has target_items that are no list of item ids: correct it")
    users = np.repeat(np.array(list(fakes), dtype=object), [len(items) for items in fakes.values()])
    items = _words([item for items in fakes.values() for item in items])
    return PoisonFile(users, items, targets=None if targets is None else [str(item) for item in targets])


def _is_profile(items: object) -> bool:
    return isinstance(items, list) and all(isinstance(x, int | str) and not isinstance(x, bool) for x in items)


def _lists(content: list[Any], path: Path) -> PoisonFile:
    """RecommPoison: a list of items for each fake user, the target last."""
    if not all(map(_is_profile, content)) or not all(content):
        raise DataError(f"{path} is a list, but not of lists of item ids, one for each fake user: correct it")
    users = np.repeat(_words(range(len(content))), [len(items) for items in content])
    last = list({str(items[-1]) for items in content})
    items = _words([item for items in content for item in items])
    return PoisonFile(users, items, targets=last if len(last) == 1 else None)


def _arrays(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except ValueError as error:
        raise _object_array(path, error) from error


def _object_array(path: Path, error: ValueError) -> DataError:
    if "allow_pickle" in str(error) or "Object arrays" in str(error):
        return DataError(f"{path} holds Python objects, that is {_WHY}")
    return DataError(f"{path} is not what its ending promises ({error}): give {_FORMS}")


def _npz(path: Path) -> PoisonFile:
    """Our own change, in the store or in a run's folder, or a sparse matrix as scipy saves it."""
    with _arrays(path) as file:
        try:
            arrays = {name: file[name] for name in file.files}
        except ValueError as error:
            raise _object_array(path, error) from error
    if "indptr" in arrays or "format" in arrays:
        return _sparse(arrays, path)
    places = sorted({name.removesuffix("profile") for name in arrays if name.split("/")[-1] == "profile"})
    if not places:
        raise DataError(f"{path} holds {', '.join(arrays)}: give fake users, as a sparse matrix or our change.npz")
    names = ("profile", "items", "values", "targets")
    if any(f"{place}{name}" not in arrays for place in places for name in names):
        raise DataError(f"{path} is a change without one of {', '.join(names)}: craft it again")
    columns, *others = [{name: arrays[f"{place}{name}"] for name in names} for place in places]
    if not all(_same(columns, other) for other in others):
        raise DataError(
            f"{path} holds {len(places)} changes that differ: run one attack with one seed and take its file"
        )
    if len({columns[name].shape for name in names[:3]}) > 1 or any(x.ndim != 1 for x in columns.values()):
        raise DataError(f"{path} is a change whose columns have different lengths: craft it again")
    profile, items, values, targets = columns.values()
    return PoisonFile(
        _words(profile), _words(items), values.astype(np.float64), _words(targets).tolist(), numbered=True
    )


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in one)


def _sparse(arrays: dict[str, np.ndarray], path: Path) -> PoisonFile:
    try:
        if arrays["format"].item() not in (b"csr", "csr"):
            raise ValueError("it is not in CSR form")
        triple = (arrays["data"], arrays["indices"], arrays["indptr"])
        matrix = sp.csr_matrix(triple, shape=tuple(arrays["shape"])).tocoo()
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path} is no sparse matrix as scipy.sparse.save_npz writes it ({error})") from error
    rated = matrix.data != 0
    rows, items, values = matrix.row[rated], matrix.col[rated], matrix.data[rated].astype(np.float64)
    return PoisonFile(_words(rows), _words(items), values, numbered=True, n_items=matrix.shape[1])


def _npy(path: Path) -> PoisonFile:
    """APT: fakes x items, ratings as shares of the highest, 0 for none."""
    matrix = _arrays(path)
    if matrix.ndim != 2 or matrix.dtype.kind not in "buif":
        raise DataError(f"{path} is {matrix.dtype} of shape {matrix.shape}: give a matrix of numbers, fakes x items")
    rows, items = np.nonzero(matrix)
    values = matrix[rows, items].astype(np.float64)
    share = bool(len(values)) and matrix.dtype.kind == "f" and values.max() <= 1
    return PoisonFile(_words(rows), _words(items), values, numbered=True, n_items=matrix.shape[1], share=share)


def _text(path: Path) -> PoisonFile:
    """A csv of fake users alone; AUSH's, Leg-UP's and ARLib's tables, whose real users stand before the fake ones."""
    text = path.read_text(encoding="utf-8-sig")
    if text.lstrip().startswith("["):
        return _lists(json.loads(text), path)
    lines = [(n, line.strip()) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    split = _fields if path.suffix == ".csv" else str.split
    rows = _without_header([(n, split(line)) for n, line in lines], path)
    width = 2 if all(len(row) == 2 for _, row in rows) else 3
    for n, row in rows:
        if len(row) < width or (width == 3 and _number(row[2]) is None):
            raise DataError(f"{path}, line {n}: {shown(' '.join(row))} is no fake user, item and rating: correct it")
    if width == 3 and path.suffix != ".csv" and any(_ARLIB.fullmatch(row[0]) for _, row in rows):
        rows = [(n, row) for n, row in rows if _ARLIB.fullmatch(row[0])]
    values = np.array([float(row[2]) for _, row in rows]) if width == 3 else None
    users, items = (_words([row[place] for _, row in rows]) for place in (0, 1))
    return PoisonFile(users, items, values, with_real=path.suffix != ".csv")


def _fields(line: str) -> list[str]:
    return [field.strip() for field in next(csv.reader([line]))]


def _without_header(rows: list[tuple[int, list[str]]], path: Path) -> list[tuple[int, list[str]]]:
    """The rows of fake user, item and rating; a run's ``fake_users.csv`` has the seed before them."""
    head = rows[0][1] if rows else []
    if head == _RUN:
        if len({row[0] for _, row in rows[1:]}) > 1:
            raise DataError(f"{path} holds the fake users of several seeds: keep the lines of one")
        return [(n, row[1:]) for n, row in rows[1:]]
    named = len(head) > 2 and _number(head[2]) is None
    return rows[1:] if named or head[1:2] in (["item"], ["item_id"]) else rows


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _words(values: Sequence[Any] | np.ndarray | range) -> np.ndarray:
    return np.array([str(x) for x in np.asarray(values, dtype=object)], dtype=object)
