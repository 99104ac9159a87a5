"""FEO: fake users' embeddings are learned, and fillers read from them (the code of Wu's FEOAttack)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from recpoison.attacks.profiles.group_surrogate import GroupSurrogate
from recpoison.attacks.profiles.grouped import GroupedAttack
from recpoison.errors import ConfigError
from recpoison.idle import Together
from recpoison.models.bprmf import BPRMF
from recpoison.models.trained import TrainedModel
from recpoison.ranges import ranged
from recpoison.seeds import Seeds
from recpoison.training.trainer import Trainer


def _quick() -> BPRMF:
    return BPRMF(embedding_size=32, trainer=Trainer(epochs=10))


@dataclass(frozen=True, kw_only=True)
class FEOAttack(GroupedAttack):
    """Moves fake users' embeddings to where one step of their own training lifts the targets most.

    In each step a surrogate is trained from scratch on real users, finished fake users, and a new group of fake users
    who have the targets alone. Each of ``rounds`` is an ordinary epoch and a pass over real users, batch by batch. For
    a batch the items take one step of gradient descent of length ``look_ahead`` on the group's BPR loss of the
    targets, the sum over fake users f and targets t of -ln sigmoid(s_ft - the mean of f's scores). There the attack's
    loss is taken: of the pairs of a user u and a target t that u lacks, the share ``expected_hit_ratio`` that comes
    nearest to b_u, the score that ends u's list of ``cutoff`` unseen items, counts ln(1 + exp(b_u - s_ut)) each, and
    their mean goes down; b_u is a constant. Its gradient through the step moves the group's embeddings and nothing
    else, with the surrogate's optimiser.

    To look like real users, ``stealth_weight`` times the divergence between both kinds' directions goes down too: the
    mean over fake users of ln p - ln q, with p and q the means of exp(-``sharpness`` times the squared distance) to
    the group and to ``sampled_neighbours`` of the ``neighbours`` nearest real users, drawn anew each time.

    Fillers are the items that a fake user scores highest, each at most ``filler_limit`` times in a group; it is used
    more often only once all others are used up.

    Departures from the authors' code: their list of 50 has items that a user has, and owners of a target count. There
    an item that is used up scores 0, and so is still taken where scores are negative. Adam, which they train with,
    moves by the sign of a gradient more than by its size, so that their ``attack_weight`` of 0.1 to 0.3 is no guide
    to that of another optimiser.

    Args:
        attack_weight: Weight of the attack's loss.
        expected_hit_ratio: Share of pairs that are pushed: those easiest to win.
        cutoff: Length of the lists.
        look_ahead: Length of the items' step.
        stealth_weight: Weight of the divergence.
        sharpness: Of its kernel.
        neighbours: Nearest real users of a fake one.
        sampled_neighbours: Those of them that are looked at.
        filler_limit: Times that an item may be a filler in a group, while there are others.
        surrogate: The attacker's own model.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Planted("planted", n_users=8).read(None, Seeds(0), Progress())
        >>> small = {"surrogate": BPRMF(embedding_size=4, trainer=Trainer(epochs=5)), "rounds": 2}
        >>> attack = FEOAttack(targets=Targets("list", [8]), n_fake_users=2, fakes_per_step=2, fillers=4, **small)
        >>> fakes = attack.poison(data, np.array([8]), Seeds(0), torch.device("cpu"), Progress())
        >>> sorted(fakes.items.tolist())  # together every item once, and the target twice
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 8]
    """

    rounds: int = 10
    users_per_batch: int = 512
    attack_weight: float = ranged(300.0, low=0.0)
    expected_hit_ratio: float = ranged(0.05, low=0.0, high=1, open_low=True, note=" (a share of pairs)")
    cutoff: int = ranged(50, low=1)
    look_ahead: float = ranged(0.1, low=0.0)
    stealth_weight: float = ranged(0.001, low=0.0)
    sharpness: float = ranged(4.0, low=0.0)
    neighbours: int = ranged(50, low=1)
    sampled_neighbours: int = ranged(10, low=1)
    filler_limit: int = ranged(1, low=1)
    surrogate: BPRMF = field(default_factory=_quick)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sampled_neighbours > self.neighbours:
            raise ConfigError(
                f"attack.sampled_neighbours is {self.sampled_neighbours}, but attack.neighbours only "
                f"{self.neighbours}: give as many or fewer"
            )

    def idle(self, parts: Together) -> dict[str, str]:
        """What has no weight, or no round."""
        found = super().idle(parts)
        attacked = ("users_per_batch", "expected_hit_ratio", "cutoff", "look_ahead")
        alike = ("sharpness", "neighbours", "sampled_neighbours")
        weights = ("attack_weight", "stealth_weight")
        if self.rounds == 0:
            return found | dict.fromkeys((*weights, *attacked, *alike), "rounds is 0, so nothing is attacked")
        if not self.attack_weight or not self.look_ahead:
            why = "attack_weight or look_ahead is 0, so the attack's loss has no gradient"
            found |= dict.fromkeys(attacked[1:3], why)
        if not self.attack_weight:
            found["look_ahead"] = "attack_weight is 0"
        if not self.stealth_weight or not self.sharpness:
            found |= dict.fromkeys(alike, "stealth_weight or sharpness is 0, so the divergence has no gradient")
        return found

    @property
    def _model(self) -> TrainedModel:
        return self.surrogate

    def _attacked(self, surrogate: GroupSurrogate) -> Tensor:
        for number in range(self.rounds):
            surrogate.train()
            seeds = surrogate.seeds.child("round", number)
            for place, users in enumerate(surrogate.batches(self.users_per_batch, seeds)):
                self._move(surrogate, users, seeds.child(place))
        return surrogate.scores(surrogate.fakes)

    def _move(self, surrogate: GroupSurrogate, users: Tensor, seeds: Seeds) -> None:
        """One step of the group's embeddings."""
        params, n_real = surrogate.params, surrogate.seen.n_rows

        def loss(own: Tensor) -> Tensor:
            items = stepped(own, params["item"], surrogate.targets, self.look_ahead)
            found = self.attack_weight * self._attack_loss(surrogate, users, params["user"][users] @ items.T)
            if self.stealth_weight:
                found = found + self.stealth_weight * self._divergence(own, params["user"][:n_real], seeds)
            return found

        surrogate.descend_fakes(loss)

    def _attack_loss(self, surrogate: GroupSurrogate, users: Tensor, scores: Tensor) -> Tensor:
        """Mean over the easiest pairs of a softplus of what they lack."""
        bar, lacking = surrogate.bar(users, scores, self.cutoff)
        gaps = F.softplus(scores.detach().gather(1, bar) - scores[:, surrogate.targets])[lacking]
        count = max(1, int(self.expected_hit_ratio * len(gaps)))
        return gaps.topk(count, largest=False).values.mean()

    def _divergence(self, own: Tensor, real: Tensor, seeds: Seeds) -> Tensor:
        """How unlike the directions of ``own`` ``(n, size)`` are to those of ``real`` ``(n_users, size)``."""
        own, real = F.normalize(own, dim=1), F.normalize(real, dim=1)
        among = min(self.neighbours, len(real))
        nearest = (own.detach() @ real.T).topk(among, dim=1).indices
        keys = torch.from_numpy(seeds.numpy("neighbours").random((len(own), among))).to(own.device)
        some = keys.argsort(1)[:, : self.sampled_neighbours]
        to_real = (own.unsqueeze(1) - real[nearest.gather(1, some)]).square().sum(2)
        to_own = (own.unsqueeze(1) - own.unsqueeze(0)).square().sum(2)
        logs = [torch.logsumexp(-self.sharpness * d, 1) - math.log(d.shape[1]) for d in (to_own, to_real)]
        return (logs[0] - logs[1]).mean()

    def _picked(self, scores: np.ndarray, before: np.ndarray, count: int) -> np.ndarray:
        used = np.zeros(scores.shape[1], dtype=np.int64)
        rows = []
        for row in scores:
            again = np.where(np.isfinite(row), used // self.filler_limit, len(scores))  # a target comes after all
            rows.append(np.lexsort((-row, again))[:count])
            used[rows[-1]] += 1
        return np.array(rows)


def stepped(own: Tensor, items: Tensor, targets: Tensor, length: float) -> Tensor:
    """``items`` after a step of ``length`` down the BPR loss of the ``targets`` for fake users' embeddings ``own``.

    A pair's negative is the mean over all items, so that with w = sigmoid(mean - s_ft) a target moves by the sum over f
    of w f, and all items by minus the mean over items of what the targets gain.
    """
    pull = torch.sigmoid(own @ items.mean(0, keepdim=True).T - own @ items[targets].T)  # (n, n_targets)
    gain = pull.T @ own
    return items.index_add(0, targets, length * gain) - length * gain.sum(0) / len(items)
