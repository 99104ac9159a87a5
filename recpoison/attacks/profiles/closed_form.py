"""A surrogate of which all users' vectors are known: what fake users do to its items, in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from recpoison.algebra.observed import Observed
from recpoison.algebra.ridge import rated_rows, weighted_rows
from recpoison.attacks.objectives import TargetHits
from recpoison.data.interactions import Interactions
from recpoison.models.mf import MF
from recpoison.models.wrmf_als import WRMFALS
from recpoison.progress import QUIET
from recpoison.seeds import Seeds
from recpoison.training.ratings import rating_matrix
from recpoison.training.trainer import Diverged


class ClosedForm:
    """Items as the conditions of optimality have them, beside real users as the surrogate left them.

    The surrogate is fitted to the real users alone. From then on their vectors are constants, and each item's vector is
    the ridge regression on the ratings it has: of MF over who rated it, of WRMF over everybody. Fake users and items
    are solved for in turn, ``alternations`` times, beginning with the items that real users make; the result is
    differentiated exactly, what fake users' vectors owe to their ratings too.

    Ratings are shares of the scale's maximum, ones on implicit data.

    Args:
        surrogate: MF for ratings, WRMF by ALS for implicit data.
        ridge: Added to the diagonal of MF's equations; WRMF brings its own.
        alternations: Times that fake users and then items are solved for.
        data: Real users.
        seeds: Of the surrogate's fit.
        device: Where tensors live.

    Attributes:
        users: ``(n_users, size)`` real users.
        fitted_items: ``(n_items, size)`` items as the surrogate left them.
        regularization: What it was fitted with.
        clean: ``(n_items, size)`` items without fake users, from ``users``.
        seen: What real users have.
    """

    def __init__(
        self,
        surrogate: MF | WRMFALS,
        ridge: float,
        alternations: int,
        data: Interactions,
        seeds: Seeds,
        device: torch.device,
    ) -> None:
        self.alternations, self.name = alternations, "attack.ridge"
        self.unrated, self.ridge = 0.0, ridge
        if isinstance(surrogate, WRMFALS):  # its equations, divided by the weight of an observed pair
            self.unrated, self.ridge = 1 / surrogate.weight, surrogate.regularization / surrogate.weight
            self.name = "attack.implicit_surrogate.regularization"
        params, self.regularization = surrogate.fitted(data, seeds, device, QUIET).params, surrogate.regularization
        self.users, self.fitted_items = params["user"], params["item"]
        self.seen = Observed.of(data.seen, device)
        self.lefts, self.rights = rated_rows(rating_matrix(data).T.tocsr(), self.users, self.unrated, self.ridge)
        nobody = self.users.new_zeros(0, self.users.shape[1])
        self.clean = self._solved(self.lefts, self.rights, nobody, nobody.new_zeros(data.n_items, 0))

    def items(self, weights: Tensor, ratings: Tensor) -> Tensor:
        """Vectors ``(n_items, size)`` beside fake users.

        Args:
            weights: ``(n_fakes, n_items)`` how much of each rating there is, in [0, 1].
            ratings: ``(n_fakes, n_items)`` shares of the scale's maximum.

        Raises:
            Diverged: If rounding leaves an equation without a solution.
        """
        items, size = self.clean, self.users.shape[1]
        own = self.ridge * torch.eye(size, dtype=items.dtype, device=items.device).unsqueeze(0)
        for _ in range(self.alternations):
            fakes = self._solved(own, own.new_zeros(1, size), items, weights, ratings)
            items = self._solved(self.lefts, self.rights, fakes, weights.T, ratings.T)
        return items

    def lacking(self, targets: Tensor) -> Tensor:
        """``(n_users, n_targets)`` ones where a real user lacks a target, else zeros."""
        owned = TargetHits(self.seen, targets, 1).owned
        return (~owned).to(self.users)

    def _solved(
        self, lefts: Tensor, rights: Tensor, factors: Tensor, weights: Tensor, ratings: Tensor | None = None
    ) -> Tensor:
        try:
            return weighted_rows(lefts, rights, factors, weights, weights if ratings is None else ratings, self.unrated)
        except torch.linalg.LinAlgError as error:
            raise self.unsolved() from error

    def unsolved(self) -> Diverged:
        """What is said where an equation has no solution, or what came of it is no number."""
        return Diverged(
            f"an equation of the attack's surrogate has no solution: raise {self.name} (now {self.ridge:g} beside "
            "a weight of 1)"
        )
