"""Carlini and Wagner's attack (S&P 2017) on embeddings: the smallest shift that changes chosen users' lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recpoison.algebra.perturbation import Tables, project
from recpoison.attacks.base import EmbeddingAttack
from recpoison.attacks.embeddings.base import GOALS, UNTARGETED, still
from recpoison.attacks.targets import Targets
from recpoison.changes import EmbeddingShift
from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.idle import Together
from recpoison.models.base import Fitted
from recpoison.progress import Progress
from recpoison.ranges import check_ranges, ranged
from recpoison.seeds import Seeds
from recpoison.training.optimizers import initial_state, slots, step

_BLOCK = 256  # users scored at once


class Found(NamedTuple):
    """A shift, how many wishes it grants and its squared length; better is more, then shorter."""

    granted: int
    size: float
    shift: Tables

    def beats(self, other: Found) -> bool:
        """Whether it grants more than ``other``, or as much with less."""
        return (self.granted, -self.size) > (other.granted, -other.size)


class Wish(NamedTuple):
    """Of a block of ``n`` users: which they are, an item for each ``(n,)``, and their seen items ``(n, n_items)``."""

    users: Tensor
    items: Tensor
    seen: Tensor


@dataclass(frozen=True, kw_only=True)
class CW(EmbeddingAttack):
    """Minimises |shift|² + c · sum of max(0, margin + confidence) (equation 7 of the APR report with p = 2).

    ``targeted``: the margin of a chosen user and a target is what the target's score lacks to the ``cutoff``-th best
    of the user's other unseen items. ``untargeted``: it is how far the item that the user is now recommended first
    stands above that. Adam minimises for a fixed c; c is searched, ten times more as long as a wish is not granted,
    then by halving. The shift that grants most wishes wins, the shortest of those. Owners of a target are left out.

    Departure: Carlini and Wagner attack one example; here rows of the item table are shared, so that all users have
    one c. There is no change of variables: embeddings have no range to stay in.

    Args:
        epsilon: Longest row of the shift; None bounds nothing.
        goal: ``targeted`` or ``untargeted``.
        targets: How the items to lift are chosen, for ``targeted``.
        users: The chosen users; empty draws ``n_users``.
        n_users: How many to draw; None takes all.
        cutoff: Length of the list that a target should enter, or a first item leave.
        confidence: Margin that a wish asks for.
        steps: Of Adam, for each c.
        learning_rate: Of Adam.
        searches: Values of c that are tried.
        constant: The first of them.

    Example:
        >>> data = Interactions([0, 0, 1], [0, 1, 1], [1] * 3, n_users=2, n_items=4)
        >>> model = BPRMF(embedding_size=4, trainer=Trainer(epochs=20))
        >>> fitted = NoDefense().fit(model, data, Seeds(0), torch.device("cpu"), Progress())
        >>> shift = CW(users=[1], cutoff=1).perturb(fitted, np.array([3]), Seeds(0), Progress())
        >>> scores = model.scores(shift.apply(fitted.params), data, torch.tensor([1]))[0]
        >>> bool(scores[3] > max(scores[0], scores[2]))  # first of the items that user 1 has not seen
        True
    """

    epsilon: float | None = ranged(None, low=0.0, null="no bound")
    goal: str = ranged("targeted", words=GOALS)
    targets: Targets = field(default_factory=lambda: Targets(rule="random"))
    users: Sequence[int] = ranged((), low=0, many=True)
    n_users: int | None = ranged(100, low=1, null="all")
    cutoff: int = ranged(10, low=1)
    confidence: float = ranged(0.0, low=0.0)
    steps: int = ranged(200, low=1)
    learning_rate: float = ranged(0.01, low=0.0, open_low=True)
    searches: int = ranged(6, low=1)
    constant: float = ranged(1.0, low=0.0, open_low=True)

    def __post_init__(self) -> None:
        check_ranges(self, "attack")

    @property
    def limit(self) -> tuple[str, float] | None:
        """``epsilon`` as the longest row."""
        return None if self.epsilon is None else ("row_l2", self.epsilon)

    @property
    def aims(self) -> bool:
        """Only where it is targeted."""
        return self.goal == "targeted"

    def idle(self, parts: Together) -> dict[str, str]:
        """Targets where there are none, and how many users are drawn where they are given."""
        found = super().idle(parts) | ({} if self.aims else {"targets": UNTARGETED})
        return found | ({"n_users": "users are given"} if self.users else {})

    def choose_targets(self, data: Interactions, seeds: Seeds) -> np.ndarray:
        """Items to lift, ``(n_targets,)``; none where the attack is untargeted."""
        if self.goal == "untargeted":
            return np.zeros(0, dtype=np.int64)
        return self.targets.choose(data, seeds.numpy("targets"))

    def _craft(self, fitted: Fitted, targets: np.ndarray, seeds: Seeds, progress: Progress) -> EmbeddingShift:
        wishes = list(self._wishes(fitted, targets, self._chosen(fitted.data, seeds)))
        if not wishes:
            raise ConfigError("no chosen user can be attacked: change attack.users, attack.targets or attack.cutoff")
        n_wishes = sum(len(wish.users) for wish in wishes)
        best = Found(-1, 0.0, still(fitted))
        low, high, constant = 0.0, np.inf, self.constant
        for number in range(self.searches):
            found = self._minimise(fitted, wishes, constant)
            best = found if found.beats(best) else best
            low, high = (low, constant) if found.granted == n_wishes else (constant, high)
            constant = 10 * constant if high == np.inf else (low + high) / 2
            progress.step(number + 1, self.searches, granted=best.granted / n_wishes, length=best.size**0.5)
        return EmbeddingShift(best.shift)

    def _chosen(self, data: Interactions, seeds: Seeds) -> np.ndarray:
        """The users to attack, ascending.

        Raises:
            ConfigError: If one does not exist.
        """
        if self.users:
            wrong = [user for user in self.users if not 0 <= user < data.n_users]
            if wrong:
                raise ConfigError(f"attack.users holds {wrong[0]}, but users are numbered 0 to {data.n_users - 1}")
            return np.unique(np.asarray(self.users, dtype=np.int64))
        count = data.n_users if self.n_users is None else min(self.n_users, data.n_users)
        return np.sort(seeds.numpy("users").choice(data.n_users, count, replace=False))

    def _wishes(self, fitted: Fitted, targets: np.ndarray, chosen: np.ndarray) -> Iterator[Wish]:
        """What is wished, block by block; users with too few unseen items to fill a list are left out."""
        data = fitted.data
        chosen = chosen[data.n_items - data.user_counts[chosen] > self.cutoff]
        for start in range(0, len(chosen), _BLOCK):
            rows = chosen[start : start + _BLOCK]
            users = torch.from_numpy(rows).to(fitted.device)
            seen = torch.from_numpy(data.seen[rows].toarray() > 0).to(fitted.device)
            if self.goal == "untargeted":
                with torch.no_grad():
                    yield Wish(users, fitted.scores(users).masked_fill(seen, -torch.inf).argmax(1), seen)
            for target in targets:
                free = ~seen[:, target]
                if free.any():
                    yield Wish(users[free], torch.full_like(users[free], int(target)), seen[free])

    def _minimise(self, fitted: Fitted, wishes: list[Wish], constant: float) -> Found:
        """The best shift on the way of Adam for one c; the host learns of it at the end."""
        state = initial_state("adam", 0.0, still(fitted))
        best: tuple[Tensor, Tensor, Tables] | None = None
        for _ in range(self.steps + 1):
            shift = {name: table.requires_grad_() for name, table in slots(state, "param").items()}
            granted = torch.zeros((), dtype=torch.int64, device=fitted.device)
            for wish in wishes:
                lacks = self._margins(fitted, shift, wish) + self.confidence
                granted += (lacks < 0).sum() if self.goal == "targeted" else (lacks <= 0).sum()
                (constant * lacks.relu().sum()).backward()
            with torch.no_grad():
                best = _better(best, granted, shift)
                # of the report's eq. 7: |shift|² here, and c times the hinges from their backward passes
                gradients = {name: 2 * table + _gradient(table) for name, table in shift.items()}
                step("adam", state, gradients, self.learning_rate, 1e-8)
                self._bound(shift)
            for table in shift.values():
                table.grad = None
        assert best is not None, "there is a step"
        figures = torch.stack([best[0].double(), best[1]]).tolist()
        return Found(int(figures[0]), figures[1], best[2])

    def _bound(self, shift: Tables) -> None:
        """Bring the rows of ``shift`` within ``epsilon``, in place: they are Adam's own."""
        if self.epsilon is not None:
            for name, table in project(shift, self.epsilon, "row_l2").items():
                shift[name].copy_(table)

    def _margins(self, fitted: Fitted, shift: Tables, wish: Wish) -> Tensor:
        """``(n,)`` how much each wish lacks; below 0 the list is as wished."""
        params = EmbeddingShift(shift).apply(fitted.params)
        scores = fitted.model.scores(params, fitted.data, wish.users).masked_fill(wish.seen, -torch.inf)
        own = scores.gather(1, wish.items.unsqueeze(1)).squeeze(1)
        best = scores.topk(self.cutoff + 1, dim=1).values
        bar = torch.where(own >= best[:, -2], best[:, -1], best[:, -2])  # of the others: the item itself is taken out
        return bar - own if self.goal == "targeted" else own - bar


def _gradient(table: Tensor) -> Tensor:
    """What wishes ask of a table; nothing where none is left."""
    return torch.zeros_like(table) if table.grad is None else table.grad


def _better(
    best: tuple[Tensor, Tensor, Tables] | None, granted: Tensor, shift: Tables
) -> tuple[Tensor, Tensor, Tables]:
    """Of the best and the present shift the one that grants more wishes, the shorter of equals.

    Which it is stays on the device: a number of wishes, a squared length and copies of the tables.
    """
    size = torch.stack([table.square().sum().double() for table in shift.values()]).sum()
    if best is None:
        return granted, size, {name: table.clone() for name, table in shift.items()}
    wins = (granted > best[0]) | ((granted == best[0]) & (size < best[1]))
    tables = {name: torch.where(wins, table, best[2][name]) for name, table in shift.items()}
    return torch.where(wins, granted, best[0]), torch.where(wins, size, best[1]), tables
