"""AMF-random: adversarial training against noise, the control of the APR paper (He, He, Du and Chua, SIGIR 2018)."""

from __future__ import annotations

from dataclasses import dataclass

from recpoison.defenses.adversarial_training import AdversarialTraining
from recpoison.training.inner_attack import InnerAttack


@dataclass(frozen=True, kw_only=True)
class AMFRandom(AdversarialTraining):
    """Minimises L(θ) + weight · L(θ + Δ), where every row of Δ is noise of norm ``epsilon``, redrawn for each batch.

    Noise is normal, cut at two standard deviations and normalised by rows, as in the authors' code. Rows that a batch
    does not look at have no part in its loss, so their noise is drawn only where the whole table is at hand.

    Args:
        epsilon: L2 norm of a row's noise.

    Raises:
        ConfigError: If a value is out of range.
    """

    epsilon: float = 0.5

    def inner_attack(self) -> InnerAttack:
        """No step, and a start that is noise."""
        return InnerAttack(self.epsilon, steps=0, noise=True)
