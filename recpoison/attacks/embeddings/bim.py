"""BIM on embeddings (Kurakin et al. 2017; Anelli et al., "Multi-Step Adversarial Perturbations", 2020)."""

from dataclasses import dataclass

import numpy as np

from recpoison.attacks.embeddings.base import still
from recpoison.attacks.embeddings.iterated import IteratedAttack
from recpoison.changes import EmbeddingShift
from recpoison.models.base import Fitted
from recpoison.progress import Progress
from recpoison.seeds import Seeds


@dataclass(frozen=True, kw_only=True)
class BIM(IteratedAttack):
    """Steps up the gradient from the fitted tables."""

    def _craft(self, fitted: Fitted, targets: np.ndarray, seeds: Seeds, progress: Progress) -> EmbeddingShift:
        return self._climb(still(fitted), fitted, targets, seeds, progress)
