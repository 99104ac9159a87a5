"""Data poisoning attack on deep recommenders, DP (Huang, Mu, Gong, Li, Liu and Xu, NDSS 2021).

"Data poisoning attacks to deep learning based recommender systems", by the steps of its authors' code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from recpoison.attacks.profiles.group_surrogate import GroupSurrogate
from recpoison.attacks.profiles.grouped import GroupedAttack, check_trainable
from recpoison.idle import Together
from recpoison.models.base import Params
from recpoison.models.bprmf import BPRMF
from recpoison.models.trained import TrainedModel
from recpoison.ranges import ranged
from recpoison.training.trainer import Trainer

KEPT = ("best", "last")


def _quick() -> BPRMF:
    return BPRMF(embedding_size=32, trainer=Trainer(epochs=25))


@dataclass(frozen=True, kw_only=True)
class DPAttack(GroupedAttack):
    """Fillers are what fake users would like best, had the surrogate learned to recommend the target.

    In each step a surrogate is trained from scratch on real users, finished fake users, and a new group of fake users
    who have the targets alone. In each of ``rounds`` it is attacked, and then trained for an ordinary epoch. Attacked
    it descends two losses with its own optimiser, at s the scores' sigmoid. Over users u who lack target t, batch by
    batch: ``alpha`` ``hit_weight`` max(ln s_uk - ln s_ut, -``confidence``), k the item that ends u's list of
    ``cutoff`` unseen items; of several targets their mean. And once ``alpha`` times the sum of s² of the group's fake
    users over all but the targets. The surrogate of the round with the highest hit ratio is kept (the one before all
    rounds, if none is better). A fake user then takes the items of the largest s times p; p, 1 at first, is multiplied
    by ``shrink`` where an item is taken, and is 1 again everywhere once it is below 1 everywhere.

    With ``alpha`` 0 fillers are simply the surrogate's best.

    Departures from the authors' code: it keeps the surrogate's best epoch by the hit ratio on held-out items, which an
    attacker does not have; here it is the last. It draws negatives once, and none for a group's targets; here they are
    drawn as the surrogate draws them. The public port in GPA counts owners of the target and rated items too, and
    that in ARLib has no gradient.

    Args:
        alpha: Weight of both losses: the paper's lambda, the code's alpha.
        hit_weight: Times that, weight of the first: the paper's eta, the code's reg_u.
        confidence: Margin beyond which a user is left alone: kappa.
        cutoff: Length of the lists: K.
        shrink: What p is multiplied by: the code's prob; 1: all fake users of a step may be alike.
        keep: Round whose surrogate chooses fillers: ``best``, or ``last`` as in GPA's port.
        surrogate: The attacker's own model.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Planted("planted", n_users=8).read(None, Seeds(0), Progress())
        >>> surrogate = BPRMF(embedding_size=4, trainer=Trainer(epochs=5))
        >>> attack = DPAttack(targets=Targets("list", [8]), n_fake_users=2, fillers=2, surrogate=surrogate)
        >>> attack.poison(data, np.array([8]), Seeds(0), torch.device("cpu"), Progress()).items.reshape(2, 3).shape
        (2, 3)
    """

    rounds: int = 5
    users_per_batch: int = 64
    alpha: float = ranged(1.0, low=0.0)
    hit_weight: float = ranged(100.0, low=0.0)
    confidence: float = ranged(3.0, low=0.0)
    cutoff: int = ranged(10, low=1)
    shrink: float = ranged(0.9, low=0.0, high=1, open_low=True, note=" (p stays 1)")
    keep: str = ranged("best", words=KEPT)
    surrogate: TrainedModel = field(default_factory=_quick)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_trainable(self.surrogate)

    def idle(self, parts: Together) -> dict[str, str]:
        """What is left without rounds, or without a weight."""
        found = super().idle(parts)
        attacked = ("alpha", "hit_weight", "confidence", "users_per_batch", "cutoff", "keep")
        if self.rounds == 0:
            return found | dict.fromkeys(attacked, "rounds is 0, so the surrogate is not attacked")
        unused = {"alpha": attacked[1:4], "hit_weight": attacked[2:4]}
        for weight, settings in unused.items():
            if getattr(self, weight) == 0:
                found |= dict.fromkeys((*settings, *(("cutoff",) if self.keep == "last" else ())), f"{weight} is 0")
        return found

    @property
    def _model(self) -> TrainedModel:
        return self.surrogate

    def _attacked(self, surrogate: GroupSurrogate) -> Tensor:
        best, scores = surrogate.hit_ratio(self.cutoff), surrogate.scores(surrogate.fakes)
        for number in range(self.rounds):
            if self.alpha:
                self._descend(surrogate, number)
            surrogate.train()
            reached = surrogate.hit_ratio(self.cutoff)
            if self.keep == "last" or reached > best:
                best, scores = reached, surrogate.scores(surrogate.fakes)
        return scores

    def _descend(self, surrogate: GroupSurrogate, number: int) -> None:
        def hits(params: Params, users: Tensor) -> Tensor:
            return self.alpha * self.hit_weight * self._hit_loss(surrogate, params, users)

        def likes(params: Params, users: Tensor) -> Tensor:
            return self.alpha * fake_loss(surrogate, params, users)

        users = surrogate.batches(self.users_per_batch, surrogate.seeds.child("round", number))
        if self.hit_weight:
            surrogate.descend(hits, users)
        surrogate.descend(likes, [surrogate.fakes])

    def _hit_loss(self, surrogate: GroupSurrogate, params: Params, users: Tensor) -> Tensor:
        """Sum over ``users`` of what keeps targets out of their lists."""
        scores = surrogate.model.scores(params, surrogate.data, users)
        bar, lacking = surrogate.bar(users, scores, self.cutoff)
        gaps = F.logsigmoid(scores.gather(1, bar)) - F.logsigmoid(scores[:, surrogate.targets])
        return (gaps.clamp_min(-self.confidence) * lacking).sum() / len(surrogate.targets)

    def _picked(self, scores: np.ndarray, before: np.ndarray, count: int) -> np.ndarray:
        shares = Shares(self.shrink, np.isfinite(scores).all(0))
        for row in before:
            shares.take(row)
        likes = F.logsigmoid(torch.from_numpy(scores).double()).numpy()  # of s near 1 the logarithms differ still
        rows = []
        for row in likes:
            rows.append(np.argsort(-(row + shares.logs), kind="stable")[:count])
            shares.take(rows[-1])
        return np.array(rows)


def fake_loss(surrogate: GroupSurrogate, params: Params, users: Tensor) -> Tensor:
    """Sum of squared sigmoids over fake ``users`` and all items but the targets."""
    likes = torch.sigmoid(surrogate.model.scores(params, surrogate.data, users)).square()
    return likes.sum() - likes[:, surrogate.targets].sum()


class Shares:
    """p of each item, by which fake users are led to items that none has taken lately.

    Args:
        shrink: What p is multiplied by where an item is taken.
        free: ``(n_items,)`` whether an item may be taken.
    """

    def __init__(self, shrink: float, free: np.ndarray) -> None:
        self.shrink, self.free, self.times = shrink, free, np.zeros(len(free), dtype=np.int64)

    @property
    def logs(self) -> np.ndarray:
        """Logarithm of p."""
        return self.times * math.log(self.shrink)

    def take(self, items: np.ndarray) -> None:
        """Shrink p of distinct ``items``; back to 1 once none that is free has p 1."""
        self.times[items] += 1
        if (self.times[self.free] > 0).all():
            self.times[:] = 0
