"""Random scores: uniform, unrelated, and the same whoever else is asked for."""

import numpy as np
import torch

from recpoison.data.interactions import Interactions
from recpoison.models.random import RandomModel
from recpoison.progress import Progress
from recpoison.seeds import Seeds


def scores(seed: int, users: torch.Tensor, n_users: int = 1000) -> torch.Tensor:
    data = Interactions(np.zeros(1), np.zeros(1), np.ones(1), n_users, 500)
    model = RandomModel()
    return model.scores(model.fit(data, Seeds(seed), torch.device("cpu"), Progress()), data, users)


def test_uniform_and_unrelated():
    """Of 500,000 uniform numbers each tenth holds 50,000 ± 212; correlations of 1,000 rows are within ±0.045 · 4."""
    table = scores(0, torch.arange(1000))
    assert table.min() >= 0
    assert table.max() < 1
    assert np.abs(np.histogram(table, bins=10, range=(0, 1))[0] - 50_000).max() < 1_100
    for other in (table.roll(1, 0), table.roll(1, 1), scores(1, torch.arange(1000))):
        assert abs(np.corrcoef(table.flatten(), other.flatten())[0, 1]) < 0.01
    assert abs(table.mean(0) - 0.5).max() < 0.05
    assert abs(table.mean(1) - 0.5).max() < 0.07


def test_a_user_has_the_same_scores_in_every_block_and_with_fake_users():
    table = scores(0, torch.arange(1000))
    assert torch.equal(scores(0, torch.tensor([7, 999, 7])), table[[7, 999, 7]])
    assert torch.equal(scores(0, torch.tensor([999]), n_users=1100), table[[999]])
