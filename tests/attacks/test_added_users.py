"""Users that attacks on edges add: empty ones, samples of real ones, and centres of embeddings."""

import numpy as np
import pytest
from labelled_blocks import CPU, NO_TARGETS, some_edges

from recpoison.attacks.edges.added_users import central_users, sampled_users
from recpoison.attacks.edges.meta_attack import MetaAttack
from recpoison.attacks.edges.random_edges import RandomEdges
from recpoison.data.interactions import Edges, Interactions
from recpoison.errors import ConfigError
from recpoison.models.cf import CF
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.edges.trainer import EdgeTrainer

SMALL = CF(embedding_size=4, edge_trainer=EdgeTrainer(steps=5))


def of_users(given: Edges, n_users: int, count: int) -> list[set[int]]:
    return [set(given.items[given.users == n_users + number].tolist()) for number in range(count)]


def test_a_sampled_user_has_a_share_of_the_items_of_a_user_of_its_own() -> None:
    """Users u has items 10u to 10u + 9, so that whose items a sample holds can be read off."""
    users, items = np.repeat(np.arange(6), 10), np.arange(60)
    data = Interactions(users, items, np.ones(60), 7, 60)  # user 6 has nothing
    given = sampled_users(data, 6, 0.3, np.random.default_rng(0))
    samples = of_users(given, 7, 6)
    assert [len(own) for own in samples] == [3] * 6
    whose = [{item // 10 for item in own} for own in samples]
    assert sorted(min(one) for one in whose) == [0, 1, 2, 3, 4, 5]
    assert all(len(one) == 1 for one in whose)
    one = sampled_users(data, 2, 0.01, np.random.default_rng(0))
    assert [len(own) for own in of_users(one, 7, 2)] == [1, 1], "never none"


def test_a_central_user_has_the_items_of_the_user_nearest_to_a_centre() -> None:
    """Embeddings 0, 1, 5 and 10, 11, 15: the centres are 2 and 12, next to users 1 and 4."""
    data = Interactions(np.arange(6), np.arange(6), np.ones(6), 7, 6)
    points = np.array([0, 1, 5, 10, 11, 15, 1000.0])[:, None]  # the last has no row, and is no user to be like
    given = central_users(data, points, 2, seed=0)
    assert sorted(map(min, of_users(given, 7, 2))) == [1, 4]
    assert len(given.users) == 2


@pytest.mark.parametrize("make", [sampled_users, central_users])
def test_there_must_be_enough_real_users(make) -> None:
    data = Interactions([0, 1], [0, 1], [1, 1], n_users=3, n_items=2)
    rest = (0.5, np.random.default_rng(0)) if make is sampled_users else (0,)
    arguments = (3, *rest) if make is sampled_users else (np.zeros((3, 1)), 3, *rest)
    with pytest.raises(ConfigError, match=r"attack\.similar_users is 3, but 2 users have edges to be similar to"):
        make(data, *arguments)


def test_both_attacks_of_a_seed_add_the_same_similar_users() -> None:
    for kmeans in (False, True):
        settings = {"similar_users": 3, "kmeans": kmeans, "n_flips": 4, "surrogate": SMALL}
        both = [
            attack(**settings).poison(some_edges(), NO_TARGETS, Seeds(0), CPU, Progress())
            for attack in (RandomEdges, MetaAttack)
        ]
        assert all(np.array_equal(one, other) for one, other in zip(both[0].given, both[1].given, strict=True))
        assert len(both[0].given.users) > 3


def test_all_pairs_of_an_added_user_are_labelled() -> None:
    data = some_edges()
    for settings in ({"new_users": 2}, {"similar_users": 2}):
        change = RandomEdges(n_flips=5, **settings).poison(data, NO_TARGETS, Seeds(0), CPU, Progress())
        poisoned = change.apply(data)
        zeros, rows = (users >= data.n_users for users in (poisoned.zeros.users, poisoned.users))
        assert zeros.sum() + rows.sum() == 2 * data.n_items
        assert rows.sum() == 5 + len(change.given.users)
        assert change.eligible == 2 * data.n_items


def test_more_flips_than_added_users_have_zeros_are_refused() -> None:
    attack = RandomEdges(n_flips=40, similar_users=2)
    with pytest.raises(ConfigError, match=r"to flip 40 zeros, but its 2 added users have 3\d: lower attack\.n_flips"):
        attack.poison(some_edges(), NO_TARGETS, Seeds(0), CPU, Progress())
