"""Random noise on embeddings: what an attack must beat (He et al., "Adversarial Personalized Ranking", SIGIR 2018)."""

from dataclasses import dataclass

import numpy as np
import torch

from recpoison.algebra.perturbation import direction
from recpoison.attacks.base import EmbeddingAttack
from recpoison.attacks.embeddings.base import still
from recpoison.changes import EmbeddingShift
from recpoison.models.base import Fitted
from recpoison.progress import Progress
from recpoison.ranges import check_ranges, ranged
from recpoison.seeds import Seeds

DISTRIBUTIONS = ("gaussian", "uniform")


@dataclass(frozen=True, kw_only=True)
class Noise(EmbeddingAttack):
    """Every row of every table moves by ``epsilon``, whatever the loss.

    Args:
        epsilon: L2 norm of each row's shift.
        distribution: ``gaussian`` (every direction is equally likely; the APR authors cut it at two standard
            deviations) or ``uniform`` (numbers from -1 to 1), before rows are normalised.

    Example:
        >>> data = Interactions([0, 0, 1], [0, 1, 1], [1] * 3, n_users=2, n_items=3)
        >>> model = BPRMF(embedding_size=4, trainer=Trainer(epochs=1))
        >>> fitted = NoDefense().fit(model, data, Seeds(0), torch.device("cpu"), Progress())
        >>> shift = Noise(epsilon=0.5).perturb(fitted, np.array([]), Seeds(0), Progress())
        >>> round(shift.used("row_l2"), 4)
        0.5
    """

    epsilon: float = ranged(0.5, low=0.0)
    distribution: str = ranged("gaussian", words=DISTRIBUTIONS)

    def __post_init__(self) -> None:
        check_ranges(self, "attack")

    @property
    def limit(self) -> tuple[str, float]:
        """Rows are ``epsilon`` long."""
        return "row_l2", self.epsilon

    def _craft(self, fitted: Fitted, targets: np.ndarray, seeds: Seeds, progress: Progress) -> EmbeddingShift:
        noise = {}
        for name, table in still(fitted).items():
            rng, shape = seeds.numpy("noise", name), tuple(table.shape)
            numbers = rng.standard_normal(shape) if self.distribution == "gaussian" else rng.uniform(-1, 1, shape)
            noise[name] = torch.from_numpy(numbers)
        return EmbeddingShift(
            {name: (self.epsilon * row).to(fitted.params[name]) for name, row in direction(noise, "row_l2").items()}
        )
