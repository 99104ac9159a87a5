from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from scipy.special import ndtr

from recpoison.data.named import build_dataset
from recpoison.data.synthetic import Planted, Synthetic
from recpoison.errors import ConfigError, DataError
from recpoison.paths import CONF_DIR
from recpoison.progress import Progress
from recpoison.seeds import Seeds


def test_default_is_the_papers(seeds):
    dataset = build_dataset("synthetic")
    assert dataset == Synthetic("synthetic")
    densities = []
    for seed in range(5):
        data = dataset.read(None, Seeds(seed), Progress())
        assert (data.n_users, data.n_items) == (900, 300)
        assert data.user_counts.min() >= 2
        densities.append(len(data) / 270_000)
    # P(mu . nu >= 5) = E[P(N(0, |nu|^2) >= 5)], |nu|^2 chi-square with 20 degrees of freedom
    lengths = np.sqrt(np.random.default_rng(0).chisquare(20, 100_000))
    assert np.mean(densities) == pytest.approx(ndtr(-5 / lengths).mean(), abs=0.006)
    assert np.mean(densities) == pytest.approx(0.12, abs=0.01)
    split = dataset.load(None, seeds, Progress())
    assert (split.train.n_users, split.train.n_items, len(split.test)) == (900, 300, 900)


def test_draws_depend_on_the_seed_alone():
    dataset = Synthetic("s", 50, 20)
    one, two, other = (dataset.load(None, Seeds(s), Progress()) for s in (1, 1, 2))
    assert one.train.fingerprint == two.train.fingerprint
    assert one.train.fingerprint != other.train.fingerprint


def test_users_with_too_few_items_are_drawn_again():
    data = Synthetic("s", 200, 30, rank=20, threshold=7).read(None, Seeds(0), Progress())
    assert data.user_counts.min() >= 2
    with pytest.raises(DataError, match=r"dataset.threshold=1000 leaves 10 of 10 users with fewer than 2 items: lower"):
        Synthetic("s", 10, 10, threshold=1000).read(None, Seeds(0), Progress())


def test_planted_is_the_fixture(planted, tmp_path: Path):
    ours = build_dataset("planted", ["n_users=40"]).load(tmp_path, Seeds(0), Progress())
    assert ours.train.fingerprint == planted.train.fingerprint
    assert ours.test.fingerprint == planted.test.fingerprint


def test_planted_blocks(seeds):
    split = Planted("p", 6, 3).load(None, seeds, Progress())
    assert split.train.seen.toarray()[0].tolist() == [0, 0, 0, 1, 0, 0, 0]
    assert split.test.items.tolist() == [0, 1, 2, 3, 4, 5]
    assert split.train.n_items == 7


def test_sizes_are_checked():
    with pytest.raises(ConfigError, match=r"dataset.n_items is 1: give 2 or more"):
        Synthetic("s", 10, 1)
    with pytest.raises(ConfigError, match=r"dataset.n_blocks is 3 for dataset.n_users=5"):
        Planted("p", 5, 3)


def test_planted_is_large_enough_for_the_defaults_of_everything():
    """Each evaluation's longest list is found among a user's candidates, and each attack's budget buys a fake user."""
    evaluations, attacks = (map(OmegaConf.load, (CONF_DIR / g).glob("*.yaml")) for g in ("evaluation", "attack"))
    cutoffs = [k for node in evaluations if "cutoffs" in node for k in node.cutoffs]
    budgets = [node.budget for node in attacks if node.get("budget")]
    assert cutoffs
    assert budgets
    split = build_dataset("planted").load(None, Seeds(0), Progress())
    candidates = split.train.n_items - split.train.user_counts
    assert candidates.min() >= 2 * max(cutoffs)
    assert split.train.n_users * min(budgets) >= 1
