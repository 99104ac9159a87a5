"""Edges that change sides: the change record of attacks on a graph."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from recpoison.data.arrays import save_arrays
from recpoison.data.graph import NodeGraph
from recpoison.data.interactions import Edges, Interactions
from recpoison.errors import BudgetExceeded, ConfigError

Graph = TypeVar("Graph", Interactions, NodeGraph)

_EMPTY = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class EdgeFlips:
    """Pairs whose label changes, in the order in which they were chosen, and users added for the purpose.

    On ``Interactions`` a pair is a user and an item: a zero becomes a row, or a row a zero. On a ``NodeGraph`` it is
    two nodes, the lower number first, and both directions change. All pairs of an added user are zeros, but for those
    it was ``given``.

    Args:
        rows: ``(n,)`` users, or the lower node of each pair.
        columns: ``(n,)`` items, or the higher node.
        values: ``(n,)`` the new label: 1 is an edge, 0 none.
        eligible: What a budget is a share of: how many zeros could have been flipped, or how many edges a graph has.
        n_new_users: Users added after the real ones.
        given: Rows that added users have before any flip.
        trace: What the attack saw on its surrogate, one entry a step from 0.
        eligible_are: What the eligible ones are, in words.
        per_step: Flips between two entries of the trace.

    Example:
        >>> zeros = Edges(np.array([0, 1]), np.array([1, 0]))
        >>> data = Interactions([0, 1], [0, 1], [1, 1], n_users=2, n_items=2, zeros=zeros)
        >>> flips = EdgeFlips(np.array([0]), np.array([1]), np.array([1]), eligible=2)
        >>> flipped = flips.apply(data)
        >>> flipped.items.tolist(), flipped.zeros.users.tolist()
        ([0, 1, 1], [1])
    """

    rows: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    eligible: int
    n_new_users: int = 0
    given: Edges = field(default_factory=lambda: Edges(_EMPTY, _EMPTY))
    trace: dict[str, np.ndarray] = field(default_factory=dict)
    eligible_are: str = "training zeros"
    per_step: int = 1

    cutoff: ClassVar[int | None] = None  # of what the trace holds
    best: ClassVar[int | None] = None  # no step of the trace is chosen

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def n_fakes(self) -> int:
        """Users that are not real."""
        return self.n_new_users

    def first(self, n_flips: int | None, share: float = 1.0) -> EdgeFlips:
        """The first ``n_flips``, or else the first ``share`` of those that could have been flipped.

        Raises:
            ConfigError: If there are fewer.
        """
        count = int(share * self.eligible + 1e-9) if n_flips is None else n_flips
        if count > len(self):
            raise ConfigError(f"attack.plan holds {len(self):,} flips, but {count:,} are asked for: raise attack.plan")
        if count == len(self):
            return self
        looks = -(-count // self.per_step)
        return replace(
            self,
            rows=self.rows[:count],
            columns=self.columns[:count],
            values=self.values[:count],
            trace={name: figures[:looks] for name, figures in self.trace.items()},
        )

    def apply(self, data: Graph) -> Graph:
        """``data`` with these labels; what was given stays as it is."""
        if isinstance(data, NodeGraph):
            return data.with_flips(self.rows, self.columns, self.values)
        return self._joined(data) if self.n_new_users else self._flipped(data)

    def _joined(self, data: Interactions) -> Interactions:
        """The data with added users, and flipped."""
        added, value = self.n_new_users, data.highest
        zeros = _zeros(data)
        users = np.repeat(data.n_users + np.arange(added), data.n_items)
        fresh = Edges(users, np.tile(np.arange(data.n_items), added))
        free = ~np.isin(fresh.keys(data.n_items), self.given.keys(data.n_items))
        every = Edges(*(np.concatenate([a, b[free]]) for a, b in zip(zeros, fresh, strict=True)))
        profiles = self.given.users - data.n_users
        joined = data.with_fake_users(profiles, self.given.items, np.full(len(profiles), value), added)
        return self._flipped(replace(joined, zeros=every))

    def _flipped(self, data: Interactions) -> Interactions:
        zeros, inserted = _zeros(data), self.values == 1
        edges = Edges(self.rows, self.columns)
        on, off = (Edges(*(part[mask] for part in edges)) for mask in (inserted, ~inserted))
        kept = ~np.isin(data.users * data.n_items + data.items, off.keys(data.n_items))
        still = ~np.isin(zeros.keys(data.n_items), on.keys(data.n_items))
        rest = data.take(kept)
        times = None
        if rest.times is not None:
            latest = data.times.max() if data.times is not None and len(data) else 0.0
            times = np.concatenate([rest.times, np.full(len(on.users), latest)])
        return replace(
            rest,
            users=np.concatenate([rest.users, on.users]),
            items=np.concatenate([rest.items, on.items]),
            values=np.concatenate([rest.values, np.full(len(on.users), data.highest)]),
            times=times,
            zeros=Edges(*(np.concatenate([z[still], o]) for z, o in zip(zeros, off, strict=True))),
        )

    def check(self, data: Interactions | NodeGraph, allowed: float) -> None:
        """Refuse more than ``allowed`` flips, a pair twice, and flips that change nothing or do not exist in ``data``.

        Raises:
            BudgetExceeded: If there are too many flips.
            ValueError: If a pair cannot be flipped so.
        """
        if len(self) > allowed:
            raise BudgetExceeded(
                f"the attack flips {len(self):,} edges, but its budget allows {allowed:,.0f}: raise attack.budget or "
                "attack.n_flips"
            )
        if not np.isin(self.values, (0, 1)).all():
            raise ValueError("a new label is neither 0 nor 1")
        if isinstance(data, NodeGraph):
            self._check_nodes(data)
        else:
            self._check_pairs(data)

    def _check_nodes(self, graph: NodeGraph) -> None:
        if self.n_new_users or len(self.given.users):
            raise ValueError("a graph of nodes has no users to add")
        if not ((self.rows >= 0) & (self.rows < self.columns) & (self.columns < graph.n_nodes)).all():
            raise ValueError("a pair is no two nodes of the graph with the lower number first")
        _refuse_repeats(self.rows * graph.n_nodes + self.columns)
        now = np.asarray(graph.adjacency[self.rows, self.columns]).ravel() if len(self) else self.values
        if len(self) and (now == self.values).any():
            raise ValueError("a flip leaves its pair as it is")

    def _check_pairs(self, data: Interactions) -> None:
        n_users = data.n_users + self.n_new_users
        for edges, lowest in ((Edges(self.rows, self.columns), 0), (self.given, data.n_users)):
            users, items = edges
            if len(users) and not (
                users.min() >= lowest and users.max() < n_users and items.min() >= 0 and items.max() < data.n_items
            ):
                raise ValueError("a pair is no user and item of the data, or of the added users")
            _refuse_repeats(edges.keys(data.n_items))
        before = replace(self, rows=_EMPTY, columns=_EMPTY, values=_EMPTY).apply(data)
        rows, zeros = (edges.keys(data.n_items) for edges in (Edges(before.users, before.items), _zeros(before)))
        keys, inserted = self.rows * data.n_items + self.columns, self.values == 1
        if not np.isin(keys[inserted], zeros).all():
            raise ValueError("an inserted edge was no zero of the training data")
        if not np.isin(keys[~inserted], rows).all():
            raise ValueError("a deleted edge was no row of the training data")

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything about the change, by name."""
        named = {name: getattr(self, name) for name in ("rows", "columns", "values")}
        named |= {"given_users": self.given.users, "given_items": self.given.items}
        named |= {
            name: np.array(getattr(self, name)) for name in ("eligible", "n_new_users", "eligible_are", "per_step")
        }
        return named | {f"trace/{name}": figures for name, figures in self.trace.items()}

    def facts(self) -> dict[str, Any]:
        """How large it is: flips by their direction, and users added."""
        inserted = int((self.values == 1).sum())
        found: dict[str, Any] = {"flips": len(self), "inserted": inserted, "deleted": len(self) - inserted}
        found |= {"share_of": self.eligible, "these_are": self.eligible_are}
        return found | ({"new_users": self.n_new_users} if self.n_new_users else {})

    def in_words(self, n_rows: int) -> str:
        """Flips by direction, as a share of what could be flipped, and users added."""
        inserted = int((self.values == 1).sum())
        told = f"{len(self):,} edges flipped ({inserted:,} inserted, {len(self) - inserted:,} deleted)"
        told += f": {len(self) / max(1, self.eligible):.2%} of the {self.eligible:,} {self.eligible_are}"
        if self.n_new_users:
            told += f", at {self.n_new_users:,} added users with {len(self.given.users):,} edges of their own"
        return told

    def save(self, path: Path) -> None:
        """Write as npz."""
        save_arrays(self.arrays(), path)

    @staticmethod
    def load(path: Path) -> EdgeFlips:
        """Read what ``save`` wrote."""
        with np.load(path, allow_pickle=False) as file:
            trace = {name.removeprefix("trace/"): file[name] for name in file.files if name.startswith("trace/")}
            return EdgeFlips(
                file["rows"],
                file["columns"],
                file["values"],
                int(file["eligible"]),
                int(file["n_new_users"]),
                Edges(file["given_users"], file["given_items"]),
                trace,
                str(file["eligible_are"]),
                int(file["per_step"]),
            )


def _zeros(data: Interactions) -> Edges:
    if data.zeros is None:
        raise ConfigError("edges are flipped among sampled zeros, and these data have none: use link_prediction")
    return data.zeros


def _refuse_repeats(keys: np.ndarray) -> None:
    if len(np.unique(keys)) < len(keys):
        raise ValueError("a pair is named twice")
