import json
import re
from hashlib import sha256
from pathlib import Path

import pytest

from recpoison.errors import ConfigError, DataError
from recpoison.report.runs import read_runs


def test_a_sweep_a_glob_and_a_link_give_each_run_once(sweep: Path) -> None:
    (sweep.parent / "latest").symlink_to(sweep)
    runs = read_runs([sweep, str(sweep / "[01]"), sweep.parent / "latest"])
    assert [run.folder.name for run in runs.runs] == ["0", "1", "2", "3"]
    assert runs.missing == ()


def test_jobs_come_in_the_order_of_their_numbers(sweep: Path, make_run, make_values) -> None:
    make_run(sweep / "10", "filmtrust", {("none", "none"): {7: make_values(0.1, 0.1)}})
    assert [run.folder.name for run in read_runs([sweep]).runs] == ["0", "1", "2", "3", "10"]


def test_cells_of_a_sweep_come_in_the_order_typed(sweep: Path) -> None:
    (sweep / "sweep.json").write_text(json.dumps({"cells": {"2": [], "0": [], "3": []}}))
    assert [run.folder.name for run in read_runs([sweep]).runs] == ["2", "0", "3", "1"]


def test_what_a_run_holds(sweep: Path) -> None:
    run = read_runs([sweep / "3"]).runs[0]
    assert run.overrides == ("dataset=filmtrust", "attack=average", "seed=1")
    assert run.config == {"seed": 1, "attack._target_": "average", "attack.budget": 0.01, "model.epochs": 3}
    assert run.about["command"] == "recpoison dataset=filmtrust attack=average seed=1"
    assert run.metrics.value.tolist() == pytest.approx([0.7, 0.2, 0.63, 0.8])
    assert run.costs.seconds.sum() == 5.0


def test_a_small_number_in_scientific_form_is_a_number(sweep: Path) -> None:
    (sweep / "0" / "config.yaml").write_text("model:\n  learning_rate: 1e-4\n  layers: [64, 8]\n")
    assert read_runs([sweep / "0"]).runs[0].config == {"model.learning_rate": 1e-4, "model.layers": "[64, 8]"}


@pytest.mark.parametrize("written", ["", "nan"])
def test_a_number_that_does_not_exist_is_missing(sweep: Path, written: str) -> None:
    """As records write it, such as the mean over no user: an empty field."""
    file = sweep / "0" / "metrics.csv"
    file.write_text(file.read_text().replace("0.6,900", f"{written},900"))
    metrics = read_runs([sweep]).runs[0].metrics
    assert metrics.value.isna().tolist() == [True, False, False, False]
    assert metrics.n.tolist() == [900] * 4


def test_failed_and_unfinished_jobs_are_listed_with_their_reason(sweep: Path) -> None:
    (sweep / "4").mkdir()
    (sweep / "4" / "status.json").write_text(
        json.dumps({"status": "failed", "reason": "DataError: no ratings", "overrides": ["attack=segment"]})
    )
    (sweep / "5").mkdir()
    (sweep / "5" / "config.yaml").write_text("seed: 0\n")
    (sweep / "6").mkdir()
    (sweep / "6" / "status.json").write_text(json.dumps({"status": "stopped"}))
    (sweep / "0" / "status.json").write_text(json.dumps({"status": "failed", "reason": "disk full"}))
    (sweep / "1" / "status.json").write_text(json.dumps({"status": "done"}))
    runs = read_runs([sweep])
    assert [run.folder.name for run in runs.runs] == ["1", "2", "3"]
    assert [(job.folder.name, job.overrides, job.reason) for job in runs.missing] == [
        ("0", ("dataset=filmtrust", "attack=random", "seed=0"), "disk full"),
        ("4", ("attack=segment",), "DataError: no ratings"),
        ("5", (), "not finished"),
        ("6", (), "not finished (stopped): see its run.log"),
    ]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("metrics.csv", lambda text: text.replace("0.6,900", "0.x,900"), r"metrics.csv, line 2: value is '0.x'"),
        ("metrics.csv", lambda text: text.replace("k,value", "k,val"), r"metrics.csv has no column value"),
        ("metrics.csv", lambda text: text[:-5], r"metrics.csv, line 5: n is ''"),
        ("metrics.csv", lambda text: "", r"metrics.csv is no readable table"),
        ("run.json", lambda text: text[:-3], r"run.json is no readable JSON"),
        ("config.yaml", lambda text: "a: [1", r"config.yaml is no readable YAML"),
        ("config.yaml", lambda text: "[1]", r"config.yaml holds no mapping"),
        ("status.json", lambda text: '{"status"', r"status.json is no readable JSON"),
        ("metrics.csv", lambda text: text.splitlines()[0], r"metrics.csv holds no numbers"),
        ("metrics.csv", lambda text: text.replace("none,none,0", "none,none,0.5"), r"line 2: seed is '0.5' where a wh"),
        ("metrics.csv", lambda text: text.replace("filmtrust", ""), r"line 2: dataset is '' where a name belongs"),
        ("metrics.csv", lambda text: text.replace("0.6,900", "1e200,900"), r"line 2: value is '1e200'"),
        ("metrics.csv", lambda text: text.replace("filmtrust", "a,b,c"), r"metrics.csv, line 2 has more fields"),
        ("run.json", lambda text: '{"protocol": 1}', r"run.json: protocol is '1' where an object belongs"),
        ("run.json", lambda text: '{"notes": [null]}', r"notes\[0\] is 'null' where a sentence belongs"),
        ("run.json", lambda text: '{"data": {"0": {"users": 0}}}', r"data.0.users is '0' where a number from 1 on"),
        ("run.json", lambda text: '{"data": {"0": {"users": NaN}}}', r"data.0.users is 'NaN' where a number from 1"),
        ("run.json", lambda text: '{"changes": {"x": {}}}', r"changes is '\"x\"' where seed=SEED/attack=NAME/defense"),
        (
            "run.json",
            lambda text: '{"changes": {"seed=0/attack=a/defense=b": {"fake_users": 3}}}',
            r"fake_users without rows",
        ),
        ("run.json", lambda text: "[" * 100_000, r"run.json is no readable JSON"),
    ],
)
def test_a_broken_file_is_named_and_costs_its_job_alone(sweep: Path, name: str, change, message: str) -> None:
    file = sweep / "0" / name
    file.write_text(change(file.read_text() if file.exists() else ""))
    with pytest.raises(DataError, match=message):
        read_runs([sweep / "0"])
    runs = read_runs([sweep])
    assert [run.folder.name for run in runs.runs] == ["1", "2", "3"]
    (missing,) = runs.missing
    assert missing.damaged
    assert missing.folder == sweep / "0"
    assert missing.reason.startswith(str(file))
    assert re.search(message, missing.reason)


