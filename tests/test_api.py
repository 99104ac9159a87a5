"""``recpoison.run`` and ``recpoison.load``: the command's numbers, from Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

import recpoison
from recpoison.attacks.profiles.random import RandomAttack
from recpoison.data.frame import FrameTable
from recpoison.data.synthetic import Synthetic
from recpoison.data.table import OwnTable
from recpoison.errors import ConfigError, DataError, OutputError
from recpoison.evaluation.full_ranking import FullRanking
from recpoison.models.mf import MF
from recpoison.models.popularity import Popularity
from recpoison.paths import CONF_DIR
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.train_attack_eval import main

QUIET = ("dataset=synthetic", "dataset.n_users=120", "dataset.n_items=60", "model=popularity")
SMALL = (*QUIET, "attack.budget=0.05")
FILES = {"metrics.csv", "summary.csv", "ranks.npz", "change.npz", "run.json", "config.yaml", "costs.csv", "table.md"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: object, **settings: object) -> recpoison.Result:
    return recpoison.run(*words, quiet=True, **settings)


def test_words_give_the_command_s_numbers_and_nothing_is_written_before_save(here: Path):
    record = run(*SMALL, attack="random", repeats=2, store_dir="stages")
    assert {path.name for path in here.iterdir()} == {"stages"}
    assert record.save("kept") == Path("kept")
    assert {path.name for path in (here / "kept").iterdir()} >= FILES
    assert main([*SMALL, "attack=random", "repeats=2", "store_dir=stages", "hydra.run.dir=typed"]) == 0
    assert (here / "kept" / "metrics.csv").read_bytes() == (here / "typed" / "metrics.csv").read_bytes()
    assert (pd.read_csv(here / "typed" / "costs.csv").reused).all(), "the command found each stage in the store"
    with pytest.raises(OutputError, match="kept already holds results"):
        record.save("kept")


def test_what_was_saved_is_loaded_as_it_was(here: Path):
    record = run(*SMALL, attack="random", repeats=2, store_dir=None)
    record.save("kept")
    again = recpoison.load("kept")
    pd.testing.assert_frame_equal(again.to_frame(), record.to_frame())
    assert again.verdict() == record.verdict()
    assert again.table("csv") == record.table("csv")
    again.save("copied")
    assert (here / "copied" / "ranks.npz").read_bytes() == (here / "kept" / "ranks.npz").read_bytes()
    assert len(record.records) == 1
    assert again.records == ()


def test_a_record_is_looked_at_in_many_forms():
    record = run(*SMALL, attack="random", store_dir=None)
    frame = record.to_frame()
    hit = frame[(frame.subject == "target") & (frame.metric == "HR") & (frame.k == 50)].set_index("attack").value
    # popularity puts the tail item of 60 behind 50 others: nobody's list has it, then everybody's
    assert f"HR@50 rose from {hit['none']:.4f} to {hit['random']:.4f}" in record.verdict()
    assert hit["random"] > hit["none"]
    assert repr(record) == f"<recpoison synthetic, popularity, random, 1 seed: {record.verdict().splitlines()[0]}>"
    assert f"{hit['random']:.4f}" in record.table()
    assert f"{hit['random']:.4f}" in record._repr_html_()
    assert "<table" in record._repr_html_()
    assert record.table("latex").startswith("%") or "tabular" in record.table("latex")
    assert {"bars_target_hr_at_50", "bars_test_hr_at_10"} <= record.figures().keys()
    with pytest.raises(ConfigError, match="table has no form 'word'"):
        record.table("word")


def test_a_sweep_is_several_runs_and_one_table(here: Path):
    record = run(*SMALL, "-m", "attack=random,bandwagon", "seed=0,1")
    assert len(record.records) == 4
    assert set(record.to_frame().attack) == {"none", "random", "bandwagon"}
    assert [line.split(":")[0] for line in record.verdict().splitlines()][:2] == ["random", "bandwagon"]
    assert repr(record).startswith("<recpoison synthetic, popularity, random/bandwagon, 4 runs, 2 seeds: ")
    record.save("swept")
    assert sorted(path.name for path in (here / "swept").iterdir()) == ["0", "1", "2", "3"]
    assert recpoison.load("swept").table("csv") == record.table("csv")


def test_parts_of_one_s_own_give_the_numbers_of_their_words():
    dataset, attack = Synthetic("synthetic", n_users=120, n_items=60), RandomAttack(budget=0.05)
    words = run(*SMALL, attack="random", store_dir=None).to_frame()
    named = run(dataset=dataset, model=Popularity(), attack=attack, store_dir=None).to_frame()
    whole = recpoison.Parts(dataset, Popularity(), attack, evaluation=FullRanking(), labels={"model": "popularity"})
    together = run(whole, store_dir=None).to_frame()
    assert set(named.model) == {"Popularity"}
    assert set(together.model) == {"popularity"}
    for found in (named, together):
        np.testing.assert_array_equal(found.value, words.value)


def test_what_suits_the_synthetic_data_is_not_taken_for_data_of_one_s_own():
    record = run("attack=none", "model.trainer.epochs=1", dataset=Synthetic("mine", n_users=120, n_items=60))
    assert "embedding_size: 64" in record.finished[0].config
    assert (
        "embedding_size: 16" in run("attack=none", "model.trainer.epochs=1", "dataset.n_users=120").finished[0].config
    )


def clicks() -> pd.DataFrame:
    """Synthetic clicks with ids of a shop, one row each, and a column that nobody asks for."""
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((100, 60)) < np.linspace(0.6, 0.1, 60))
    return pd.DataFrame({"customer": [f"c{u}" for u in users], "sku": items + 1000, "page": "home"})


COLUMNS = ("dataset.user=customer", "dataset.item=sku")


@pytest.mark.slow
def test_a_frame_is_read_as_its_csv_file_is(here: Path):
    frame = clicks()
    frame.to_csv("clicks.csv", index=False)
    settings = {"model": "popularity", "attack": "bandwagon", "attack.budget": 0.05}
    found = run(*COLUMNS, data=frame, **settings)
    file = run(*COLUMNS, "dataset.path=clicks.csv", dataset="csv", **settings).to_frame()
    np.testing.assert_array_equal(found.to_frame().value, file.value)
    assert set(found.to_frame().dataset) == {"frame"}
    assert run(*COLUMNS, dataset=frame, **settings).to_frame().equals(found.to_frame())
    other = run(*COLUMNS, data=frame[frame.sku < 1055], **settings).to_frame()
    assert not other.equals(found.to_frame()), "the store knows a frame by its values"


def test_a_frame_that_is_wrong_is_answered_in_a_sentence():
    with pytest.raises(DataError, match=r"frame has no column 'user': set dataset.user to one of customer, sku, page"):
        run(data=clicks(), model="popularity")
    with pytest.raises(ConfigError, match="dataset is given twice"):
        run("dataset=ml_100k", data=clicks())
    with pytest.raises(ConfigError, match=r"dataset\.separator is about files"):
        run(*COLUMNS, "dataset.separator=';'", data=clicks(), model="popularity")
    with pytest.raises(ConfigError, match="the data are list: give a pandas DataFrame"):
        run(data=[1, 2], model="popularity")


def test_a_frame_is_known_by_the_columns_that_are_used():
    def table(frame: pd.DataFrame) -> FrameTable:
        return FrameTable.like(OwnTable("shop", "", user="customer", item="sku"), frame)

    shop = table(clicks())
    assert shop == table(clicks().assign(page="elsewhere"))
    assert shop != table(clicks().assign(sku=lambda frame: frame.sku + 1))
    assert shop.fingerprint(None) != table(clicks().astype({"sku": float})).fingerprint(None)
    frame = clicks()
    held = table(frame)
    frame.loc[:, "sku"] = 0
    assert held.read(None, Seeds(0), Progress()).n_items == 60, "later changes of the frame are not seen"


@pytest.mark.parametrize(
    ("words", "settings", "said"),
    [
        (("model=mff",), {}, "there is no such option; did you mean mf"),
        ((), {"repeat": 3}, "repeat"),
        (("--cfg", "job"), {}, "--cfg is for the command: leave it out"),
        (("model=mf",), {"model": MF()}, "model is given twice: keep one"),
        ((), {"model": 3}, "model is int: give the name of an option, or an object of recpoison.models.base.Model"),
        ((MF(),), {}, "give other things by name"),
        (("trackers=[mlflow]",), {}, "trackers"),
        (("attack=random,average",), {}, "add -m"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(words, settings, said):
    with pytest.raises(ConfigError, match=said):
        run(*words, **settings)


def test_hydra_and_torch_are_left_as_they_were():
    threads = torch.get_num_threads()
    assert not GlobalHydra.instance().is_initialized()
    run(*QUIET, attack="none", threads=1, deterministic=True, store_dir=None)
    assert not GlobalHydra.instance().is_initialized()
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.get_num_threads() == threads
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF_DIR)):
        before = GlobalHydra.instance().hydra
        run(*QUIET, attack="none", store_dir=None)
        assert GlobalHydra.instance().hydra is before
    assert not GlobalHydra.instance().is_initialized()


def test_importing_the_package_is_quick():
    """CPU time, because others use the machine too; torch alone would take a second."""
    code = (
        "import sys, time; start = time.process_time(); import recpoison; spent = time.process_time() - start; "
        "print(spent, {'torch', 'hydra', 'omegaconf', 'pandas', 'numpy', 'numba'} & set(sys.modules)); "
        "assert {'run', 'load'} <= set(dir(recpoison))"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    times, loaded = zip(*(done.stdout.split(" ", 1) for done in runs), strict=True)
    assert set(loaded) == {"set()\n"}
    assert min(map(float, times)) < 0.1


def test_what_the_package_does_not_offer_is_no_attribute():
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        _ = recpoison.runn
