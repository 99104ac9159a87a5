from dataclasses import dataclass

import numpy as np
import pytest
import torch

from recpoison.data.interactions import Interactions
from recpoison.defenses.detectors.base import Detector
from recpoison.defenses.filter import FilterThenFit
from recpoison.errors import ConfigError
from recpoison.models.base import Model
from recpoison.progress import Progress

CPU = torch.device("cpu")


@dataclass(frozen=True)
class ShortProfiles(Detector):
    """The fewer items, the more suspicious."""

    def scores(self, data: Interactions) -> np.ndarray:
        return -data.user_counts.astype(float)


@dataclass(frozen=True)
class CoCounts(Model):
    """Scores an item by how many of a user's items were had together with it."""

    def fit(self, data, seeds, device, progress, monitor=None):
        seen = data.seen.toarray()
        return {"common": torch.from_numpy(seen.T @ seen)}

    def scores(self, params, data, users):
        return torch.from_numpy(data.seen[users.numpy()].toarray()) @ params["common"]


def fit(defense: FilterThenFit, data: Interactions, seeds):
    return defense.fit(CoCounts(), data, seeds, CPU, Progress())


def test_nothing_is_learned_from_a_suspect_who_is_still_served(tiny_explicit, seeds):
    """User 3 has item 1 alone. Users 0 to 2 teach: item 1 goes once with itself, once with 0 and once with 2."""
    fitted = fit(FilterThenFit(ShortProfiles(), 0.25), tiny_explicit, seeds)
    assert fitted.params["common"].tolist() == [[3, 1, 3, 0, 0], [1, 1, 1, 0, 0], [3, 1, 3, 0, 0], [0] * 5, [0] * 5]
    assert fitted.scores(torch.tensor([3])).tolist() == [[1, 1, 1, 0, 0]]
    assert fitted.removed.tolist() == [3]


def test_the_share_counts_all_users_and_is_rounded_down(tiny_explicit):
    poisoned = tiny_explicit.with_fake_users(np.array([0, 1]), np.array([3, 3]), np.array([5.0, 5]), 2)
    assert FilterThenFit(ShortProfiles(), 0.5).suspects(poisoned).tolist() == [3, 4, 5]
    assert FilterThenFit(ShortProfiles(), 0.49).suspects(poisoned).tolist() == [3, 4]


def test_a_share_of_nothing_is_the_plain_fit(tiny_explicit, seeds):
    plain = CoCounts().fit(tiny_explicit, seeds, CPU, Progress())
    assert torch.equal(fit(FilterThenFit(ShortProfiles(), 0.0), tiny_explicit, seeds).params["common"], plain["common"])


def test_a_share_of_less_than_one_user_is_refused(tiny_explicit, seeds):
    with pytest.raises(
        ConfigError, match=r"defense\.suspected=0\.01 of 4 users is less than one user: raise it to 0\.25"
    ):
        fit(FilterThenFit(ShortProfiles(), 0.01), tiny_explicit, seeds)


@pytest.mark.parametrize("suspected", [-0.1, 1.0])
def test_a_share_out_of_range_is_refused(suspected):
    with pytest.raises(ConfigError, match=r"defense\.suspected is .*give 0 or more, below 1"):
        FilterThenFit(ShortProfiles(), suspected)
