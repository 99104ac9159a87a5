"""PGD on embeddings (Madry et al. 2018; Anelli et al., "Multi-Step Adversarial Perturbations", 2020)."""

from dataclasses import dataclass

import torch

from recpoison.algebra.perturbation import Tables
from recpoison.attacks.embeddings.base import still
from recpoison.attacks.embeddings.iterated import IteratedAttack
from recpoison.idle import Together
from recpoison.models.base import Fitted
from recpoison.ranges import ranged
from recpoison.seeds import Seeds

STARTS = ("uniform", "zero")


@dataclass(frozen=True, kw_only=True)
class PGD(IteratedAttack):
    """BIM from a random start. Rows without a gradient keep their start.

    Args:
        start: ``uniform`` or ``zero``, which is BIM.
        start_width: Every number of a uniform start lies within plus or minus this; 0.05 in the authors' code whatever
            ``epsilon`` is. It is brought within the bound after the first step.

    Example:
        >>> data = Interactions([0, 0, 1], [0, 1, 1], [1] * 3, n_users=2, n_items=3)
        >>> model = BPRMF(embedding_size=4, trainer=Trainer(epochs=1))
        >>> fitted = NoDefense().fit(model, data, Seeds(0), torch.device("cpu"), Progress())
        >>> shift = PGD(epsilon=0.5, steps=25).perturb(fitted, np.array([]), Seeds(0), Progress())
        >>> round(shift.used("row_l2"), 4)
        0.5
    """

    start: str = ranged("uniform", words=STARTS)
    start_width: float = ranged(0.05, low=0.0)

    def idle(self, parts: Together) -> dict[str, str]:
        """The width of a start that has none."""
        return super().idle(parts) | ({"start_width": "start is zero"} if self.start == "zero" else {})

    def _start(self, fitted: Fitted, seeds: Seeds) -> Tables:
        if self.start == "zero":
            return still(fitted)
        tables = {}
        for name, table in still(fitted).items():
            numbers = seeds.numpy("start", name).uniform(-self.start_width, self.start_width, table.shape)
            tables[name] = torch.from_numpy(numbers).to(table)
        return tables
