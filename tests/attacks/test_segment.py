import numpy as np
import pytest
import torch

from recpoison.attacks.profiles.segment import SegmentAttack, liked_together, most_similar
from recpoison.attacks.targets import Targets
from recpoison.data.interactions import Interactions, Scale
from recpoison.errors import ConfigError
from recpoison.progress import Progress

CPU = torch.device("cpu")


def owned_by(*owners: list[int], values: dict[int, float] | None = None) -> Interactions:
    """Item i belongs to the users ``owners[i]``; ``values`` makes every rating of an item the same."""
    items = np.concatenate([np.full(len(users), item) for item, users in enumerate(owners)])
    ratings = np.ones(len(items)) if values is None else np.array([values[item] for item in items])
    scale = None if values is None else Scale(1, 5)
    return Interactions(np.concatenate(owners).astype(int), items, ratings, 11, len(owners), scale)


GROUPS = ([0, 1, 2, 3, 4], [5, 6, 7, 8, 9, 10], [0, 1, 2], [9, 10])


def test_co_rated_items_share_users_who_lack_the_target():
    """Item 1 is the most popular, but two of its users have the target 3; three of item 0's users have item 2."""
    assert liked_together(owned_by(*GROUPS), np.array([3]), 2).tolist() == [0, 2]


def test_a_low_rating_is_no_liking():
    data = owned_by(*GROUPS, values={0: 1, 1: 5, 2: 5, 3: 3})
    assert liked_together(data, np.array([3]), 1).tolist() == [1]


def test_similar_items_have_the_targets_users():
    """Cosines to the target 3: 2 / sqrt(4 x 2), 2 / sqrt(2 x 2) and 0."""
    data = owned_by([0, 1, 2, 3], [0, 1], [5, 6, 7, 8, 9], [0, 1])
    assert most_similar(data, np.array([3]), 3).tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("settings", "selected"),
    [
        ({"select": "co_rated"}, [0, 2]),
        ({"select": "similar"}, [1, 0]),
        ({"select": "popular"}, [1, 0]),
        ({"select": "list", "selected_items": [2, 0]}, [2, 0]),
    ],
)
def test_selected_items_are_rated_highest_and_fillers_lowest(seeds, settings, selected):
    data = owned_by(*GROUPS, values={0: 4, 1: 4, 2: 4, 3: 4})
    attack = SegmentAttack(targets=Targets("list", [3]), n_fake_users=2, fillers=1, n_selected=2, **settings)
    change = attack.poison(data, np.array([3]), seeds, CPU, Progress())
    filler = ({0, 1, 2} - set(selected)).pop()
    assert change.items.reshape(2, 4).tolist() == [[3, *selected, filler]] * 2
    assert change.values.reshape(2, 4).tolist() == [[5, 5, 5, 1]] * 2


@pytest.mark.parametrize("items", [[3], [1, 1], [4]])
def test_listed_items_must_exist_once_and_be_no_target(seeds, items):
    attack = SegmentAttack(targets=Targets("list", [3]), n_fake_users=1, fillers=0, select="list", selected_items=items)
    with pytest.raises(ConfigError, match=r"attack\.selected_items is "):
        attack.poison(owned_by(*GROUPS), np.array([3]), seeds, CPU, Progress())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_selected": 0}, "attack.n_selected is 0"),
        ({"select": "fans"}, "attack.select is 'fans': choose one of co_rated, similar, popular, list"),
        ({"select": "list"}, "list needs items"),
        ({"selected_items": [1]}, "other rules take none"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        SegmentAttack(targets=Targets(), **settings)
