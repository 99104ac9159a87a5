import json
import math
from pathlib import Path

import pytest

from recpoison.errors import ConfigError
from recpoison.evaluation.questions import Metric
from recpoison.report.comparisons import defense_table, effect_table
from recpoison.report.formats import to_csv, to_markdown
from recpoison.report.latex import to_latex
from recpoison.report.measurements import Measurements, measure
from recpoison.report.runs import read_runs
from recpoison.report.tables import UNDEFINED, Entry, Table, default_metrics, pivot_table, with_notes

TARGET, TEST = Metric("target", "HR", 50), Metric("test", "HR", 10)


def means(table: Table) -> list[list[float | None]]:
    return [[round(entry.mean, 10) if entry else None for entry in row] for row in table.entries]


def bold(table: Table) -> list[tuple[int, int]]:
    return [(r, c) for r, row in enumerate(table.entries) for c, entry in enumerate(row) if entry and entry.best]


def cauchy(t: float) -> float:
    return 1 - 2 * math.atan(t) / math.pi


@pytest.fixture
def measurements(sweep: Path) -> Measurements:
    return measure(read_runs([sweep]))


def test_the_effect_of_each_attack(measurements: Measurements) -> None:
    table = effect_table(measurements, default_metrics(measurements))
    assert table.title == "What each attack did (dataset filmtrust, model bprmf, defense none)"
    assert (table.keys, table.rows) == (("attack",), (("random",), ("average",)))
    names = ("clean", "attacked", "difference")
    assert table.columns == tuple((group, name) for group in ("target HR@50", "test HR@10") for name in names)
    assert means(table) == [[0.15, 0.35, 0.2, 0.65, 0.59, -0.06], [0.15, 0.65, 0.5, 0.65, 0.59, -0.06]]
    assert bold(table) == [(1, 1)]
    assert [table.seeds(row) for row in (0, 1)] == ["2", "2"]


def test_p_values_are_corrected_within_each_question(measurements: Measurements) -> None:
    """t is 2 and 5 on targets and 6, 6 on test: two tests for each attack, whatever else the table shows.

    The smaller p of each question, that of test (0.1051), is doubled (0.2103). Targets' 0.2952 stays, and their 0.1257
    is raised to what test has.
    """
    expected = [cauchy(2), 2 * cauchy(6), 2 * cauchy(6), 2 * cauchy(6)]
    assert cauchy(2) > 2 * cauchy(6) > cauchy(5) > cauchy(6)
    table = effect_table(measurements, [TARGET, TEST])
    assert [entry.p for row in table.entries for entry in row if entry and entry.signed] == pytest.approx(expected)
    alone = effect_table(measurements, [TARGET])
    assert [row[2].p for row in alone.entries] == pytest.approx(expected[::2])
    assert "within each question over 2 tests (target HR@50, test HR@10)" in alone.notes[0]


def test_sentences_stand_above(measurements: Measurements) -> None:
    told = effect_table(measurements, [TARGET, TEST]).told
    assert told[0].startswith("random: the targets' HR@50 rose from 0.1500 to 0.3500 (+0.2000, 95% interval -1.0706 to")
    assert told[1].startswith("average: the targets' HR@50 rose from 0.1500 to 0.6500 (+0.5000, ")


def test_attacks_that_give_the_same_numbers_are_said_to_be_one(tmp_path: Path, make_run, make_values) -> None:
    for job, (attack, moved) in enumerate({"random": 0.4, "average": 0.4, "bandwagon": 0.5}.items()):
        numbers = {
            ("none", "none"): {seed: make_values(0.1, 0.6) for seed in (0, 1)},
            (attack, "none"): {0: make_values(0.4, 0.6), 1: make_values(moved, 0.6)},
        }
        make_run(tmp_path / str(job), "filmtrust", numbers)
    told = effect_table(measure(read_runs([tmp_path])), [TARGET]).told
    assert (
        told[0] == "random and average gave the same numbers (bprmf on filmtrust): to that victim they are one attack."
    )
    assert sum("the same numbers" in sentence for sentence in told) == 1


