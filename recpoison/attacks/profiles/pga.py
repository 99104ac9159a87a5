"""Projected gradient attack (Li, Wang, Singh and Vorobeychik, NIPS 2016), in the form of the APT paper.

"Data poisoning attacks on factorization-based collaborative filtering"; APT is Wu et al. 2021, section 5.1.2.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from recpoison.attacks.objectives import TargetHits, promote
from recpoison.attacks.profiles.filler_descent import Problem
from recpoison.attacks.profiles.learned_fillers import LearnedFillersAttack
from recpoison.idle import Together
from recpoison.ranges import ranged

FILLER_RATINGS = ("optimised", "item_normal")


@dataclass(frozen=True, kw_only=True)
class PGAAttack(LearnedFillersAttack):
    """Projected gradient through the conditions of optimality of the surrogate's factorisation.

    The objective is the targets' cross-entropy among all items, over real users (``promote``). Each step goes against
    the gradient, each row of which is brought to a length in units of a full profile, and from there to the nearest
    weights between 0 and 1 that add up to ``fillers``. Ratings take steps of the same length and stay on the scale;
    the surrogate sees them on its grid. Steps shrink to 0 over the iterations. All fake users are looked at, the first
    and the last too, and those of the highest hit ratio on the surrogate are returned, the objective breaking ties.

    Departures. Li et al. move ratings alone, centred so that 0 says nothing; here 0 is off the scale and would be an
    opinion, so an item has a weight and a rating, and APT's "first m' items" are those of most weight. Li et al. let
    all users' vectors follow; as in the public code of GPA real users' are constants (the gradient is exact given
    them), but fake users' follow their ratings, without which fillers have no other way to a target.

    Args:
        filler_ratings: ``optimised``, starting from draws as the average attack's, or ``item_normal``: those draws.
        temperature: Scores, shares of the scale's maximum, are divided by it before the objective's softmax.

    Example:
        >>> data = Planted("planted", n_users=8).read(None, Seeds(0), Progress())
        >>> small = {"implicit_surrogate": WRMFALS(4), "iterations": 3, "fillers": 2}
        >>> attack = PGAAttack(targets=Targets("list", [8]), n_fake_users=2, **small)
        >>> fakes = attack.poison(data, np.array([8]), Seeds(0), torch.device("cpu"), Progress())
        >>> len(fakes.trace["HR"]), fakes.items.reshape(2, 3)[:, -1].tolist()  # before and after each step
        (4, [8, 8])
    """

    filler_ratings: str = ranged("optimised", words=FILLER_RATINGS)
    temperature: float = ranged(0.1, low=1e-6)

    def idle(self, parts: Together) -> dict[str, str]:
        """How fillers are rated, where there are no ratings."""
        why = self._without_ratings(parts)
        return super().idle(parts) | ({"filler_ratings": why} if why else {})

    def _objective(self, problem: Problem, items: Tensor, hits: TargetHits, prepared: None) -> Tensor:
        form = problem.form
        return promote(form.users / self.temperature, items, problem.targets, form.seen, hits)

    @property
    def _learns_ratings(self) -> bool:
        return self.filler_ratings == "optimised"
