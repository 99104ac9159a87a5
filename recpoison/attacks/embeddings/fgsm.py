"""FGSM on embeddings (Goodfellow et al. 2015; He et al., "Adversarial Personalized Ranking", SIGIR 2018)."""

from dataclasses import dataclass

import numpy as np

from recpoison.algebra.perturbation import DIRECTIONS
from recpoison.attacks.embeddings.base import GradientAttack, still
from recpoison.changes import EmbeddingShift
from recpoison.models.base import Fitted
from recpoison.progress import Progress
from recpoison.ranges import ranged
from recpoison.seeds import Seeds

_NORMS = {"row_l2": "row_l2", "matrix_l2": "matrix_l2", "sign": "linf"}


@dataclass(frozen=True, kw_only=True)
class FGSM(GradientAttack):
    """One step of size ``epsilon`` up the gradient of the loss at the fitted tables.

    The gradient is always taken at the fitted numbers: the MSAP authors' program takes it at the point that an earlier
    attack of the same process left.

    Args:
        direction: ``row_l2`` (each row ``epsilon`` long, as in the authors' code, where no sign is taken),
            ``matrix_l2`` (all tables together ``epsilon`` long, as equation 4 of MSAP is written), ``sign`` (every
            number ``epsilon``; equation 5 of the APR report) or ``value`` (``epsilon`` times the gradient, unbounded).

    Example:
        >>> data = Interactions([0, 0, 1], [0, 1, 1], [1] * 3, n_users=2, n_items=3)
        >>> model = BPRMF(embedding_size=4, trainer=Trainer(epochs=1))
        >>> fitted = NoDefense().fit(model, data, Seeds(0), torch.device("cpu"), Progress())
        >>> shift = FGSM(epsilon=0.5).perturb(fitted, np.array([]), Seeds(0), Progress())
        >>> round(shift.used("row_l2"), 4)
        0.5
    """

    direction: str = ranged("row_l2", words=DIRECTIONS)

    @property
    def limit(self) -> tuple[str, float] | None:
        """``epsilon`` in the norm of the direction; none for ``value``."""
        norm = _NORMS.get(self.direction)
        return None if norm is None else (norm, self.epsilon)

    def _craft(self, fitted: Fitted, targets: np.ndarray, seeds: Seeds, progress: Progress) -> EmbeddingShift:
        loss = self._loss(fitted, targets, seeds)
        # MSAP, eq. 4, with its Δ_0 of 0 and by default a norm for each row; by sign the APR report's eq. 5
        value, steps = self._uphill(loss, fitted, still(fitted), self.direction, 0)
        progress.step(1, 1, loss=value)
        return EmbeddingShift({name: self.epsilon * step for name, step in steps.items()})
