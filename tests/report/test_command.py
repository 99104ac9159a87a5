import json
import subprocess
import sys
from pathlib import Path

import pytest

from recpoison.report.command import main
from recpoison.report.writing import MANIFEST


def test_the_default_is_one_table_on_the_console(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(sweep)]) == 0
    out = capsys.readouterr().out
    sentences, table = out.split("What each attack did (dataset filmtrust, model bprmf, defense none)\n")
    assert sentences.startswith("random: the targets' HR@50 rose from 0.1500 to 0.3500 (+0.2000, 95% interval")
    assert "random" in table
    assert "+0.2000" in out
    assert "+0.5000" in out


@pytest.mark.parametrize(
    ("options", "first"),
    [
        (["--format", "csv"], "table,attack,group,column,mean,sd,n,p,low,high,best"),
        (["--format", "markdown", "--rows", "dataset"], "**target HR@50 (model bprmf, defense none)**"),
        (["--format", "latex", "--rows", "dataset"], "% needs \\usepackage{booktabs}"),
        (["--format", "html", "--metric", "HR@50"], "<!DOCTYPE html>"),
        (["--rows", "dataset", "--columns", "attack"], "target HR@50 (model bprmf, defense none)"),
        (["--subject", "test", "--rows", "attack"], "test HR@10 (dataset filmtrust, defense none)"),
        (
            ["--metric", "HR@10", "--subject", "test", "--columns", "model.epochs"],
            "test HR@10 (model bprmf, defense none)",
        ),
    ],
)
def test_formats_and_pivots(sweep: Path, capsys: pytest.CaptureFixture[str], options: list[str], first: str) -> None:
    assert main([str(sweep), *options]) == 0
    assert capsys.readouterr().out.splitlines()[0].rstrip() == first


def test_all_writes_every_form_and_the_figures(sweep: Path, tmp_path: Path) -> None:
    assert main([str(sweep), "--metric", "HR@50", "--all", str(tmp_path / "report")]) == 0
    files = sorted(str(file.relative_to(tmp_path / "report")) for file in (tmp_path / "report").rglob("*.*"))
    pictures = ["figures/bars_target_hr_at_50.pdf", "figures/bars_target_hr_at_50.png"]
    forms = ["report.csv", "report.html", "report.md", "report.tex"]
    assert files == [MANIFEST, *pictures, *forms]
    assert main([str(sweep), "--metric", "HR@10", "--subject", "test", "--all", str(tmp_path / "report")]) == 0
    files = sorted(str(file.relative_to(tmp_path / "report")) for file in (tmp_path / "report").rglob("*.*"))
    assert files == [MANIFEST, *(name.replace("target_hr_at_50", "test_hr_at_10") for name in pictures), *forms]


def test_output_takes_a_file_or_a_folder(sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(sweep), "--output", str(tmp_path / "table.tex")]) == 0
    sentence, table = (tmp_path / "table.tex").read_text().split("\\begin{table}")
    assert all(line.startswith("% ") for line in sentence.splitlines())
    assert "\\caption{What each attack did" in table
    assert main([str(sweep), "--output", str(tmp_path / "out"), "--format", "markdown"]) == 0
    assert "\n\n**What each attack did" in (tmp_path / "out" / "report.md").read_text()
    assert main([str(sweep), "--output", str(tmp_path / "table.txt")]) == 0
    assert "+0.2000" in (tmp_path / "table.txt").read_text()
    assert capsys.readouterr().out == ""


