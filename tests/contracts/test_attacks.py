"""What every attack of conf/attack must keep, on explicit and on implicit data."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from given_fakes import given_file
from hydra.utils import instantiate
from omegaconf import OmegaConf

from recpoison.attacks.base import Attack, ProfileAttack
from recpoison.attacks.profiles.base import SizedAttack
from recpoison.attacks.targets import Targets
from recpoison.changes import FakeProfiles
from recpoison.data.interactions import Interactions, Scale
from recpoison.errors import BudgetExceeded, ConfigError, IncompatibleParts
from recpoison.paths import CONF_DIR
from recpoison.progress import Progress
from recpoison.seeds import Seeds

FILES = sorted((Path(__file__).parents[2] / "conf" / "attack").glob("*.yaml"))
CPU = torch.device("cpu")


def build(file: Path) -> Attack:
    """As in the YAML, but learned attacks take 2 steps through 5 epochs of surrogates; GANs train for 2."""
    node = OmegaConf.load(file)
    if OmegaConf.is_missing(node, "path"):
        node.path = given_file()
    if OmegaConf.is_interpolation(node, "queried"):  # the victim, in a run
        node.queried, node.queries = OmegaConf.load(CONF_DIR / "model" / "item_knn.yaml"), 14
    if "outer" in node:
        node.outer.iterations = 2
    if "gan" in node:
        node.gan.epochs = 2
    if "attack_steps" in node.get("gan", {}):
        node.gan.attack_steps = node.gan.pre_training = 2
    for surrogate in node.get("surrogates", {"": node.get("surrogate", {})}).values():
        if "trainer" in surrogate:
            surrogate.trainer.epochs = 5
    return instantiate(node, _convert_="all")


BUILT = {file.stem: build(file) for file in FILES}
ATTACKS = [pytest.param(attack, id=name) for name, attack in BUILT.items() if not attack.flips]
PROFILE_ATTACKS = [param for param in ATTACKS if isinstance(param.values[0], ProfileAttack)]
FILLER_ATTACKS = [param for param in PROFILE_ATTACKS if isinstance(param.values[0], SizedAttack)]


@pytest.fixture(params=["explicit", "implicit"])
def data(request) -> Interactions:
    """200 users x 60 items of falling popularity, half stars from 0.5 to 4 or ones."""
    rng = np.random.default_rng(7)
    rows = np.argwhere(rng.random((200, 60)) < np.linspace(0.5, 0.05, 60))
    if request.param == "implicit":
        return Interactions(rows[:, 0], rows[:, 1], np.ones(len(rows)), 200, 60)
    return Interactions(rows[:, 0], rows[:, 1], rng.integers(1, 9, len(rows)) / 2, 200, 60, Scale(0.5, 4, 0.5))


def craft(attack: Attack, data: Interactions, seed: int = 0) -> FakeProfiles:
    """What ``attack`` makes; nothing to look at where it refuses data without ratings, as it says."""
    seeds = Seeds(seed)
    if attack.needs_ratings and data.scale is None:
        with pytest.raises(IncompatibleParts, match="writes ratings, and these data have none: choose a dataset"):
            attack.poison(data, attack.choose_targets(data, seeds), seeds, CPU, Progress())
        pytest.skip("it refuses data without ratings, as it says")
    return attack.poison(data, attack.choose_targets(data, seeds), seeds, CPU, Progress())


_crafted: dict[tuple[str, str], FakeProfiles] = {}


def crafted(attack: Attack, data: Interactions) -> FakeProfiles:
    """What it made when a test first asked, to look at."""
    key = repr(attack), data.fingerprint
    if key not in _crafted:
        _crafted[key] = craft(attack, data)
    return _crafted[key]


def columns(change: FakeProfiles) -> list[list]:
    return [getattr(change, name).tolist() for name in ("profile", "items", "values", "targets")]


def test_there_are_attacks():
    assert {"none", "random", "average", "bandwagon", "segment", "rand_filter"} <= {file.stem for file in FILES}
    assert len(FILLER_ATTACKS) >= 5


@pytest.mark.parametrize("attack", ATTACKS)
def test_real_rows_are_untouched_and_fake_ids_follow(attack, data):
    before = data.fingerprint
    change = craft(attack, data)
    poisoned = change.apply(data)
    assert data.fingerprint == before
    assert poisoned.users[: len(data)].tolist() == data.users.tolist()
    assert poisoned.items[: len(data)].tolist() == data.items.tolist()
    assert poisoned.values[: len(data)].tolist() == data.values.tolist()
    assert poisoned.n_users == data.n_users + change.n_fakes
    assert poisoned.n_items == data.n_items
    assert set(poisoned.users[len(data) :]) == set(range(data.n_users, poisoned.n_users))


@pytest.mark.parametrize("attack", PROFILE_ATTACKS)
@pytest.mark.parametrize(("budget", "n_fake_users", "expected"), [(0.01, None, 2), (0.03, None, 6), (0.01, 9, 9)])
def test_the_budget_is_kept(attack, data, budget, n_fake_users, expected):
    change = crafted(replace(attack, budget=budget, n_fake_users=n_fake_users), data)
    assert 0 < change.n_fakes <= expected


@pytest.mark.parametrize("attack", PROFILE_ATTACKS)
def test_every_fake_user_rates_every_target_highest(attack, data):
    if hasattr(attack, "click_targets"):
        attack = replace(attack, click_targets=True)
    change = crafted(replace(attack, budget=0.05), data)
    assert len(change.targets) == attack.targets.count
    rows = change.apply(data).csr[data.n_users :]
    highest = 1 if data.scale is None else data.scale.high
    assert (rows[:, change.targets].toarray() == highest).all()


@pytest.mark.parametrize("attack", PROFILE_ATTACKS)
def test_values_are_on_the_grid_of_the_scale(attack, data):
    values = crafted(replace(attack, budget=0.2), data).values
    grid = {1.0} if data.scale is None else set(np.arange(1, 9) / 2)
    assert set(values) <= grid


@pytest.mark.parametrize("attack", FILLER_ATTACKS)
def test_profiles_have_the_asked_length(attack, data):
    mean = round(len(data) / data.n_users)
    assert set(np.bincount(crafted(attack, data).profile)) == {mean}
    lengths = {np.bincount(crafted(replace(attack, fillers=n), data).profile)[0] for n in (0, 7)}
    assert max(lengths) - min(lengths) == 7


@pytest.mark.parametrize("attack", ATTACKS)
def test_same_seed_same_change(attack, data):
    assert columns(craft(attack, data)) == columns(crafted(attack, data))


@pytest.mark.parametrize("attack", PROFILE_ATTACKS)
def test_another_seed_another_change(attack, data):
    assert columns(crafted(attack, data)) != columns(craft(attack, data, seed=1))


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_change_is_read_back_as_it_was_written(attack, data, tmp_path):
    change = crafted(attack, data)
    change.save(tmp_path / "change.npz")
    found = FakeProfiles.load(tmp_path / "change.npz")
    assert found.n_fakes == change.n_fakes
    assert columns(found) == columns(change)
    assert found.apply(data).fingerprint == change.apply(data).fingerprint


@pytest.mark.parametrize("attack", PROFILE_ATTACKS)
@pytest.mark.parametrize("budget", [0, -0.1, 1.5])
def test_a_budget_that_is_no_share_is_refused(attack, budget):
    with pytest.raises(ConfigError, match=r"attack\.budget is .*share of the real users"):
        replace(attack, budget=budget)


@dataclass(frozen=True, kw_only=True)
class CheatingAttack(ProfileAttack):
    """Makes one fake user more than it may."""

    def _craft(self, crafting):
        profile = np.arange(crafting.n_fakes + 1)
        values = np.ones(len(profile))
        return FakeProfiles(profile, np.zeros_like(profile), values, len(profile), crafting.targets)


def test_nobody_exceeds_the_budget(data):
    attack = CheatingAttack(targets=Targets(), budget=0.02)
    with pytest.raises(BudgetExceeded, match=r"made 5 fake users, but its budget allows 4: raise attack\.budget"):
        craft(attack, data)
