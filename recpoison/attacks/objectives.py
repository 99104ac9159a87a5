"""What a learned attack minimises, as functions of a surrogate's factors; the users x items scores are never kept."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from recpoison.algebra.observed import Observed
from recpoison.algebra.softmax import Inspect, total_log_normalizer

# From (users' factors, items' factors, targets, what the users have seen, what wants to see the scores) to a scalar.
AdversarialObjective = Callable[[Tensor, Tensor, Tensor, Observed, Inspect | None], Tensor]


def promote(users: Tensor, items: Tensor, targets: Tensor, seen: Observed, inspect: Inspect | None = None) -> Tensor:
    """Cross-entropy of the targets (the mean of several), summed over users: equation 3 of the injection paper."""
    # -log softmax of a target is the user's log normaliser minus the target's own score
    return total_log_normalizer(users, items, inspect) - users.sum(0) @ items.index_select(0, targets).mean(0)


def nuke(users: Tensor, items: Tensor, targets: Tensor, seen: Observed, inspect: Inspect | None = None) -> Tensor:
    """The opposite of ``promote``: targets should become unlikely."""
    return -promote(users, items, targets, seen, inspect)


def untargeted(users: Tensor, items: Tensor, targets: Tensor, seen: Observed, inspect: Inspect | None = None) -> Tensor:
    """Minus the cross-entropy of each user's own items (their mean), summed over users: all should be served badly."""
    tastes = F.embedding_bag(seen.indices, items, seen.indptr[:-1], mode="mean")
    return (users * tastes).sum() - total_log_normalizer(users, items, inspect)


OBJECTIVES: dict[str, AdversarialObjective] = {"promote": promote, "nuke": nuke, "untargeted": untargeted}


class TargetHits:
    """Which users have a target among their best k unseen items, from scores shown block by block.

    As in the authors' code one target is enough, a user's own targets are masked (who has them all is no hit), and ties
    count against the target.

    Args:
        seen: What the users have seen.
        targets: ``(n_targets,)``.
        k: Length of the list.
    """

    def __init__(self, seen: Observed, targets: Tensor, k: int) -> None:
        self.seen, self.targets, self.k = seen, targets, k
        n_targets, device = len(targets), targets.device
        number = torch.full((seen.n_columns,), n_targets, device=device)  # of a target; of other items one more
        number[targets] = torch.arange(n_targets, device=device)
        owned = torch.zeros(seen.n_rows, n_targets + 1, dtype=torch.bool, device=device)
        owned.view(-1).index_fill_(0, seen.rows * (n_targets + 1) + number[seen.indices], True)
        self.owned = owned[:, :n_targets]
        self.hits = torch.zeros(seen.n_rows, dtype=torch.bool, device=targets.device)

    def __call__(self, users: slice, scores: Tensor) -> None:
        """Look at the scores of a block of users."""
        best = scores.index_select(1, self.targets).masked_fill(self.owned[users], -torch.inf).amax(1)
        cells = slice(*self.seen.begins[[users.start, users.stop]].tolist())
        rows = self.seen.rows[cells] - users.start
        beaten = scores[rows, self.seen.indices[cells]] >= best[rows]
        above = (scores >= best[:, None]).sum(1, dtype=torch.int32)  # in int64 it takes ten times as long
        above = above.index_add_(0, rows, beaten.int(), alpha=-1) - 1
        self.hits[users] = (above < self.k) & best.isfinite()

    @property
    def share(self) -> Tensor:
        """Share of all users who are hits, a scalar on the device."""
        return self.hits.double().mean()

    @property
    def ratio(self) -> float:
        """The same as a number."""
        return float(self.share)
