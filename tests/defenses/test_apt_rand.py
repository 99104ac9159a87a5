"""APT-rand: its items are uniform and no influence is asked for."""

import numpy as np
import torch

from recpoison.data.interactions import Interactions, Scale
from recpoison.defenses.apt_rand import APTRand
from recpoison.defenses.erm_users import Renewal
from recpoison.models.mf import MF
from recpoison.progress import Progress
from recpoison.seeds import Seeds


def test_every_item_is_as_likely():
    """4,000 users with 3 of 12 items: each item has 1,000 of them, give or take 5 standard deviations of 27."""
    data = Interactions([0, 0, 1], [0, 3, 0], [4, 2, 5], n_users=2, n_items=12, scale=Scale(1, 5))
    plain = MF(2).objective(data, Seeds(0), torch.device("cpu"))
    items = APTRand(fillers=3).choose(Renewal(data, plain, {}, (4000, 3), Seeds(1), Progress()))
    assert all(len(set(row)) == 3 for row in items.tolist())
    counts = np.bincount(items.ravel(), minlength=12)
    assert (abs(counts - 1000) < 5 * 27.4).all()
