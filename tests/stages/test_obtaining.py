"""What recomputes what: every field of a stage's key, and what is kept out of it, has its line here."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sweeping import write_table

from recpoison.attacks.embeddings.bim import BIM
from recpoison.attacks.profiles.average import AverageAttack
from recpoison.attacks.targets import Targets
from recpoison.data.splitting import Splitter
from recpoison.data.synthetic import Synthetic
from recpoison.data.table import OwnTable
from recpoison.errors import DataError
from recpoison.evaluation.full_ranking import FullRanking
from recpoison.experiment import Parts, run
from recpoison.models.bprmf import BPRMF
from recpoison.progress import Progress
from recpoison.stages.base import Stage
from recpoison.stages.obtaining import Stages
from recpoison.stages.store import Store
from recpoison.stages.trial import arithmetic
from recpoison.training.trainer import Trainer

MODEL = BPRMF(embedding_size=4, trainer=Trainer(epochs=2, batch_size=64))
PARTS = Parts(
    Synthetic(
        "s", n_users=40, n_items=30, rank=3, threshold=1.0, split=Splitter("leave_one_out_random", validation=0.2)
    ),
    MODEL,
    AverageAttack(targets=Targets(), fillers=3, budget=0.1),
    evaluation=FullRanking(cutoffs=(5, 10)),
)
ALL = {"split": 1, "change": 1, "fit": 2, "ranks": 2}
CHOOSING = replace(PARTS.evaluation, select_on="valid", select_every=1)


def count(parts: Parts, store: Store, **settings) -> dict[str, int]:
    """Stages that were computed, by kind."""
    found: dict[str, int] = {}
    for cost in run(parts, store=store, **settings).costs:
        if not cost.reused:
            found[cost.stage] = found.get(cost.stage, 0) + 1
    return found


def evaluated(**changes) -> Parts:
    return replace(PARTS, evaluation=replace(PARTS.evaluation, **changes))


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    """A store that knows PARTS. Tests add to it, each something of its own."""
    store = Store(tmp_path_factory.mktemp("store"))
    assert count(PARTS, store) == ALL
    return store


@pytest.mark.parametrize(
    ("changed", "computed"),
    [
        pytest.param(PARTS, {}, id="nothing"),
        pytest.param(evaluated(cutoffs=(3, 10)), {}, id="a cutoff below the largest"),
        pytest.param(evaluated(cutoffs=(5, 20)), {"ranks": 2}, id="the largest cutoff"),
        pytest.param(evaluated(metrics=("HR",)), {}, id="metrics are functions of ranks"),
        pytest.param(evaluated(ties="for"), {}, id="ranks know ties"),
        pytest.param(evaluated(owners="excluded"), {}, id="ranks know owners"),
        pytest.param(evaluated(select_metric="HR@3"), {}, id="no epoch is chosen"),
        pytest.param(evaluated(memory_mb=1), {}, id="memory limit"),
        pytest.param(replace(PARTS, labels={"model": "mine"}), {}, id="labels"),
        pytest.param(replace(PARTS, dataset=replace(PARTS.dataset, name="t")), {}, id="the dataset's name"),
        pytest.param(
            replace(PARTS, model=replace(MODEL, trainer=replace(MODEL.trainer, learning_rate=0.06))),
            {"fit": 2, "ranks": 2},
            id="learning rate",
        ),
        pytest.param(
            replace(PARTS, model=replace(MODEL, embedding_size=5)), {"fit": 2, "ranks": 2}, id="embedding size"
        ),
        pytest.param(
            replace(PARTS, attack=replace(PARTS.attack, budget=0.2)),
            {"change": 1, "fit": 1, "ranks": 1},
            id="the attack spares the clean cell",
        ),
        pytest.param(
            replace(PARTS, attack=replace(PARTS.attack, targets=Targets(count=2))),
            {"change": 1, "fit": 1, "ranks": 2},
            id="targets are ranked in the clean cell too",
        ),
        pytest.param(replace(PARTS, dataset=replace(PARTS.dataset, threshold=0.9)), ALL, id="the data"),
    ],
)
def test_a_change_recomputes_what_depends_on_it_and_nothing_else(store, changed, computed):
    assert count(changed, store) == computed


def test_another_seed_is_another_run(store):
    assert count(PARTS, store, seeds=[1]) == ALL


def test_neither_threads_nor_paths_matter(store, tmp_path):
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        assert count(PARTS, store, data_dir=tmp_path) == {}
    finally:
        torch.set_num_threads(threads)


def test_where_an_epoch_is_chosen_the_fit_depends_on_how_and_not_on_the_cutoffs(store):
    assert count(replace(PARTS, evaluation=CHOOSING), store) == {"fit": 2, "ranks": 2}
    assert count(replace(PARTS, evaluation=replace(CHOOSING, cutoffs=(3, 10))), store) == {}
    assert count(replace(PARTS, evaluation=replace(CHOOSING, metrics=("AUC",))), store) == {}
    assert count(replace(PARTS, evaluation=replace(CHOOSING, select_metric="HR@3")), store)["fit"] == 2
    assert count(replace(PARTS, evaluation=replace(CHOOSING, select_every=2)), store)["fit"] == 2
    assert count(replace(PARTS, evaluation=replace(CHOOSING, select_on="test")), store)["fit"] == 2


def test_reused_numbers_are_the_computed_ones(store):
    fresh, found = run(PARTS, store=None), run(PARTS, store=store)
    assert all(cost.reused for cost in found.costs)
    assert not any(cost.reused for cost in fresh.costs)
    assert found.metrics().equals(fresh.metrics())


class Heard(Progress):
    def __init__(self) -> None:
        self.said: list[str] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.said.append(f"computing {name}")
        yield

    def reused(self, name: str) -> None:
        self.said.append(f"reused {name}")


class Word(Stage[str]):
    kind, title, seed = "fit", "fit it", 0

    @property
    def inputs(self) -> dict[str, int]:
        return {"a": 1}

    def compute(self, progress: Progress) -> str:
        return "value"

    def save(self, value: str, folder: Path) -> None:
        (folder / "value").write_text(value)

    def load(self, folder: Path) -> str:
        return (folder / "value").read_text()

    def promise(self, key: str) -> str:
        return key


def test_a_reader_is_told_and_costs_are_the_original_ones(tmp_path):
    heard = Heard()
    stages = Stages(Store(tmp_path), heard, torch.device("cpu"))
    for _ in range(2):
        assert stages.obtain(Word()) == "value"
    assert heard.said == ["computing fit it, seed 0", "reused fit it, seed 0"]
    first, second = stages.costs
    assert (first.reused, second.reused) == (False, True)
    assert second.seconds == first.seconds
    assert Store(tmp_path).entries()[0].title == "fit it"


def test_deterministic_cuda_is_another_arithmetic(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert (arithmetic(cpu), arithmetic(cuda)) == ("cpu", "cuda")
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    assert (arithmetic(cpu), arithmetic(cuda)) == ("cpu", "cuda, deterministic")


def test_an_attack_followed_over_its_steps_is_crafted_once(monkeypatch):
    """Its last point is the shift that is then measured, number for number."""
    bim = BIM(epsilon=0.5, steps=3, step_size=0.2)
    parts = replace(PARTS, attack=bim, evaluation=FullRanking(cutoffs=(5,)))
    plain = run(parts)
    crafted = []
    monkeypatch.setattr(BIM, "_craft", lambda *a: crafted.append(a))
    followed = run(replace(parts, evaluation=replace(parts.evaluation, curve_steps=2)))
    assert not crafted
    path = followed.metrics().subject == "path"
    assert followed.metrics()[~path].reset_index(drop=True).equals(plain.metrics())


def test_data_swapped_while_they_are_read_are_stored_under_no_key(tmp_path, monkeypatch):
    """Whether before or after the rows were read: the key is of files that were there at another time."""
    table = OwnTable("t", path=str(tmp_path / "t.csv"), split=Splitter("leave_one_out_random"))
    store, read = Store(tmp_path / "store"), OwnTable.load
    for swap_first in (True, False):
        write_table(tmp_path / "t.csv", 3)

        def swapping(self, *told, swap_first=swap_first):
            if swap_first:
                write_table(tmp_path / "t.csv", 7)
            found = read(self, *told)
            write_table(tmp_path / "t.csv", 7)
            return found

        monkeypatch.setattr(OwnTable, "load", swapping)
        with pytest.raises(DataError, match="the files of dataset=t changed while they were read"):
            run(replace(PARTS, dataset=table), store=store)
        assert not store.entries()
    monkeypatch.setattr(OwnTable, "load", read)
    assert "split" in count(replace(PARTS, dataset=table), store)
