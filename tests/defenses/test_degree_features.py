"""Features of profiles: by hand, against plain loops, and which fake users they find."""

import numpy as np
import pytest
import torch

from recpoison.attacks.profiles.average import AverageAttack
from recpoison.attacks.targets import Targets
from recpoison.data.interactions import Interactions, Scale
from recpoison.defenses.detectors import degree_features
from recpoison.defenses.detectors.degree_features import FEATURES, DegreeFeatures, degree_similarity, profile_features
from recpoison.errors import ConfigError
from recpoison.evaluation.detection import auroc
from recpoison.progress import Progress
from recpoison.seeds import Seeds

FOUR = Interactions([0, 0, 1, 1, 1, 2, 3], [0, 1, 0, 1, 2, 1, 0], [5, 1, 3, 2, 4, 3, 4], 5, 3, Scale(1, 5))


def some_data(seed: int, explicit: bool = True) -> Interactions:
    rng = np.random.default_rng(seed)
    rows = np.argwhere(rng.random((30, 20)) < rng.random(20) * 0.8)
    values = rng.integers(1, 6, len(rows)) if explicit else np.ones(len(rows))
    return Interactions(rows[:, 0], rows[:, 1], values, 30, 20, Scale(1, 5) if explicit else None)


@pytest.mark.parametrize(
    ("feature", "expected"),
    [
        # item means 4, 2 and 4 over 3, 3 and 1 users; deviations (1, 1), (1, 0, 0), 1 and 0
        ("rdma", [1 / 3, 1 / 9, 1 / 3, 0]),
        ("wdma", [1 / 9, 1 / 27, 1 / 9, 0]),
        # lengths 2, 3, 1, 1 and 0 around 1.4: off by 0.6, 1.6, 0.4 and 0.4; squares add up to 5.2
        ("length_variance", [0.6 / 5.2, 1.6 / 5.2, 0.4 / 5.2, 0.4 / 5.2]),
    ],
)
def test_by_hand(feature, expected):
    scores = DegreeFeatures(feature).scores(FOUR)
    assert scores[:4] == pytest.approx(expected)
    assert scores[4] == pytest.approx(min(expected) - 1), "a user without rows is the least suspicious"


def correlations(data: Interactions) -> np.ndarray:
    """Of whole rows: what is missing counts as the user's mean, and as 0 on implicit data."""
    rows = data.csr.toarray()
    if data.implicit:
        return np.corrcoef(rows)
    means = rows.sum(1) / (rows > 0).sum(1)
    off = np.where(rows > 0, rows - means[:, None], 0)
    lengths = np.linalg.norm(off, axis=1)
    return off @ off.T / np.outer(lengths, lengths)


@pytest.mark.parametrize("explicit", [True, False])
def test_similarity_is_the_mean_of_the_highest_correlations_in_any_blocks(explicit, monkeypatch):
    data = some_data(1, explicit)
    similar = correlations(data)
    np.fill_diagonal(similar, -np.inf)
    want = np.sort(similar, axis=1)[:, -4:].mean(axis=1)
    assert degree_similarity(data, 4) == pytest.approx(want, abs=1e-12)
    monkeypatch.setattr(degree_features, "BLOCK_BYTES", 7 * 30 * degree_features.BYTES_EACH)
    assert degree_similarity(data, 4) == pytest.approx(want, abs=1e-12)


def test_more_neighbours_than_users_are_all_of_them():
    data = some_data(2)
    assert np.array_equal(degree_similarity(data, 29), degree_similarity(data, 1000))


def test_all_is_the_sum_of_z_scores():
    data = some_data(3)
    features = profile_features(data, 5)
    want = ((features - features.mean(axis=0)) / features.std(axis=0)).sum(axis=1)
    assert features.shape == (30, len(FEATURES))
    assert DegreeFeatures(neighbours=5).scores(data) == pytest.approx(want)


def test_what_is_equal_for_all_adds_nothing():
    """On implicit data no rating deviates: length and similarity are left."""
    data = some_data(4, explicit=False)
    features = profile_features(data, 5)
    assert not features[:, :2].any()
    rest = features[:, 2:]
    want = ((rest - rest.mean(axis=0)) / rest.std(axis=0)).sum(axis=1)
    assert DegreeFeatures(neighbours=5).scores(data) == pytest.approx(want)


@pytest.mark.parametrize("explicit", [True, False])
def test_numbering_changes_no_bit(explicit):
    data = some_data(5, explicit)
    rng = np.random.default_rng(0)
    new, rows = rng.permutation(30), rng.permutation(len(data))
    other = Interactions(new[data.users][rows], data.items[rows], data.values[rows], 30, 20, data.scale)
    for feature in ("all", *FEATURES):
        detector = DegreeFeatures(feature, neighbours=4)
        assert np.array_equal(detector.scores(other)[new], detector.scores(data)), feature


def test_fake_users_who_push_a_rare_item_are_found():
    rng = np.random.default_rng(0)
    likes = rng.random((200, 60)) < np.linspace(0.6, 0.05, 60)
    users, items = np.nonzero(likes)
    levels = rng.normal(3.5, 0.5, 60)[items] + rng.normal(0, 0.5, len(users))
    data = Interactions(users, items, np.clip(np.rint(levels), 1, 5), 200, 60, Scale(1, 5))
    attack = AverageAttack(targets=Targets("list", [59]), n_fake_users=6, fillers=15)
    poisoned = attack.poison(data, np.array([59]), Seeds(0), torch.device("cpu"), Progress()).apply(data)
    scores = DegreeFeatures("wdma").scores(poisoned)
    assert auroc(scores[:200], scores[200:]).mean() > 0.85


def test_nobody_and_a_single_user_have_scores():
    empty = Interactions([], [], [], 3, 2, Scale(1, 5))
    assert DegreeFeatures().scores(empty).tolist() == [0, 0, 0]
    single = Interactions([0, 0], [0, 1], [1, 5], 1, 2, Scale(1, 5))
    assert np.isfinite(DegreeFeatures().scores(single)).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"feature": "rmda"}, "defense.detector.feature is 'rmda': choose one of all, rdma, wdma"),
        ({"neighbours": 0}, "defense.detector.neighbours is 0: give 1 or more"),
    ],
)
def test_settings_out_of_range(settings, words):
    with pytest.raises(ConfigError, match=words):
        DegreeFeatures(**settings)
