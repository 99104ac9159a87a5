"""Sweeps in one process: what is skipped, what is done again, and what the end says."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
from pathlib import Path

import pytest
import torch
from sweeping import SMALL, results, statuses, write_table

import recpoison.command.cells
import recpoison.experiment
import recpoison.sweeps.inventory
from recpoison.errors import DataError
from recpoison.report.runs import read_runs
from recpoison.train_attack_eval import main

SWEEP = ["-m", *SMALL, "seed=0,1,2"]
TABLE = ["-m", "dataset=csv", "dataset.path=mine.csv", *SMALL[1:], "hydra.sweep.dir=outputs/s"]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)


@pytest.fixture
def seeds_run(monkeypatch) -> list[int]:
    """The seeds that are run, in order; ``broken`` in the list makes seed 1 fail."""
    real, seen = recpoison.experiment.run, []

    def noted(parts, seeds, **settings):
        seen.append(seeds[0])
        if seeds[0] == 1 and Path("broken").exists():
            raise DataError("row 3 is broken")
        return real(parts, seeds, **settings)

    monkeypatch.setattr(recpoison.experiment, "run", noted)
    return seen


def test_a_sweep_over_fake_users_leaves_its_page_also_where_nothing_is_left_to_run(capsys, seeds_run):
    words = ["-m", *SMALL, "attack.n_fake_users=2", "model=popularity,item_knn", "evaluation.curve_fakes=[1]"]
    words.remove("model=popularity")
    words.remove("attack.budget=0.1")
    assert main(words) == 0
    (folder,) = Path("outputs/multirun").iterdir()
    assert (folder / "audit.md").read_text().startswith("# Audit of planted\n\n40 users, ")
    assert str(folder / "audit.html") in capsys.readouterr().out
    begun = len(seeds_run)
    (folder / "audit.html").unlink()
    assert main(words) == 0
    assert len(seeds_run) == begun
    assert "<ol>" in (folder / "audit.html").read_text()


def test_the_same_command_does_only_what_is_missing(capsys, seeds_run):
    assert main(SWEEP) == 0
    (folder,) = Path("outputs/multirun").iterdir()
    first = results(folder)
    assert len(first) == 3
    assert not list(folder.glob("audit*"))
    assert {status["status"] for status in statuses(folder).values()} == {"done"}
    assert Path("outputs/latest").resolve() == folder.resolve()
    assert "3 of 3 cells done: recpoison-report outputs/multirun/sweep-" in capsys.readouterr().out

    lost = statuses(folder)["seed=1"]["cell"]
    shutil.rmtree(folder / lost)
    assert main([*SWEEP, "threads=1", "checkpoint_seconds=60"]) == 0  # settings without effect on numbers
    assert seeds_run == [0, 1, 2, 1]
    assert results(folder) == first
    assert "2 of 3 cells already done" in capsys.readouterr().out

    assert main(SWEEP) == 0
    assert seeds_run == [0, 1, 2, 1]
    assert "3 of 3 cells already done" in capsys.readouterr().out


def test_other_settings_find_another_folder_and_share_cells_in_a_given_one(capsys, seeds_run):
    given = [*SWEEP[:-1], "hydra.sweep.dir=outputs/s"]
    assert main([*given, "seed=0,1"]) == 0
    assert main([*given, "seed=1,2"]) == 0
    assert seeds_run == [0, 1, 2]
    out = capsys.readouterr().out
    assert "1 of 2 cells already done" in out
    assert "outputs/s also holds 1 cells that this command does not name" in out
    assert len(results("outputs/s")) == 3


def test_a_failure_stops_nobody_and_is_tried_again_when_asked(capsys, seeds_run):
    Path("broken").touch()
    command = [*SWEEP, "hydra.sweep.dir=outputs/s"]
    assert main(command) == 2
    said = statuses("outputs/s")
    assert [said[f"seed={seed}"]["status"] for seed in range(3)] == ["done", "failed", "done"]
    assert (said["seed=1"]["reason"], said["seed=1"]["code"]) == ("row 3 is broken", 2)
    assert not Path("outputs/s", said["seed=1"]["cell"], "metrics.csv").exists()
    out, err = capsys.readouterr()
    assert "2 of 3 cells done: recpoison-report outputs/s" in out
    assert f"cell {said['seed=1']['cell']} (" in err
    assert "seed=1) is missing: row 3 is broken\n" in err

    Path("broken").unlink()
    assert main(command) == 2
    assert seeds_run == [0, 1, 2]
    out, err = capsys.readouterr()
    assert "2 of 3 cells already done in outputs/s\n1 failed earlier and is not tried again: add sweep.retry_f" in out
    assert "seed=1) is missing: failed earlier: row 3 is broken\n" in err
    assert main([*command, "sweep.retry_failed=true"]) == 0
    assert seeds_run == [0, 1, 2, 1]
    assert statuses("outputs/s")["sweep.retry_failed=True"]["reason"] == ""


@pytest.mark.slow
def test_other_code_computes_again_and_keeps_the_earlier_results(capsys, monkeypatch, seeds_run):
    command = ["-m", *SMALL, "seed=range(0,1)", "hydra.sweep.dir=outputs/s"]
    assert main(command) == 0
    (cell,) = results("outputs/s")
    before = results("outputs/s")[cell]
    monkeypatch.setattr(recpoison.command.cells, "version_of", lambda cfg: "edited")
    assert main(command) == 0
    assert seeds_run == [0, 0]
    assert "the code has changed since; its earlier results are in outputs/s" in capsys.readouterr().out
    (aside,) = Path("outputs/s", cell).glob(".earlier-*/metrics.csv")
    assert aside.read_bytes() == before


def edited(path: Path) -> None:
    path.write_text(path.read_text().replace(",0.", ",1.", 1))


HARM = {
    "an empty metrics.csv": ("metrics.csv", lambda path: path.write_text("")),
    "a cut metrics.csv": ("metrics.csv", lambda path: path.write_bytes(path.read_bytes()[:-9])),
    "an edited metrics.csv": ("metrics.csv", edited),
    "a lost metrics.csv": ("metrics.csv", Path.unlink),
    "an edited run.json": ("run.json", lambda path: path.write_text(path.read_text().replace("{", "{ ", 1))),
    "an empty costs.csv": ("costs.csv", lambda path: path.write_text("")),
    "zeros in ranks.npz": ("ranks.npz", lambda path: path.write_bytes(bytes(path.stat().st_size))),
    "a lost config.yaml": ("config.yaml", Path.unlink),
}


QUICK = {"a cut metrics.csv", "zeros in ranks.npz"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", [pytest.param(k, marks=[pytest.mark.slow] * (k not in QUICK)) for k in HARM])
def test_a_done_cell_whose_files_are_not_as_it_left_them_is_computed_again_and_said(kind, capsys, seeds_run):
    name, harm = HARM[kind]
    command = [*SWEEP[:-1], "seed=0,1", "hydra.sweep.dir=outputs/s"]
    assert main(command) == 0
    before = results("outputs/s")
    cell = statuses("outputs/s")["seed=0"]["cell"]
    harm(Path("outputs/s", cell, name))
    capsys.readouterr()
    assert main(command) == 0
    assert seeds_run == [0, 1, 0]
    out = capsys.readouterr().out
    assert "1 of 2 cells already done in outputs/s" in out
    assert f"not as the run left it: {name}; " in out
    assert results("outputs/s") == before
    assert main(command) == 0
    assert seeds_run == [0, 1, 0]


@pytest.mark.parametrize(
    "left", ['{"status": "do', *(pytest.param(x, marks=pytest.mark.slow) for x in ("", "[]", None))]
)
def test_a_cell_whose_status_cannot_be_read_is_computed_again_and_keeps_its_results_aside(left, capsys, seeds_run):
    command = [*SWEEP[:-1], "seed=0,1", "hydra.sweep.dir=outputs/s"]
    assert main(command) == 0
    before = results("outputs/s")
    cell = statuses("outputs/s")["seed=0"]["cell"]
    status = Path("outputs/s", cell, "status.json")
    status.unlink() if left is None else status.write_text(left)
    capsys.readouterr()
    assert main(command) == 0
    assert seeds_run == [0, 1, 0]
    out = capsys.readouterr().out
    assert "1 of 2 cells already done in outputs/s" in out
    assert f"its status cannot be read; its earlier results are in outputs/s/{cell}/.earlier-" in out
    assert results("outputs/s") == before
    assert main(command) == 0
    assert seeds_run == [0, 1, 0]


def test_a_folder_that_cannot_be_written_is_told_with_the_setting_that_helps(capsys):
    Path("outputs").write_text("")
    assert main([*SWEEP, "store_dir=null"]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.endswith("move the file that is in its way or choose another hydra.sweep.dir")


def test_reports_and_lines_follow_the_order_typed(capsys):
    assert main([*SWEEP[:-1], "seed=2,0,1", "hydra.sweep.dir=outputs/s"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines[:3]] == [
        f"cell {place} of 3 (seed={seed})" for place, seed in ((1, 2), (2, 0), (3, 1))
    ]
    assert [run.overrides[-1] for run in read_runs(["outputs/s"]).runs] == ["seed=2", "seed=0", "seed=1"]


def test_what_a_user_adds_to_a_cell_and_its_log_do_not_matter(seeds_run):
    command = [*SWEEP[:-1], "seed=range(0,1)", "hydra.sweep.dir=outputs/s"]
    assert main(command) == 0
    (cell,) = results("outputs/s")
    Path("outputs/s", cell, "notes.txt").write_text("mine")
    with Path("outputs/s", cell, "run.log").open("a") as file:
        file.write("more\n")
    assert main(command) == 0
    assert seeds_run == [0]


@pytest.mark.slow
def test_a_stopped_cells_results_are_believed_only_if_they_can_be_read(seeds_run):
    command = [*SWEEP[:-1], "seed=range(0,1)", "hydra.sweep.dir=outputs/s"]
    assert main(command) == 0
    (file,) = Path("outputs/s").glob("*/status.json")
    before = results("outputs/s")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"status": "stopped", "files": {}}))
    (file.parent / "metrics.csv").write_text("")
    assert main(command) == 0
    assert seeds_run == [0, 0]
    assert results("outputs/s") == before


@pytest.mark.slow
def test_other_data_compute_again_and_the_same_do_not(capsys, seeds_run):
    write_table("mine.csv")
    command = [*TABLE, "seed=0,2"]
    assert main(command) == 0
    before = results("outputs/s")
    assert main(command) == 0
    assert seeds_run == [0, 2]
    assert "2 of 2 cells already done" in capsys.readouterr().out

    write_table("mine.csv", step=7)
    assert main([*command, "sweep.plan=true"]) == 0
    assert " nothing " not in " ".join(capsys.readouterr().out.split())
    assert main(command) == 0
    assert seeds_run == [0, 2, 0, 2]
    out = capsys.readouterr().out
    assert "already done" not in out
    assert out.count("the data have changed since; its earlier results are in outputs/s") == 2
    assert {cell: results("outputs/s")[cell] != text for cell, text in before.items()} == dict.fromkeys(before, True)


@pytest.mark.slow
def test_a_cell_whose_data_have_appeared_is_tried_again(capsys, seeds_run):
    command = [*TABLE, "seed=0,2"]
    assert main(command) == 2
    assert main(command) == 2
    out, err = capsys.readouterr()
    assert "mine.csv" in err
    assert "failed earlier" not in out + err  # the data may have come since, so both are tried each time
    write_table("mine.csv")
    assert main(command) == 0
    assert "2 of 2 cells done" in capsys.readouterr().out


@pytest.mark.slow
def test_results_whose_data_cannot_be_reached_stay(capsys, monkeypatch):
    write_table("mine.csv")
    command = [*TABLE, "seed=range(0,1)"]
    assert main(command) == 0
    before = results("outputs/s")
    Path("mine.csv").unlink()
    assert main(command) == 0
    assert "1 of 1 cells already done" in capsys.readouterr().out
    monkeypatch.setattr(recpoison.command.cells, "version_of", lambda cfg: "edited")
    assert main(command) == 0
    assert "its data cannot be read now; its results stay as they are" in capsys.readouterr().out
    assert results("outputs/s") == before


@pytest.mark.slow
def test_a_cell_that_fails_leaves_what_another_process_did_meanwhile(monkeypatch):
    """Two hosts without common locks: the one that fails must not take the other's results out of the tables."""
    command = [*SWEEP[:-1], "seed=range(0,1)", "hydra.sweep.dir=outputs/s"]
    assert main(command) == 0
    (file,) = Path("outputs/s").glob("*/status.json")
    before, kept = file.read_text(), results("outputs/s")
    aside = Path(shutil.move(file.parent, "aside"))

    def fail(*told, **named):
        shutil.rmtree(file.parent)
        shutil.copytree(aside, file.parent)
        raise DataError("its draft is gone")

    monkeypatch.setattr(recpoison.experiment, "run", fail)
    assert main(command) == 0
    assert (file.read_text(), results("outputs/s")) == (before, kept)


