"""AUSH (Lin, Chen, Li, Xiao, Li and Tang, "Attacking recommender systems with augmented user profiles", CIKM 2020)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch

from recpoison.attacks.base import Crafting
from recpoison.attacks.profiles.base import FilledAttack, check_selected, of_rows, refuse_too_large
from recpoison.attacks.profiles.fillers import most_popular
from recpoison.attacks.profiles.profile_gan import HIGHEST, ProfileGAN
from recpoison.attacks.profiles.segment import liked_together
from recpoison.attacks.profiles.templates import Borrowed, Templates
from recpoison.changes import FakeProfiles
from recpoison.idle import Together
from recpoison.models.base import Params
from recpoison.ranges import ranged
from recpoison.training.ratings import rating_matrix

_RULES = {"co_rated": liked_together, "popular": most_popular}


@dataclass(frozen=True, kw_only=True)
class AUSHAttack(FilledAttack):
    """A fake user copies some ratings of a real one, and a generator rates the selected items to go with them.

    A template is a real user who rated at least ``fillers`` items besides targets and selected ones. Each fake user has
    one of its own, as far as there are enough: so many of the template's ratings, drawn without replacement; the
    selected items, rated by the generator of a GAN that saw these fillers; every target at the maximum. Real users
    enter with all ratings but those of targets, wherever the GAN looks (``profile_gan.py``).

    This is the authors' first code, whose generator writes selected items alone. In a later port, and in RecAD's, the
    selected items have the targets' place in training, the generator's output is detached from its losses, or fillers
    are drawn with replacement. Departures: seeds decide all draws (their code seeds with the clock); ratings end up on
    the scale's grid; a rating scale that does not end at 5 is stretched to 5 for the networks.

    Args:
        n_selected: Items that the generator rates; 3 in the authors' files, 2 in their script.
        select: ``co_rated``, as in ``segment``: among the 20 most popular, those that most users who lack the targets
            like together (the authors draw from the combinations with at least 30 such users). ``popular``: the most
            popular.
        gan: The two networks and their training.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Interactions([0, 0, 0, 1], [0, 1, 2, 0], [4, 2, 3, 5], n_users=2, n_items=4, scale=Scale(1, 5))
        >>> attack = AUSHAttack(targets=Targets("list", [3]), n_fake_users=1, fillers=2, n_selected=1)
        >>> fakes = attack.poison(data, np.array([3]), Seeds(0), torch.device("cpu"), Progress())
        >>> fakes.items.tolist(), fakes.values[[0, 2, 3]].tolist()  # target, selected, and two ratings of user 0
        ([3, 0, 1, 2], [5.0, 2.0, 3.0])
    """

    needs_ratings: ClassVar[bool] = True

    n_selected: int = ranged(3, low=1)
    select: str = ranged("co_rated", words=_RULES)
    gan: ProfileGAN = field(default_factory=ProfileGAN)

    def remarks(self, parts: Together) -> list[str]:
        """That only the choice of items counts, where nobody looks at ratings."""
        if parts.model.reads_values or parts.defense.reads_values:
            return super().remarks(parts)
        model = type(parts.model).__name__
        return [*super().remarks(parts), f"{model} does not look at ratings: AUSH's generator changes nothing"]

    def _craft(self, crafting: Crafting) -> FakeProfiles:
        data, targets, n_fakes, seeds, device, progress = crafting
        assert data.scale is not None, "check_ratings has seen to that"
        check_selected(self.n_selected, data, targets)
        selected = _RULES[self.select](data, targets, self.n_selected)
        count = self._filler_count(data, len(targets) + len(selected))
        refuse_too_large(n_fakes, len(targets) + len(selected) + count)
        templates = Templates(HIGHEST * rating_matrix(data), targets, selected, count)
        progress.note(f"{len(templates)} of {data.n_users} users have {count} fillers to lend and are AUSH's templates")
        generator = self.gan.train(templates, seeds.child("gan"), device, progress)
        drawn = seeds.numpy("templates").choice(len(templates), n_fakes, replace=n_fakes > len(templates))
        borrowed = templates.borrow(drawn, seeds.numpy("fillers"))
        ratings = self._ratings(generator, borrowed, data.n_items, device)
        items = np.hstack([np.tile(targets, (n_fakes, 1)), np.tile(selected, (n_fakes, 1)), borrowed.items])
        own = self._on_scale(np.hstack([ratings, borrowed.values]) * (data.scale.high / HIGHEST), data.scale)
        values = np.hstack([np.full((n_fakes, len(targets)), data.scale.high), own])
        return of_rows(items, values, targets)

    def _ratings(self, generator: Params, borrowed: Borrowed, n_items: int, device: torch.device) -> np.ndarray:
        """``(n_fakes, n_selected)`` ratings by the generator on its own scale."""
        fillers = torch.from_numpy(borrowed.dense(n_items)).to(device)
        return self.gan.rate(generator, fillers).cpu().double().numpy()
