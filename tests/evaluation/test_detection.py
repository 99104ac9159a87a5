from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from given_scores import CPU, GivenScores, numbers
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from sklearn.metrics import roc_auc_score

from recpoison.attacks.embeddings.fgsm import FGSM
from recpoison.attacks.none import NoAttack
from recpoison.attacks.profiles.rand_filter import RandFilterAttack
from recpoison.attacks.targets import Targets
from recpoison.data.interactions import Interactions
from recpoison.data.splitting import Split
from recpoison.data.synthetic import Planted
from recpoison.errors import ConfigError, IncompatibleParts, UserError
from recpoison.evaluation.detection import Detection, Suspicion, auroc, embeddings, kolmogorov_smirnov
from recpoison.experiment import run
from recpoison.models.base import Fitted
from recpoison.models.bprmf import BPRMF
from recpoison.models.popularity import Popularity
from recpoison.models.wrmf_als import WRMFALS
from recpoison.parts import Parts
from recpoison.progress import Progress
from recpoison.seeds import Seeds

N_REAL, N_FAKE, SIZE = 300, 30, 6
TARGETS = np.array([0])


def split_of(n_users: int = N_REAL, n_items: int = 12) -> Split:
    """User u has items 0 .. u % 6; items from 6 on belong to nobody. Item i has ``n_users * (6 - i) / 6`` users."""
    counts = np.arange(n_users) % 6 + 1
    users = np.repeat(np.arange(n_users), counts)
    items = np.concatenate([np.arange(count) for count in counts])
    train = Interactions(users, items, np.ones(len(users)), n_users, n_items)
    return Split(train, Interactions(np.arange(n_users), np.full(n_users, 11), np.ones(n_users), n_users, n_items))


def fitted_on(split: Split, table: np.ndarray, item: int = 7) -> Fitted:
    """The embeddings ``table``; users after the real ones are fake and have items 0 and ``item``."""
    n_fakes = len(table) - split.train.n_users
    fakes = np.repeat(np.arange(n_fakes), 2)
    data = split.train.with_fake_users(fakes, np.tile([0, item], n_fakes), np.ones(2 * n_fakes), n_fakes)
    return Fitted(GivenScores(), {"user": torch.as_tensor(table)}, data)


def look(evaluation: Detection, fitted: Fitted, split: Split, seed: int = 0) -> Suspicion:
    return evaluation.look(fitted, split, TARGETS, Seeds(seed), CPU, Progress())


def drawn(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, SIZE))


def test_auroc_by_hand():
    """The fake 3 is above 1, 2 and half of 3; the fake 0 above none; the fake 9 above all four."""
    found = auroc(np.array([3.0, 1, 5, 2]), np.array([3.0, 0, 9]))
    assert found.tolist() == [2.5 / 4, 0, 1]


@pytest.mark.filterwarnings("ignore:divide by zero")  # in the peer's p-value, which is not looked at
@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_auroc_and_distance_equal_a_peers(real, fake):
    real, fake = np.array(real, dtype=float), np.array(fake, dtype=float)
    labels = np.repeat([0, 1], [len(real), len(fake)])
    assert auroc(real, fake).mean() == pytest.approx(roc_auc_score(labels, np.concatenate([real, fake])))
    assert kolmogorov_smirnov(real, fake) == pytest.approx(ks_2samp(real, fake, method="asymp").statistic)


def test_exchangeable_fake_users_are_not_told():
    """Within five standard deviations of a half: sqrt((n + m + 1) / (12 n m)), a little more for dependent scores."""
    split = split_of()
    found = numbers(Detection().measures(look(Detection(), fitted_on(split, drawn(N_REAL + N_FAKE)), split)))
    spread = np.sqrt((N_REAL + N_FAKE + 1) / (12 * N_REAL * N_FAKE))
    for label in ("ClusterAUROC", "PCAClusterAUROC", "OutlierAUROC"):
        assert abs(found["fake", label, None] - 0.5) < 5 * spread


