"""What an attack returns: a record of a change, kept apart from the thing it changes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from recpoison.data.arrays import save_arrays
from recpoison.data.interactions import Interactions
from recpoison.errors import BudgetExceeded, ConfigError
from recpoison.ranges import Range, check_range


class Change(Protocol):
    """A crafted change: it can be written, and its arrays go into ``change.npz``."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything about the change, by name."""

    def facts(self) -> dict[str, Any]:
        """How large it is, in plain values, for ``run.json``."""

    def in_words(self, n_rows: int) -> str:
        """How large it is, beside ``n_rows`` rows of training data, for whoever compares attacks."""

    def save(self, path: Path) -> None:
        """Write as npz."""


def least_share(n_users: int) -> float:
    """The smallest share with two digits that is one user or more of ``n_users``; 0.0012 of 900."""
    digits = 1 - math.floor(math.log10(1 / n_users))
    return math.ceil(10**digits / n_users) / 10**digits


def users_of_share(share: float, n_users: int, setting: str, noun: str) -> int:
    """How many of ``n_users`` a ``share`` above 0 is, rounded down.

    Args:
        share: In (0, 1].
        n_users: Of whom.
        setting: What the user calls the share, such as ``attack.budget``.
        noun: What one of them is, such as ``fake user``.

    Raises:
        ConfigError: If it comes to less than one.
    """
    count = int(share * n_users + 1e-9)
    if count < 1:
        raise ConfigError(
            f"{setting}={share:g} of {n_users} users is less than one {noun}: raise it to {least_share(n_users):g}"
        )
    return count


SHARE = Range(low=0.0, high=1, open_low=True, note=" (a share of the real users)")
COUNT = Range(low=1, null="the share in budget", note=", or attack=none")


@dataclass(frozen=True)
class Budget:
    """How many fake users an attack may add: a share of the real users, or a number.

    Args:
        share: Share of the real users, in (0, 1]; 0.01 adds one fake user per hundred real ones, rounded down.
        n_fake_users: The number itself; it wins over ``share``.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> Budget(share=0.03).fake_users(943)
        28
        >>> Budget(n_fake_users=5).fake_users(943)
        5
    """

    share: float = 0.01
    n_fake_users: int | None = None

    def __post_init__(self) -> None:
        check_range("attack.budget", self.share, SHARE)
        check_range("attack.n_fake_users", self.n_fake_users, COUNT)

    def fake_users(self, n_users: int) -> int:
        """Fake users allowed beside ``n_users`` real ones.

        Raises:
            ConfigError: If the share comes to less than one user.
        """
        if self.n_fake_users is not None:
            return self.n_fake_users
        return users_of_share(self.share, n_users, "attack.budget", "fake user")


