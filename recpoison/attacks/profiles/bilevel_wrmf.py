"""Fake users learned through the training of WRMF (Tang, Wen and Wang 2020, sections 3.1 and 3.2)."""

from __future__ import annotations

from dataclasses import dataclass, field

from recpoison.attacks.profiles.unrolled import UnrolledAttack
from recpoison.models.wrmf import WRMF
from recpoison.training.trainer import Trainer


def paper_wrmf() -> WRMF:
    """The surrogate of the paper's synthetic experiment."""
    trainer = Trainer(100, 2048, optimizer="adam", learning_rate=0.5, initial_accumulator=0.0, eps=1e-8)
    return WRMF(embedding_size=16, weight=20.0, regularization=0.0, trainer=trainer)


@dataclass(frozen=True, kw_only=True)
class BilevelWRMFAttack(UnrolledAttack):
    """Differentiates through every step of WRMF's training, as the paper does, but never builds users x items.

    The gradient equals that of the authors' dense code: the value inside the square is the only way from a fake user
    to the model, and the weight of a cell is not differentiated. Every iteration starts from the same initial values
    and batches, which come from streams of the attack, not of the victim. With ``unroll_steps: 0`` the gradient is
    exactly 0.

    Args:
        surrogate: The attacker's own model. Defaults are the paper's for synthetic data; steps of training are
            counted in batches, so its 100 epochs on 1,000 users are 100 steps.

    Example:
        >>> data = Planted("planted", n_users=8).read(None, Seeds(0), Progress())
        >>> surrogate = WRMF(4, trainer=Trainer(epochs=10, optimizer="adam", learning_rate=0.1))
        >>> settings = {"n_fake_users": 2, "click_targets": True, "outer": OuterOptimizer(iterations=3)}
        >>> attack = BilevelWRMFAttack(targets=Targets("list", [8]), surrogate=surrogate, **settings)
        >>> fakes = attack.poison(data, np.array([8]), Seeds(0), torch.device("cpu"), Progress())
        >>> len(fakes.trace["HR"]), (fakes.items == 8).sum().item()  # before and after each step; both click item 8
        (4, 2)
    """

    surrogate: WRMF = field(default_factory=paper_wrmf)
