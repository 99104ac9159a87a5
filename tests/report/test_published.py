"""recpoison-report NAME: the paper's numbers beside those of hand-made runs."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from recpoison.published.kept import Kept, keep, key_of, read_kept
from recpoison.published.tables import load
from recpoison.report.command import main
from recpoison.report.presets import jobs_of


def config(setting: str = "apt_filmtrust_unpopular", **changed: object) -> dict:
    """As the preset leaves it for average and AT, with other values at dotted keys (``__`` for the dot)."""
    wanted = {f"setting={setting}", "attack=average", "defense=at"}
    (job,) = (one for one in jobs_of("apt_table_2") if wanted <= set(one.overrides))
    return dict(job.config) | {key.replace("__", "."): value for key, value in changed.items()}


@pytest.fixture(autouse=True)
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for what is kept, so that no test reads or writes the package's."""
    monkeypatch.setattr("recpoison.published.kept.OURS", tmp_path / "ours")
    return tmp_path / "ours"


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
    make_run(tmp_path / "outputs" / "b", "filmtrust", strong, model="mf", config=config(attack__budget=0.5))
    return tmp_path / "outputs"


def rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, str]]:
    assert main([*arguments, "--format", "csv"]) == 0
    tables = capsys.readouterr().out.split("\n\n")
    return [row for table in tables for row in csv.DictReader(io.StringIO(table))]


@pytest.mark.slow
def test_runs_default_to_those_below_outputs(outputs, capsys):
    wanted = {"dataset": "filmtrust", "target_items": "unpopular", "attack": "Average", "defense": "Attack"}
    cell = {row["column"]: row for row in rows(capsys, "apt_table_2") if wanted.items() <= row.items()}
    assert float(cell["paper"]["mean"]) == 0.0320
    assert float(cell["ours"]["mean"]) == pytest.approx(0.04)
    assert float(cell["ours"]["sd"]) == pytest.approx(0.02 / 2**0.5)
    assert cell["ours"]["n"] == "2"
    assert float(cell["difference"]["mean"]) == pytest.approx(0.008)
    assert cell["ours"]["verdict"] == "differs"  # 0.008 is within 0.02, but 25% off
    assert "95% ±" in cell
    assert cell["95% ±"]["mean"] == "", "two seeds have no interval"


def test_figures_over_the_table(outputs, capsys):
    """Two distinct cells are measured, and both the paper and ours put the attacked above the clean one."""
    assert main(["apt_table_2", str(outputs / "a")]) == 0
    out = capsys.readouterr().out
    assert "of 2 distinct cells: 1 agree, 0 undecided, 1 differ" in " ".join(out.split())
    figures = [line.split() for line in out.splitlines() if line.startswith(("rank agreement", "claims 'A"))]
    assert "clean against attacked" in out
    assert "attack against attack " not in out, "there is one attack"
    assert [words[-2:] for words in figures] == [["1.0000", "2"], ["1.0000", "1"]]


def test_every_cell_is_in_the_csv(outputs, capsys):
    shown = [row for row in rows(capsys, "apt_table_2") if row["column"] == "paper"]
    assert len(shown) == len(load("apt_table_2").distinct) == 208


