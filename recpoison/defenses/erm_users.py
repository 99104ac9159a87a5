"""Fake users of a defense's own, who take part in training and in nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np
import torch

from recpoison.attacks.profiles.fillers import item_statistics
from recpoison.data.interactions import Interactions
from recpoison.models.base import Monitor, Params, Watch
from recpoison.models.mf import MF
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.optimizers import State, slots
from recpoison.training.ratings import RatingObjective
from recpoison.training.trainer import Objective, Trainer

NOBODY = -1  # an item that an ERM user does not have


class Renewal(NamedTuple):
    """What a new generation of ERM users is chosen from.

    Args:
        data: Real and, perhaps, fake users; no ERM users.
        plain: The loss on ``data``, its rows sorted.
        params: The tables as they are, of the users of ``data`` alone.
        shape: ERM users and fillers of each.
        seeds: Streams of this renewal.
        progress: Is told what falls short.
    """

    data: Interactions
    plain: RatingObjective
    params: Params
    shape: tuple[int, int]
    seeds: Seeds
    progress: Progress


class Poisoner(Protocol):
    """What decides on ERM users: ``AdversarialPoisoning``."""

    @property
    def shift(self) -> float:
        """Added to ratings."""

    @property
    def interval(self) -> int:
        """Epochs of a generation."""

    def begin(self, trainer: Trainer) -> int:
        """Epochs without ERM users."""

    def choose(self, renewal: Renewal) -> np.ndarray:
        """Items of each ERM user."""


class PoisonedRatings(Objective):
    """The rating loss on the data and, from some epoch on, on ERM users whose rows the state holds.

    ``erm.items`` and ``erm.values`` of a state are ``(n_erm_users, fillers)``, so that a killed fit goes on with the
    same users.

    Args:
        defense: Decides when ERM users come, and what they rate.
        model: Whose loss it is.
        data: What the model is fitted to.
        rated: Rows whose means and standard deviations items are rated by.
        seeds: The fit's; ERM users draw from the stream ``erm``.
        device: Where tensors live.
        progress: Hears what falls short.
    """

    def __init__(
        self,
        defense: Poisoner,
        model: MF,
        data: Interactions,
        rated: Interactions,
        seeds: Seeds,
        device: torch.device,
        progress: Progress,
    ) -> None:
        self.defense, self.model, self.data, self.rated = defense, model, data, rated
        self.seeds, self.device, self.progress = seeds, device, progress
        self.plain = model.objective(data, seeds, device)
        self._poisoned: tuple[int, RatingObjective] | None = None  # with the epoch of its renewal

    def inputs(self) -> object:
        """Defense, model, data, what ratings are like, and stream."""
        return self.defense, self.model, self.data, self.rated, self.seeds

    def epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        """One epoch of the rating loss; where it is time, on new ERM users."""
        age = epoch - self.defense.begin(trainer)
        if age < 0:
            return self.plain.epoch(trainer, state, epoch)
        born = epoch - age % self.defense.interval
        if born == epoch:
            self._renew(state, epoch)
        if self._poisoned is None or self._poisoned[0] != born:
            self._poisoned = born, self.model.objective(self._with_rows(state), self.seeds, self.device)
        return self._poisoned[1].epoch(trainer, state, epoch)

    def _renew(self, state: State, epoch: int) -> None:
        """Replace the rows of all ERM users (algorithm 1, lines 7 to 11)."""
        seeds = self.seeds.child("erm", epoch)
        n_erm, length = state["erm.items"].shape
        params = cut(slots(state, "param"), self.data.n_users)
        items = self.defense.choose(Renewal(self.data, self.plain, params, (n_erm, length), seeds, self.progress))
        scale = self.data.scale
        assert scale is not None, "fit has seen to that"
        means, stds = item_statistics(self.rated, "population")
        drawn = seeds.numpy("values").normal(means[items] + self.defense.shift, stds[items])
        state["erm.items"].copy_(torch.from_numpy(items), non_blocking=True)
        state["erm.values"].copy_(torch.from_numpy(scale.snap(drawn)), non_blocking=True)

    def _with_rows(self, state: State) -> Interactions:
        items, values = (state[f"erm.{name}"].cpu().numpy() for name in ("items", "values"))
        profile, place = np.nonzero(items != NOBODY)
        return self.data.with_fake_users(profile, items[profile, place], values[profile, place], len(items))


def cut(params: Params, n_users: int) -> Params:
    """The tables without ERM users, who stand last; not copies."""
    return {name: table[:n_users] if name == "user" else table for name, table in params.items()}


def start_with(shape: tuple[int, int], model: MF, data: Interactions, seeds: Seeds, device: torch.device) -> State:
    """A fresh state with room for ERM users and their fillers, who rate nothing yet.

    Initial values are those of the plain fit, with ERM users' below them. Departure: with ``xavier_own`` the bound of a
    longer table is smaller, and the authors' real users start nearer to 0 for it; here they start as without a defense.
    """
    params, nothing = model.start(data, seeds, device), np.zeros(0, dtype=np.int64)
    longer = model.start(data.with_fake_users(nothing, nothing, nothing, shape[0]), seeds, device)
    state = model.trainer.start(params | {"user": torch.cat([params["user"], longer["user"][data.n_users :]])})
    state["erm.items"] = torch.full(shape, NOBODY, dtype=torch.int64, device=device)
    state["erm.values"] = torch.zeros(shape, dtype=torch.float64, device=device)
    return state


def of_real_users(monitor: Monitor | None, n_users: int) -> Monitor | None:
    """The monitor, which sees no ERM user."""
    if monitor is None:
        return None
    score, watch = monitor.score, monitor.watch
    if score is not None:
        monitor = replace(monitor, score=lambda epoch, params: score(epoch, cut(params, n_users)))
    if watch is not None:
        seeing = Watch(watch.every, lambda epoch, params: watch.figures(epoch, cut(params, n_users)))
        seeing.seen = watch.seen
        monitor = replace(monitor, watch=seeing)
    return monitor