def test_attacks_that_made_the_same_change_are_said_to_be_one(tmp_path: Path, make_run, make_values) -> None:
    """Told once, though random and average have the same numbers too; bandwagon has those by another change."""
    for job, (attack, change) in enumerate({"random": "ab", "average": "ab", "bandwagon": "ac"}.items()):
        numbers = {
            ("none", "none"): {seed: make_values(0.1, 0.6) for seed in (0, 1)},
            (attack, "none"): {seed: make_values(0.4, 0.6) for seed in (0, 1)},
        }
        file = make_run(tmp_path / str(job), "filmtrust", numbers) / "run.json"
        changes = {f"seed={seed}/attack={attack}/defense=none": {"fingerprint": change[seed]} for seed in (0, 1)}
        file.write_text(json.dumps(json.loads(file.read_text()) | {"changes": changes}))
    pair = [tmp_path / "0", tmp_path / "1"]
    same = "random and average made the same change (bprmf on filmtrust): they are one attack."
    assert effect_table(measure(read_runs(pair)), [TARGET]).told[0] == same
    metrics = tmp_path / "1" / "metrics.csv"
    metrics.write_text(metrics.read_text().replace("target,HR,50", "target,NDCG,50"))
    told = effect_table(measure(read_runs(pair)), [TARGET]).told
    assert told[0] == same, "whatever was measured"
    assert not any("same numbers" in sentence for sentence in told)
    told = effect_table(measure(read_runs([tmp_path / "0", tmp_path / "2"])), [TARGET]).told
    assert told[0].startswith("random and bandwagon gave the same numbers")


def test_what_a_defense_changed(tmp_path: Path, make_run, make_values) -> None:
    numbers = {
        ("none", "none"): {0: make_values(0.1, 0.6), 1: make_values(0.1, 0.7)},
        ("average", "none"): {0: make_values(0.9, 0.6), 1: make_values(0.8, 0.7)},
        ("none", "apr"): {0: make_values(0.1, 0.5), 1: make_values(0.1, 0.6)},
        ("average", "apr"): {0: make_values(0.2, 0.5), 1: make_values(0.3, 0.6)},
    }
    make_run(tmp_path / "0", "filmtrust", numbers)
    table = defense_table(measure(read_runs([tmp_path])), [TARGET])
    assert (table.keys, table.rows) == (("attack", "defense"), (("none", "apr"), ("average", "apr")))
    assert [name for _, name in table.columns] == ["undefended", "defended", "difference"]
    assert means(table) == [[0.1, 0.1, 0.0], [0.85, 0.25, -0.6]]
    # differences -0.7, -0.5: t = 6 with one degree of freedom; test has the same difference twice and no p
    assert table.entries[1][2].p == pytest.approx(2 * cauchy(6))
    assert (
        defense_table(
            measure(read_runs([make_run(tmp_path / "1", "a", {("none", "none"): {0: make_values(0, 0)}})])), [TARGET]
        )
        is None
    )


def test_a_failed_job_lowers_n_and_is_listed(sweep: Path) -> None:
    (sweep / "3" / "status.json").write_text(json.dumps({"status": "failed", "reason": "out of memory"}))
    runs = read_runs([sweep])
    table = with_notes(effect_table(measure(runs), [TARGET]), runs)
    assert [table.seeds(row) for row in (0, 1)] == ["2", "1"]
    assert means(table) == [[0.15, 0.35, 0.2], [0.1, 0.5, 0.4]]
    assert any("1 of 4 jobs" in note for note in table.notes)
    assert table.notes[-1].endswith("3: out of memory")


def test_notes_give_the_protocol_and_warn_where_it_differs(sweep: Path) -> None:
    runs = read_runs([sweep])
    table = with_notes(effect_table(measure(runs), [TARGET]), runs)
    assert table.notes[0] == "protocol: candidates: all items but the user's training items; ties: against"
    about = json.loads((sweep / "0" / "run.json").read_text())
    (sweep / "0" / "run.json").write_text(json.dumps(about | {"protocol": {"ties": "for"}}))
    runs = read_runs([sweep])
    notes = with_notes(effect_table(measure(runs), [TARGET]), runs).notes
    assert notes[2] == "these runs follow different protocols: their numbers do not compare"


def test_a_model_without_epochs_follows_the_protocol_of_the_others(sweep: Path) -> None:
    for job, epoch in (("0", "none: ItemKNN has none"), ("1", "last"), ("2", "best on valid")):
        about = json.loads((sweep / job / "run.json").read_text())
        about["protocol"] |= {"epoch": epoch}
        (sweep / job / "run.json").write_text(json.dumps(about))
    told = [protocol.get("epoch") for protocol in read_runs([sweep / "0", sweep / "1"]).protocols()]
    assert told == ["last"]
    assert len(read_runs([sweep / "0", sweep / "1", sweep / "2"]).protocols()) == 2
    assert [protocol["epoch"] for protocol in read_runs([sweep / "0"]).protocols()] == ["none: ItemKNN has none"]


