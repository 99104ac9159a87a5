"""Sweepers that decide as they go: what they are told of a job, of a failed one too, and what the end says."""

from __future__ import annotations

import csv
import json
import re
import warnings
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf
from sweeping import SMALL, write_table
from trying_sweeper import Trying

import recpoison.experiment
from recpoison.command.overrides import Sweep
from recpoison.errors import DataError
from recpoison.sweeps.searching import best_of, in_our_words
from recpoison.train_attack_eval import main

TRY = ["-m", "--trust", "hydra_plugins", "hydra/sweeper=trying", *SMALL, "hydra.sweep.dir=outputs/s"]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Trying, "told", [])
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)


@pytest.fixture
def broken_seed(monkeypatch) -> list[int]:
    """Seeds that were run; seed 1 fails."""
    real, seen = recpoison.experiment.run, []

    def noted(parts, seeds, **settings):
        seen.append(seeds[0])
        if seeds[0] == 1:
            raise DataError("row 3 is broken")
        return real(parts, seeds, **settings)

    monkeypatch.setattr(recpoison.experiment, "run", noted)
    return seen


def measured(folder: Path, subject: str, metric: str, k: str, attack: str) -> float:
    with (folder / "metrics.csv").open() as file:
        wanted = {"subject": subject, "metric": metric, "k": k, "attack": attack}
        (row,) = [row for row in csv.DictReader(file) if wanted.items() <= row.items()]
    return float(row["value"])


def cells_by_seed() -> dict[int, Path]:
    found = {}
    for path in Path("outputs/s").glob("*/status.json"):
        (seed,) = [text for text in json.loads(path.read_text())["overrides"] if text.startswith("seed=")]
        found[int(seed.partition("=")[2])] = path.parent
    return found


def test_the_sweeper_is_told_the_attacked_number_and_a_failure_as_a_failure(broken_seed, capsys):
    line = [*TRY, "objective=target.HR@5"]
    assert main(line) == 2
    first, failed, last = Trying.told
    cells = cells_by_seed()
    assert first == measured(cells[0], "target", "HR", "5", "bandwagon")
    assert last == measured(cells[2], "target", "HR", "5", "bandwagon")
    assert failed == "row 3 is broken"
    assert json.loads((cells[1] / "status.json").read_text())["status"] == "failed"
    told = capsys.readouterr()
    assert "2 of 3 cells done" in told.out
    assert "is missing: row 3 is broken" in told.err

    assert main([*TRY, "objective=test.NDCG@5"]) == 2  # outside the hash: found again, and another number read
    assert broken_seed == [0, 1, 2]
    assert Trying.told[3:] == [
        measured(cells[0], "test", "NDCG", "5", "bandwagon"),
        "row 3 is broken",
        measured(cells[2], "test", "NDCG", "5", "bandwagon"),
    ]


def test_a_sweeper_that_gives_up_ends_in_the_failure_s_own_words(broken_seed, capsys):
    assert main([*TRY, "objective=target.HR@5", "hydra.sweeper.seeds=[1,2]", "hydra.sweeper.gives_up=true"]) == 2
    assert broken_seed == [1]
    told = capsys.readouterr().err
    assert "is missing: row 3 is broken" in told
    assert "bug" not in told


def test_a_search_for_nothing_is_refused(broken_seed, capsys):
    assert main(TRY) == 2
    assert "this sweeper searches for the best value of a number: name it" in capsys.readouterr().err
    assert broken_seed == []


@pytest.mark.parametrize("setting", ["attack.fillers", "seed", "evaluation.curve_epochs"])
def test_a_whole_number_is_not_drawn_from_fractions(setting, broken_seed, capsys):
    assert main([*TRY, "objective=target.HR@5", f"{setting}=interval(1, 5)"]) == 2
    said = capsys.readouterr().err
    assert f"recpoison: {setting} takes whole numbers: write {setting}=int(interval(1, 5))\n" in said
    assert not broken_seed


def test_an_added_setting_is_looked_at_too(broken_seed, capsys):
    assert main([*TRY, "objective=target.HR@5", "++attack.fillers=interval(1, 5)"]) == 2
    assert "attack.fillers takes whole numbers: write attack.fillers=int(interval(1, 5))" in capsys.readouterr().err


@pytest.mark.parametrize("setting", ["evaluation.ties", "deterministic", "evaluation.metrics"])
def test_what_is_no_number_is_not_drawn(setting, broken_seed, capsys):
    assert main([*TRY, "objective=target.HR@5", f"{setting}=interval(0, 1)"]) == 2
    assert f"{setting} is no number, so that none can be drawn from interval(0, 1)" in capsys.readouterr().err
    assert not broken_seed


