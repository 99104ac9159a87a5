"""A surrogate that knows the fake users so far, and of those that are learned now only the targets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from recpoison.algebra.observed import Observed
from recpoison.attacks.base import Crafting
from recpoison.attacks.objectives import TargetHits
from recpoison.attacks.profiles.clicks import clicked
from recpoison.models.base import Params
from recpoison.models.trained import TrainedModel
from recpoison.progress import QUIET
from recpoison.seeds import Seeds
from recpoison.training.objectives import LossObjective
from recpoison.training.optimizers import gather, slots, step, write_back
from recpoison.training.trainer import Diverged, Trainable, Trainer

# Scores that are looked at together: on a CPU about as many as a core's cache holds, which takes half the time of more.
_CACHED, _MANY = 2**20, 2**24


class GroupSurrogate:
    """Trained from scratch, then further, one epoch or one attack at a time.

    Args:
        model: What it is; a model with a ``trainer``.
        crafting: What the attack was given.
        before: ``(n_before, fillers)`` fillers of the fake users that are finished.
        size: Fake users of the group.

    Attributes:
        data: Real users, finished fake users, and the group with its targets alone.
        fakes: ``(size,)`` the group's users in ``data``.
        targets: ``(n_targets,)``.
        seen: What real users have.
        seeds: Streams of this group.
    """

    def __init__(self, model: TrainedModel, crafting: Crafting, before: np.ndarray, size: int) -> None:
        real, aims, device = crafting.data, crafting.targets, crafting.device
        done, own = clicked(aims, before), clicked(aims, np.zeros((size, 0), dtype=np.int64))
        profile = np.concatenate([done[0], len(before) + own[0]])
        items = np.concatenate([done[1], own[1]])
        values = np.full(len(items), real.highest)
        self.model, self.data = model, real.with_fake_users(profile, items, values, len(before) + size)
        self.fakes = torch.arange(size, device=device) + (real.n_users + len(before))
        self.targets, self.seen = torch.from_numpy(aims).to(device), Observed.of(real.seen, device)
        self.seeds = crafting.seeds.child("surrogate", len(before))
        self.objective = model.objective(self.data, self.seeds, device)
        self.epochs = self.trainer.epochs
        self.state = self.trainer.start(model.start(self.data, self.seeds, device))
        self._run()

    @property
    def trainer(self) -> Trainer:
        """How the model is trained."""
        assert isinstance(self.model, Trainable), "the attack has seen to that"
        return self.model.trainer

    @property
    def params(self) -> Params:
        """Its numbers, which further training changes."""
        return slots(self.state, "param")

    def train(self) -> None:
        """One more ordinary epoch."""
        self.epochs += 1
        self._run()

    def descend(self, loss: Callable[[Params, Tensor], Tensor], users: Iterable[Tensor]) -> None:
        """One step of the model's own optimiser on all its numbers for each batch of ``users``."""
        batches = [(batch,) for batch in users]
        objective = LossObjective(lambda params, batch: loss(params, batch[0]), lambda *_: iter(batches), 1)
        objective.epoch(self.trainer, self.state, 0)

    def descend_fakes(self, loss: Callable[[Tensor], Tensor]) -> None:
        """One step of the group's rows of the user table alone, by a ``loss`` of that table."""
        rows = {"user": self.fakes}
        part = gather(self.state, rows)
        own = part["param.user"].detach().requires_grad_()
        gradient = torch.autograd.grad(loss(own), own)[0]
        step(self.trainer.optimizer, part, {"user": gradient}, self.trainer.learning_rate, self.trainer.eps)
        write_back(self.state, part, rows)

    def batches(self, size: int, seeds: Seeds) -> Iterable[Tensor]:
        """Real users who lack a target, in random order, ``size`` together."""
        users = torch.from_numpy(self.lacking.any(1).nonzero().squeeze(1).cpu().numpy())
        order = torch.from_numpy(seeds.numpy("users").permutation(len(users)))
        return users[order].to(self.fakes.device).split(size) if len(users) else ()

    @cached_property
    def lacking(self) -> Tensor:
        """``(n_users, n_targets)`` whether a real user lacks a target."""
        return ~TargetHits(self.seen, self.targets, 1).owned

    @torch.no_grad()
    def hit_ratio(self, cutoff: int) -> float:
        """Share of real users with a target among their best ``cutoff`` unseen items.

        Raises:
            Diverged: If a score is no longer finite.
        """
        hits = TargetHits(self.seen, self.targets, cutoff)
        users = torch.arange(self.seen.n_rows, device=self.fakes.device)
        size = max(1, (_CACHED if users.device.type == "cpu" else _MANY) // self.seen.n_columns)
        params = self.model.prepared(self.params, self.data)
        extremes: list[Tensor] = []
        for start in range(0, len(users), size):
            block = slice(start, min(start + size, len(users)))
            scores = self.model.scores(params, self.data, users[block])
            hits(block, scores)
            extremes += scores.aminmax()
        self._check(extremes)
        return hits.ratio

    @torch.no_grad()
    def scores(self, users: Tensor) -> Tensor:
        """``(len(users), n_items)``.

        Raises:
            Diverged: If one is no longer finite.
        """
        scores = self.model.scores(self.params, self.data, users)
        self._check(scores.aminmax())
        return scores

    def _check(self, extremes: Sequence[Tensor]) -> None:
        """Refuse scores by their least and their greatest, which are nan where a score is."""
        if not torch.stack(list(extremes)).isfinite().all():
            raise self._diverged()

    def bar(self, users: Tensor, scores: Tensor, cutoff: int) -> tuple[Tensor, Tensor]:
        """The item that ends each list of ``cutoff`` unseen items, targets included, and who lacks which target.

        Args:
            users: ``(n,)`` real users.
            scores: ``(n, n_items)`` theirs.
            cutoff: Length of a list; shorter where a user lacks fewer items.

        Returns:
            ``(n, 1)`` items and ``(n, n_targets)`` booleans.
        """
        mine = self.seen.take(users)
        unseen = scores.detach().index_put((mine.rows, mine.indices), scores.new_tensor(-torch.inf))
        best = unseen.topk(min(cutoff, unseen.shape[1]), dim=1)
        last = best.values.isfinite().sum(1, keepdim=True).sub(1).clamp_min(0)
        return best.indices.gather(1, last), unseen[:, self.targets].isfinite()

    def _run(self) -> None:
        trainer = replace(self.trainer, epochs=self.epochs)
        try:
            self.state = trainer.run(self.objective, self.state, QUIET)
        except Diverged as error:
            raise self._diverged() from error

    def _diverged(self) -> Diverged:
        return Diverged(
            "the attack's surrogate left the finite numbers: lower the attack's weights, or "
            f"attack.surrogate.trainer.learning_rate (now {self.trainer.learning_rate:g})"
        )
