"""AMF-random: adversarial training against noise, the control of the APR paper (He, He, Du and Chua, SIGIR 2018)."""

from __future__ import annotations

from dataclasses import dataclass

from recpoison.defenses.adversarial_training import AdversarialTraining
from recpoison.ranges import ranged
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

    Example:
        >>> data = Interactions([0, 0, 1, 1, 2], [0, 1, 0, 1, 0], [1] * 5, n_users=3, n_items=4)  # user 2 lacks item 1
        >>> model = BPRMF(embedding_size=4, trainer=Trainer(epochs=100))
        >>> fitted = AMFRandom(epsilon=0.1).fit(model, data, Seeds(0), torch.device("cpu"), Progress())
        >>> fitted.scores(torch.tensor([2]))[0].argsort(descending=True)[:2].tolist()
        [0, 1]
    """

    epsilon: float = ranged(0.5, low=0.0)

    def inner_attack(self) -> InnerAttack:
        """No step, and a start that is noise."""
        return InnerAttack(self.epsilon, steps=0, noise=True)
