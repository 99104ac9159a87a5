"""What a run leaves behind: numbers by hand, and files that are all there or not at all."""

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from recpoison import records
from recpoison.changes import EmbeddingShift, FakeProfiles
from recpoison.crafted import fingerprint
from recpoison.errors import OutputError
from recpoison.evaluation.base import Measure
from recpoison.records import Cell, CellResult, Cost, RunRecord, write
from recpoison.report.runs import read_runs
from recpoison.versions import commit


class Seen:
    """What an evaluation looked at, with one array."""

    def arrays(self) -> dict[str, np.ndarray]:
        return {"lists": np.array([[3, 1]])}

    def save(self, path: Path) -> None:
        raise AssertionError("records write the arrays themselves")


def result(attack: str, seed: int, per_user: list[float]) -> CellResult:
    values = np.array(per_user)
    hits = Measure("target", "HR", 10, values.mean(), len(values), np.arange(len(values)), values)
    auc = Measure("test", "AUC", None, 0.5 + seed, 4)
    change = FakeProfiles.none(np.array([7])) if attack != "none" else None
    return CellResult(Cell("toy", "m", attack, "none", seed), [hits, auc], Seen(), change)


def record(*results: CellResult) -> RunRecord:
    return RunRecord(
        list(results), [Cost("fit", "none/none", 0, 1.5, 100.0, False)], {"ties": "against"}, {"device": "cpu"}
    )


@pytest.fixture
def two_seeds() -> RunRecord:
    return record(
        result("none", 0, [0, 0, 0, 1]),
        result("bad", 0, [1, 0, 0, 1]),
        result("none", 1, [0, 1, 0, 1]),
        result("bad", 1, [1, 1, 1, 1]),
    )


def row_of(table: pd.DataFrame, attack: str, metric: str) -> pd.Series:
    return table[(table.attack == attack) & (table.metric == metric)].iloc[0]


def test_summary_pairs_over_seeds(two_seeds: RunRecord) -> None:
    """Clean 0.25 and 0.5, attacked 0.5 and 1: differences 0.25 and 0.5, t = 3 with one degree of freedom."""
    row = row_of(two_seeds.summary(), "bad", "HR")
    assert (row["mean"], row.n) == (0.75, 2)
    assert row.sd == pytest.approx(0.5 / np.sqrt(2))
    assert row.difference == pytest.approx(0.375)
    # Holm over two tests; AUC is equal, so it has no p, and counts all the same
    assert row.p == pytest.approx(2 * (1 - 2 / np.pi * np.arctan(3)))
    reach = 0.125 * np.tan(0.475 * np.pi)
    assert (row.low, row.high) == pytest.approx((0.375 - reach, 0.375 + reach))
    clean = row_of(two_seeds.summary(), "none", "HR")
    assert np.isnan([clean.difference, clean.p]).all()


def test_one_seed_has_no_p_and_no_interval() -> None:
    """One user of four changed: over users t would exist, and say nothing about the attack."""
    one = record(result("none", 0, [0, 0, 0, 1]), result("bad", 0, [1, 0, 0, 1]))
    row = row_of(one.summary(), "bad", "HR")
    assert row.difference == 0.25
    assert np.isnan([row.p, row.low, row.high, row.sd]).all()
    table = records.markdown(one)
    assert "p: " not in table
    assert "1 seed: too few for any verdict" in table


def test_the_summary_is_computed_once(two_seeds: RunRecord, tmp_path: Path, monkeypatch) -> None:
    calls, summarise = [], records.summarise

    def counting(*args, **options):
        calls.append(args)
        return summarise(*args, **options)

    monkeypatch.setattr(records, "summarise", counting)
    write(two_seeds, tmp_path / "run", "{}\n", [])
    two_seeds.summary()
    two_seeds.story()
    assert len(calls) == 1


def test_files_of_a_run(two_seeds: RunRecord, tmp_path: Path) -> None:
    write(two_seeds, tmp_path / "run", "seed: 0\n", ["seed=0"], "recpoison seed=0")
    names = {path.name for path in (tmp_path / "run").iterdir()}
    tables = {"metrics.csv", "summary.csv", "costs.csv", "table.md"}
    assert names == tables | {"ranks.npz", "change.npz", "run.json", "config.yaml", "overrides.yaml"}
    lines = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert lines[:3] == [
        "dataset,model,attack,defense,seed,subject,metric,k,value,n",
        "toy,m,none,none,0,target,HR,10,0.25,4",
        "toy,m,none,none,0,test,AUC,,0.5,4",
    ]
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (about["command"], about["commit"]) == ("recpoison seed=0", commit())
    assert abs(datetime.fromisoformat(about["finished"]) - datetime.now(UTC)) < timedelta(minutes=1)
    with np.load(tmp_path / "run" / "ranks.npz", allow_pickle=False) as ranks:
        assert ranks["seed=1/attack=bad/defense=none/lists"].tolist() == [[3, 1]]
    with np.load(tmp_path / "run" / "change.npz", allow_pickle=False) as change:
        assert change["seed=0/attack=bad/defense=none/targets"].tolist() == [7]