@pytest.mark.slow
def test_paths_lead_from_the_folder_of_the_call_also_where_hydra_changes_it(monkeypatch):
    write_table("mine.csv")
    monkeypatch.setenv("RECPOISON_DATA", "nowhere")
    assert main([*TABLE, "seed=0,1", "hydra.job.chdir=true"]) == 0
    assert Path("outputs/store").is_dir()
    assert not list(Path("outputs/s").rglob("store"))
    assert main([*TABLE[1:-1], "hydra.job.chdir=true", "hydra.run.dir=outputs/one"]) == 0
    assert not list(Path("outputs/one").rglob("store"))


@pytest.mark.slow
def test_a_cell_killed_before_it_could_say_done_is_believed(capsys, seeds_run):
    command = [*SWEEP[:-1], "seed=range(0,1)", "hydra.sweep.dir=outputs/s"]
    assert main(command) == 0
    before = results("outputs/s")
    (file,) = Path("outputs/s").glob("*/status.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"status": "running"}))
    capsys.readouterr()
    assert main(command) == 0
    assert seeds_run == [0]
    assert results("outputs/s") == before
    assert json.loads(file.read_text())["status"] == "done"
    assert "changed" not in capsys.readouterr().out


def test_a_stopped_sweep_says_so_and_goes_on(capsys, monkeypatch):
    real = recpoison.experiment.run
    monkeypatch.setattr(recpoison.experiment, "run", lambda *a, **k: os.kill(os.getpid(), signal.SIGINT))
    command = [*SWEEP[:-1], "seed=0,1", "hydra.sweep.dir=outputs/s"]
    assert main(command) == 130
    said = statuses("outputs/s")
    assert [said[f"seed={seed}"]["status"] for seed in range(2)] == ["stopped", "pending"]
    assert "0 of 2 cells are done; the same command does the rest" in capsys.readouterr().err
    monkeypatch.setattr(recpoison.experiment, "run", real)
    assert main(command) == 0
    assert len(results("outputs/s")) == 2


def test_a_dead_cells_status_is_not_believed(seeds_run):
    command = [*SWEEP[:-1], "seed=range(0,1)", "hydra.sweep.dir=outputs/s"]
    assert main(command) == 0
    (cell,) = results("outputs/s")
    folder = Path("outputs/s", cell)
    status = json.loads((folder / "status.json").read_text())
    (folder / "metrics.csv").unlink()
    (folder / "status.json").write_text(json.dumps(status | {"status": "running"}))
    (folder / ".lock").write_text("process 1 on elsewhere")
    for litter in (".draft", ".status.json"):
        (folder / f"{litter}-{socket.gethostname().replace('-', '_')}-99999999-0a1b2c3d").mkdir()
    for litter in (folder.parent / ".probe", Path("outputs/.latest-elsewhere-1-0a1b2c3d")):
        litter.touch()
        os.utime(litter, (1, 1))
    assert main(command) == 0
    assert seeds_run == [0, 0]
    assert [path for path in Path("outputs").rglob(".*") if path.name != ".locks"] == []


def test_a_folder_of_other_runs_is_refused_and_left_alone(capsys):
    folder = Path("outputs/s/0")
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text("mine")
    assert main([*SWEEP, "hydra.sweep.dir=outputs/s"]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.endswith("holds results of another run (metrics.csv): choose another hydra.sweep.dir, or remove it")
    assert [path.name for path in Path("outputs").rglob("*") if path.is_file()] == ["metrics.csv"]


def test_the_plan_names_what_is_done_stored_and_left_and_writes_nothing(capsys, seeds_run):
    assert main([*SWEEP[:-1], "seed=range(0,1)"]) == 0
    assert main([*SWEEP[:-1], "seed=range(0,1)", "hydra.sweep.dir=outputs/other"]) == 0
    before = sorted(Path("outputs").rglob("*"))
    capsys.readouterr()
    command = [*SWEEP[:-1], "attack.budget=0.1,0.2", "attack.fillers=5,1000", "hydra.sweep.dir=outputs/s"]
    command.remove("attack.budget=0.1")
    assert main([*command, "sweep.plan=true"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert sorted(Path("outputs").rglob("*")) == before
    assert seeds_run == [0, 0]
    assert "4 cells in outputs/s; left to do, shared stages once: 4 change, 4 fit, 4 ranks: about" in out
    assert "(an estimate)" in out  # other settings of the same attack are stored

    assert main([*SWEEP, "sweep.plan=true"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "pending 6 of 6 reading what is stored" in out
    assert "left to do, shared stages once: 2 split, 2 change, 4 fit, 4 ranks: about" in out


def test_the_plan_counts_a_rank_for_each_choice_of_targets(capsys):
    assert main([*SWEEP[:-1], "seed=range(0,1)", "attack.targets.count=1,2", "sweep.plan=true"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "shared stages once: 1 split, 2 change, 3 fit, 4 ranks" in out
    assert main([*SWEEP[:-1], "seed=range(0,1)", "attack.fillers=5,6", "sweep.plan=true"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "shared stages once: 1 split, 2 change, 3 fit, 3 ranks" in out


@pytest.mark.slow
def test_the_plan_counts_an_attack_crafted_once_once(capsys):
    once = [*SWEEP[:-1], "seed=range(0,3)", "attack.craft_seed=1"]
    assert main([*once, "sweep.plan=true"]) == 0
    assert "shared stages once: 3 split, 1 change, 6 fit, 6 ranks" in " ".join(capsys.readouterr().out.split())
    assert main([*SWEEP[:-1], "seed=1", "attack.craft_seed=1"]) == 0
    capsys.readouterr()
    assert main([*once, "sweep.plan=true"]) == 0
    assert "shared stages once: 2 split, 4 fit, 4 ranks" in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_the_plan_counts_a_fit_for_each_choice_of_epoch_and_each_curve(capsys):
    command = ["-m", "dataset=planted", "model=bprmf", "attack=none", "sweep.plan=true"]
    for swept, stages in (
        ("evaluation.select_on=last,test", "1 split, 2 fit, 2 ranks"),
        ("evaluation.curve_epochs=2,3", "1 split, 2 fit, 1 ranks"),
    ):
        assert main([*command, swept]) == 0
        assert f"shared stages once: {stages}" in " ".join(capsys.readouterr().out.split()), swept
    attacked = ["-m", "dataset=planted", "model=bprmf", "attack=bim", "sweep.plan=true"]
    assert main([*attacked, "evaluation.curve_steps=1,2"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "1 split, 1 fit, 2 curve, 1 shift, 2 ranks" in out


@pytest.mark.slow
def test_a_setting_of_a_swept_group_has_a_way_out(capsys):
    command = ["-m", "dataset=planted", "model=bprmf", "attack=bim,fgsm", "sweep.plan=true"]
    assert main([*command, "attack.epsilon=0.3"]) == 2
    assert "write its value as choice(VALUE), such as attack.epsilon=choice(0.5)" in capsys.readouterr().err
    assert main([*command, "attack.epsilon=choice(0.3)"]) == 0


def test_the_plan_looks_for_stages_as_deterministic_as_the_run_will_be(monkeypatch):
    seen = []
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.setattr(
        recpoison.sweeps.inventory.Inventory,
        "take",
        lambda *a: seen.append(torch.are_deterministic_algorithms_enabled()),
    )
    try:
        assert main([*SWEEP[:-1], "seed=range(0,1)", "deterministic=true,false", "sweep.plan=true"]) == 0
    finally:
        torch.use_deterministic_algorithms(False)
    assert seen == [True, False]
