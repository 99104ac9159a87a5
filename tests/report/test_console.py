from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from recpoison.changes import FakeProfiles
from recpoison.curves import of_trace, points
from recpoison.evaluation.base import Measure
from recpoison.records import Cell, CellResult, RunRecord
from recpoison.report.console import show


def result(attack: str, defense: str, seed: int, target: float, test: float) -> CellResult:
    """One cell over 20 users of whom the first ``target`` (``test``) share is hit."""

    def mean_of(subject: str, k: int, share: float) -> Measure:
        hits = (np.arange(20) < round(20 * share)).astype(float)
        return Measure(subject, "HR", k, float(hits.mean()), 20, np.arange(20), hits)

    measures = [mean_of("test", 10, test), mean_of("target", 50, target), mean_of("target", 20, target)]
    return CellResult(Cell("ml_100k", "bprmf", attack, defense, seed), measures, None, None)


def shown(results: list[CellResult], folder: Path, width: int = 80) -> str:
    console = Console(file=StringIO(), width=width)
    show(RunRecord(results, [], {"ties": "against"}), folder, console)
    return console.file.getvalue()


def row(text: str, label: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if line.split()[:1] == [label])


@pytest.fixture
def three_seeds() -> list[CellResult]:
    clean, attacked = (0.1, 0.2, 0.3), (0.5, 0.65, 0.75)
    pairs = enumerate(zip(clean, attacked, strict=True))
    return [r for s, (a, b) in pairs for r in (result("none", "none", s, a, 0.5), result("average", "none", s, b, 0.5))]


def test_means_spreads_and_differences(three_seeds: list[CellResult], tmp_path: Path) -> None:
    text = shown(three_seeds, tmp_path)
    # differences 0.4, 0.45, 0.45: t = 0.43333 / (0.028868 / sqrt 3) = 26, p = 1 - 26 / sqrt(678) = 0.00148; two tests
    assert row(text, "HR@50") == ["HR@50", "0.2000", "±", "0.1000", "0.6333", "±", "0.1258", "+0.4333**"]
    assert row(text, "HR@10") == ["HR@10", "0.5000", "±", "0.0000", "0.5000", "±", "0.0000", "+0.0000"]
    assert "HR@20" not in text
    told = " ".join(text.split())
    assert (
        "The targets' HR@50 rose from 0.2000 to 0.6333 (+0.4333, 95% interval +0.3616 to +0.5050, p = 0.003, "
        "n = 3 seeds); held-out HR@10 stayed at 0.5000 (equal in each of 3 seeds: no spread, so no t-test)." in told
    )
    assert "protocol ties: against" in told


def test_cutoffs_and_metrics_that_were_asked_for_are_shown(three_seeds: list[CellResult], tmp_path: Path) -> None:
    """Of the targets' HR@50 and HR@20 the first is usual; cutoffs that were typed are shown, all of them."""
    overrides = tmp_path / "overrides.yaml"
    assert "HR@20" not in shown(three_seeds, tmp_path)
    overrides.write_text('- "evaluation.cutoffs=[10,20,50]"\n')
    text = shown(three_seeds, tmp_path)
    assert row(text, "HR@20")[-1].startswith("+")
    assert row(text, "HR@50")[-1] == "+0.4333**"
    recall = Measure("test", "Recall", 20, 0.25, 20)
    asked = [replace(cell, measures=[recall]) for cell in three_seeds]
    overrides.write_text('- "evaluation.metrics=[Recall]"\n- "evaluation.cutoffs=[20]"\n')
    assert row(shown(asked, tmp_path), "Recall@20") == [
        "Recall@20",
        "0.2500",
        "±",
        "0.0000",
        "0.2500",
        "±",
        "0.0000",
        "+0.0000",
    ]


def test_promoted_items_are_named_as_in_the_source(three_seeds: list[CellResult], tmp_path: Path) -> None:
    known, unknown = {"item": 7, "id": "B00X", "rows": 1}, {"item": 9, "id": None, "rows": 1234}
    console = Console(file=StringIO(), width=80)
    show(RunRecord(three_seeds, [], {}, {"targets": {0: [known], 1: [known, unknown]}}), tmp_path, console)
    assert " promoted  item B00X (1 training row); item 9 (1,234 training rows)" in console.file.getvalue()


def test_notes_about_the_data_stand_above_the_protocol(three_seeds: list[CellResult], tmp_path: Path) -> None:
    console = Console(file=StringIO(), width=80)
    notes = ["36 rows are 29 distinct pairs", "1 of 9 users have no test row"]
    show(RunRecord(three_seeds, [], {"ties": "against"}, {"notes": notes}), tmp_path, console)
    lines = [line.strip() for line in console.file.getvalue().splitlines()]
    start = lines.index("note      36 rows are 29 distinct pairs")
    assert lines[start + 1 : start + 3] == ["note      1 of 9 users have no test row", "protocol  ties: against"]


