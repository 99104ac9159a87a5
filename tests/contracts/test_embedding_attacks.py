"""What every attack on embeddings of conf/attack must keep, on every model of conf/model that names tables."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from recpoison.attacks.base import EmbeddingAttack
from recpoison.changes import EmbeddingShift
from recpoison.data.interactions import Interactions
from recpoison.errors import BudgetExceeded, ConfigError, IncompatibleParts
from recpoison.models.base import Fitted, GradientModel
from recpoison.models.item_knn import ItemKNN
from recpoison.models.popularity import Popularity
from recpoison.progress import Progress
from recpoison.seeds import Seeds

CONF = Path(__file__).parents[2] / "conf"


def parts(group: str) -> dict[str, object]:
    found = {}
    for file in sorted((CONF / group).glob("*.yaml")):
        node = OmegaConf.load(file)
        if OmegaConf.is_interpolation(node, "queried") or OmegaConf.missing_keys(node):
            continue  # only a user can give the value, or a run the victim
        if "embedding_size" in node:
            node.embedding_size = 6
        if "trainer" in node:
            node.trainer.epochs = 3
        if "searches" in node:
            node.searches, node.steps, node.cutoff = 2, 20, 5
        found[file.stem] = instantiate(node, _convert_="all")
    return found


ATTACKS = {name: part for name, part in parts("attack").items() if isinstance(part, EmbeddingAttack)}
MODELS = {name: part for name, part in parts("model").items() if isinstance(part, GradientModel) and part.tables}
each = pytest.mark.parametrize("attack", [pytest.param(part, id=name) for name, part in ATTACKS.items()])
on_each = pytest.mark.parametrize("name", MODELS)


@cache
def fitted(name: str) -> Fitted:
    rng = np.random.default_rng(7)
    rows = np.argwhere(rng.random((40, 30)) < 0.25)
    data = Interactions(rows[:, 0], rows[:, 1], np.ones(len(rows)), 40, 30)
    model = MODELS[name]
    return Fitted(model, model.fit(data, Seeds(0), torch.device("cpu"), Progress()), data)


def craft(attack: EmbeddingAttack, victim: Fitted, seed: int = 0) -> EmbeddingShift:
    seeds = Seeds(seed)
    return attack.perturb(victim, attack.choose_targets(victim.data, seeds), seeds, Progress())


def equal(one: EmbeddingShift, other: EmbeddingShift) -> bool:
    same = one.tables.keys() == other.tables.keys()
    return same and all(torch.equal(one.tables[name], other.tables[name]) for name in one.tables)


def test_there_are_attacks_and_models():
    assert {"noise", "fgsm", "bim", "pgd", "cw"} <= ATTACKS.keys()
    assert {"bprmf", "mf", "wrmf"} <= MODELS.keys()


@on_each
@each
def test_the_shift_fits_the_tables_and_the_victim_stays(attack, name):
    victim = fitted(name)
    before = {key: tensor.clone() for key, tensor in victim.params.items()}
    shift = craft(attack, victim)
    assert set(shift.tables) == set(victim.model.tables)
    for key, table in shift.tables.items():
        assert table.shape == victim.params[key].shape
        assert table.dtype == victim.params[key].dtype
        assert not table.requires_grad
        assert table.isfinite().all()
        assert (table != 0).any()
    moved = shift.apply(victim.params)
    for key, tensor in before.items():
        assert torch.equal(victim.params[key], tensor)
        assert torch.equal(moved[key], tensor + shift.tables[key] if key in shift.tables else tensor)


@on_each
def test_same_seed_same_shift_whatever_was_run_before(name):
    """A published program took FGSM's gradient where PGD had left the tables."""
    victim = fitted(name)
    first = {kind: craft(attack, victim) for kind, attack in ATTACKS.items()}
    for attack in ATTACKS.values():
        craft(attack, victim, seed=1)
    for kind, attack in reversed(ATTACKS.items()):  # after others than before
        assert equal(craft(attack, victim), first[kind]), kind


@each
@pytest.mark.parametrize("epsilon", [0.0, 0.01, 0.5, 3.0])
def test_the_budget_is_kept(attack, epsilon):
    attack = replace(attack, epsilon=epsilon)
    norm, bound = attack.limit
    assert bound == epsilon
    assert craft(attack, fitted("bprmf")).used(norm) <= epsilon * (1 + 1e-5)


@each
def test_a_shift_is_read_back_as_it_was_written(attack, tmp_path):
    shift = craft(attack, fitted("bprmf"))
    shift.save(tmp_path / "shift.npz")
    found = EmbeddingShift.load(tmp_path / "shift.npz")
    assert equal(found, shift)
    assert found.facts() == shift.facts()


@each
@pytest.mark.parametrize("model", [ItemKNN(), Popularity()], ids=["item_knn", "popularity"])
def test_a_model_without_tables_is_refused(attack, model):
    with pytest.raises(IncompatibleParts, match=rf"{type(model).__name__} names no tables of them: choose model=bprmf"):
        attack.check_model(model)


@each
@pytest.mark.parametrize("epsilon", [-0.1, float("inf"), float("nan")])
def test_an_epsilon_out_of_range_is_refused(attack, epsilon):
    with pytest.raises(ConfigError, match=r"attack\.epsilon is .*give a finite number, 0 or more"):
        replace(attack, epsilon=epsilon)


@dataclass(frozen=True, kw_only=True)
class Cheating(EmbeddingAttack):
    """Shifts further than it may."""

    length: float

    @property
    def limit(self):
        return "linf", 0.5

    def _craft(self, fitted, targets, seeds, progress):
        return EmbeddingShift({"user": torch.full_like(fitted.params["user"], self.length)})


@pytest.mark.parametrize(
    ("length", "text"),
    [(0.6, r"has linf 0\.6, but its budget allows 0\.5: raise attack\.epsilon"), (float("nan"), "is not finite")],
)
def test_nobody_exceeds_the_budget(length, text):
    with pytest.raises(BudgetExceeded, match=text):
        craft(Cheating(length=length), fitted("bprmf"))
