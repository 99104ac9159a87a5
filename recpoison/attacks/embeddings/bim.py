"""BIM on embeddings (Kurakin et al. 2017; Anelli et al., "Multi-Step Adversarial Perturbations", 2020)."""

from dataclasses import dataclass

from recpoison.algebra.perturbation import Tables
from recpoison.attacks.embeddings.base import still
from recpoison.attacks.embeddings.iterated import IteratedAttack
from recpoison.models.base import Fitted
from recpoison.seeds import Seeds


@dataclass(frozen=True, kw_only=True)
class BIM(IteratedAttack):
    """Steps up the gradient from the fitted tables."""

    def _start(self, fitted: Fitted, seeds: Seeds) -> Tables:
        return still(fitted)
