from dataclasses import replace

import numpy as np
import pytest
from given_scores import given, look, numbers

from recpoison.data.interactions import Interactions
from recpoison.data.splitting import Split
from recpoison.errors import ConfigError
from recpoison.evaluation.full_ranking import FullRanking
from recpoison.evaluation.ranking import LABELS
from recpoison.seeds import Seeds


@pytest.fixture
def small() -> Split:
    """Two users and six items; user 0 has item 0 and holds out 1, user 1 has 5 and holds out 0 and 2."""
    train = Interactions(np.array([0, 1]), np.array([0, 5]), np.ones(2), 2, 6)
    return Split(train, Interactions(np.array([0, 1, 1]), np.array([1, 0, 2]), np.ones(3), 2, 6))


SCORES = np.array([[9.0, 4, 5, 3, 2, 1], [5, 1, 3, 4, 0, 9]])


def test_every_number_by_hand(small):
    """User 0: item 1 is second of five. User 1: items 0 and 2 are first and third of five.

    Target 5 is last of user 0's five; user 1 owns it, so its pair is a miss without a rank.
    """
    evaluation = FullRanking(metrics=LABELS, cutoffs=(1, 3))
    seen = look(evaluation, SCORES, small, [5])
    found = numbers(evaluation.measures(seen, look(evaluation, SCORES + 10 * np.eye(6)[5], small, [5])))
    half, third = 1 / 2, 1 / 3
    expected = {
        ("test", "HR", 1): half,
        ("test", "HR", 3): 1,
        ("test", "NDCG", 1): half,
        ("test", "NDCG", 3): (1 / np.log2(3) + 1.5 / (1 + 1 / np.log2(3))) / 2,
        ("test", "Precision", 1): half,
        ("test", "Precision", 3): (third + 2 * third) / 2,
        ("test", "Recall", 1): 1 / 4,
        ("test", "Recall", 3): 1,
        ("test", "MRR", 1): half,
        ("test", "MRR", 3): 3 / 4,
        ("test", "MAP", 1): half,
        ("test", "MAP", 3): (half + (1 + 2 / 3) / 2) / 2,
        ("test", "AUC", None): (3 / 4 + 5 / 6) / 2,
        ("test", "EFD", 1): half,
        ("test", "EFD", 3): (1 / np.log2(3) + 1.5) / (1 + 1 / np.log2(3) + half) / 2,
        ("test", "Entropy", 1): 1,
        ("test", "Entropy", 3): 2 * third * np.log2(3) + third * np.log2(6),
        ("test", "Coverage", 1): 2,
        ("test", "Coverage", 3): 4,
        ("target", "HR", 1): 0,
        ("target", "HR", 3): 0,
        ("target", "NDCG", 1): 0,
        ("target", "NDCG", 3): 0,
        ("target", "MeanRank", None): 5,
        ("target", "RankShift", None): -4,
    }
    assert found == pytest.approx(expected)
    assert list(found) == list(expected)


def test_values_are_the_means_of_their_units(small):
    evaluation = FullRanking(metrics=LABELS, cutoffs=(2,))
    seen = look(evaluation, SCORES, small, [3])
    for m in evaluation.measures(seen, seen):
        assert m.n == 2
        if m.metric not in ("Entropy", "Coverage"):
            assert m.per_unit.mean() == m.value
            assert m.units.tolist() == [0, 1]


def test_no_targets_no_clean_cell_no_shift(small):
    evaluation = FullRanking(cutoffs=(2,))
    assert {m.subject for m in evaluation.measures(look(evaluation, SCORES, small))} == {"test"}
    with_targets = evaluation.measures(look(evaluation, SCORES, small, [3]))
    assert [m.metric for m in with_targets if m.subject == "target"] == ["HR", "NDCG", "MeanRank"]


def test_score_is_the_metric_of_the_table(small):
    for name in ("NDCG@2", "HR@1", "AUC", "EFD@3", "MAP@3"):
        evaluation = FullRanking(metrics=LABELS, cutoffs=(1, 2, 3), select_metric=name)
        label, _, k = name.partition("@")
        table = numbers(evaluation.measures(look(evaluation, SCORES, small)))
        assert evaluation.score(given(SCORES, small), small, Seeds(0)) == table["test", label, int(k) if k else None]


def test_protocol_follows_the_settings():
    plain = FullRanking().protocol
    assert plain["ties"] == "half: expected value over a random order of candidates with the same score"
    assert FullRanking(ties="against").protocol["ties"] == "against the item"
    assert "lists" not in plain
    assert FullRanking(metrics=("Coverage",)).protocol["lists"] == "equal scores in order of item number"
    assert plain["owners of a target"] == "a miss, without a rank"
    assert plain["epoch"] == "last"
    other = FullRanking(ties="for", owners="excluded", target_hr="any", select_on="test", select_metric="HR@5").protocol
    assert other["epoch"] == "best HR@5 on the test items, looked at every 10"
    assert all(plain[name] != other[name] for name in ("ties", "owners of a target", "HR on targets", "epoch"))


def test_cutoffs_beyond_the_catalogue(small):
    with pytest.raises(
        ConfigError, match=r"evaluation.cutoffs has 50, but the catalogue has 6 items: give .* at most 6"
    ):
        FullRanking().check_split(small)
    FullRanking(cutoffs=(6,)).check_split(small)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"cutoffs": ()}, "evaluation.cutoffs"),
        ({"cutoffs": (0, 5)}, "evaluation.cutoffs"),
        ({"cutoffs": (5, 5)}, "evaluation.cutoffs"),
        ({"metrics": ("NCDG",)}, "did you mean NDCG"),
        ({"metrics": ()}, "evaluation.metrics"),
        ({"metrics": ("HR", "HR")}, "each once"),
        ({"ties": "third"}, "evaluation.ties is 'third': choose one of half, against, for"),
        ({"owners": "kept"}, "evaluation.owners"),
        ({"target_hr": "all"}, "evaluation.target_hr"),
        ({"select_on": "train"}, "evaluation.select_on"),
        ({"select_every": 0}, "evaluation.select_every"),
        ({"memory_mb": 0}, "evaluation.memory_mb"),
        ({"select_metric": "NDCG"}, "evaluation.select_metric"),
        ({"select_metric": "AUC@5"}, "evaluation.select_metric"),
        ({"select_metric": "Coverage@5"}, "evaluation.select_metric"),
        ({"select_metric": "HR@0"}, "evaluation.select_metric"),
        ({"select_metric": "HR@x"}, "evaluation.select_metric"),
    ],
)
def test_settings_out_of_range(changed, message):
    with pytest.raises(ConfigError, match=message):
        replace(FullRanking(), **changed)