def test_a_tight_cluster_is_found_wherever_it_is():
    split = split_of()
    for centre in (np.zeros(SIZE), np.eye(SIZE)[0]):
        table = np.concatenate([drawn(N_REAL), centre + 1e-3 * drawn(N_FAKE, 1)])
        seen = look(Detection(), fitted_on(split, table), split)
        found = numbers(Detection().measures(seen))
        assert found["fake", "ClusterAUROC", None] == 1
        assert found["fake", "PCAClusterAUROC", None] > 0.95


def test_scattered_outliers_are_found_by_their_distance_alone():
    split = split_of()
    table = np.concatenate([drawn(N_REAL), 30 * drawn(N_FAKE, 1)])
    found = numbers(Detection().measures(look(Detection(), fitted_on(split, table), split)))
    assert found["fake", "OutlierAUROC", None] > 0.95
    assert found["fake", "ClusterAUROC", None] < 0.05


def test_popularity_by_hand():
    """Items 0 to 5 have 300, 250, .. 50 real users; every fake user clicks 0 (300) and 7 (nobody's)."""
    split = split_of()
    seen = look(Detection(sample_users=6 * N_REAL), fitted_on(split, drawn(N_REAL + 2)), split)
    assert sorted(seen.fake_popularity) == [0, 0, 300, 300]
    assert np.unique(seen.real_popularity, return_counts=True)[1].tolist() == [50, 100, 150, 200, 250, 300]
    ks = numbers(Detection().measures(seen))["fake", "PopularityKS", None]
    assert ks == pytest.approx(0.5)  # half of the fake clicks have popularity 0; below 300 all but 300 / 1050 real ones


def test_clicks_of_a_sample_belong_to_its_users():
    split = split_of()
    seen = look(Detection(sample_users=7), fitted_on(split, drawn(N_REAL + 2)), split)
    assert len(set(seen.sample)) == 7
    assert seen.sample.max() < N_REAL
    assert len(seen.real_popularity) == (seen.sample % 6 + 1).sum()


def test_the_same_seed_gives_the_same_bytes_and_another_another_sample():
    split = split_of()
    evaluation, fitted = Detection(sample_users=20), fitted_on(split, drawn(N_REAL + 5))
    first, again, other = (look(evaluation, fitted, split, seed).arrays() for seed in (0, 0, 1))
    assert all(first[name].tobytes() == again[name].tobytes() for name in first)
    assert first["sample"].tolist() != other["sample"].tolist()
    assert all(np.array_equal(first[name], other[name]) for name in ("latent", "cluster", "outlier"))


def test_values_are_means_over_fake_users_and_the_order_is_the_settings():
    split = split_of()
    seen = look(Detection(), fitted_on(split, drawn(N_REAL + 4)), split)
    chosen = Detection(metrics=("PopularityKS", "OutlierAUROC"))
    ks, area = chosen.measures(seen)
    assert (ks.metric, ks.n, ks.units) == ("PopularityKS", 4, None)
    assert (area.metric, area.n, area.units.tolist()) == ("OutlierAUROC", 4, [300, 301, 302, 303])
    assert area.per_unit.mean() == area.value


def test_users_without_rows_are_left_out():
    split = split_of()
    train = Interactions(split.train.users, split.train.items, split.train.values, N_REAL + 2, 12)
    wider = Split(train, split.test)
    table = drawn(N_REAL + 5)
    seen = look(Detection(), fitted_on(wider, table), wider)
    assert seen.users.tolist() == [*range(N_REAL), *range(N_REAL + 2, N_REAL + 5)]
    assert seen.fake.sum() == 3
    table[N_REAL : N_REAL + 2] = 1e6
    assert np.array_equal(look(Detection(), fitted_on(wider, table), wider).latent, seen.latent)


def test_a_clean_cell_has_no_number():
    split = split_of()
    assert Detection().measures(look(Detection(), fitted_on(split, drawn(N_REAL)), split)) == []


