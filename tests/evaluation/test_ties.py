"""Ties counted half: the expected values equal the mean over every order of the tied, walked through one by one."""

from itertools import permutations, product

import numpy as np
import pytest

from recpoison.evaluation import target_effect
from recpoison.evaluation.beyond_accuracy import expected_free_discovery
from recpoison.evaluation.metrics import AT_CUTOFF, auc, place_held_out
from recpoison.evaluation.ranks import ItemRanks
from recpoison.evaluation.ties import share_decided

COUNTS = np.arange(1, 9)


def ranks(scores, items, candidates, owned) -> ItemRanks:
    """One user's ``items`` among ``candidates``."""
    others = [[other for other in candidates if other != item] for item in items]
    above = [sum(scores[other] > scores[item] for other in row) for item, row in zip(items, others, strict=True)]
    ties = [sum(scores[other] == scores[item] for other in row) for item, row in zip(items, others, strict=True)]
    listed = [item in candidates for item in items]
    sizes = np.array([len(row) + 1 for row in others])
    zeros = np.zeros(len(items), dtype=int)
    columns = (np.array(column) for column in (items, above, ties, sizes, listed, owned))
    return ItemRanks(zeros, *columns)


def orders(scores):
    """Every order of all items that the scores allow."""
    levels = [np.flatnonzero(scores == level) for level in np.unique(scores)[::-1]]
    for order in product(*(permutations(level.tolist()) for level in levels)):
        yield [item for level in order for item in level]


def placed(part: ItemRanks, places) -> ItemRanks:
    """The same items with certain ``places``, ``(n_orders, n_items)``: one user an order."""
    places = np.array(places)
    copied = (np.tile(column, len(places)) for column in (part.items, part.candidates, part.listed, part.owned))
    items, candidates, listed, owned = copied
    users = np.repeat(np.arange(len(places)), places.shape[1])
    return ItemRanks(users, items, places.ravel(), 0 * places.ravel(), candidates, listed, owned)


def on_held_out(part: ItemRanks, ties: str, k: int) -> dict[str, float]:
    """Means over users."""
    held = place_held_out(part, ties)
    found = {label: metric(held, k) for label, metric in AT_CUTOFF.items()}
    found |= {"AUC": auc(held), "EFD": expected_free_discovery(held, COUNTS, k)}
    return {label: float(values.mean()) for label, values in found.items()}


def on_targets(part: ItemRanks, ties: str, k: int) -> dict[tuple[str, str], float]:
    """Means over users; None where nobody is counted."""
    found = {}
    for owners in ("missing", "excluded", "included"):
        for how in ("mean", "any"):
            found[owners, how] = target_effect.hit_ratio(part, ties, owners, how, k)
        found[owners, "NDCG"] = target_effect.ndcg(part, ties, owners, k)
        found[owners, "MeanRank"] = target_effect.mean_rank(part, ties, owners)
    return {name: float(one.values.mean()) if len(one.values) else None for name, one in found.items()}


@pytest.mark.parametrize("seed", range(40))
def test_held_out_metrics_are_means_over_all_orders(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 7))
    scores = rng.integers(0, rng.integers(1, 4), n)
    items = rng.choice(n, int(rng.integers(1, min(5, n))), replace=False).tolist()
    part = ranks(scores, items, range(n), [False] * len(items))
    for k in (1, 2, 4, n + 1):
        walked = placed(part, [[order.index(i) for i in items] for order in orders(scores)])
        assert on_held_out(part, "half", k) == pytest.approx(on_held_out(walked, "for", k), abs=1e-12)


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("seed", range(40))
def test_target_metrics_are_means_over_all_orders(seed, sampled):
    """A user's targets share one order; those that are no candidates (owned, outside a sample) count for no other."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 7))
    scores = rng.integers(0, rng.integers(1, 4), n)
    items = rng.choice(n, int(rng.integers(1, min(5, n))), replace=False).tolist()
    owned = (rng.random(len(items)) < 0.3).tolist()
    outside = [item for item, own in zip(items, owned, strict=True) if own or (sampled and rng.random() < 0.7)]
    candidates = [item for item in range(n) if item not in outside]
    part = ranks(scores, items, candidates, owned)
    places = [
        [sum(other in candidates for other in order[: order.index(item)]) for item in items] for order in orders(scores)
    ]
    for k in (1, 2, 4, n + 1):
        walked = on_targets(placed(part, places), "for", k)
        assert on_targets(part, "half", k) == pytest.approx(walked, abs=1e-12)


def test_half_by_hand():
    """One held-out item, nobody above it, tied with three negatives of nine: places 1 to 4, equally likely."""
    part = ItemRanks(*(np.array([value]) for value in (0, 5, 0, 3, 10, True, False)))
    found = on_held_out(part, "half", 2)
    assert found["HR"] == found["Recall"] == pytest.approx(2 / 4)
    assert found["Precision"] == pytest.approx(1 / 4)
    assert found["MRR"] == found["MAP"] == pytest.approx((1 + 1 / 2) / 4)
    assert found["NDCG"] == pytest.approx((1 + 1 / np.log2(3)) / 4)
    assert found["AUC"] == pytest.approx(1 - 1.5 / 9)
    assert target_effect.mean_rank(part, "half", "missing").values.tolist() == [2.5]


def test_two_held_out_items_in_one_tie_by_hand():
    """Two of four tied: the first is on top in half of the orders; one of the first two in five of six."""
    part = ItemRanks(*(np.array(column) for column in ([0, 0], [3, 5], [0, 0], [3, 3], [4, 4], [1, 1], [0, 0])))
    assert on_held_out(part, "half", 1)["HR"] == pytest.approx(1 / 2)
    assert on_held_out(part, "half", 2)["HR"] == pytest.approx(5 / 6)
    assert on_held_out(part, "half", 4)["MRR"] == pytest.approx((3 * 1 + 2 / 2 + 1 / 3) / 6)
    assert on_held_out(part, "half", 4)["AUC"] == pytest.approx(1 / 2)


def test_auc_and_mean_rank_lie_halfway_between_for_and_against():
    rng = np.random.default_rng(0)
    n, above, ties = 500, rng.integers(0, 50, 500), rng.integers(0, 40, 500)
    part = ItemRanks(np.arange(n), np.zeros(n, int), above, ties, np.full(n, 90), np.ones(n, bool), np.zeros(n, bool))
    areas = [auc(place_held_out(part, rule)) for rule in ("for", "half", "against")]
    assert areas[1] == pytest.approx((areas[0] + areas[2]) / 2)
    places = [target_effect.mean_rank(part, rule, "missing").values for rule in ("for", "half", "against")]
    assert places[1] == pytest.approx((places[0] + places[2]) / 2)


def test_share_decided_by_hand():
    """Of four ranks, two are tied; one lies across the end of a list of 3, and both begin inside a list of 9."""
    above, ties = np.array([0, 2, 8, 1]), np.array([0, 1, 5, 0])
    assert share_decided(above, ties, ["AUC", "HR"], [3]) == 1 / 2
    assert share_decided(above, ties, ["HR"], [3]) == 1 / 4
    assert share_decided(above, ties, ["Recall"], [2]) == 0
    assert share_decided(above, ties, ["NDCG"], [3]) == 1 / 4
    assert share_decided(above, ties, ["NDCG"], [9, 3]) == 1 / 2
    assert share_decided(above, ties, ["Entropy"], [3]) == 0
    assert share_decided(above[:0], ties[:0], ["AUC"], [3]) == 0
