import numpy as np
import pytest
import torch

from recpoison.data.interactions import Interactions, Scale
from recpoison.defenses.detectors.degree_features import DegreeFeatures
from recpoison.defenses.detectors.un_rap import UnRAP
from recpoison.defenses.filter import FilterThenFit
from recpoison.defenses.filter_un_rap import FilterByUnRAP
from recpoison.errors import ConfigError, IncompatibleParts
from recpoison.models.popularity import Popularity
from recpoison.progress import Progress


@pytest.fixture
def pushed() -> Interactions:
    """30 users agree on 10 items; then 8 fake users rate these at random, and item 10 highest."""
    rng = np.random.default_rng(1)
    quality = np.tile([5, 4, 2, 1, 3], 2)
    real = np.clip(quality + rng.integers(0, 2, (30, 10)), 1, 5)
    fakes = np.hstack([rng.integers(1, 5, (8, 10)), np.full((8, 1), 5)])
    users, items = np.meshgrid(np.arange(30), np.arange(10), indexing="ij")
    data = Interactions(users.ravel(), items.ravel(), real.ravel(), 30, 11, Scale(1, 5))
    profile, item = np.meshgrid(np.arange(8), np.arange(11), indexing="ij")
    return data.with_fake_users(profile.ravel(), item.ravel(), fakes.ravel().astype(float), 8)


def test_scores_by_hand():
    """Users 0 and 1 rate with the items' means, user 2 against them, user 3 all alike; user 4 rates nothing."""
    users, items = np.repeat(np.arange(4), 2), np.tile([0, 1], 4)
    data = Interactions(users, items, [5, 1, 5, 1, 2, 4, 3, 3], 5, 2, Scale(1, 5))
    means = np.array([15 / 4, 9 / 4])  # all: 3
    aligned = ((2 - means[0] + 3) ** 2 + (-2 - means[1] + 3) ** 2) / 8
    against = ((-1 - means[0] + 3) ** 2 + (1 - means[1] + 3) ** 2) / 2
    found = UnRAP().scores(data)
    assert found == pytest.approx([aligned, aligned, against, 0, -1])


def test_the_window_ends_after_the_last_user_who_pushes_the_target(pushed):
    detector = UnRAP(window=5)
    scores = detector.scores(pushed)
    assert set(np.argsort(-scores)[:8]) == set(range(30, 38))
    assert detector.cut(pushed, scores) == 8
    assert sorted(FilterByUnRAP(detector, suspected=None).suspects(pushed).tolist()) == list(range(30, 38))


def test_what_sees_ratings_alone_is_refused_on_implicit_data():
    for defense in (FilterByUnRAP(), FilterThenFit(DegreeFeatures("rdma"))):
        with pytest.raises(IncompatibleParts, match="works with ratings, and these data have none"):
            defense.check_ratings(False)
    FilterThenFit(DegreeFeatures()).check_ratings(False)


def test_own_rule_where_there_is_none_is_refused():
    with pytest.raises(ConfigError, match="PCASelectUsers ranks users and does not say how many are fake"):
        FilterThenFit(suspected=None)


def test_no_window_is_refused():
    with pytest.raises(ConfigError, match=r"defense\.detector\.window is 0"):
        UnRAP(window=0)


def test_the_fit_drops_them(pushed, seeds):
    fitted = FilterByUnRAP(UnRAP(window=5), suspected=None).fit(
        Popularity(), pushed, seeds, torch.device("cpu"), Progress()
    )
    assert fitted.scores(torch.tensor([0]))[0, 10] == 0
