"""recpoison-report NAME: the paper's numbers beside those of hand-made runs."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from recpoison.published.tables import load
from recpoison.report.command import main

MODEL = {
    "embedding_size": 64,
    "initial": "xavier_own",
    "trainer": {"optimizer": "adagrad", "learning_rate": 10.0, "epochs": 25},
}
EVALUATION = {"owners": "missing", "target_hr": "mean"}
TARGETS = {"rule": "list", "labels": True, "items": ["1576", "926", "942", "848", "107"]}


def config(**attack: object) -> dict:
    """As the preset leaves it, for unpopular targets on filmtrust."""
    return {
        "model": MODEL,
        "evaluation": EVALUATION,
        "attack": {"budget": 0.03, "fillers": "mean", "targets": TARGETS} | attack,
    }


@pytest.fixture
def outputs(tmp_path: Path, make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two seeds of average on filmtrust: target HR@50 clean 0 and 0, attacked 0.03 and 0.05 (paper 0 and 0.0320).

    A run with another budget lies beside it.
    """
    monkeypatch.chdir(tmp_path)
    clean = {seed: {("target", "HR", "50"): 0.0} for seed in (0, 1)}
    attacked = {0: {("target", "HR", "50"): 0.03}, 1: {("target", "HR", "50"): 0.05}}
    numbers = {("none", "none"): clean, ("average", "none"): attacked}
    make_run(tmp_path / "outputs" / "a", "filmtrust", numbers, model="mf", config=config())
    strong = {("none", "none"): clean, ("average", "none"): {0: {("target", "HR", "50"): 0.9}}}
    make_run(tmp_path / "outputs" / "b", "filmtrust", strong, model="mf", config=config(budget=0.5))
    return tmp_path / "outputs"


def rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, str]]:
    assert main([*arguments, "--format", "csv"]) == 0
    tables = capsys.readouterr().out.split("\n\n")
    return [row for table in tables for row in csv.DictReader(io.StringIO(table))]


def test_runs_default_to_those_below_outputs(outputs, capsys):
    wanted = {"dataset": "filmtrust", "target_items": "unpopular", "attack": "Average", "defense": "Attack"}
    cell = {row["column"]: row for row in rows(capsys, "apt_table_2") if wanted.items() <= row.items()}
    assert float(cell["paper"]["mean"]) == 0.0320
    assert float(cell["ours"]["mean"]) == pytest.approx(0.04)
    assert float(cell["ours"]["sd"]) == pytest.approx(0.02 / 2**0.5)
    assert cell["ours"]["n"] == "2"
    assert float(cell["difference"]["mean"]) == pytest.approx(0.008)
    assert cell["ours"]["verdict"] == "agrees"


def test_figures_over_the_table(outputs, capsys):
    """Two distinct cells are measured, and both the paper and ours put the attacked above the clean one."""
    assert main(["apt_table_2", str(outputs / "a")]) == 0
    out = capsys.readouterr().out
    assert "of 2 distinct cells 2 agree" in out
    figures = [line.split() for line in out.splitlines() if line.startswith(("rank agreement", "claims"))]
    assert [words[-2:] for words in figures] == [["1.0000", "2"], ["1.0000", "1"]]


def test_every_cell_is_in_the_csv(outputs, capsys):
    shown = [row for row in rows(capsys, "apt_table_2") if row["column"] == "paper"]
    assert len(shown) == len(load("apt_table_2").cells) == 240


def test_cells_not_run_come_with_the_command(outputs, capsys):
    assert main(["apt_table_2"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "attack=aush (40)" in out
    # origin of unpopular filmtrust targets is there; Random is missing everywhere, Average on three settings
    assert "to run them: recpoison experiment=apt_table_2" in out


def test_without_any_run_the_table_still_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["apt_table_3"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "240 of 240 lack a run" in out
    assert "to run them: recpoison experiment=apt_table_3" in out


@pytest.mark.parametrize(
    ("form", "first"),
    [
        ("console", "apt_table_2: target items under attack"),
        ("markdown", "**apt\\_table\\_2: target items under attack"),
        ("latex", "\\begin{table}"),
        ("html", "<!DOCTYPE html>"),
    ],
)
def test_every_form(outputs, capsys, form, first):
    assert main(["apt_table_2", "--format", form]) == 0
    out = capsys.readouterr().out
    assert out.startswith(first)
    assert "0.0320" in out
    assert "0.0400" in out


def test_all_forms_are_written(outputs, tmp_path):
    assert main(["apt_table_2", "--all", str(tmp_path / "report")]) == 0
    written = sorted(file.name for file in (tmp_path / "report").iterdir())
    assert written == ["report.csv", "report.html", "report.md", "report.tex"]


def test_rows_and_columns_of_its_own(outputs, capsys):
    assert main(["apt_table_2", "--rows", "attack", "--metric", "HR@50"]) == 2
    assert "leave out --rows, --metric" in capsys.readouterr().err


def test_misprints_are_noted(tmp_path, make_run, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    about = config(targets=TARGETS | {"items": ["1019", "947", "598", "576", "517"]})
    about["dataset"] = {"split": {"method": "leave_one_out_random"}}
    numbers = {("average", "none"): {0: {("test", "HR", "50"): 0.2}}}
    make_run(tmp_path / "outputs" / "a", "ml_100k", numbers, model="mf", config=about)
    assert main(["apt_table_3"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "differs (note)" in out
    assert "note on ml-100k random Average Attack: printed 0.5080" in out
