"""Vulnerability-aware adversarial training (Zhang, Cao, Wu, Shen, Sun and Cheng, RecSys 2024)."""

from __future__ import annotations

from dataclasses import dataclass

from recpoison.defenses.adversarial_training import AdversarialTraining
from recpoison.ranges import ranged
from recpoison.training.inner_attack import InnerAttack
from recpoison.training.magnitudes import Magnitude

_LOSSES = {"sum": "loss", "mean": "mean_loss"}


@dataclass(frozen=True, kw_only=True)
class VAT(AdversarialTraining):
    """Adversarial training that shifts well-fitted users' triples farther: these are who poison reaches first.

    Each row of each triple is shifted along its own gradient, as ``apr`` with ``unit=instance`` does, by ``epsilon``
    times ``user_lambda`` times sigmoid(L / L_u - 1): L_u is the user's loss in the batch, L the mean of it over the
    batch's users. A user of average loss has half of ``user_lambda``, so that 2 is ``apr`` where users are alike. The
    factor lies between 0.27 and 1 times ``user_lambda``.

    Works on ``bprmf``, by one numba kernel where its optimiser is SGD or Adagrad, and on ``lightgcn`` with
    ``model.shifted=final``. The authors take epsilon 0.6 on Gowalla and 0.5 on Yelp2018 with matrix factorisation, 0.3
    with LightGCN, and adversaries from epoch 5 on (``from_epoch=5 restart_optimizer=false``). Departure: the gradient
    that makes a shift has the regulariser, as in ``apr``.

    Args:
        epsilon: L2 norm of a row's shift where the user's factor is 1.
        user_lambda: The largest factor; 2 in the paper.
        loss_of_user: ``sum`` of a user's losses in a batch (the authors, where who is drawn twice looks badly fitted),
            or their ``mean``.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Interactions([0, 0, 1, 1, 2], [0, 1, 0, 1, 0], [1] * 5, n_users=3, n_items=4)  # user 2 lacks item 1
        >>> model = BPRMF(embedding_size=4, trainer=Trainer(epochs=100))
        >>> fitted = VAT(epsilon=0.1).fit(model, data, Seeds(0), torch.device("cpu"), Progress())
        >>> fitted.scores(torch.tensor([2]))[0].argsort(descending=True)[:2].tolist()
        [0, 1]
    """

    epsilon: float = ranged(0.5, low=0.0)
    user_lambda: float = ranged(2.0, low=0.0, open_low=True)
    loss_of_user: str = ranged("sum", words=_LOSSES)

    def inner_attack(self) -> InnerAttack:
        """One step, with a factor for each user."""
        magnitude = Magnitude(_LOSSES[self.loss_of_user], self.user_lambda)
        return InnerAttack(self.epsilon, unit="instance", magnitude=magnitude)
