"""Personalised-magnitude adversarial collaborative filtering (Zhang, Cao, Shen, Wu, Sun and Cheng, NeurIPS 2024)."""

from __future__ import annotations

from dataclasses import dataclass

from recpoison.defenses.adversarial_training import AdversarialTraining
from recpoison.ranges import ranged
from recpoison.training.inner_attack import InnerAttack
from recpoison.training.magnitudes import Magnitude

_LENGTHS = {"square": "square", "plain": "length"}


@dataclass(frozen=True, kw_only=True)
class PamaCF(AdversarialTraining):
    """Adversarial training that shifts the triples of users with long vectors farther.

    As ``vat``, with ``user_lambda`` times sigmoid(w_u / w - 1) for the factor: w_u is the squared length of the user's
    vector, w its mean over the triples of the batch. Where all are as long, 2 is ``apr`` with ``unit=instance``.

    Works on ``bprmf`` and on ``lightgcn`` with ``model.shifted=final``, as ``vat``. The authors take epsilon 0.9 on
    Gowalla and 0.5 on Yelp2018 with matrix factorisation, and adversaries from epoch 5 on.

    Args:
        epsilon: L2 norm of a row's shift where the user's factor is 1.
        user_lambda: The largest factor; 2 in the paper.
        length: Of a user's vector, ``square`` (the authors' code) or ``plain``.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Interactions([0, 0, 1, 1, 2], [0, 1, 0, 1, 0], [1] * 5, n_users=3, n_items=4)  # user 2 lacks item 1
        >>> model = BPRMF(embedding_size=4, trainer=Trainer(epochs=100))
        >>> fitted = PamaCF(epsilon=0.1).fit(model, data, Seeds(0), torch.device("cpu"), Progress())
        >>> fitted.scores(torch.tensor([2]))[0].argsort(descending=True)[:2].tolist()
        [0, 1]
    """

    epsilon: float = ranged(0.5, low=0.0)
    user_lambda: float = ranged(2.0, low=0.0, open_low=True)
    length: str = ranged("square", words=_LENGTHS)

    def inner_attack(self) -> InnerAttack:
        """One step, with a factor for each user."""
        magnitude = Magnitude(_LENGTHS[self.length], self.user_lambda)
        return InnerAttack(self.epsilon, unit="instance", magnitude=magnitude)
