"""What every attack of conf/attack on edges between users and items must keep."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from labelled_blocks import CPU, NO_TARGETS, some_edges
from omegaconf import OmegaConf

from recpoison.attacks.base import Attack
from recpoison.data.interactions import Interactions
from recpoison.edge_flips import EdgeFlips
from recpoison.errors import ConfigError, IncompatibleParts
from recpoison.models.bprmf import BPRMF
from recpoison.models.cf import CF
from recpoison.progress import Progress
from recpoison.seeds import Seeds

FILES = sorted((Path(__file__).parents[2] / "conf" / "attack").glob("*.yaml"))


def build(file: Path) -> Attack:
    """As in the YAML, but surrogates take 5 steps."""
    node = OmegaConf.load(file)
    if "edge_trainer" in node.get("surrogate", {}):
        node.surrogate.edge_trainer.steps = 5
    return instantiate(node, _convert_="all")


LOADED = {file: OmegaConf.load(file) for file in FILES}
OWN = [file for file, node in LOADED.items() if not OmegaConf.is_interpolation(node, "queried")]  # else a run's victim
WHOLE = [file for file in OWN if not OmegaConf.missing_keys(LOADED[file])]  # the others need a user's value
BUILT = {file.stem: build(file) for file in WHOLE}
ATTACKS = {name: attack for name, attack in BUILT.items() if attack.flips and attack.works_on == "interactions"}
each = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
ADDED = [{}, {"new_users": 3}, {"similar_users": 3}, {"similar_users": 3, "kmeans": True}]


def craft(attack: Attack, data: Interactions, seed: int = 0) -> EdgeFlips:
    return attack.poison(data, NO_TARGETS, Seeds(seed), CPU, Progress())


def columns(change: EdgeFlips) -> dict[str, list]:
    return {name: array.tolist() for name, array in change.arrays().items()}


def test_there_are_attacks():
    assert {"random_edges", "meta_attack"} <= ATTACKS.keys()


@each
@pytest.mark.parametrize("added", ADDED, ids=str)
def test_zeros_of_allowed_users_become_edges_once_each(attack, added):
    data = some_edges()
    before = data.fingerprint
    change = craft(replace(attack, n_flips=12, **added), data)
    assert data.fingerprint == before
    keys = change.rows * data.n_items + change.columns
    assert len(set(keys.tolist())) == len(keys) == 12
    assert (change.values == 1).all()
    n_added = sum(value for name, value in added.items() if name != "kmeans")
    assert change.n_new_users == n_added
    lowest, beyond = (data.n_users, data.n_users + n_added) if added else (0, data.n_users)
    assert lowest <= change.rows.min() <= change.rows.max() < beyond
    assert 0 <= change.columns.min() <= change.columns.max() < data.n_items
    if not added:
        assert set(keys) <= set(data.zeros.keys(data.n_items))
    poisoned = change.apply(data)
    assert poisoned.n_users == data.n_users + n_added
    assert len(poisoned) == len(data) + len(change.given.users) + 12
    flipped = poisoned.users * data.n_items + poisoned.items
    assert not set(flipped) & set(poisoned.zeros.keys(data.n_items))


@each
@pytest.mark.parametrize(("budget", "n_flips"), [(0.01, None), (0.1, None), (0.1, 9), (1.0, None)])
def test_the_budget_is_used_up_and_no_more(attack, budget, n_flips):
    data = some_edges()
    allowed = n_flips or int(budget * len(data.zeros.users))
    assert len(craft(replace(attack, budget=budget, n_flips=n_flips), data)) == allowed > 0


@each
def test_same_seed_same_flips_and_another_seed_others(attack):
    attack = replace(attack, n_flips=12)
    one = columns(craft(attack, some_edges()))
    assert columns(craft(attack, some_edges())) == one
    assert columns(craft(attack, some_edges(), seed=1)) != one


@each
@pytest.mark.parametrize("added", ADDED, ids=str)
def test_fewer_flips_are_the_first_of_more(attack, added):
    """What a plan of the largest row of a table is cut into."""
    few, many = (craft(replace(attack, n_flips=n, **added), some_edges()) for n in (5, 17))
    assert columns(many.first(5))["rows"] == few.rows.tolist()
    assert columns(many.first(5))["columns"] == few.columns.tolist()


@each
def test_flips_are_read_back_as_they_were_written(attack, tmp_path):
    change = craft(replace(attack, n_flips=4, similar_users=2), some_edges())
    change.save(tmp_path / "change.npz")
    found = EdgeFlips.load(tmp_path / "change.npz")
    assert columns(found) == columns(change)
    assert found.apply(some_edges()).fingerprint == change.apply(some_edges()).fingerprint


@each
def test_a_victim_that_learns_no_edges_is_refused(attack):
    attack.check_model(CF())
    with pytest.raises(
        IncompatibleParts, match="BPRMF does not: choose model=cf, gmf, neumf or lightgcn, with evaluation=link"
    ):
        attack.check_model(BPRMF())


@each
def test_data_without_zeros_are_refused(attack):
    bare = replace(some_edges(), zeros=None)
    with pytest.raises(ConfigError, match="choose evaluation=link_prediction"):
        craft(attack, bare)


@each
def test_more_flips_than_zeros_are_refused(attack):
    n = len(some_edges().zeros.users)
    with pytest.raises(ConfigError, match=rf"attack\.n_flips={n + 1}, but there are {n} zeros to flip: lower it"):
        craft(replace(attack, n_flips=n + 1), some_edges())
    assert len(np.unique(craft(replace(attack, n_flips=n), some_edges()).rows)) == some_edges().n_users
