import numpy as np
import pytest

from recpoison.attacks.targets import Targets
from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError


@pytest.fixture
def ladder() -> Interactions:
    """101 items; item i has i users, so the p-th percentile of popularity is p."""
    items = np.repeat(np.arange(101), np.arange(101))
    users = np.concatenate([np.arange(count) for count in range(101)])
    labels = np.array([f"film-{item}" for item in range(101)])
    return Interactions(users, items, np.ones(len(items)), 100, 101, item_labels=labels)


@pytest.mark.parametrize(
    ("rule", "bucket"),
    [
        ("head", range(96, 101)),
        ("upper_torso", range(76, 95)),
        ("lower_torso", range(51, 75)),
        ("tail", range(50)),
        ("unpopular", range(5)),
        ("rare", range(1, 51)),
        ("medium", range(75, 96)),
        ("popular", range(95, 101)),
        ("random", range(101)),
    ],
)
def test_a_rule_draws_from_its_bucket_and_no_further(ladder, rule, bucket):
    everything = Targets(rule, count=len(bucket)).choose(ladder, np.random.default_rng(0))
    assert everything.tolist() == list(bucket)
    with pytest.raises(
        ConfigError, match=rf"attack.targets.count is {len(bucket) + 1}, but only {len(bucket)} of the 101"
    ):
        Targets(rule, count=len(bucket) + 1).choose(ladder, np.random.default_rng(0))


@pytest.mark.parametrize(("rule", "items"), [("rare", [1, 2, 3]), ("medium", [1, 2, 3]), ("popular", [4])])
def test_no_such_bucket_is_empty_where_most_items_have_one_user(rule, items):
    """Users of items 0 to 4: none, one each, and three; strict bounds would leave ``tail`` the item that nobody has."""
    data = Interactions([0, 0, 0, 0, 1, 2], [1, 2, 3, 4, 4, 4], np.ones(6), 3, 5)
    assert Targets(rule, count=len(items)).choose(data, np.random.default_rng(0)).tolist() == items
    assert Targets("tail").choose(data, np.random.default_rng(0)).tolist() == [0]


def test_drawn_targets_ascend_and_follow_the_generator(ladder):
    draws = [Targets("random", count=5).choose(ladder, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert draws[0].tolist() == draws[1].tolist() == sorted(set(draws[0]))
    assert draws[0].tolist() != draws[2].tolist()


def test_listed_targets_keep_their_order(ladder):
    rng = np.random.default_rng(0)
    assert Targets("list", [7, 3, 100]).choose(ladder, rng).tolist() == [7, 3, 100]
    assert Targets("list", ["film-7", "film-3"], labels=True).choose(ladder, rng).tolist() == [7, 3]


def test_labels_that_look_like_numbers_are_found():
    data = Interactions(np.zeros(2), np.arange(2), np.ones(2), 1, 2, item_labels=np.array([50, 1485]))
    assert Targets("list", [1485], labels=True).choose(data, np.random.default_rng(0)).tolist() == [1]


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (Targets("list", [7, 101]), "attack.targets.items holds 101, .* 101 items are numbered 0 to 100.*labels=true"),
        (Targets("list", [-1]), "holds -1, "),
        (Targets("list", ["film-x"], labels=True), "holds film-x, .* 101 items are known by their ids in the source"),
    ],
)
def test_an_unknown_item_is_named(ladder, targets, message):
    with pytest.raises(ConfigError, match=message):
        targets.choose(ladder, np.random.default_rng(0))


def test_labels_need_labels(tiny_explicit):
    with pytest.raises(ConfigError, match=r"attack\.targets\.labels is true, but this dataset keeps no item ids"):
        Targets("list", [1], labels=True).choose(tiny_explicit, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rule": "tails"}, "attack.targets.rule is 'tails': choose one of list, random"),
        ({"rule": "list"}, "rule list needs items"),
        ({"rule": "random", "items": [1]}, "other rules take none"),
        ({"rule": "list", "items": [1, 1]}, "list each item once"),
        ({"count": 0}, "attack.targets.count is 0"),
        ({"below": 0}, "attack.targets.below is 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        Targets(**settings)
