import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score, roc_auc_score

from recpoison.evaluation.metrics import (
    auc,
    average_precision,
    hit_ratio,
    ndcg,
    place_held_out,
    precision,
    recall,
    reciprocal_rank,
)
from recpoison.evaluation.ranks import ItemRanks


def ranks_of(scores, positives) -> ItemRanks:
    """One user per row of ``scores``; all columns are candidates."""
    rows = [(user, item) for user, items in enumerate(positives) for item in items]
    above = [sum(scores[u] > scores[u][i]) for u, i in rows]
    ties = [sum(scores[u] == scores[u][i]) - 1 for u, i in rows]
    n = len(rows)
    users, items = np.array(rows).T
    full = np.full(n, len(scores[0]))
    return ItemRanks(users, items, np.array(above), np.array(ties), full, full > 0, np.zeros(n, dtype=bool))


def one_user(above, ties, candidates: int) -> ItemRanks:
    n = len(above)
    return ItemRanks(
        np.full(n, 7),
        np.arange(n),
        np.array(above, int),
        np.array(ties, int),
        np.full(n, candidates),
        np.ones(n, bool),
        np.zeros(n, bool),
    )


def test_one_held_out_item_by_hand():
    """Third of 11: one hit from k = 3 on; DCG ln 2 / ln 4 = 1/2; 2 of 10 negatives before it."""
    held = place_held_out(one_user([2], [0], 11), "against")
    assert held.users.tolist() == [7]
    assert [hit_ratio(held, k)[0] for k in (1, 2, 3, 10)] == [0, 0, 1, 1]
    assert ndcg(held, 10)[0] == pytest.approx(0.5)
    assert ndcg(held, 2)[0] == 0
    assert precision(held, 10)[0] == pytest.approx(0.1)
    assert recall(held, 10)[0] == 1
    assert reciprocal_rank(held, 10)[0] == pytest.approx(1 / 3)
    assert reciprocal_rank(held, 2)[0] == 0
    assert average_precision(held, 10)[0] == pytest.approx(1 / 3)
    assert auc(held)[0] == pytest.approx(0.8)


def test_three_held_out_items_by_hand():
    """Places 1, 3 and 8 (from 1) of 10: of 7 negatives 0, 1 and 5 stand before them."""
    held = place_held_out(one_user([7, 0, 2], [0, 0, 0], 10), "against")
    assert held.places.tolist() == [0, 2, 7]
    assert hit_ratio(held, 1)[0] == 1
    assert precision(held, 5)[0] == pytest.approx(2 / 5)
    assert recall(held, 5)[0] == pytest.approx(2 / 3)
    assert reciprocal_rank(held, 5)[0] == 1
    assert average_precision(held, 5)[0] == pytest.approx((1 + 2 / 3) / 3)
    assert average_precision(held, 2)[0] == pytest.approx(1 / 2)
    assert ndcg(held, 5)[0] == pytest.approx((1 + 1 / 2) / (1 + 1 / np.log2(3) + 1 / 2))
    assert ndcg(held, 2)[0] == pytest.approx(1 / (1 + 1 / np.log2(3)))
    assert auc(held)[0] == pytest.approx(1 - (0 + 1 + 5) / 3 / 7)


def test_ties_by_hand():
    """Two held-out items and one negative share the best score."""
    part = one_user([0, 0], [2, 2], 5)
    assert place_held_out(part, "for").places.tolist() == [0, 1]
    assert place_held_out(part, "against").places.tolist() == [1, 2]
    assert auc(place_held_out(part, "for"))[0] == 1
    assert auc(place_held_out(part, "against"))[0] == pytest.approx(1 - 1 / 3)


def test_a_user_without_negatives_has_no_auc():
    assert np.isnan(auc(place_held_out(one_user([0, 1], [0, 0], 2), "against"))[0])


def test_nobody():
    nobody = place_held_out(one_user([], [], 0), "against")
    assert len(nobody.users) == len(hit_ratio(nobody, 5)) == len(ndcg(nobody, 5)) == len(auc(nobody)) == 0


def random_case(seed: int, levels: int):
    """Scores on ``levels`` values, so that a few levels make many ties, and 1 to 6 held-out items a user."""
    rng = np.random.default_rng(seed)
    n_users, n_items = rng.integers(1, 5), rng.integers(8, 30)
    scores = rng.integers(0, levels, (n_users, n_items)).astype(float)
    positives = [rng.choice(n_items, rng.integers(1, 7), replace=False) for _ in range(n_users)]
    truth = np.zeros_like(scores)
    for user, items in enumerate(positives):
        truth[user, items] = 1
    return scores, positives, truth


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_auc_equals_scikit_learn(seed, levels):
    """Its area counts a tie half."""
    scores, positives, truth = random_case(seed, levels)
    part = ranks_of(scores, positives)
    ours = auc(place_held_out(part, "half"))
    assert ours == pytest.approx([roc_auc_score(t, s) for t, s in zip(truth, scores, strict=True)])


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 12), st.sampled_from(["for", "against"]))
def test_list_metrics_equal_peers(seed, levels, k, ties):
    """scikit-learn's NDCG and average precision, and list counting, on scores whose ties are broken as we say."""
    scores, positives, truth = random_case(seed, levels)
    held = place_held_out(ranks_of(scores, positives), ties)
    broken = scores + (truth if ties == "for" else -truth) * 0.5 + np.linspace(0, 0.1, scores.shape[1])
    assert ndcg(held, k) == pytest.approx([ndcg_score([t], [s], k=k) for t, s in zip(truth, broken, strict=True)])
    whole = scores.shape[1]
    expected = [average_precision_score(t, s) for t, s in zip(truth, broken, strict=True)]
    assert average_precision(held, whole) == pytest.approx(expected)
    for user, (t, s) in enumerate(zip(truth, broken, strict=True)):
        hits = t[np.argsort(-s)][:k]
        assert hit_ratio(held, k)[user] == float(hits.any())
        assert precision(held, k)[user] == pytest.approx(hits.sum() / k)
        assert recall(held, k)[user] == pytest.approx(hits.sum() / t.sum())
        assert reciprocal_rank(held, k)[user] == pytest.approx(1 / (hits.argmax() + 1) if hits.any() else 0)
        at_hits = [hits[: i + 1].mean() for i in np.flatnonzero(hits)]
        assert average_precision(held, k)[user] == pytest.approx(sum(at_hits) / min(k, t.sum()))