def test_what_is_noted_of_different_seeds_is_said_once(sweep: Path) -> None:
    for job, note in (("0", "seed 1: no hit"), ("1", "seed 0, 2: no hit"), ("2", "seed 1: other")):
        about = json.loads((sweep / job / "run.json").read_text())
        (sweep / job / "run.json").write_text(json.dumps(about | {"notes": [note]}))
    (line,) = read_runs([sweep / job for job in "012"]).data_notes()
    assert line.endswith(": no hit (some seeds); seed 1: other")


def test_what_was_noted_about_the_data_stands_below_the_table(sweep: Path) -> None:
    """Two of the jobs have 8 of 9 users judged, the others 9: the same protocol, and a line that says so."""
    for job in ("0", "1"):
        about = json.loads((sweep / job / "run.json").read_text())
        about["protocol"] |= {"users judged": "8 of 9"}
        about["notes"] = ["3 rows are 2 distinct pairs", "1 of 9 users have no test row"]
        (sweep / job / "run.json").write_text(json.dumps(about))
    runs = read_runs([sweep])
    assert len(runs.protocols()) == 1
    notes = with_notes(effect_table(measure(runs), [TARGET]), runs).notes
    (dataset,) = {str(name) for run in runs.runs[:2] for name in run.metrics.dataset}
    assert notes[1] == f"{dataset}: 3 rows are 2 distinct pairs; 1 of 9 users have no test row"
    assert sum("distinct pairs" in note for note in notes) == 1


def test_a_pivot_by_two_names(measurements: Measurements) -> None:
    table = pivot_table(measurements, ["dataset"], "attack", TARGET)
    assert table.columns == (("attack", "none"), ("attack", "average"), ("attack", "random"))
    assert (table.rows, means(table)) == ((("filmtrust",),), [[0.15, 0.65, 0.35]])
    assert bold(table) == [(0, 1)]


def test_a_pivot_never_mixes_settings_that_were_not_named(tmp_path: Path, make_run, make_values) -> None:
    job = 0
    for budget in (0.05, 0.01):
        for attack in ("average", "random"):
            numbers = {("none", "none"): {0: make_values(0.1, 0.6)}, (attack, "none"): {0: make_values(budget, 0.5)}}
            make_run(tmp_path / str(job), "filmtrust", numbers, config={"attack": {"budget": budget}})
            job += 1
    table = pivot_table(measure(read_runs([tmp_path])), ["dataset"], "attack", TARGET)
    assert table.keys == ("dataset", "attack.budget")
    assert table.rows == (("filmtrust", "–"), ("filmtrust", "0.01"), ("filmtrust", "0.05"))
    assert means(table) == [[0.1, None, None], [None, 0.01, 0.01], [None, 0.05, 0.05]]
    assert bold(table) == []  # ties: nothing stands out
    over_budget = pivot_table(measure(read_runs([tmp_path])), ["attack"], "attack.budget", TARGET)
    assert [name for _, name in over_budget.columns] == ["–", "0.01", "0.05"]


def test_bold_is_the_defense_that_lets_least_through(tmp_path: Path, make_run, make_values) -> None:
    numbers = {("average", name): {0: make_values(share, share)} for name, share in (("none", 0.5), ("apr", 0.2))}
    make_run(tmp_path / "0", "filmtrust", numbers)
    measurements = measure(read_runs([tmp_path]))
    target, test = (pivot_table(measurements, ["attack"], "defense", metric) for metric in (TARGET, TEST))
    assert [name for _, name in target.columns] == ["none", "apr"]
    assert (bold(target), bold(test)) == ([(0, 1)], [(0, 0)])


def test_datasets_do_not_compete(tmp_path: Path, make_run, make_values) -> None:
    for job, (data, share) in enumerate((("filmtrust", 0.2), ("ml_100k", 0.4))):
        make_run(tmp_path / str(job), data, {("none", "none"): {0: make_values(share, share)}})
    table = pivot_table(measure(read_runs([tmp_path])), ["attack"], "dataset", TEST)
    assert (means(table), bold(table)) == ([[0.2, 0.4]], [])


def test_unknown_names_and_seeds_are_refused(measurements: Measurements) -> None:
    with pytest.raises(ConfigError, match="no setting of these runs"):
        pivot_table(measurements, ["atack"], "dataset", TARGET)
    with pytest.raises(ConfigError, match="means over seeds"):
        pivot_table(measurements, ["seed"], "dataset", TARGET)