def test_one_seed_has_no_verdict(tmp_path: Path) -> None:
    results = [result("none", "none", 0, 0.1, 0.5), result("average", "none", 0, 0.15, 0.5)]
    text = " ".join(shown(results, tmp_path).split())
    assert "HR@50 rose from 0.1000 to 0.1500; held-out" in text
    assert "p <" not in text, "one pair of fits proves nothing about the attack"


def test_a_defense_has_its_own_table(tmp_path: Path) -> None:
    cells = {("none", "none"): 0.1, ("average", "none"): 0.8, ("none", "apr"): 0.1, ("average", "apr"): 0.2}
    text = shown([result(attack, defense, 0, share, 0.5) for (attack, defense), share in cells.items()], tmp_path)
    without, with_apr = text.split("with defense apr", 1)
    assert "without defense" in without
    assert row(without, "HR@50")[2] == "0.8000"
    assert row(with_apr, "HR@50")[2] == "0.2000"
    assert "With defense apr: the targets' HR@50 rose from 0.1000 to 0.2000" in " ".join(text.split())


@pytest.mark.parametrize(
    ("attack", "seeds", "last"),
    [
        ("none", [0], "recpoison dataset=ml_100k attack=average"),
        ("average", [0], "recpoison dataset=ml_100k attack=average attack.budget=0.03 repeats=5"),
        ("average", [0, 1], "recpoison-report {folder} --all report"),
    ],
)
def test_the_last_line_is_the_next_command(attack: str, seeds: list[int], last: str, tmp_path: Path) -> None:
    typed = ["dataset=ml_100k", *(["attack=average", "attack.budget=0.03"] if attack != "none" else []), "repeats=2"]
    (tmp_path / "overrides.yaml").write_text("".join(f"- {text}\n" for text in typed))
    results = [result(name, "none", seed, 0.2, 0.5) for seed in seeds for name in dict.fromkeys(("none", attack))]
    assert shown(results, tmp_path).splitlines()[-1].strip() == last.format(folder=tmp_path)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_number_is_cut(three_seeds: list[CellResult], tmp_path: Path, width: int) -> None:
    text = shown(three_seeds, tmp_path, width)
    assert "…" not in text
    assert "+0.4333**" in text


def test_what_a_clean_cell_has_not_stands_alone(tmp_path: Path) -> None:
    """Fake users are only in attacked cells: no clean number, no difference, no sentence."""
    cells = [Cell("ml_100k", "bprmf", attack, "none", 0) for attack in ("none", "average")]
    measures = [Measure("fake", "OutlierAUROC", None, 0.75, 9), Measure("fake", "PopularityKS", None, 0.5, 9)]
    text = shown([CellResult(cells[0], [], None, None), CellResult(cells[1], measures, None, None)], tmp_path)
    assert row(text, "OutlierAUROC") == ["OutlierAUROC", "–", "0.7500", "–"]
    assert row(text, "PopularityKS") == ["PopularityKS", "–", "0.5000", "–"]
    assert "rose" not in text


def test_who_asked_for_curves_is_told_how_to_see_them(tmp_path: Path) -> None:
    results = [result(name, "none", 0, 0.2, 0.5) for name in ("none", "bim")]
    steps = points("steps", 1, [Measure("test", "HR", 10, 0.4, 20)])
    lines = shown([results[0], replace(results[1], curve=steps)], tmp_path).splitlines()
    assert lines[-2].strip().endswith("what do the curves look like?")
    assert lines[-1].strip() == f"recpoison-report {tmp_path} --all report"
    assert any("curve.csv" in line for line in lines)
    learned = of_trace(FakeProfiles(*[np.zeros(0)] * 3, 0, np.zeros(0), {"HR": np.ones(1)}, cutoff=10))
    lines = shown([results[0], replace(results[1], curve=learned)], tmp_path).splitlines()
    assert lines[-1].strip().endswith("repeats=5"), "nobody asked for what a learned attack shows anyway"


def test_the_mean_over_steps_stands_beside_the_clean_number(tmp_path: Path) -> None:
    clean, attacked = (result(name, "none", 0, 0.2, 0.5) for name in ("none", "bim"))
    attacked = replace(attacked, measures=[*attacked.measures, Measure("path", "HR", 10, 0.3, 4)])
    text = shown([clean, attacked], tmp_path)
    rows = [line.split() for line in text[text.index("mean over steps") :].splitlines()]
    assert rows[1] == ["HR@10", "0.5000", "0.3000", "-0.2000"]
