"""A known answer for the whole line: an item that nobody has, before and after fake users promote it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from recpoison.attacks.base import ProfileAttack
from recpoison.attacks.targets import Targets
from recpoison.data.interactions import Interactions
from recpoison.defenses.base import Defense
from recpoison.defenses.none import NoDefense
from recpoison.models.base import Model
from recpoison.progress import Progress
from recpoison.seeds import Seeds

CONF = Path(__file__).parents[2] / "conf"
CPU = torch.device("cpu")
TARGET = 40


def attack(name: str, **settings: object) -> ProfileAttack:
    node = OmegaConf.load(CONF / "attack" / f"{name}.yaml")
    return replace(instantiate(node, _convert_="all"), targets=Targets("list", [TARGET]), **settings)


def model(name: str) -> Model:
    return instantiate(OmegaConf.load(CONF / "model" / f"{name}.yaml"), _convert_="all")


def target_ranks(victim: Model, data: Interactions, defense: Defense | None = None) -> np.ndarray:
    """Rank of the target among the 22 items a real user lacks, from 1; ties count against it."""
    fitted = (defense or NoDefense()).fit(victim, data, Seeds(0), CPU, Progress())
    scores = fitted.scores(torch.arange(40)).double().numpy()
    scores[data.seen[:40].toarray() > 0] = -np.inf
    return (scores >= scores[:, [TARGET]]).sum(axis=1)


def poisoned(data: Interactions, how: ProfileAttack) -> Interactions:
    seeds = Seeds(0)
    return how.poison(data, how.choose_targets(data, seeds), seeds, CPU, Progress()).apply(data)


@pytest.mark.parametrize(("n_fakes", "rank"), [(18, 22), (20, 1)])
def test_popularity_counts_the_fake_users(planted, n_fakes, rank):
    """Every item but the target has 19 users; fake users without fillers bring the target to ``n_fakes``."""
    how = attack("random", n_fake_users=n_fakes, fillers=0)
    assert (target_ranks(model("popularity"), poisoned(planted.train, how)) == rank).all()


@pytest.mark.parametrize("name", ["random", "average", "bandwagon", "segment", "rand_filter"])
def test_item_knn_puts_the_target_right_behind_the_answer(planted, name):
    """Nobody has the target: last. 4 fake users tie it to every item, and only the held-out answer stays before it."""
    victim = model("item_knn")
    assert (target_ranks(victim, planted.train) == 22).all()
    assert (target_ranks(victim, poisoned(planted.train, attack(name, budget=0.1))) == 2).all()


def test_the_filter_finds_the_fake_users_and_the_target_falls_back(planted):
    """Two tastes are one component; fake users belong to neither."""
    node = OmegaConf.load(CONF / "defense" / "filter.yaml")
    node.detector.components = 1
    node.suspected = 0.1  # 4 of 44 users
    defense = instantiate(node, _convert_="all")
    data = poisoned(planted.train, attack("average", budget=0.1))
    assert sorted(defense.suspects(data)) == [40, 41, 42, 43]
    assert (target_ranks(model("item_knn"), data, defense) == 22).all()
