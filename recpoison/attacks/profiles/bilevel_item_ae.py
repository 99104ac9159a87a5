"""Fake users learned through the training of an item autoencoder (Tang, Wen and Wang 2020, section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass, field

from recpoison.attacks.profiles.unrolled import UnrolledAttack
from recpoison.models.item_ae import ItemAE
from recpoison.training.trainer import Trainer


def paper_item_ae() -> ItemAE:
    """The surrogate of the paper's synthetic experiment, as in its authors' notebook."""
    trainer = Trainer(100, 100_000, optimizer="adam", learning_rate=0.01, initial_accumulator=0.0, eps=1e-8)
    return ItemAE((64, 32), "selu", weight=20.0, regularization=0.0, trainer=trainer)


@dataclass(frozen=True, kw_only=True)
class BilevelItemAEAttack(UnrolledAttack):
    """Differentiates through an item autoencoder: what it reads when it scores, and any number of its training steps.

    An item's scores depend on who has it, so the gradient is not 0 with ``unroll_steps: 0``: the "partial derivative"
    of the paper's section 3.3, which costs no more than a fit. Unrolled steps add what fake users do to the weights,
    as input and as what is to be written. The authors' two variants on Gowalla keep the projected matrix and take
    row-normalised steps of 1 with momentum 0.95: ``item_ae`` unrolls 5 epochs (35 steps), with threshold 0.1 and free
    targets; ``item_ae_pd`` unrolls nothing, with threshold 0.05 and ``click_targets``.

    Every iteration starts from the same initial values and batches, which come from streams of the attack, not of the
    victim.

    Args:
        surrogate: The attacker's own model. Defaults are the paper's for synthetic data: every step is on all items.

    Example:
        >>> data = Planted("planted", n_users=8).read(None, Seeds(0), Progress())
        >>> surrogate = ItemAE((4,), trainer=Trainer(epochs=10, optimizer="adam", learning_rate=0.1))
        >>> settings = {"n_fake_users": 2, "click_targets": True, "outer": OuterOptimizer(iterations=3)}
        >>> attack = BilevelItemAEAttack(targets=Targets("list", [8]), surrogate=surrogate, **settings)
        >>> fakes = attack.poison(data, np.array([8]), Seeds(0), torch.device("cpu"), Progress())
        >>> len(fakes.trace["HR"]), (fakes.items == 8).sum().item()  # before and after each step; both click item 8
        (4, 2)
    """

    surrogate: ItemAE = field(default_factory=paper_item_ae)
