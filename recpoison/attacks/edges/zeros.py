"""What attacks that turn zeros into edges share: which zeros they may touch, and the users they may add for it."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field, replace
from typing import NamedTuple, final

import numpy as np

from recpoison.attacks.edges.added_users import central_users, sampled_users
from recpoison.attacks.flipping import EdgeAttack, Flipping
from recpoison.data.graph import NodeGraph
from recpoison.data.interactions import Edges, Interactions, LabelledEdges
from recpoison.edge_flips import EdgeFlips
from recpoison.errors import ConfigError, IncompatibleParts
from recpoison.idle import Together
from recpoison.models.base import Model
from recpoison.models.cf import CF
from recpoison.models.edge_learner import EdgeLearner
from recpoison.models.edge_model import EdgeModel
from recpoison.ranges import ranged

_EMPTY = np.zeros(0, dtype=np.int64)


class Board(NamedTuple):
    """What is chosen from.

    Args:
        data: The training rows and zeros, with added users, before any flip.
        edges: The same as ``(n,)`` labelled pairs, whose order stays.
        free: ``(m,)`` places in ``edges`` of the zeros that may be flipped, in order.
    """

    data: Interactions
    edges: LabelledEdges
    free: np.ndarray


class Chosen(NamedTuple):
    """What an attack chose.

    Args:
        places: ``(n_flips,)`` in a board's ``edges``, in the order in which they are flipped.
        trace: What it saw on its surrogate.
    """

    places: np.ndarray
    trace: dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class ZeroFlips(EdgeAttack):
    """Turns training zeros into edges. A new attack writes ``_choose``.

    With added users only their pairs are flipped, and a budget is a share of these: all of them are zeros, but for the
    edges that similar users start with.

    Args:
        new_users: Users to add who have no edge (algorithm 5).
        similar_users: Users to add who start with edges of real ones (section 3.12).
        kmeans: Whether these are centres of the surrogate's trained embeddings of users, each with all items of the
            user nearest to it; else each has a sample of a drawn user's items.
        sampled_share: How large a sample, as a share of the items; the report names none.
        surrogate: The attacker's own model.

    Raises:
        ConfigError: If a value is out of range, or the surrogate does not learn edges.
    """

    new_users: int = ranged(0, low=0)
    similar_users: int = ranged(0, low=0)
    kmeans: bool = False
    sampled_share: float = ranged(0.5, low=0.0, high=1, open_low=True)
    surrogate: EdgeModel = field(default_factory=CF)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.new_users and self.similar_users:
            raise ConfigError(
                f"attack.new_users is {self.new_users} and attack.similar_users is {self.similar_users}: set one to 0"
            )
        if not isinstance(self.surrogate, EdgeModel):
            raise ConfigError(
                f"attack.surrogate is {type(self.surrogate).__name__}, which does not learn edges: choose cf, gmf or "
                "neumf"
            )

    @property
    def _centres(self) -> bool:
        return self.kmeans and self.similar_users > 0

    @property
    def _asks_surrogate(self) -> bool:
        """Whether the surrogate is ever trained."""
        return self._centres

    def idle(self, parts: Together) -> dict[str, str]:
        """How similar users are made, where none are; a surrogate that nobody asks."""
        found = super().idle(parts)
        if not self.similar_users:
            found |= dict.fromkeys(("kmeans", "sampled_share"), "similar_users is 0")
        elif self.kmeans:
            found["sampled_share"] = "kmeans gives a similar user all items of the nearest"
        if not self._asks_surrogate:
            found["surrogate"] = "no similar users are made by kmeans, and nothing else asks it"
        return found

    @final
    def check_model(self, model: Model) -> None:
        """Refuse a victim that learns no edges.

        Raises:
            IncompatibleParts: Naming those that do.
        """
        if not isinstance(model, EdgeLearner):
            raise IncompatibleParts(
                f"{type(self).__name__} flips edges that a model learns from beside sampled zeros, which "
                f"{type(model).__name__} does not: choose model=cf, gmf, neumf or lightgcn, with "
                "evaluation=link_prediction"
            )

    @final
    @property
    def eligible_are(self) -> str:
        """Training zeros, or pairs of added users."""
        return "pairs of added users" if self.new_users + self.similar_users else super().eligible_are

    def eligible(self, data: Interactions | NodeGraph) -> int:
        """Training zeros, or all pairs of added users."""
        zeros = super().eligible(data)
        added = self.new_users + self.similar_users
        return added * data.n_items if added and isinstance(data, Interactions) else zeros

    @final
    def _flip(self, flipping: Flipping) -> EdgeFlips:
        assert isinstance(flipping.data, Interactions), "eligible has seen to that"
        added = self._added(flipping.data, flipping)
        data = added.apply(flipping.data)
        edges = data.labelled()
        free = np.arange(len(data), len(edges.users))
        if added.n_new_users:
            free = free[edges.users[free] >= flipping.data.n_users]
        if flipping.n_flips > len(free):
            raise ConfigError(
                f"the attack is to flip {flipping.n_flips:,} zeros, but its {added.n_new_users:,} added users have "
                f"{len(free):,}: lower attack.n_flips or attack.budget, or add more users"
            )
        places, trace = self._choose(Board(data, edges, free), flipping)
        ones = np.ones(len(places), dtype=np.int64)
        step = getattr(self, "edges_per_step", 1)
        return replace(
            added, rows=edges.users[places], columns=edges.items[places], values=ones, trace=trace, per_step=step
        )

    @abstractmethod
    def _choose(self, board: Board, flipping: Flipping) -> Chosen:
        """``flipping.n_flips`` of the board's free places."""

    def _added(self, data: Interactions, flipping: Flipping) -> EdgeFlips:
        """The users to add, and no flip. Attacks of one seed add the same similar users."""
        given, seeds = Edges(_EMPTY, _EMPTY), flipping.seeds.child("similar")
        if self._centres:
            fitted = self.surrogate.fitted(data, seeds, flipping.device, flipping.progress)
            embeddings = fitted.params["user"].cpu().numpy()
            given = central_users(data, embeddings, self.similar_users, seeds.integer("kmeans"))
        elif self.similar_users:
            given = sampled_users(data, self.similar_users, self.sampled_share, seeds.numpy("users"))
        return EdgeFlips(_EMPTY, _EMPTY, _EMPTY, 0, self.new_users + self.similar_users, given)
