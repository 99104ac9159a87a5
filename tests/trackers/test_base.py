"""What every tracker is told, how ``trackers`` is checked, and that no tracker can lose a run."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from sweeping import SMALL

from recpoison.command.config import check, tracker_node
from recpoison.command.overrides import compose_root
from recpoison.errors import ConfigError
from recpoison.records import RunRecord, write
from recpoison.trackers.base import TRACKERS, Tracker, is_installed, parameters, scalars
from recpoison.train_attack_eval import main


@dataclass(frozen=True)
class Noting(Tracker):
    """Keeps what it is told, and then fails if it is asked to."""

    told: ClassVar[list[tuple[RunRecord, Path, list[str]]]] = []
    fails: bool = False

    def log(self, record: RunRecord, folder: Path, overrides: list[str]) -> None:
        assert (folder / "metrics.csv").is_file()
        Noting.told.append((record, folder, overrides))
        if self.fails:
            raise OSError("no room\nat all")


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Noting, "told", [])
    for name in TRACKERS:
        if not is_installed(name):
            monkeypatch.setitem(sys.modules, name, None)


def noting(monkeypatch) -> None:
    """Let the word ``noting`` stand for the tracker above."""
    monkeypatch.setitem(sys.modules, "recpoison.trackers.noting", sys.modules[__name__])
    monkeypatch.setattr(Noting, "__module__", "recpoison.trackers.noting")
    monkeypatch.setitem(TRACKERS, "noting", "recpoison.trackers.noting.Noting")


def test_scalars_are_the_rows_of_metrics_csv(record, numbers, tmp_path):
    assert {(s.name, s.step, s.value) for s in scalars(record)} == numbers
    write(record, tmp_path / "run", "", [])
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[1:]
    assert [float(row.split(",")[-2]) for row in rows] == [s.value for s in scalars(record)]


def test_parameters_are_labels_and_overrides(record):
    assert parameters(record, ["attack=bad", "seed=3"]) == {
        "dataset": "toy",
        "model": "mf",
        "attack": "bad",
        "defense": "none",
        "overrides": "attack=bad seed=3",
    }


def test_no_tracker_unless_asked():
    assert list(compose_root([]).trackers) == []


@pytest.mark.parametrize("name", sorted(TRACKERS))
def test_a_missing_package_is_told_before_any_work(name, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, name, None)
    assert main([*SMALL, f"trackers=[{name}]"]) == 2
    said = f"trackers has {name}, but the package {name} is not installed: pip install 'recpoison[{name}]'"
    assert capsys.readouterr().err.splitlines() == [f"recpoison: {said}"]
    assert not list(Path().rglob("metrics.csv"))
    assert not Path("outputs/store").exists()


def test_an_unknown_tracker_is_told_before_any_work(capsys):
    assert main([*SMALL, "trackers=[tensorbord]"]) == 2
    said = "trackers has tensorbord: there is no such tracker; did you mean tensorboard? (trackers offers "
    assert capsys.readouterr().err == f"recpoison: {said}tensorboard, mlflow, wandb)\n"
    assert not Path("outputs/store").exists()


def test_a_word_where_a_list_is_due(capsys):
    assert main([*SMALL, "trackers=tensorboard"]) == 2
    assert capsys.readouterr().err == "recpoison: trackers is tensorboard, but it must be a list of values\n"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{_target_:recpoison.trackers.mlflow.MLflowTracker,ur:x}", "trackers[0].ur: there is no such setting"),
        ("{_target_:recpoison.trackers.mlflow.MLflowTracker,uri:3}", "trackers[0].uri is 3, but it must be a word"),
        ("{_target_:recpoison.models.mf.MF}", "trackers[0]._target_ is MF, which is no Tracker"),
        ("{uri:x}", "trackers[0] is {'uri': 'x'}, but it must be a mapping with a _target_"),
        ("${nowhere}", "trackers: Interpolation key 'nowhere' not found"),
    ],
)
def test_a_tracker_with_settings_is_checked_like_any_part(entry, said):
    with pytest.raises(ConfigError) as caught:
        check(compose_root([f"trackers=[{entry}]"]))
    assert str(caught.value).startswith(said)


def test_a_word_stands_for_its_defaults_and_a_mapping_for_itself():
    cfg = compose_root(["trackers=[mlflow,{_target_:a.B,uri:x}]"])
    assert tracker_node(cfg.trackers[0]) == {"_target_": "recpoison.trackers.mlflow.MLflowTracker"}
    assert tracker_node(cfg.trackers[1]) == {"_target_": "a.B", "uri": "x"}


def test_a_run_tells_its_trackers_once_its_files_are_written(monkeypatch):
    noting(monkeypatch)
    assert main([*SMALL, "trackers=[noting]", "hydra.run.dir=outputs/a"]) == 0
    [(record, folder, overrides)] = Noting.told
    assert folder.resolve() == Path("outputs/a").resolve()
    assert "trackers=[noting]" in overrides
    assert len(scalars(record)) == len(Path("outputs/a/metrics.csv").read_text().splitlines()) - 1


def test_a_tracker_that_fails_costs_a_warning_and_the_next_one_is_told(monkeypatch):
    noting(monkeypatch)
    failing = "{_target_:recpoison.trackers.noting.Noting,fails:true}"
    assert main([*SMALL, f"trackers=[{failing},noting]", "hydra.run.dir=outputs/a"]) == 0
    assert len(Noting.told) == 2
    [said] = [line for line in Path("outputs/a/run.log").read_text().splitlines() if "Noting" in line]
    assert "WARNING recpoison: Noting failed (OSError: no room): the run is not in it, but whole in " in said
    assert said.endswith("outputs/a")
    assert Path("outputs/a/metrics.csv").is_file()