def test_whole_numbers_that_a_spreadsheet_gave_a_point_are_whole(sweep: Path) -> None:
    file = sweep / "0" / "metrics.csv"
    file.write_text(file.read_text().replace(",10,", ",10.0,"))
    assert read_runs([sweep]).runs[0].metrics.k.tolist() == [10, 50, 10, 50]


def test_what_was_edited_since_is_said_by_the_digests_of_the_status(sweep: Path) -> None:
    folder = sweep / "0"
    files = {path.name: sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    (folder / "status.json").write_text(json.dumps({"status": "done", "files": files}))
    assert read_runs([sweep]).altered() == []
    file = folder / "metrics.csv"
    file.write_text(file.read_text().replace("0.6,900", "0.9,900"))
    (folder / "summary.csv").unlink()
    (said,) = read_runs([sweep]).altered()
    assert said.endswith("/0: metrics.csv, summary.csv not as the run left it: its command computes it again")


def test_no_text_of_a_file_steers_the_terminal(sweep: Path) -> None:
    folder = sweep / "0"
    (folder / "run.json").write_text('{"notes": ["a\\u001b[2Jb", "\\ud800"], "protocol": {"\\u009b": "\\u202e"}}')
    file = folder / "metrics.csv"
    file.write_text(file.read_text().replace("filmtrust", "film\x1b[2Jtrust"))
    run = read_runs([folder]).runs[0]
    assert run.about == {"notes": [r"a\x1b[2Jb", r"\ud800"], "protocol": {r"\x9b": r"\u202e"}}
    assert set(run.metrics.dataset) == {r"film\x1b[2Jtrust"}


def test_paths_without_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere does not exist"):
        read_runs([tmp_path / "nowhere"])
    with pytest.raises(ConfigError, match="holds no run"):
        read_runs([tmp_path])
    (tmp_path / "status.json").write_text('{"status": "failed", "reason": "boom"}')
    with pytest.raises(ConfigError, match=r"no job has results.*boom"):
        read_runs([tmp_path])


def test_a_store_of_stages_is_not_searched(sweep: Path, make_run, make_values) -> None:
    make_run(sweep / "store" / "fit" / "abc", "filmtrust", {("none", "none"): {0: make_values(0.1, 0.2)}})
    (sweep / "store" / ".locks").mkdir()
    assert all("store" not in run.folder.parts for run in read_runs([sweep]).runs)


def test_a_stage_that_all_cells_share_has_no_cell(sweep: Path) -> None:
    costs = "stage,cell,seed,seconds,peak_mb,reused\nsplit,,0,1.5,100.0,False\nfit,none/none,0,2.5,100.0,False\n"
    (sweep / "0" / "costs.csv").write_text(costs)
    run = next(run for run in read_runs([sweep]).runs if run.folder.name == "0")
    assert run.costs.cell.tolist() == ["", "none/none"]
