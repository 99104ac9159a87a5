import numpy as np
import pytest

from recpoison.evaluation.ranks import ItemRanks
from recpoison.evaluation.target_effect import hit_ratio, mean_rank, ndcg, rank_shift

# Users 0 to 3 and targets 8, 9. User 0 owns target 8, user 3 owns both.
USERS = np.repeat(np.arange(4), 2)
TARGETS = np.tile([8, 9], 4)
OWNED = np.array([1, 0, 0, 0, 0, 0, 1, 1], dtype=bool)
ABOVE = np.array([0, 3, 1, 40, 60, 70, 0, 5])
TIES = np.array([0, 0, 9, 0, 0, 0, 0, 0])


def part(above=ABOVE, ties=TIES) -> ItemRanks:
    return ItemRanks(USERS, TARGETS, np.asarray(above), ties, np.full(8, 100), ~OWNED, OWNED)


@pytest.mark.parametrize(
    ("owners", "how", "users", "values"),
    [
        ("missing", "mean", [0, 1, 2, 3], [1 / 2, 1 / 2, 0, 0]),
        ("excluded", "mean", [0, 1, 2], [1, 1 / 2, 0]),
        ("included", "mean", [0, 1, 2, 3], [1, 1 / 2, 0, 1]),
        ("missing", "any", [0, 1, 2, 3], [1, 1, 0, 0]),
        ("excluded", "any", [0, 1, 2], [1, 1, 0]),
        ("included", "any", [0, 1, 2, 3], [1, 1, 0, 1]),
    ],
)
def test_hit_ratio_by_hand(owners, how, users, values):
    found = hit_ratio(part(), "for", owners, how, 10)
    assert found.users.tolist() == users
    assert found.values.tolist() == values


def test_ties_move_the_place():
    """User 1's target 8 has one candidate above and nine beside it."""
    assert hit_ratio(part(), "for", "missing", "mean", 2).values[1] == 0.5
    assert hit_ratio(part(), "against", "missing", "mean", 10).values[1] == 0
    assert hit_ratio(part(), "against", "missing", "mean", 11).values[1] == 0.5


def test_ndcg_by_hand():
    assert ndcg(part(), "for", "included", 10).values == pytest.approx(
        [(1 + 1 / np.log2(5)) / 2, (1 / np.log2(3)) / 2, 0, (1 + 1 / np.log2(7)) / 2]
    )
    assert ndcg(part(), "for", "missing", 10).values == pytest.approx([1 / np.log2(5) / 2, (1 / np.log2(3)) / 2, 0, 0])
    assert ndcg(part(), "for", "excluded", 10).values[0] == pytest.approx(1 / np.log2(5))


def test_mean_rank_by_hand():
    assert mean_rank(part(), "for", "included").values.tolist() == [2.5, 21.5, 66, 3.5]
    for owners in ("missing", "excluded"):
        found = mean_rank(part(), "for", owners)
        assert found.users.tolist() == [0, 1, 2]
        assert found.values.tolist() == [4, 21.5, 66]


def test_rank_shift_is_positive_when_targets_rise():
    clean = part(above=ABOVE + np.array([0, 10, 10, 10, 20, 40, 0, 0]))
    found = rank_shift(part(), clean, "against", "missing")
    assert found.users.tolist() == [0, 1, 2]
    assert found.values.tolist() == [10, 10, 30]
    assert rank_shift(part(), part(), "against", "missing").values.tolist() == [0, 0, 0]


def test_rank_shift_refuses_other_pairs():
    with pytest.raises(ValueError, match="different users or targets"):
        rank_shift(part(), part().take(np.arange(6)), "against", "missing")


def test_definitions_of_public_code_follow_from_the_ranks():
    """Table D0 of the reference notes, computed from the record's columns alone, ties in the target's favour."""
    hits = (ABOVE < 10).reshape(4, 2)
    owned = OWNED.reshape(4, 2)
    in_list = hits & ~owned
    ours = {
        (owners, how): hit_ratio(part(), "for", owners, how, 10)
        for owners in ("missing", "excluded", "included")
        for how in ("mean", "any")
    }
    # revisit_adv_rec: any target in the list of users with test items (here all), an owner's target is masked.
    assert ours["missing", "any"].values.mean() == in_list.any(axis=1).mean() == 1 / 2
    # APT and TrialAttack: mean over (user, target) of a hit, owners miss.
    assert ours["missing", "mean"].values.mean() == in_list.mean() == 1 / 4
    # AUSH and Leg-UP: one target, users who do not own it.
    single = part().take(np.flatnonzero(TARGETS == 8))
    assert hit_ratio(single, "for", "excluded", "mean", 10).values.mean() == hits[~owned[:, 0], 0].mean() == 1 / 2
    # RecAD: users who own none of the targets.
    none = ~owned.any(axis=1)
    free = np.repeat(none, 2)
    assert hit_ratio(part().take(free), "for", "excluded", "mean", 10).values.mean() == hits[none].mean() == 1 / 4
    # VAT: mean over targets of the mean over those who do not own it.
    by_target = [hit_ratio(part().take(t == TARGETS), "for", "excluded", "mean", 10).values.mean() for t in (8, 9)]
    assert np.mean(by_target) == np.mean([hits[~owned[:, j], j].mean() for j in (0, 1)])
