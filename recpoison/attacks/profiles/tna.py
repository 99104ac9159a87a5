"""Targeted attack on the neighbourhood of influential users, S-TNA (Fang, Gong and Liu, WWW 2020).

"Influence function based data poisoning attacks to top-N recommender systems". Written from the paper: no code by its
authors is known.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor

from recpoison.algebra.observed import Observed
from recpoison.attacks.objectives import TargetHits
from recpoison.attacks.profiles.filler_descent import Problem
from recpoison.attacks.profiles.influential import influence_by_curvature, influence_in_closed_form
from recpoison.attacks.profiles.learned_fillers import LearnedFillersAttack
from recpoison.idle import Together
from recpoison.ranges import ranged
from recpoison.training.influence import InverseCurvature

_USERS = 512  # whose scores are looked at together


@dataclass(frozen=True, kw_only=True)
class TNAAttack(LearnedFillersAttack):
    """Fake users, one group after another, lift the targets over the top of influential users' lists.

    Of the users who lack a target, those on whom the targets' predictions rest most (S) are chosen by an influence
    function: of MF by its curvature, of WRMF on implicit data in closed form. A fake user minimises, over the users of
    S who lack a target t and the K best items i that they lack, the sum of g(r_ui - r_ut) with g(x) = 1 / (1 +
    exp(-x / b)). Weights stay between 0 and 1. The ``fillers`` heaviest items are rated from N(mean, standard
    deviation) of their own ratings, on the grid.

    Departures. In the paper a weight is a rating from 0 to the maximum, what is not rated counts as rated 0, and an L1
    penalty keeps weights few; here a weight says whether a rating that is drawn beforehand is there, and only the
    heaviest are shown to the surrogate, so nothing has to keep them few. Fake users' vectors follow their ratings.
    Groups stand for the paper's single fake users: with as many ``groups`` as fake users it is as slow as that. The
    paper's b is 0.01; on shares of the scale's maximum, where predictions differ by tenths, that leaves no gradient.

    Args:
        groups: Groups of fake users, learned one after another.
        influential_users: Size of S; null takes all users.
        inverse: How the influence function's system is solved.
        list_length: K.
        smoothness: b, in shares of the scale's maximum.

    Example:
        >>> data = Planted("planted", n_users=8).read(None, Seeds(0), Progress())
        >>> small = {"implicit_surrogate": WRMFALS(4), "iterations": 3, "groups": 1, "fillers": 2}
        >>> attack = TNAAttack(targets=Targets("list", [8]), n_fake_users=2, influential_users=3, **small)
        >>> fakes = attack.poison(data, np.array([8]), Seeds(0), torch.device("cpu"), Progress())
        >>> len(fakes.trace["HR"]), fakes.items.reshape(2, 3)[:, -1].tolist()  # before and after each step
        (4, [8, 8])
    """

    iterations: int = 10
    step_size: float = 1.0
    groups: int = ranged(4, low=1)
    influential_users: int | None = ranged(400, low=1, null="all")
    inverse: InverseCurvature = field(default_factory=InverseCurvature)
    list_length: int = ranged(10, low=1)
    smoothness: float = ranged(0.1, low=1e-6)

    def idle(self, parts: Together) -> dict[str, str]:
        """The influence function's system, where there is none."""
        found = super().idle(parts)
        if self.influential_users is None:
            found["inverse"] = "influential_users is null, so all users count"
        elif not parts.dataset.has_ratings:
            found["inverse"] = "the data have no ratings, and influence on WRMF is in closed form"
        return found

    @property
    def _groups(self) -> int:
        return self.groups

    def _projected(self, weights: Tensor, fillers: int) -> Tensor:
        return weights.clamp(0, 1)

    def _prepared(self, problem: Problem) -> Tensor:
        """The users S, ascending; who has all targets is nobody to win."""
        form, data = problem.form, problem.crafting.data
        to_win = form.lacking(problem.targets).any(1)
        if self.influential_users is None or self.influential_users >= int(to_win.sum()):
            return to_win.nonzero().squeeze(1)
        if data.scale is None:
            influence = influence_in_closed_form(form, problem.targets)
        else:
            seeds, progress = problem.crafting.seeds.child("influence"), problem.crafting.progress
            influence = influence_by_curvature(form, data, problem.targets, self.inverse, seeds, progress)
        return influence.abs().masked_fill(~to_win, -1.0).topk(self.influential_users).indices.sort().values

    def _objective(self, problem: Problem, items: Tensor, hits: TargetHits, prepared: Tensor) -> Tensor:
        form, targets = problem.form, problem.targets
        with torch.no_grad():
            for start in range(0, len(form.users), _USERS):
                users = slice(start, min(start + _USERS, len(form.users)))
                hits(users, form.users[users] @ items.T)
        scores = form.users[prepared] @ items.T
        mine = _seen_by(form.seen, prepared)
        others = scores.detach().index_put((mine.rows, mine.indices), scores.new_full((), -torch.inf))
        others = others.index_fill(1, targets, -torch.inf)
        best = others.topk(min(self.list_length, others.shape[1] - len(targets)), dim=1).indices
        gaps = (scores.gather(1, best).unsqueeze(2) - scores[:, targets].unsqueeze(1)) / self.smoothness
        real = others.gather(1, best).isfinite().unsqueeze(2)  # who has nearly everything lacks fewer than K
        return (torch.sigmoid(gaps) * real * form.lacking(targets)[prepared].unsqueeze(1)).sum()


@lru_cache(maxsize=1)
def _seen_by(seen: Observed, users: Tensor) -> Observed:
    """What ``users`` have, asked of the device at the first look of many."""
    return seen.take(users)
