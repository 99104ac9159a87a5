"""CW: the smallest shift against a general solver, and who is moved."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from recpoison.attacks.embeddings.cw import CW
from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.models.base import Fitted
from recpoison.models.bprmf import BPRMF
from recpoison.progress import Progress
from recpoison.seeds import Seeds

NOBODY = np.zeros(0, dtype=np.int64)


@pytest.fixture
def small() -> Fitted:
    """3 users x 4 items, user 0 has item 3; it is now recommended item 0, and item 2 comes last."""
    data = Interactions(np.array([0, 1, 2]), np.array([3, 0, 1]), np.ones(3), 3, 4)
    item = torch.tensor([[1.0, 0.3], [0.6, 0.5], [0.1, 0.4], [0.9, 0.9]])
    return Fitted(
        BPRMF(embedding_size=2), {"user": torch.tensor([[1.0, 0.2], [0.5, 0.5], [0.1, 1.0]]), "item": item}, data
    )


def shift(attack, victim, targets=NOBODY):
    return attack.perturb(victim, targets, Seeds(0), Progress())


def shortest(victim, target, cutoff):
    """Length of the least shift after which ``target`` of user 0 is not below the ``cutoff``-th of its other items."""
    p, q = victim.params["user"][0].numpy(), victim.params["item"].numpy()
    rivals = [item for item in range(3) if item != target]
    lengths = []
    for beaten in [[r] for r in rivals] if cutoff == 2 else [rivals]:

        def lacks(x, beaten=beaten):
            scores = (q + x[2:].reshape(4, 2)) @ (p + x[:2])
            return scores[target] - scores[beaten]

        found = minimize(lambda x: x @ x, np.full(10, 0.01), constraints={"type": "ineq", "fun": lacks}, method="SLSQP")
        assert found.success
        lengths.append(found.fun**0.5)
    return min(lengths)


@pytest.mark.parametrize("cutoff", [1, 2])
def test_the_shift_is_the_smallest(small, cutoff):
    attack = CW(users=(0,), cutoff=cutoff, steps=150, learning_rate=0.01, searches=5)
    moved = shift(attack, small, np.array([2]))
    length = sum(float(table.square().sum()) for table in moved.tables.values()) ** 0.5
    best = shortest(small, 2, cutoff)
    assert best <= length < 1.01 * best
    scores = small.model.scores(moved.apply(small.params), small.data, torch.tensor([0]))[0]
    assert (scores[:2] >= scores[2]).sum() < cutoff


def test_the_first_item_leaves_the_list(small):
    moved = shift(CW(goal="untargeted", users=(0,), cutoff=1, steps=80, searches=3), small)
    scores = small.model.scores(moved.apply(small.params), small.data, torch.tensor([0]))[0]
    assert scores[:3].argmax() == 1
    assert (moved.tables["user"][1:] == 0).all()  # not chosen
    assert (moved.tables["item"][3] == 0).all()  # seen by the chosen user


def test_targets_enter_the_lists_of_all_chosen_users(victim):
    chosen = (0, 5, 6)
    attack = CW(users=chosen, cutoff=3, steps=150, learning_rate=0.03, searches=3)
    moved = shift(attack, victim, np.array([40]))
    scores = victim.model.scores(moved.apply(victim.params), victim.data, torch.arange(40))
    scores[torch.from_numpy(victim.data.seen.toarray() > 0)] = -torch.inf
    places = (scores > scores[:, 40:41]).sum(1)
    assert (places[list(chosen)] < 3).all()
    others = [user for user in range(40) if user not in chosen]
    assert (moved.tables["user"][others] == 0).all()


def test_a_bound_is_kept_and_costs_wishes(small):
    attack = CW(users=(0,), cutoff=1, epsilon=0.05, steps=60, searches=3)
    moved = shift(attack, small, np.array([2]))
    assert moved.used("row_l2") <= 0.05 * (1 + 1e-5)
    scores = small.model.scores(moved.apply(small.params), small.data, torch.tensor([0]))[0]
    assert scores[:3].argmax() == 0


def test_confidence_asks_for_a_margin(small):
    margins = []
    for confidence in (0.0, 0.5):
        attack = CW(users=(0,), cutoff=1, confidence=confidence, constant=100.0, searches=1, steps=80)
        moved = shift(attack, small, np.array([2]))
        margins.append(sum(float(table.square().sum()) for table in moved.tables.values()))
    assert margins[1] > margins[0]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"users": (7,)}, r"attack\.users holds 7, but users are numbered 0 to 2"),
        ({"users": (0,), "cutoff": 3}, "no chosen user can be attacked"),
    ],
)
def test_what_the_data_cannot_do_is_refused(small, settings, text):
    with pytest.raises(ConfigError, match=text):
        shift(CW(**settings), small, np.array([2]))


@pytest.mark.parametrize(
    ("field", "value"), [("cutoff", 0), ("steps", 0), ("searches", 0), ("n_users", 0), ("constant", 0.0), ("goal", "x")]
)
def test_bad_settings_are_refused(field, value):
    with pytest.raises(ConfigError, match=rf"attack\.{field} is "):
        CW(**{field: value})


def test_a_search_from_too_large_a_weight_finds_a_shorter_shift(small):
    sizes = []
    for searches in (1, 6):
        moved = shift(CW(users=(0,), cutoff=1, constant=100.0, searches=searches, steps=100), small, np.array([2]))
        sizes.append(sum(float(table.square().sum()) for table in moved.tables.values()))
    assert sizes[1] < 0.95 * sizes[0]