def test_cells_not_run_come_with_the_command(outputs, capsys):
    assert main(["apt_table_2"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    # two cells are there; a column that is a model has a preset of its own
    assert "not run: 206 cells among" in out
    assert "to run them: recpoison experiment=apt_table_2 to run them: recpoison experiment=apt_table_2_pcmf" in out


def test_without_any_run_the_table_still_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["apt_table_3"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "208 of 208 have no number of ours" in out
    assert "0.8539" in out, "the paper's numbers"
    assert "to run them: recpoison experiment=apt_table_3" in out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "first"),
    [
        ("console", "apt_table_2: target items under attack"),
        ("markdown", "**apt\\_table\\_2: target items under attack"),
        ("latex", "% needs \\usepackage{booktabs}"),
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
    assert written == [".recpoison-report.json", "report.csv", "report.html", "report.md", "report.tex"]


def test_rows_and_columns_of_its_own(outputs, capsys):
    assert main(["apt_table_2", "--rows", "attack", "--metric", "HR@50"]) == 2
    assert "leave out --rows, --metric" in capsys.readouterr().err


@pytest.mark.slow
def test_misprints_are_noted(tmp_path, make_run, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    numbers = {("average", "none"): {0: {("test", "HR", "50"): 0.2}}}
    make_run(tmp_path / "outputs" / "a", "ml_100k", numbers, model="mf", config=config("apt_ml_100k_random"))
    assert main(["apt_table_3"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "differs (note)" in out
    assert "note on ml-100k random Average Attack: printed 0.5080" in out


def test_a_refused_run_says_what_differs(outputs, capsys):
    """Run b has another budget; its clean cell is the table's all the same, its attacked one is not."""
    found = rows(capsys, "apt_table_2", str(outputs / "b"))
    measured = [row["defense"] for row in found if row.get("column") == "ours"]
    assert measured == ["origin"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model__trainer__batch_size": 512}, "model.trainer.batch_size is 512 where the preset has 4096"),
        ({"dataset__filters__min_user": 3}, "dataset.filters.min_user is 3 where the preset has 0"),
        ({"evaluation__owners": "included"}, "evaluation.owners is included where the preset has missing"),
    ],
)
def test_settings_that_no_table_lists_are_compared_too(tmp_path, make_run, monkeypatch, capsys, changed, said):
    monkeypatch.chdir(tmp_path)
    numbers = {("average", "none"): {0: {("target", "HR", "50"): 0.03}}}
    make_run(tmp_path / "outputs" / "a", "filmtrust", numbers, model="mf", config=config(**changed))
    assert main(["apt_table_2"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert f"left out: outputs/a: {said}" in out
    assert "208 of 208 have no number of ours" in out


def test_seeds_device_folders_and_lists_of_metrics_are_free(tmp_path, make_run, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    free = {"seed": 7, "repeats": 2, "device": "cuda", "threads": 4, "store_dir": None, "data_dir": "/x"}
    numbers = {("average", "none"): {7: {("target", "HR", "50"): 0.032}}}
    about = config(**free, evaluation__metrics='["HR"]')
    make_run(tmp_path / "outputs" / "a", "filmtrust", numbers, model="mf", config=about)
    assert main(["apt_table_2"]) == 0
    assert "of 1 distinct cells: 1 agree" in " ".join(capsys.readouterr().out.split())


def test_keep_writes_what_the_runs_gave(outputs, ours, capsys):
    about = {"commit": "abc123", "finished": "2026-11-25T10:00:00+00:00", "device": "cpu", "command": "recpoison x=y"}
    file = outputs / "a" / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | about))
    assert main(["apt_table_2", str(outputs / "a"), "--keep"]) == 0
    assert "2 of 2 measured cells kept" in capsys.readouterr().err
    with (ours / "apt_table_2.csv").open(newline="") as lines:
        (clean, attacked) = csv.DictReader(lines)
    assert (clean["attack"], clean["mean"], clean["n"]) == ("all", "0", "2")
    assert attacked == {
        "dataset": "filmtrust", "target_items": "unpopular", "attack": "Average", "defense": "Attack",
        "measure": "target HR@50", "mean": "0.04", "sd": "0.0141421", "n": "2", "commit": "abc123",
        "date": "2026-11-25", "device": "cpu", "command": "recpoison x=y", "origin": "measured", "remark": "", "p": "",
    }  # fmt: skip


def test_more_repeats_are_not_replaced_by_fewer(outputs, ours, capsys):
    table = load("apt_table_2")
    attacked = next(cell for cell in table.distinct if cell.names == ("filmtrust", "unpopular", "Average", "Attack"))
    keep(table, {key_of(attacked): Kept(0.0228, 0.0154, 30, date="2026-11-22")})
    assert main(["apt_table_2", str(outputs / "a"), "--keep"]) == 0
    assert "1 of 2 measured cells kept" in (said := capsys.readouterr().err)
    assert "1 stay, for they are over more repeats: filmtrust unpopular Average Attack" in said
    assert read_kept(table)[key_of(attacked)].n == 30


def test_without_runs_kept_numbers_are_shown_as_such(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    table = load("apt_table_2")
    cell = next(cell for cell in table.distinct if cell.names == ("filmtrust", "random", "Random", "Attack"))
    keep(table, {key_of(cell): Kept(0.3161, 0.0689, 30, "abc", "2026-11-22", "cpu", "recpoison experiment=x")})
    found = {row["column"]: row for row in rows(capsys, "apt_table_2") if row.get("ours from") == "kept"}
    assert float(found["ours"]["mean"]) == 0.3161
    # t(0.975, 29) = 2.04523 times 0.0689 times sqrt(2 / 30)
    assert float(found["95% ±"]["mean"]) == pytest.approx(0.036384, abs=1e-6)
    assert found["ours"]["verdict"] == "differs"
    assert main(["apt_table_2"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "recpoison experiment=x; commit abc; 2026-11-22; cpu" in out


def test_keep_needs_a_run_and_a_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["apt_table_2", "--keep"]) == 2
    assert "--keep: no run holds a cell of apt_table_2" in capsys.readouterr().err
    assert main(["outputs", "--keep"]) == 2
    assert "--keep is for a published table" in capsys.readouterr().err


def test_a_misspelt_table_has_the_nearest_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["apt_table_4"]) == 2
    assert "apt_table_4 is no folder and no published table; did you mean apt_table_" in capsys.readouterr().err
    assert main(["no/such/folder"]) == 2
    assert "no/such/folder does not exist" in capsys.readouterr().err


def test_a_damaged_file_of_ours_is_named(tmp_path, ours, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    table = load("injection_table_1")
    keep(table, {key_of(table.distinct[0]): Kept(0.3, 0.01, 2)})
    file = ours / "injection_table_1.csv"
    whole = file.read_text()
    for wrong, said in (("0.3,", "zero,"), ("numbers", "")), (("WRMF+SGD", "WRMF+XYZ"), ("is no cell of", "")):
        file.write_text(whole.replace(*wrong))
        assert main(["injection_table_1"]) == 2
        assert said[0] in (err := capsys.readouterr().err)
        assert "injection_table_1.csv, line 2" in err
    file.write_text(whole + whole.splitlines()[1] + "\n")
    assert main(["injection_table_1"]) == 2
    assert "line 3: WRMF+SGD test Recall@50 is there twice" in capsys.readouterr().err