def test_fake_users_stand_in_the_ids_of_the_source(tmp_path: Path) -> None:
    """Two fake users in seed 0, whose items have ids; one in seed 1, whose have none. Defended squares add no row."""
    profile, items, values = np.array([0, 0, 1]), np.array([2, 0, 1]), np.array([5.0, 3.5, 1.0])
    two = FakeProfiles(profile, items, values, 2, np.array([2]))
    one = FakeProfiles(profile[:1], items[:1], values[:1], 1, np.array([2]))
    results = [result("none", 0, [0, 1])]
    for seed, defense, change in ((0, "none", two), (0, "filter", two), (1, "none", one)):
        made = result("bad", seed, [0, 1])
        results.append(replace(made, cell=replace(made.cell, defense=defense), change=change))
    ids = {0: np.array(["007", "b,c", "\u00e9"]), 1: None}
    write(replace(record(*results), item_ids=ids), tmp_path / "run", "", [])
    text = (tmp_path / "run" / "fake_users.csv").read_text(encoding="utf-8")
    assert text.splitlines() == [
        "seed,fake_user,item,value",
        "0,0,\u00e9,5.0",
        "0,0,007,3.5",
        '0,1,"b,c",1.0',
        "1,0,2,5.0",
    ]
    changes = json.loads((tmp_path / "run" / "run.json").read_text())["changes"]
    paths = ("seed=0/attack=bad/defense=none", "seed=0/attack=bad/defense=filter", "seed=1/attack=bad/defense=none")
    first, defended, other = (changes[path]["fingerprint"] for path in paths)
    assert first == defended != other


def test_a_change_is_told_by_what_it_does() -> None:
    """Its targets and the way to it do not matter; each item, value and entry of a shift does."""
    rows = (np.array([0, 1]), np.array([2, 2]), np.array([5.0, 4.0]))
    made = FakeProfiles(*rows, 2, np.array([2]))
    same = replace(made, targets=np.array([1]), trace={"HR": np.ones(3)}, cutoff=10, best=1)
    assert fingerprint(made) == fingerprint(same)
    others = [replace(made, values=rows[2] - 1), replace(made, items=rows[1] - 1), replace(made, n_fakes=3)]
    shift = EmbeddingShift({"item": torch.ones(2, 2)})
    others += [shift, EmbeddingShift({"item": torch.ones(2, 2) * 2}), EmbeddingShift({"user": torch.ones(2, 2)})]
    assert len({fingerprint(change) for change in [made, *others]}) == 1 + len(others)
    assert fingerprint(shift) == fingerprint(EmbeddingShift({"item": torch.ones(2, 2)}))


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
@pytest.mark.parametrize("survivors", [0, 3])
def test_a_write_that_is_stopped_leaves_nothing(two_seeds, tmp_path, monkeypatch, error, survivors) -> None:
    folder, moved, replace = tmp_path / "run", [], records.os.replace

    def stop(source, target):
        if len(moved) == survivors:
            raise error
        moved.append(target)
        replace(source, target)

    monkeypatch.setattr(records.os, "replace", stop)
    with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else OutputError):
        write(two_seeds, folder, "", [])
    assert len(moved) == survivors
    assert list(folder.iterdir()) == []


def test_a_number_that_does_not_exist_is_read_back_by_reports(tmp_path: Path) -> None:
    cell = Cell("d", "m", "none", "none", 0)
    nothing = Measure("target", "MeanRank", None, float("nan"), 0)
    measures = [nothing, Measure("test", "HR", 10, 0.25, 4)]
    write(record(CellResult(cell, measures, Seen(), None)), tmp_path / "run", "{}\n", [])
    read = read_runs([tmp_path / "run"]).runs[0].metrics
    assert read.value.isna().tolist() == [True, False]
    assert read.value.iloc[1] == 0.25


def test_results_are_on_the_disk_before_they_take_their_places_and_metrics_come_last(two_seeds, tmp_path, monkeypatch):
    done, run = [], tmp_path / "run"
    settle, replace = os.fsync, os.replace

    def replaced(old: Path, new: Path) -> None:
        done.extend([new.name] * (new.parent == run))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", lambda number: (done.append(os.fstat(number).st_ino), settle(number)))
    monkeypatch.setattr(os, "replace", replaced)
    write(two_seeds, run, "", [])
    numbers = {path.name: path.stat().st_ino for path in run.iterdir()}
    others = sorted(numbers.keys() - {"metrics.csv"})
    assert set(done[: len(numbers)]) == set(numbers.values())
    assert done[len(numbers) :] == [*others, run.stat().st_ino, "metrics.csv", run.stat().st_ino]
