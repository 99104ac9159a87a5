"""BIM on embeddings (Kurakin et al. 2017; Anelli et al., "Multi-Step Adversarial Perturbations", 2020)."""

from dataclasses import dataclass

from recpoison.algebra.perturbation import Tables
from recpoison.attacks.embeddings.base import still
from recpoison.attacks.embeddings.iterated import IteratedAttack
from recpoison.models.base import Fitted
from recpoison.seeds import Seeds


@dataclass(frozen=True, kw_only=True)
class BIM(IteratedAttack):
    """Steps up the gradient from the fitted tables.

    Example:
        >>> data = Interactions([0, 0, 1], [0, 1, 1], [1] * 3, n_users=2, n_items=3)
        >>> model = BPRMF(embedding_size=4, trainer=Trainer(epochs=1))
        >>> fitted = NoDefense().fit(model, data, Seeds(0), torch.device("cpu"), Progress())
        >>> shift = BIM(epsilon=0.5, steps=25, projection="box").perturb(fitted, np.array([]), Seeds(0), Progress())
        >>> round(shift.used("linf"), 4)
        0.5
    """

    def _start(self, fitted: Fitted, seeds: Seeds) -> Tables:
        return still(fitted)
