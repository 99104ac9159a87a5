import numpy as np
import pytest

from recpoison.data.interactions import Interactions, Scale
from recpoison.defenses.detectors.fap import FAP
from recpoison.defenses.labels import Labels
from recpoison.errors import ConfigError

CHAIN = Interactions([0, 0, 1, 1, 2, 3], [0, 1, 1, 2, 2, 3], [1] * 6, 5, 4)  # users 0 - 1 - 2, user 3 apart, 4 empty


def test_rounds_by_hand():
    """User 2 is fake and user 4, without rows, is not. Round 1: item 2 has 1/2, so user 1 has 1/4. Round 2: items 0, 1
    and 2 have 0, 1/8 and 5/8, so users 0 and 1 have 1/16 and 3/8."""
    data = CHAIN.take(CHAIN.users != 3)
    fake = np.array([False, False, True, False, False])
    one, two = (FAP(rounds=n)._learned(data, fake, ~fake).tolist() for n in (1, 2))
    assert one == [0, 0.25, 1, -1, -1]
    assert two == [0.0625, 0.375, 1, -1, -1]


def test_in_the_limit_all_whom_a_walk_reaches_are_suspected_and_others_never():
    fake = np.array([False, False, True, False, False])
    found = FAP(rounds=400)._learned(CHAIN, fake, ~fake)
    assert found[:3] == pytest.approx(1)
    assert found[3] == 0


def test_order_is_that_of_the_mean_over_random_starts():
    rng = np.random.default_rng(0)
    seen = rng.random((15, 10)) < 0.4
    users, items = seen.nonzero()
    data = Interactions(users, items, np.ones(len(users)), 15, 10)
    fake = np.arange(15) == 3
    to_users = seen / np.maximum(seen.sum(1, keepdims=True), 1)
    to_items = (seen / np.maximum(seen.sum(0), 1)).T
    chance = np.where(fake[:, None], 1, rng.random((15, 4000)))
    for _ in range(3):
        chance = np.where(fake[:, None], 1, to_users @ (to_items @ chance))
    want = chance.mean(axis=1)
    found = FAP(rounds=3)._learned(data, fake, ~fake)
    assert (1 - found) / 2 == pytest.approx(1 - want, abs=0.01)  # a start of mean 1/2 halves what is left


def test_a_rating_far_from_the_means_weighs_more():
    """Ratings 4 and 2 of user 0 and 4 of users 1 and 2: means 3 and 4 of users, 4 and 3 of items, 3.5 of all."""
    data = Interactions([0, 0, 1, 2], [0, 1, 0, 1], [4, 2, 4, 4], 3, 2, Scale(1, 5))
    weigh = 1 + 1 / 3 + 0 + 0.5 / 3.5, 1 + 1 / 3 + 1 / 3 + 1.5 / 3.5, 1 + 0.5 / 3.5, 1 + 1 / 3 + 0.5 / 3.5
    fake = np.array([False, True, False])
    item = weigh[2] / (weigh[0] + weigh[2])
    want = item * weigh[0] / (weigh[0] + weigh[1])
    assert FAP(rounds=1)._learned(data, fake, ~fake)[0] == pytest.approx(want)


def test_no_round_is_refused():
    with pytest.raises(ConfigError, match=r"defense\.detector\.rounds is 0"):
        FAP(Labels(), rounds=0)
