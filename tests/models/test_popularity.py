"""Popularity counts distinct users."""

import torch

from recpoison.models.popularity import Popularity
from recpoison.progress import Progress


def test_counts_by_hand(tiny_explicit, seeds):
    params = Popularity().fit(tiny_explicit, seeds, torch.device("cpu"), Progress())
    assert Popularity().scores(params, tiny_explicit, torch.tensor([3, 0])).tolist() == [[3, 2, 3, 0, 0]] * 2
