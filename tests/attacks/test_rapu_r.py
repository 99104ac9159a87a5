"""RAPU-R: its lists by hand, turns of several targets, what the authors' slip makes of a target."""

from dataclasses import replace

import numpy as np
import pytest
from learned_fillers import CPU, IMPLICIT, N_ITEMS, N_REAL, some_data

from recpoison.attacks.profiles.rapu_r import RAPURAttack, candidates
from recpoison.attacks.targets import Targets
from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.progress import Progress
from recpoison.seeds import Seeds


def attack(**settings) -> RAPURAttack:
    defaults = {"targets": Targets("list", (3, 5)), "n_fake_users": 5, "fillers": 3, "popular_items": 1.0}
    return RAPURAttack(**(defaults | {"surrogate": IMPLICIT} | settings))


def craft(how, data, targets=(3, 5)):
    change = how.poison(data, np.array(targets), Seeds(0), CPU, Progress())
    return change.items.reshape(change.n_fakes, -1).tolist()


def plain(data, target, vector, users, allowed):
    """The best three of ``allowed`` in double precision."""
    params = IMPLICIT.fitted(data, Seeds(0).child("attack", "surrogate"), CPU, Progress()).params
    p, q = (params[name].double().numpy() for name in ("user", "item"))
    wanted = p[users].mean(0) + (q[target] if vector == "own" else q[target].mean())
    return sorted(allowed, key=lambda item: -q[item] @ wanted)[:3]


@pytest.mark.parametrize("vector", ["own", "mean_entry"])
@pytest.mark.parametrize("kind", ["explicit", "implicit"])
def test_each_targets_list_by_hand_and_fake_users_in_turn(vector, kind):
    data, free = some_data(kind), [item for item in range(N_ITEMS) if item not in (3, 5)]
    found = craft(attack(target_vector=vector, sampled_users=1.0), data)
    everybody = np.arange(N_REAL)
    lists = [[3, 5, *plain(data, target, vector, everybody, free)] for target in (3, 5)]
    assert found == [lists[0], lists[1], lists[0], lists[1], lists[0]]


def test_a_share_of_users_is_drawn_for_each_list():
    data, free = some_data("implicit"), [item for item in range(N_ITEMS) if item not in (3, 5)]
    for number, row in enumerate(craft(attack(sampled_users=0.25, lists="fake_user"), data)):
        rng = Seeds(0).child("attack").numpy("users", number)
        drawn = rng.choice(N_REAL, 5, replace=False)
        assert row == [3, 5, *plain(data, (3, 5)[number % 2], "own", drawn, free)]


def test_with_their_mean_entry_targets_hardly_differ():
    """The sum then has the same direction added for both targets, longer or shorter."""
    data = some_data("implicit")
    own, slip = (craft(attack(target_vector=vector, sampled_users=1.0), data) for vector in ("own", "mean_entry"))
    assert own[0][2:] != own[1][2:]
    assert len(set(slip[0][2:]) & set(slip[1][2:])) >= 2


def counts_down() -> Interactions:
    """Item i has 9 - i users."""
    pairs = np.array([(user, item) for item in range(9) for user in range(9 - item)])
    return Interactions(pairs[:, 0], pairs[:, 1], np.ones(len(pairs)), 9, 9)


@pytest.mark.parametrize(
    ("share", "least", "expected"),
    [(0.4, 1, [0, 1, 3, 4]), (1.0, 1, [0, 1, 3, 4, 5, 6, 7, 8]), (0.1, 1, [0]), (0.1, 3, [0, 1, 3])],
)
def test_fillers_are_among_the_most_popular_and_there_are_enough(share, least, expected):
    assert candidates(counts_down(), np.array([2]), share, least).tolist() == expected


def test_a_fake_user_more_draws_for_nobody_else():
    data, how = some_data("implicit"), attack(lists="fake_user", sampled_users=0.2)
    assert craft(replace(how, n_fake_users=6), data)[:5] == craft(how, data)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sampled_users": 0}, "attack.sampled_users is 0: give more than 0 and at most 1"),
        ({"popular_items": 1.5}, "attack.popular_items is 1.5: give more than 0 and at most 1"),
        ({"target_vector": "mean"}, "attack.target_vector is 'mean': choose one of own, mean_entry"),
        ({"lists": "user"}, "attack.lists is 'user': choose one of target, fake_user"),
    ],
)
def test_settings_out_of_range_are_named(settings, words):
    with pytest.raises(ConfigError, match=words):
        attack(**settings)
