"""Fake users learned through the training of several surrogates at once (Tang, Wen and Wang 2020, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import normalize

from recpoison.attacks.profiles.bilevel import BilevelAttack, Look, Surrogate
from recpoison.attacks.profiles.bilevel_item_ae import paper_item_ae
from recpoison.attacks.profiles.bilevel_wrmf import paper_wrmf
from recpoison.attacks.profiles.unrolled import UnrolledTraining, check_surrogate
from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.models.edge_learner import EdgeLearner
from recpoison.seeds import Seeds
from recpoison.training.inner_problem import Unrollable


def _both() -> dict[str, Unrollable]:
    return {"wrmf": paper_wrmf(), "item_ae": paper_item_ae()}


@dataclass(frozen=True, kw_only=True)
class BilevelEnsembleAttack(BilevelAttack):
    """One matrix of fake users against several surrogates, so that it may transfer to a victim that is none of them.

    The paper proposes it and leaves it open. Objective and hit ratio are the means over the surrogates: both are of the
    same users, and a surrogate's objective is in nats whatever its scale. Gradients are not of one scale (a deeper or
    longer training has a larger one), so each fake user's row is the mean of the directions of the single surrogates'
    rows, times the mean of their lengths: equal surrogates, or one, give that surrogate's gradient. Forced targets are
    left out of directions and lengths.

    ``unroll_steps`` counts steps of each surrogate, and ``memory_limit`` holds for all together: what is kept for one
    is given up before the next is trained.

    Args:
        surrogates: The attacker's own models by name; each has its own streams.

    Raises:
        ConfigError: If there is no surrogate, or the training of one is not differentiated.

    Example:
        >>> data = Planted("planted", n_users=8).read(None, Seeds(0), Progress())
        >>> surrogate = WRMF(4, trainer=Trainer(epochs=10, optimizer="adam", learning_rate=0.1))
        >>> settings = {"n_fake_users": 2, "click_targets": True, "outer": OuterOptimizer(iterations=3)}
        >>> attack = BilevelEnsembleAttack(targets=Targets("list", [8]), surrogates={"wrmf": surrogate}, **settings)
        >>> fakes = attack.poison(data, np.array([8]), Seeds(0), torch.device("cpu"), Progress())
        >>> len(fakes.trace["HR"]), (fakes.items == 8).sum().item()  # before and after each step; both click item 8
        (4, 2)
    """

    surrogates: Mapping[str, Unrollable] = field(default_factory=_both, hash=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.surrogates:
            raise ConfigError("attack.surrogates is empty: give one model or more, by name")
        for name, model in self.surrogates.items():
            check_surrogate(model, f"attack.surrogates.{name}")

    @property
    def ranks(self) -> bool:
        """As of one surrogate, where any is so."""
        return any(isinstance(model, EdgeLearner) for model in self.surrogates.values())

    @property
    def _start_rank(self) -> int:
        return max(model.latent_size for model in self.surrogates.values())

    def _surrogate(
        self, data: Interactions, targets: Tensor, n_fakes: int, seeds: Seeds, device: torch.device
    ) -> Surrogate:
        members = [
            UnrolledTraining(
                self, model, f"attack.surrogates.{name}", data, targets, n_fakes, seeds.child(name), device
            )
            for name, model in self.surrogates.items()
        ]
        forced = targets if self.click_targets else targets[:0]

        def look(shown: Tensor, want_gradient: bool) -> Look:
            found = [member.train(shown, want_gradient) for member in members]
            figures = torch.stack([numbers for numbers, _ in found]).tolist()
            looks = [member.look(f, gradient) for member, f, (_, gradient) in zip(members, figures, found, strict=True)]
            return _mean(looks, forced)

        return look


def _mean(looks: Sequence[Look], forced: Tensor) -> Look:
    gradients = [look.gradient.index_fill(1, forced, 0.0) for look in looks if look.gradient is not None]
    gradient = None
    if gradients:
        directions = torch.stack([normalize(rows, dim=1, eps=torch.finfo(rows.dtype).tiny) for rows in gradients])
        lengths = torch.stack([rows.norm(dim=1, keepdim=True) for rows in gradients])
        gradient = directions.mean(0) * lengths.mean(0)
    objective = sum(look.objective for look in looks) / len(looks)
    return Look(objective, sum(look.hit_ratio for look in looks) / len(looks), gradient)
