import numpy as np
import pytest
import torch

from recpoison.attacks.profiles.power_users import PowerUsersAttack
from recpoison.attacks.targets import Targets
from recpoison.errors import ConfigError
from recpoison.progress import Progress

CPU = torch.device("cpu")


def rows(change, user: int) -> list[tuple[int, float]]:
    mine = change.profile == user
    return sorted(zip(change.items[mine].tolist(), change.values[mine].tolist(), strict=True))


def test_fake_users_are_copies_with_the_targets_at_the_top(tiny_explicit, seeds):
    attack = PowerUsersAttack(targets=Targets("list", [0]), n_fake_users=tiny_explicit.n_users + 1, rule="ratings")
    change = attack.poison(tiny_explicit, np.array([0]), seeds, CPU, Progress())
    order = np.lexsort((np.arange(tiny_explicit.n_users), -np.diff(tiny_explicit.seen.indptr)))
    for fake, user in enumerate([*order, order[0]]):
        real = tiny_explicit.csr[user]
        copied = {int(i): float(v) for i, v in zip(real.indices, real.data, strict=True)} | {0: 5.0}
        assert rows(change, fake) == sorted(copied.items())


def test_copied_ratings_are_the_users_own(tiny_explicit, seeds):
    """User 0 rated items 0, 1 and 2 with 5, 3 and 1."""
    attack = PowerUsersAttack(targets=Targets("list", [3]), n_fake_users=1, rule="ratings")
    change = attack.poison(tiny_explicit, np.array([3]), seeds, CPU, Progress())
    assert rows(change, 0) == [(0, 5), (1, 3), (2, 1), (3, 5)]


def test_a_share_of_a_copy_is_drawn(planted, seeds):
    attack = PowerUsersAttack(targets=Targets("list", [7]), n_fake_users=5, copied=3)
    change = attack.poison(planted.train, np.array([7]), seeds, CPU, Progress())
    assert np.bincount(change.profile).tolist() == [4] * 5
    assert (change.values == 1).all()
    whole = PowerUsersAttack(targets=Targets("list", [7]), n_fake_users=5)
    longer = whole.poison(planted.train, np.array([7]), seeds, CPU, Progress())
    for user in range(5):
        assert {item for item, _ in rows(change, user)} <= {item for item, _ in rows(longer, user)}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"rule": "fame"}, "attack.rule is 'fame': choose one of in_degree, similarity, ratings"),
        ({"neighbours": 0}, "attack.neighbours is 0: give 1 or more"),
        ({"copied": 0}, "attack.copied is 0: give 1 or more, or null"),
    ],
)
def test_ranges(setting, words):
    with pytest.raises(ConfigError, match=words):
        PowerUsersAttack(**setting)
