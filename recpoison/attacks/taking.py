"""How what an attack crafted is taken: it may be a stranger's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from recpoison.border import as_tensor, in_words, is_plain
from recpoison.changes import EmbeddingShift, FakeProfiles
from recpoison.data.graph import NodeGraph
from recpoison.data.interactions import Interactions
from recpoison.edge_flips import EdgeFlips
from recpoison.errors import UserError, some_of


def fake_profiles(given: object, data: Interactions, source: str, allowed: float = math.inf) -> FakeProfiles:
    """Fake users with rows in numpy arrays; lists and tensors are taken too.

    Args:
        given: What an attack gave.
        data: What they are added to.
        source: What gave them, such as ``MyAttack._craft``.
        allowed: The most fake users.

    Raises:
        BudgetExceeded: If there are too many fake users.
        UserError: If it is anything else, or nothing that ``data`` can hold.
    """
    if not isinstance(given, FakeProfiles):
        raise UserError(f"{source} gave {in_words(given)}: FakeProfiles (recpoison.changes) are expected")
    if isinstance(given.n_fakes, bool) or not isinstance(given.n_fakes, int | np.integer):
        raise UserError(f"{source} gave FakeProfiles with n_fakes {given.n_fakes!r}: a whole number is expected")
    columns = {name: _column(given, name, source) for name in ("profile", "items", "values", "targets")}
    n_rows = {name: len(columns[name]) for name in ("profile", "items", "values")}
    if len(set(n_rows.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in n_rows.items())
        raise UserError(f"{source} gave FakeProfiles with columns of different lengths ({told}): one entry a row each")
    profile, items, values, targets = columns.values()
    change = replace(given, profile=profile, items=items, values=values, n_fakes=int(given.n_fakes), targets=targets)
    try:
        change.check(data, allowed)
    except ValueError as error:
        raise UserError(f"{source} gave FakeProfiles that the data cannot hold: {error}") from error
    return change


def edge_flips(given: object, data: Interactions | NodeGraph, source: str, allowed: float = math.inf) -> EdgeFlips:
    """Flips with their columns in numpy arrays; lists and tensors are taken too.

    Args:
        given: What an attack gave.
        data: Whose edges they flip.
        source: What gave them, such as ``MyAttack._flip``.
        allowed: The most flips.

    Raises:
        BudgetExceeded: If there are too many flips.
        UserError: If it is anything else, or nothing that can be done to ``data``.
    """
    if not isinstance(given, EdgeFlips):
        raise UserError(f"{source} gave {in_words(given)}: EdgeFlips (recpoison.edge_flips) are expected")
    columns = {name: _column(given, name, source) for name in ("rows", "columns", "values")}
    if len({len(column) for column in columns.values()}) > 1:
        told = ", ".join(f"{name} {len(column)}" for name, column in columns.items())
        raise UserError(f"{source} gave EdgeFlips with columns of different lengths ({told}): one entry a flip each")
    rows, other, values = columns.values()
    change = replace(given, rows=rows, columns=other, values=values.astype(np.int64))
    try:
        change.check(data, allowed)
    except ValueError as error:
        raise UserError(f"{source} gave EdgeFlips that the data cannot hold: {error}") from error
    return change


def poison(given: object, data: Any, source: str) -> FakeProfiles | EdgeFlips:
    """A change of ``data``, whichever of the two it is; arguments and errors as of ``fake_profiles``."""
    return edge_flips(given, data, source) if isinstance(given, EdgeFlips) else fake_profiles(given, data, source)


def _column(given: FakeProfiles | EdgeFlips, name: str, source: str) -> np.ndarray:
    """A column of ``given``: ids as int64, values as float64."""
    value, ids = getattr(given, name), name != "values"
    wanted = f"{'whole' if ids else 'finite'} numbers in one dimension are expected"
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy() if is_plain(value, value.device) else value
    elif isinstance(value, list | tuple):
        with suppress(ValueError):  # rows of different lengths: told below
            value = np.array(value, dtype=None if value else np.float64)
    if not isinstance(value, np.ndarray) or value.ndim != 1 or value.dtype.kind not in "buif":
        raise UserError(f"{source} gave {type(given).__name__} with {name} as {in_words(value)}: {wanted}")
    odd = value[~np.isfinite(value) | ((value % 1 != 0) if ids and value.dtype.kind == "f" else False)]
    if len(odd):
        raise UserError(f"{source} gave {type(given).__name__} with {odd[0]} among {name}: {wanted}")
    return value.astype(np.int64 if ids else np.float64)


def embedding_shift(given: object, tables: Mapping[str, Tensor], source: str) -> EmbeddingShift:
    """A shift of some of ``tables``, on their device and without a gradient; numpy arrays are taken too.

    Args:
        given: What an attack gave.
        tables: The tables that the model names, as they were fitted.
        source: What gave it, such as ``MyAttack._craft``.

    Raises:
        UserError: If it is anything else.
    """
    if not isinstance(given, EmbeddingShift) or not isinstance(given.tables, Mapping):
        what = (
            f"an EmbeddingShift of {in_words(given.tables)}" if isinstance(given, EmbeddingShift) else in_words(given)
        )
        raise UserError(f"{source} gave {what}: an EmbeddingShift (recpoison.changes) of a dict is expected")
    if not given.tables:
        raise UserError(f"{source} gave an EmbeddingShift of no table: one of {some_of(tables.keys())} is expected")
    found = {}
    for name, value in given.tables.items():
        if name not in tables:
            raise UserError(f"{source} shifts {name!r}, but the model's tables are {some_of(tables.keys())}")
        table, shift = tables[name], as_tensor(value)
        if shift is None or shift.shape != table.shape or not is_plain(shift, table.device):
            raise UserError(
                f"{source} shifts {name!r} by {in_words(value)}: real numbers of its shape {tuple(table.shape)} on "
                f"{table.device} are expected"
            )
        found[name] = shift.to(table.device)
    return EmbeddingShift(found)
