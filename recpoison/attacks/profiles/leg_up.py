"""Leg-UP (Lin et al., "Shilling black-box recommender systems by learning to generate fake user profiles", 2022)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from recpoison.attacks.base import Crafting
from recpoison.attacks.profiles.base import FilledAttack, of_rows, refuse_too_large
from recpoison.attacks.profiles.closed_form import ClosedForm
from recpoison.attacks.profiles.leg_up_training import Training
from recpoison.attacks.profiles.profile_gan import HIGHEST
from recpoison.attacks.profiles.rating_generator import RatingGAN
from recpoison.attacks.profiles.templates import Templates
from recpoison.changes import FakeProfiles
from recpoison.data.interactions import Interactions
from recpoison.idle import Together
from recpoison.memory import refuse_beyond_memory
from recpoison.models.mf import MF
from recpoison.ranges import ranged
from recpoison.training.ratings import rating_matrix


@dataclass(frozen=True, kw_only=True)
class LegUpAttack(FilledAttack):
    """Real users lend the items, and a generator that has learned to raise the targets rates them.

    Templates are drawn with replacement among users who rated at least ``fillers`` items besides the targets, and lend
    so many of these, without replacement; which items these are stays as drawn. The generator of a GAN
    (``rating_generator.py``) rates them on the scale's steps; targets get the maximum. It is trained to look real and
    to lower, on a surrogate, the mean over users who lack a target of -log softmax of the target among the items that
    score as high as it or higher.

    Departures: the surrogate is that of ``pga``, fitted once, whose items answer to fake users in closed form; the
    authors train a factorisation of ratings for 50 epochs before every step and differentiate the last. Items below
    the target are left out of the softmax; in the authors' code they count with a score of 0. Templates hold no target,
    where the authors' may. The change's ``trace`` has one entry for every step down the objective, and the last.

    Args:
        gan: The two networks and their training.
        ridge: Of the surrogate's equations, as in ``pga``.
        alternations: Times that fake users and then items are solved for.
        cutoff: Length of the lists in the trace's hit ratio.
        surrogate: The attacker's own model.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Interactions([0, 0, 0, 1], [0, 1, 2, 0], [4, 2, 3, 5], n_users=2, n_items=4, scale=Scale(1, 5))
        >>> small = {"gan": RatingGAN(epochs=1, attack_steps=2), "surrogate": MF(embedding_size=2)}
        >>> attack = LegUpAttack(targets=Targets("list", [3]), n_fake_users=1, fillers=2, **small)
        >>> fakes = attack.poison(data, np.array([3]), Seeds(0), torch.device("cpu"), Progress())
        >>> fakes.items[0].item(), fakes.values[0].item(), len(fakes.items), len(fakes.trace["HR"])
        (3, 5.0, 3, 3)
    """

    needs_ratings: ClassVar[bool] = True

    gan: RatingGAN = field(default_factory=RatingGAN)
    ridge: float = ranged(1.0, low=0.0, high=1e6, open_low=True)
    alternations: int = ranged(2, low=1)
    cutoff: int = ranged(10, low=1)
    surrogate: MF = field(default_factory=MF)

    def idle(self, parts: Together) -> dict[str, str]:
        """Rounding, which there is none of, and the networks where there is nothing to rate."""
        found = super().idle(parts) | {"round_ratings": "the generator rates on the scale's steps"}
        if self.fillers == 0:
            unused = ("gan", "ridge", "alternations", "cutoff", "surrogate")
            found |= dict.fromkeys(unused, "fillers is 0, so nothing is rated")
        return found

    def remarks(self, parts: Together) -> list[str]:
        """That only the choice of items counts, where nobody looks at ratings."""
        if parts.model.reads_values or parts.defense.reads_values:
            return super().remarks(parts)
        model = type(parts.model).__name__
        return [*super().remarks(parts), f"{model} does not look at ratings: Leg-UP's generator changes nothing"]

    def _craft(self, crafting: Crafting) -> FakeProfiles:
        data, targets, n_fakes, seeds, device, progress = crafting
        assert data.scale is not None, "check_ratings has seen to that"
        count = self._filler_count(data, len(targets))
        refuse_too_large(n_fakes, len(targets) + count)
        if not count:  # nothing to rate, and nothing to learn
            return _profiles(crafting, np.zeros((n_fakes, 0), dtype=np.int64), np.zeros((n_fakes, 0)))
        templates = Templates(HIGHEST * rating_matrix(data), targets, targets[:0], count)
        progress.note(f"{len(templates)} of {data.n_users} users have {count} fillers to lend: Leg-UP's templates")
        drawn = seeds.numpy("templates").choice(len(templates), n_fakes)
        borrowed = templates.borrow(drawn, seeds.numpy("fillers"))
        self._check_memory(data, n_fakes)
        form = ClosedForm(self.surrogate, self.ridge, self.alternations, data, seeds.child("surrogate"), device)
        training = Training(self.gan, form, self.cutoff, crafting, templates, borrowed)
        grades, trace = training.run((self, data, targets, seeds, n_fakes))
        rated = np.take_along_axis(grades.cpu().double().numpy(), borrowed.items, axis=1)
        figures = {name: column.numpy() for name, column in zip(("HR", "Objective"), trace.T, strict=True)}
        fakes = _profiles(crafting, borrowed.items, data.scale.snap(data.scale.low + data.scale.step * (rated - 1)))
        return replace(fakes, trace=figures, cutoff=self.cutoff, best=len(trace) - 1)

    def _check_memory(self, data: Interactions, n_fakes: int) -> None:
        equations = (1 + self.alternations) * self.surrogate.embedding_size**2
        refuse_beyond_memory(
            4 * data.n_items * (equations + 4 * data.n_users + 8 * n_fakes),
            f"the scores of {data.n_users} users and the equations of {data.n_items} items",
            "lower attack.surrogate.embedding_size, attack.alternations or attack.budget, or choose attack=aush",
        )


def _profiles(crafting: Crafting, items: np.ndarray, values: np.ndarray) -> FakeProfiles:
    """Fake users with these ratings ``(n_fakes, fillers)``, and every target at the maximum."""
    data, targets, n_fakes, *_ = crafting
    whole = np.hstack([np.tile(targets, (n_fakes, 1)), items])
    rated = np.hstack([np.full((n_fakes, len(targets)), data.highest), values])
    return of_rows(whole, rated, targets)
