import re

import numpy as np
import pytest
from given_scores import CPU, given, look, numbers

from recpoison.data.interactions import Interactions
from recpoison.data.splitting import Split
from recpoison.errors import ConfigError
from recpoison.evaluation.counting import Rows
from recpoison.evaluation.full_ranking import FullRanking
from recpoison.evaluation.sampled import Sampled, draw_negatives
from recpoison.progress import Progress
from recpoison.seeds import Seeds


def lists_of(rows: Rows) -> list[list[int]]:
    return [rows.part(user, user + 1).items.tolist() for user in range(len(rows.starts) - 1)]


def test_negatives_are_different_and_unknown():
    known = Rows(np.array([0, 2, 2, 7]), np.array([1, 3, 0, 2, 4, 6, 8]))
    for seed in range(20):
        drawn = lists_of(draw_negatives(known, 10, 5, np.random.default_rng(seed)))
        for mine, theirs in zip(lists_of(known), drawn, strict=True):
            assert len(set(theirs)) == 5
            assert not set(theirs) & set(mine)
    assert sorted(drawn[2]) == [1, 3, 5, 7, 9]


def test_negatives_are_uniform():
    """Each of 8 free items is drawn by 3/8 of 8,000 users: within five standard deviations."""
    known = Rows(np.arange(8001) * 2, np.tile([0, 5], 8000))
    drawn = draw_negatives(known, 10, 3, np.random.default_rng(0)).items
    counts = np.bincount(drawn, minlength=10)
    assert counts[[0, 5]].sum() == 0
    assert np.abs(np.delete(counts, [0, 5]) - 3000).max() < 5 * np.sqrt(8000 * 3 / 8 * 5 / 8)


@pytest.fixture
def split() -> Split:
    """30 users and 40 items: user u has item u, holds out u + 1."""
    users = np.arange(30)
    train = Interactions(users, users, np.ones(30), 30, 40)
    return Split(train, Interactions(users, users + 1, np.ones(30), 30, 40))


def test_all_items_as_negatives_is_full_ranking(split):
    scores = np.random.default_rng(0).normal(size=(30, 40))
    sampled, full = Sampled(n_negatives=38, cutoffs=(5,)), FullRanking(cutoffs=(5,))
    some = numbers(sampled.measures(look(sampled, scores, split, [39])))
    assert some == numbers(full.measures(look(full, scores, split, [39])))


def test_draws_follow_the_seed_alone(split):
    evaluation = Sampled(n_negatives=9, cutoffs=(5,))
    scores = np.random.default_rng(0).normal(size=(30, 40))
    one, again, other = (look(evaluation, scores, split, seed=seed).lists for seed in (0, 0, 1))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    members = [np.sort(look(Sampled(n_negatives=9, cutoffs=(10,)), s, split).lists, axis=1) for s in (scores, -scores)]
    assert np.array_equal(*members)


def test_given_negatives_by_hand():
    """User 1 has given negatives 0, 3 and 4; two of them beat its held-out item 2. User 0 has none and is left out."""
    train = Interactions(np.array([0, 1]), np.array([0, 1]), np.ones(2), 2, 6)
    test = Interactions(np.array([1]), np.array([2]), np.ones(1), 2, 6)
    split = Split(train, test, negatives=np.array([[4, 0, 3]]))
    evaluation = Sampled(n_negatives=None, cutoffs=(2, 3))
    seen = look(evaluation, np.array([[0.0] * 6, [7, 9, 5, 1, 6, 8]]), split, [5])
    assert seen.lists.tolist() == [[0, 4, 2]]
    assert (seen.test.above[0], seen.test.candidates[0]) == (2, 4)
    assert seen.target.users.tolist() == [1]
    assert (seen.target.above[0], seen.target.candidates[0]) == (0, 5)
    assert evaluation.protocol["candidates"] == "held-out items and the negatives that the dataset ships"


def test_score_is_the_metric_of_the_table(split):
    evaluation = Sampled(n_negatives=9, cutoffs=(5,), select_metric="NDCG@5")
    scores = np.random.default_rng(0).normal(size=(30, 40))
    fitted = given(scores, split)
    table = numbers(evaluation.measures(evaluation.look(fitted, split, np.array([3]), Seeds(4), CPU, Progress())))
    assert evaluation.score(fitted, split, Seeds(4)) == table["test", "NDCG", 5]


def test_bad_settings_are_one_sentence(split):
    with pytest.raises(ConfigError, match=r"evaluation.n_negatives is 0: give 1 or more"):
        Sampled(n_negatives=0)
    with pytest.raises(ConfigError, match=r"evaluation.cutoffs has 50, but a user has 21 candidates"):
        Sampled(n_negatives=20)
    with pytest.raises(ConfigError, match="shipped negatives belong to the test items"):
        Sampled(n_negatives=None, select_on="valid")
    left = "evaluation.n_negatives is 39, but user 0 has 38 items left: give 38 or fewer, or evaluation=full_ranking"
    with pytest.raises(ConfigError, match=re.escape(left)):
        Sampled(n_negatives=39, cutoffs=(5,)).check_split(split)
    with pytest.raises(ConfigError, match="this dataset ships no negatives"):
        Sampled(n_negatives=None, cutoffs=(5,)).check_split(split)
    shipped = Split(split.train, split.test, negatives=np.zeros((30, 3), dtype=int))
    with pytest.raises(ConfigError, match=r"evaluation.cutoffs has 5, but a user has 4 candidates"):
        Sampled(n_negatives=None, cutoffs=(5,)).check_split(shipped)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"metrics": ("HR", "Coverage")}, "evaluation.metrics has Coverage, which"),
        ({"metrics": ("Entropy", "EFD")}, "evaluation.metrics has Entropy, EFD, which"),
        ({"select_metric": "EFD@10"}, "evaluation.select_metric has EFD, which"),
    ],
)
def test_what_would_measure_the_sample_is_refused(setting, told):
    with pytest.raises(ConfigError, match=f"^{told} would measure the sample .*: take evaluation=full_ranking, or"):
        Sampled(**setting)