def test_fractions_are_drawn_for_what_takes_them(broken_seed):
    given = ["attack.budget=interval(0.1, 0.3)", "attack.fillers=int(interval(1, 5))"]
    assert main([*TRY, *given, "objective=target.HR@5", "hydra.sweeper.seeds=[0]"]) == 2
    assert not Trying.told


def test_a_plain_sweep_goes_on_past_a_failure_and_needs_no_objective(broken_seed):
    assert main(["-m", *SMALL, "seed=0,1,2", "objective=target.HR@5", "hydra.sweep.dir=outputs/s"]) == 2
    assert broken_seed == [0, 1, 2]


def test_a_number_that_only_the_run_can_know_to_be_missing(capsys):
    assert main([*TRY, "objective=removed.Recall", "hydra.sweeper.seeds=[0]"]) == 0
    (said,) = Trying.told
    assert said.startswith("the run measured no removed.Recall")


def test_the_best_is_read_from_what_sweepers_of_hydra_leave(tmp_path):
    sweep = Sweep(OmegaConf.create({"objective": "test.HR@5"}), tmp_path, None)
    assert best_of(sweep) == ""
    found = {"name": "optuna", "best_params": {"model.size": 8, "seed": 1}, "best_value": 0.25}
    (tmp_path / "optimization_results.yaml").write_text(yaml.safe_dump(found))
    assert best_of(sweep) == "best test.HR@5 0.25: model.size=8 seed=1\n"
    (tmp_path / "optimization_results.yaml").write_text(yaml.safe_dump({"name": "optuna", "solutions": []}))
    assert best_of(sweep) == ""


def test_optuna_is_told_the_number_of_validation_rows_and_its_best_is_said(capsys):
    write_table("mine.csv")
    small = ["model.trainer.epochs=1", "hydra.sweeper.n_trials=2", "hydra.sweep.dir=outputs/s"]
    assert main(["experiment=tune_model", "dataset=csv", "dataset.path=mine.csv", *small]) == 0
    values = [measured(path.parent, "test", "NDCG", "10", "none") for path in Path("outputs/s").glob("*/metrics.csv")]
    assert len(values) == 2
    told = capsys.readouterr().out
    assert f"best test.NDCG@10 {max(values):.6g}: model.embedding_size=" in told


def test_optuna_draws_whole_numbers_for_an_attack(capsys):
    small = ["model=item_knn", "dataset=planted", "hydra.sweeper.n_trials=2", "hydra.sweep.dir=outputs/s"]
    assert main(["experiment=tune_attack", *small]) == 0
    told, warned = capsys.readouterr()
    assert "2 of 2 cells done" in told
    assert re.search(r"best target\.HR@50 [\d.]+: attack\.fillers=\d+ attack\.n_selected=\d+\n", told)
    assert warned == ""


def test_optunas_own_words_are_kept_back_but_not_its_warnings(capfd):
    import optuna

    sweeper = {"_target_": "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper"}
    log, before = optuna.logging.get_logger("optuna.here"), optuna.logging.get_verbosity()
    with in_our_words(Sweep(OmegaConf.create({"hydra": {"sweeper": sweeper}}), Path(), None)):
        log.info("a new study")
        log.warning("a trial was lost")
        with warnings.catch_warnings(record=True) as warned:
            warnings.warn("may change", optuna.exceptions.ExperimentalWarning, stacklevel=1)
            warnings.warn("will go", FutureWarning, stacklevel=1)
    assert [str(warning.message) for warning in warned] == ["will go"]
    assert optuna.logging.get_verbosity() == before
    told = capfd.readouterr().err
    assert "a trial was lost" in told
    assert "a new study" not in told


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1)], ids=["failed second", "failed last"])
def test_optuna_records_a_failed_trial_as_failed(order, broken_seed, monkeypatch, capsys):
    monkeypatch.setattr("random.choice", lambda left: next(seed for seed in order if seed in left))  # of a grid
    line = ["-m", "hydra/sweeper=optuna", "hydra/sweeper/sampler=grid", "hydra.sweeper.direction=maximize", *SMALL]
    line += ["objective=target.HR@5", "seed=choice(0,1,2)", "hydra.sweeper.n_jobs=1", "hydra.sweep.dir=outputs/s"]
    assert main([*line, "hydra.sweeper.max_failure_rate=1.0"]) == 2
    assert tuple(broken_seed) == order
    told = capsys.readouterr()
    assert "2 of 3 cells done" in told.out
    assert "is missing: row 3 is broken" in told.err
    if order[-1] != 1:  # else the sweeper raises, and names none
        best = max(measured(cells_by_seed()[seed], "target", "HR", "5", "bandwagon") for seed in (0, 2))
        assert f"best target.HR@5 {best:.6g}: seed=" in told.out
