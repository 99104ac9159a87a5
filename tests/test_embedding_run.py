"""A run with an attack on embeddings: what is crafted, stored, written and left alone."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

from recpoison.attacks.embeddings.bim import BIM
from recpoison.attacks.embeddings.fgsm import FGSM
from recpoison.changes import EmbeddingShift
from recpoison.data.splitting import Splitter
from recpoison.data.synthetic import Synthetic
from recpoison.defenses.base import Defense
from recpoison.errors import IncompatibleParts
from recpoison.evaluation.full_ranking import FullRanking
from recpoison.experiment import run
from recpoison.models.base import Fitted
from recpoison.models.bprmf import BPRMF
from recpoison.models.popularity import Popularity
from recpoison.parts import Parts
from recpoison.records import RunRecord, write
from recpoison.stages.store import Store
from recpoison.training.trainer import Trainer

PARTS = Parts(
    Synthetic("s", n_users=40, n_items=30, rank=3, threshold=1.0, split=Splitter("leave_one_out_random")),
    BPRMF(embedding_size=4, trainer=Trainer(epochs=5, batch_size=64)),
    FGSM(epsilon=2.0),
    evaluation=FullRanking(cutoffs=(5,)),
)


@dataclass(frozen=True)
class Doubled(Defense):
    """Twice the undefended numbers."""

    def fit(self, model, data, seeds, device, progress, monitor=None):
        params = model.fit(data, seeds, device, progress, monitor)
        return Fitted(model, {name: 2 * table for name, table in params.items()}, data)


def computed(record: RunRecord) -> dict[str, int]:
    stages = [cost.stage for cost in record.costs if not cost.reused]
    return {stage: stages.count(stage) for stage in set(stages)}


def test_the_model_is_fitted_once_and_shifted_for_the_attacked_cell(tmp_path):
    store = Store(tmp_path)
    first = run(PARTS, store=store)
    assert computed(first) == {"split": 1, "fit": 1, "shift": 1, "ranks": 2}
    clean, attacked = first.results
    assert clean.change is None
    assert isinstance(attacked.change, EmbeddingShift)
    assert not np.array_equal(clean.seen.arrays()["test_above"], attacked.seen.arrays()["test_above"])
    again = run(PARTS, store=store)
    assert computed(again) == {}
    assert again.metrics().equals(first.metrics())
    other = run(replace(PARTS, attack=FGSM(epsilon=1.0)), store=store)
    assert computed(other) == {"shift": 1, "ranks": 1}
    longer = run(replace(PARTS, model=replace(PARTS.model, trainer=Trainer(epochs=6, batch_size=64))), store=store)
    assert computed(longer) == {"fit": 1, "shift": 1, "ranks": 2}


def test_the_shift_is_crafted_for_the_very_numbers_it_shifts():
    record = run(replace(PARTS, defense=Doubled(), attack=BIM(epsilon=0.5, steps=3)))
    plain, doubled = (record.results[place].change.tables for place in (1, 3))
    assert [result.cell.defense for result in record.results] == ["none", "none", "Doubled", "Doubled"]
    assert not np.array_equal(plain["user"], doubled["user"])


def test_an_epsilon_of_zero_changes_no_number():
    clean, attacked = run(replace(PARTS, attack=FGSM(epsilon=0.0))).results
    assert [m.value for m in clean.measures] == [m.value for m in attacked.measures]


def test_the_files_state_the_norms_used(tmp_path):
    write(run(PARTS), tmp_path, "", [], "command")
    changes = json.loads((tmp_path / "run.json").read_text())["changes"]
    norms = changes["seed=0/attack=FGSM/defense=none"]["norms"]
    with np.load(tmp_path / "change.npz") as file:
        table = file["seed=0/attack=FGSM/defense=none/user"]
        assert file["seed=0/attack=FGSM/defense=none/user/linf"] == np.abs(table).max() == norms["user"]["linf"]
    assert norms["user"]["row_l2"] == pytest.approx(2.0, rel=1e-6)
    assert np.linalg.norm(table, axis=1).max() == pytest.approx(2.0, rel=1e-6)


def test_a_model_without_tables_is_refused_before_anything_is_fitted():
    with pytest.raises(IncompatibleParts, match="Popularity names no tables"):
        replace(PARTS, model=Popularity())
