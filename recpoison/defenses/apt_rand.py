"""APT-rand: adversarial poisoning training with users of random items, the control of APT (Wu et al., SIGIR 2021)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recpoison.attacks.profiles.fillers import draw_fillers
from recpoison.defenses.adversarial_poisoning import AdversarialPoisoning
from recpoison.defenses.erm_users import Renewal


@dataclass(frozen=True, kw_only=True)
class APTRand(AdversarialPoisoning):
    """ERM users rate items drawn uniformly, without a look at the model (APT, section 5.1.3); all else is as in APT.

    Example:
        >>> data = Interactions([0, 0, 1, 1], [0, 1, 0, 2], [4, 2, 4, 2], n_users=2, n_items=3, scale=Scale(1, 5))
        >>> model = MF(embedding_size=2, trainer=Trainer(epochs=5, batch_size=4))
        >>> fitted = APTRand(erm_users=0.5, fillers=2).fit(model, data, Seeds(0), torch.device("cpu"), Progress())
        >>> fitted.params["user"].shape, fitted.data.n_users  # the ERM user is gone
        (torch.Size([2, 2]), 2)
    """

    def choose(self, renewal: Renewal) -> np.ndarray:
        """Uniform, without replacement."""
        nothing = np.zeros(0, dtype=np.int64)
        return draw_fillers(renewal.data.n_items, nothing, *renewal.shape, renewal.seeds.numpy("items"))