@pytest.mark.parametrize(
    ("model", "attack", "words"),
    [
        (WRMFALS(), NoAttack(), "looks for fake users, but the attack adds none: .*attack=rand_filter"),
        (BPRMF(), FGSM(), "looks for fake users, but the attack adds none"),
        (Popularity(), RandFilterAttack(targets=Targets()), "Popularity has none: take a model that has"),
    ],
)
def test_parts_that_cannot_be_looked_at_are_refused_before_data_are_read(model, attack, words):
    with pytest.raises(IncompatibleParts, match=words):
        Parts(Planted("planted", 40), model, attack, evaluation=Detection())


def test_what_is_read_back_gives_the_same_numbers(tmp_path):
    split = split_of()
    seen = look(Detection(), fitted_on(split, drawn(N_REAL + 9)), split)
    seen.save(tmp_path / "seen.npz")
    back = Detection().read(tmp_path / "seen.npz")
    assert numbers(Detection().measures(back)) == numbers(Detection().measures(seen))
    assert [file.name for file in tmp_path.iterdir()] == ["seen.npz"]


@dataclass(frozen=True)
class Computing(GivenScores):
    """A model that computes its embeddings: twice the user's id, minus it."""

    def user_embeddings(self, params, data, users):
        return torch.stack([2.0 * users, -1.0 * users], dim=1)


def test_a_model_may_compute_its_embeddings():
    split = split_of(3000)
    fitted = Fitted(Computing(), {"user": torch.zeros(3000, 4)}, split.train)
    users = np.arange(0, 3000, 2)
    assert embeddings(fitted, users).tolist() == [[2.0 * user, -user] for user in users]


def test_a_model_without_embeddings_is_refused_and_a_diverged_one_told():
    split = split_of()
    without = Fitted(GivenScores(), {"table": torch.zeros(N_REAL, 12)}, split.train)
    with pytest.raises(IncompatibleParts, match="GivenScores has none: take a model that has, such as model=wrmf"):
        look(Detection(), without, split)
    table = drawn(N_REAL + 2)
    table[3, 3] = np.inf
    with pytest.raises(UserError, match="infinite or not a number"):
        look(Detection(), fitted_on(split, table), split)


def test_too_few_users_or_dimensions_are_refused():
    split = split_of(6)
    fitted = fitted_on(split, drawn(8))
    with pytest.raises(ConfigError, match=r"evaluation.neighbours is 8, but 8 users have rows: give 7 or fewer"):
        look(Detection(neighbours=8), fitted, split)
    with pytest.raises(ConfigError, match=r"evaluation.dimensions is 7, but the model's users have 6: give 6 or fewer"):
        look(Detection(dimensions=7), fitted, split)
    assert look(Detection(neighbours=7, dimensions=6), fitted, split).explained.sum() == pytest.approx(1)


def test_the_labels_are_not_part_of_what_is_looked_at():
    assert Detection().look_inputs == Detection(metrics=("PopularityKS",)).look_inputs
    assert Detection().look_inputs != Detection(neighbours=6).look_inputs


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"metrics": ("ClusterAUC",)}, "did you mean ClusterAUROC"),
        ({"metrics": ()}, "evaluation.metrics"),
        ({"metrics": ("OutlierAUROC", "OutlierAUROC")}, "each once"),
        ({"neighbours": 0}, "evaluation.neighbours is 0: give 1 or more"),
        ({"dimensions": 0}, "evaluation.dimensions"),
        ({"sample_users": 0}, "evaluation.sample_users"),
        ({"select_on": "test"}, r"evaluation.select_on is 'test', but .*: give last"),
    ],
)
def test_settings_out_of_range(changed, message):
    with pytest.raises(ConfigError, match=message):
        replace(Detection(), **changed)


def test_a_whole_run_measures_the_attacked_cell_alone():
    parts = Parts(
        Planted(name="planted", n_users=40),
        WRMFALS(embedding_size=4, sweeps=2),
        RandFilterAttack(budget=0.2, fillers=3, targets=Targets(rule="list", items=(40,))),
        evaluation=Detection(),
    )
    record = run(parts, seeds=[0, 1])
    frame = record.metrics()
    assert set(zip(frame.attack, frame.subject, frame.n, strict=True)) == {("RandFilterAttack", "fake", 8)}
    assert len(frame) == 2 * 4
    assert len(record.summary()) == 4