def test_a_note_of_two_tables_is_printed_once_but_in_latex(
    tmp_path: Path, make_run, make_values, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = {("none", "none"): 0.1, ("random", "none"): 0.5, ("none", "filter"): 0.1, ("random", "filter"): 0.3}
    make_run(tmp_path / "0", "a", {cell: {0: make_values(value, 0.6)} for cell, value in cells.items()})
    for form, times in (("console", 1), ("markdown", 1), ("html", 1), ("latex", 2)):
        assert main([str(tmp_path), "--format", form]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert "What each defense changed" in said
        assert said.lower().count("one seed each") == times, form
        assert said.count("protocol: candidates") + said.count("Protocol: candidates") == times, form


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metric", "HR@51"], "--metric HR@51 --subject target is not in these runs: choose one of HR@50"),
        (["--rows", "attack", "--columns", "attack"], "--rows and --columns are both attack"),
        (["--rows", "buget"], "buget is no setting of these runs"),
        (["--output", "x.docx"], "--output x.docx: no form ends in .docx: choose one of .txt, .csv, .md, .tex, .html"),
        (["--output", "/dev/null/x.csv"], "/dev/null/x.csv cannot be written"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_2(
    sweep: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main([str(sweep), *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"recpoison-report: {message}")
    assert error.count("\n") == 1


def test_clean_runs_alone_are_compared_on_held_out_items(tmp_path: Path, make_run, make_values, capsys) -> None:
    for job, model in enumerate(("bprmf", "item_knn")):
        make_run(tmp_path / str(job), "filmtrust", {("none", "none"): {0: make_values(0.1, 0.6)}}, model=model)
    assert main([str(tmp_path), "--columns", "model"]) == 0
    assert capsys.readouterr().out.startswith("test HR@10 (attack none, defense none)")


def test_the_command_needs_no_torch_and_no_plotting_for_a_table(sweep: Path) -> None:
    code = (
        "import sys; from recpoison.report.command import main; assert main(sys.argv[1:]) == 0; "
        "assert not {'torch', 'matplotlib', 'hydra'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(sweep)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_runs_with_curves_add_a_table_at_equal_budget_and_files(
    budgets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "report"
    assert main([str(budgets), "--row-l2", "0.5,1", "--all", str(folder)]) == 0
    printed = capsys.readouterr()
    assert "test NDCG@10 at equal budget" in printed.out
    assert "with the shift used" not in printed.out  # every point: for files
    assert printed.err.endswith("figures/ curve.csv equal_budget.csv equal_budget.md equal_budget.tex\n")
    lines = (folder / "curve.csv").read_text().splitlines()
    assert lines[0].endswith(",subject,metric,k,value,n,attack.projection")
    assert len(lines) == 1 + 3 * 2 * 4
    assert "at a row L2 of,0.5" in (folder / "equal_budget.csv").read_text()
    assert "with the shift used" in (folder / "equal_budget.tex").read_text()
    assert (folder / "figures" / "equal_budget_test_ndcg_at_10.pdf").is_file()
    assert "over row L2 used" in (folder / "report.html").read_text()


def test_characteristics_need_subsamples_and_lengths_are_numbers(
    budgets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options, message in (
        (["--row-l2", "1,x"], "--row-l2 is 1,x: give lengths above 0"),
        (["--row-l2", "0"], "--row-l2 is 0: give lengths above 0"),
        (["--characteristics"], "run.json does not say users, items and train_rows"),
    ):
        assert main([str(budgets), *options]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.slow
def test_characteristics_leave_their_points_and_figure(tmp_path: Path, make_run) -> None:
    for job, users in enumerate((100, 200, 300)):
        numbers = {
            ("none", "none"): {0: {("test", "NDCG", "10"): 0.5}},
            ("fgsm", "none"): {0: {("test", "NDCG", "10"): 0.25}},
        }
        folder = make_run(tmp_path / "runs" / str(job), "a", numbers, config={"dataset": {"k_core": job}})
        about = {"data": {"0": {"users": users, "items": 50, "train_rows": 20 * (users + job)}}}
        (folder / "run.json").write_text(json.dumps(about))
    assert main([str(tmp_path / "runs"), "--characteristics", "--all", str(tmp_path / "report")]) == 0
    header, *rows = (tmp_path / "report" / "characteristics.csv").read_text().splitlines()
    assert header.endswith("users,items,train_rows,density,size,shape,rho,sd,n,subject,metric")
    assert [row.split(",")[-5] for row in rows] == ["50.0"] * 3
    assert (tmp_path / "report" / "figures" / "characteristics_test_ndcg_at_10.png").is_file()
    assert "Loss of test NDCG@10" in (tmp_path / "report" / "report.md").read_text()


def test_a_preset_without_a_table_is_told(capsys) -> None:
    assert main(["equal_budget"]) == 2
    assert "equal_budget is a preset without a published table: run recpoison experiment=equal_budget" in " ".join(
        capsys.readouterr().err.split()
    )