@dataclass(frozen=True, eq=False)
class FakeProfiles:
    """Fake users and what they rated; real rows are left as they are.

    Args:
        profile: ``(n,)`` number of the fake user of each row, from 0.
        items: ``(n,)`` item ids.
        values: ``(n,)`` ratings, ones on implicit data.
        n_fakes: Number of fake users.
        targets: Items the attack is about.
        trace: What a learned attack saw on its way, one entry an iteration from 0: ``HR`` (of the targets, on its
            surrogate) and ``Objective``. Empty for other attacks.
        cutoff: Length of the lists in the trace's ``HR``.
        best: The iteration whose fake users these are.
        diagnosis: What was found in a file of fake users, by name; empty for fake users that were crafted.
        repeats: Whether a fake user may have several rows of an item.

    Example:
        >>> data = Interactions([0, 1], [0, 1], [1, 1], n_users=2, n_items=3)
        >>> fakes = FakeProfiles(np.array([0, 0, 1]), np.array([2, 0, 2]), np.ones(3), n_fakes=2, targets=np.array([2]))
        >>> data.item_counts.tolist(), fakes.apply(data).item_counts.tolist()
        ([1, 1, 0], [2, 1, 2])
    """

    profile: np.ndarray
    items: np.ndarray
    values: np.ndarray
    n_fakes: int
    targets: np.ndarray
    trace: dict[str, np.ndarray] = field(default_factory=dict)
    cutoff: int | None = None
    best: int | None = None
    diagnosis: dict[str, float] = field(default_factory=dict)
    repeats: bool = False

    def first(self, count: int) -> FakeProfiles:
        """The first ``count`` fake users, without what was seen on the way to all; ConfigError if there are fewer."""
        if count > self.n_fakes:
            said = f"evaluation.curve_fakes has {count}, but the attack makes {self.n_fakes} fake users"
            raise ConfigError(f"{said}: raise attack.n_fake_users or attack.budget")
        kept = self.profile < count
        profile, items, values = (column[kept] for column in (self.profile, self.items, self.values))
        return FakeProfiles(profile, items, values, count, self.targets, repeats=self.repeats)

    def apply(self, data: Interactions) -> Interactions:
        """``data`` with the fake users after the real ones."""
        return data.with_fake_users(self.profile, self.items, self.values, self.n_fakes) if self.n_fakes else data

    def check(self, data: Interactions, allowed: float) -> None:
        """Refuse a change that costs more than ``allowed`` fake users or that the data cannot hold.

        Raises:
            BudgetExceeded: If there are too many fake users.
            ValueError: If an item, a profile number or a value does not exist in ``data``.
        """
        if self.n_fakes > allowed:
            raise BudgetExceeded(
                f"the attack made {self.n_fakes} fake users, but its budget allows {allowed}: raise attack.budget"
            )
        if len(self.profile) and not (self.profile.min() >= 0 and self.profile.max() < self.n_fakes):
            raise ValueError(f"profile numbers run to {self.profile.max()}, but there are {self.n_fakes} fake users")
        if len(self.items) and not (self.items.min() >= 0 and self.items.max() < data.n_items):
            raise ValueError(f"item ids run to {self.items.max()}, but the catalogue has {data.n_items} items")
        keys = self.profile * data.n_items + self.items
        if not self.repeats and len(np.unique(keys)) < len(keys):
            raise ValueError("a fake user rates an item twice")
        if (
            data.scale is not None
            and len(self.values)
            and not (data.scale.low <= self.values.min() and self.values.max() <= data.scale.high)
        ):
            raise ValueError(
                f"values run from {self.values.min():g} to {self.values.max():g}, outside the scale {data.scale}"
            )

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything about the change, by name."""
        names = ("profile", "items", "values", "targets")
        rows = {name: getattr(self, name) for name in names} | {"n_fakes": np.array(self.n_fakes)}
        rows |= {name: np.array(x) for name in ("cutoff", "best") if (x := getattr(self, name)) is not None}
        rows |= {"repeats": np.array(True)} if self.repeats else {}
        rows |= {f"diagnosis/{name}": np.array(x) for name, x in self.diagnosis.items()}
        return rows | {f"trace/{name}": figures for name, figures in self.trace.items()}

    def facts(self) -> dict[str, Any]:
        """How large it is: fake users and their rows; and what was found in their file."""
        found = {"diagnosis": self.diagnosis} if self.diagnosis else {}
        return {"fake_users": self.n_fakes, "rows": len(self.profile)} | found

    def in_words(self, n_rows: int) -> str:
        """Fake users, their rows, and these as a share of the real rows."""
        rows, noun = len(self.profile), "user" if self.n_fakes == 1 else "users"
        return (
            f"{self.n_fakes:,} fake {noun} with {rows / max(1, self.n_fakes):,.1f} rows each on average, "
            f"{rows:,} in all: {rows / n_rows:.2%} of the {n_rows:,} real rows{self._found}"
        )

    @property
    def _found(self) -> str:
        """What was found in their file, after the rest of a sentence; nothing where there is no file."""
        found = ", ".join(f"{name.replace('_', ' ')} {x:g}" for name, x in self.diagnosis.items())
        return f"; their file: {found}" if found else ""

    def save(self, path: Path) -> None:
        """Write as npz."""
        save_arrays(self.arrays(), path)

    @staticmethod
    def load(path: Path) -> FakeProfiles:
        """Read what ``save`` wrote."""
        with np.load(path, allow_pickle=False) as file:
            rows = (file["profile"], file["items"], file["values"], int(file["n_fakes"]), file["targets"])
            trace = {name.removeprefix("trace/"): file[name] for name in file.files if name.startswith("trace/")}
            found = {name.removeprefix("diagnosis/"): float(file[name]) for name in file.files if "diagnosis/" in name}
            cutoff, best = (int(file[name]) if name in file else None for name in ("cutoff", "best"))
            return FakeProfiles(*rows, trace, cutoff, best, found, "repeats" in file)

    @staticmethod
    def none(targets: np.ndarray) -> FakeProfiles:
        """The change that changes nothing."""
        empty = np.zeros(0, dtype=np.int64)
        return FakeProfiles(empty, empty, np.zeros(0), 0, np.asarray(targets, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class EmbeddingShift:
    """What is added to the tables of a fitted model.

    Args:
        tables: For each shifted table ``(n_rows, size)``, by its name in the model's parameters.

    Example:
        >>> shift = EmbeddingShift({"item": torch.tensor([[3.0, 4.0], [0.0, 0.0]])})
        >>> shift.apply({"item": torch.ones(2, 2)})["item"].tolist()
        [[4.0, 5.0], [1.0, 1.0]]
        >>> shift.used("row_l2"), shift.used("linf")
        (5.0, 4.0)
    """

    tables: dict[str, Tensor]

    def apply(self, params: dict[str, Tensor]) -> dict[str, Tensor]:
        """Shifted parameters in a new mapping; what was given stays as it is.

        Raises:
            ValueError: If a table is not in ``params``.
        """
        unknown = self.tables.keys() - params.keys()
        if unknown:
            raise ValueError(f"no table {', '.join(sorted(unknown))} among {', '.join(params)}")
        return params | {name: params[name] + shift.to(params[name]) for name, shift in self.tables.items()}

    def norms(self) -> dict[str, dict[str, float]]:
        """For each table what was used: the longest row's L2 norm, their mean over shifted rows, and L-infinity."""
        return {name: _norms(shift.detach().double()) for name, shift in self.tables.items()}

    def used(self, norm: str) -> float:
        """The shift's size in one norm, over all tables: ``row_l2`` (the longest row), ``linf`` or ``matrix_l2``."""
        if norm == "matrix_l2":
            return float(torch.stack([shift.double().norm().cpu() for shift in self.tables.values()]).norm())
        return max(norms[norm] for norms in self.norms().values())

    def facts(self) -> dict[str, Any]:
        """Norms used, by table."""
        return {"norms": self.norms()}

    def in_words(self, n_rows: int) -> str:
        """Norms used; the data stay as they are."""
        longest, largest = self.used("row_l2"), self.used("linf")
        return f"the longest shift of a row is {longest:.4g} (L2), the largest entry {largest:.4g}"

    def arrays(self) -> dict[str, np.ndarray]:
        """The shift of each table under its name, and under ``<table>/<norm>`` the norms used."""
        tables = {name: shift.detach().cpu().numpy() for name, shift in self.tables.items()}
        norms = {f"{name}/{norm}": np.array(x) for name, found in self.norms().items() for norm, x in found.items()}
        return tables | norms

    def save(self, path: Path) -> None:
        """Write as npz."""
        save_arrays(self.arrays(), path)

    @staticmethod
    def load(path: Path) -> EmbeddingShift:
        """Read what ``save`` wrote, onto the CPU."""
        with np.load(path, allow_pickle=False) as file:
            return EmbeddingShift({name: torch.from_numpy(file[name]) for name in file.files if "/" not in name})


def _norms(shift: Tensor) -> dict[str, float]:
    lengths = shift.norm(dim=1)
    moved = lengths[lengths > 0]
    return {
        "row_l2": float(lengths.max()) if len(lengths) else 0.0,
        "mean_row_l2": float(moved.mean()) if len(moved) else 0.0,
        "linf": float(shift.abs().max()) if shift.numel() else 0.0,
        "rows": float(len(moved)),
    }