def test_clean_runs_alone_have_no_effect_to_show(tmp_path: Path, make_run, make_values) -> None:
    make_run(tmp_path / "0", "filmtrust", {("none", "none"): {0: make_values(0.1, 0.6)}})
    measurements = measure(read_runs([tmp_path]))
    with pytest.raises(ConfigError, match="no attack"):
        effect_table(measurements, [TARGET])
    table = pivot_table(measurements, ["dataset"], "model", TEST)
    assert (table.rows, table.columns, means(table)) == ((("filmtrust",),), (("model", "bprmf"),), [[0.6]])


def test_seeds_of_a_row_are_a_range_where_they_differ() -> None:
    table = Table("t", ("a",), (("x",),), (("g", "u"), ("g", "v")), ((Entry(0.1, n=3), Entry(0.2, n=5)),))
    assert table.seeds(0) == "3–5"


def test_the_mean_over_steps_stands_beside_the_clean_test_number(tmp_path: Path, make_run) -> None:
    clean, bim = {("test", "HR", "10"): 0.7}, {("test", "HR", "10"): 0.4, ("path", "HR", "10"): 0.5}
    make_run(tmp_path / "0", "a", {("none", "none"): {0: clean}, ("bim", "none"): {0: bim}})
    runs = read_runs([tmp_path])
    measurements = measure(runs)
    table = effect_table(measurements, default_metrics(measurements))
    assert means(table) == [[0.7, 0.4, -0.3, 0.7, 0.5, -0.2]]
    notes = with_notes(table, runs).notes
    assert notes[-1].startswith("test: held-out items; path: held-out items, mean over the steps")


def test_a_surrogate_is_no_victim_but_can_be_asked_for(tmp_path: Path, make_run) -> None:
    learned = {("test", "HR", "10"): 0.4, ("surrogate", "HR", "10"): 0.9, ("surrogate", "Objective", ""): 7.0}
    make_run(tmp_path / "0", "a", {("none", "none"): {0: {("test", "HR", "10"): 0.7}}, ("b", "none"): {0: learned}})
    measurements = measure(read_runs([tmp_path]))
    assert default_metrics(measurements) == [TEST]
    table = effect_table(measurements, [measurements.find("HR@10", "surrogate")])
    assert means(table) == [[0.9]]


@pytest.fixture
def with_undefined(sweep: Path) -> Measurements:
    """A sweep, and a job of it that ``apr`` on ``item_knn`` would have been."""
    (sweep / "9").mkdir()
    labels = {"dataset": "filmtrust", "model": "item_knn", "attack": "random", "defense": "apr", "evaluation": "x"}
    status = {"status": "undefined", "labels": labels, "misfits": ["defense", "model"], "reason": "apr with item_knn"}
    (sweep / "9" / "status.json").write_text(json.dumps(status))
    (sweep / "9" / "config.yaml").write_text(json.dumps({"attack": {"budget": 0.01}}))
    return measure(read_runs([sweep]))


def test_what_is_not_defined_is_na_in_its_own_row_and_changes_no_other(with_undefined: Measurements) -> None:
    table = effect_table(with_undefined, [TARGET])
    assert table.keys == ("model", "attack", "defense")
    assert table.rows[-1] == ("item_knn", "random", "apr")
    assert means(table)[:2] == [[0.15, 0.35, 0.2], [0.15, 0.65, 0.5]]
    assert table.entries[-1] == (UNDEFINED,) * 3
    assert [table.seeds(row) for row in range(3)] == ["2", "2", "0"]
    for render, gap in ((to_markdown, " | "), (to_latex, " & ")):
        assert gap.join(["n/a"] * 3) in render(table)
    assert "item_knn,random,apr,target HR@50,attacked,n/a,,0," in to_csv(table)


def test_a_pivot_tells_what_is_not_defined_from_what_was_not_measured(with_undefined: Measurements) -> None:
    """The clean cell with the defense is not defined either; that of the model without it was not measured."""
    table = pivot_table(with_undefined, ["model", "attack"], "defense", TARGET)
    assert table.columns == (("defense", "none"), ("defense", "apr"))
    found = dict(zip(table.rows, table.entries, strict=True))
    assert found["item_knn", "none"] == found["item_knn", "random"] == (None, UNDEFINED)
    assert found["bprmf", "random"][1] is None


def test_notes_say_why_it_is_not_defined_and_count_it_as_no_failure(sweep: Path, with_undefined: Measurements) -> None:
    notes = with_notes(effect_table(with_undefined, [TARGET]), read_runs([sweep])).notes
    assert "n/a: apr with item_knn (1 job)" in notes
    assert not any("no result" in note for note in notes)
