import math
from pathlib import Path

import numpy as np
import pytest

from recpoison.evaluation.questions import Metric
from recpoison.report.curves import Curves, curves_of
from recpoison.report.equal_budget import common_table, followed, interpolate, points_table
from recpoison.report.measurements import measure
from recpoison.report.runs import read_runs

NDCG = Metric("test", "NDCG", 10)


def read(folder: Path) -> Curves:
    runs = read_runs([folder])
    return curves_of(runs, measure(runs))


def test_between_points_it_is_linear_in_the_logarithm() -> None:
    found = interpolate(np.array([1.0, 4.0]), np.array([0.8, 0.4]), (1, 2, 4))  # 2 is half way from 1 to 4
    assert found.tolist() == pytest.approx([0.8, 0.6, 0.4])


def test_it_is_never_extrapolated_and_rounding_is_no_extrapolation() -> None:
    lengths, values = np.array([0.0, 0.4999999, 2.0]), np.array([0.9, 0.5, 0.1])
    found = interpolate(lengths, values, (0.25, 0.5, 2, 2.01))
    assert np.isnan(found).tolist() == [True, False, False, True]
    assert found[1] == pytest.approx(0.5, abs=1e-6)
    assert np.isnan(interpolate(np.zeros(2), np.ones(2), (1,))).all()


def test_of_points_of_one_length_the_last_counts() -> None:
    assert interpolate(np.array([0.5, 0.5, 0.5]), np.array([0.9, 0.7, 0.6]), (0.5,)).tolist() == [0.6]


def test_every_point_with_the_shift_it_used(budgets: Path) -> None:
    table = points_table(read(budgets), NDCG)
    assert table.keys == ("attack", "attack.projection", "epsilon")
    assert table.columns[:2] == (("shift used", "row L2"), ("shift used", "L-infinity"))
    row = table.rows.index(("pgd", "box", "1"))
    used, linf, clean, attacked, difference = table.entries[row]
    assert [used.mean, linf.mean, clean.mean, attacked.mean, difference.mean] == pytest.approx([8, 0.5, 0.7, 0.3, -0.4])
    assert attacked.sd == pytest.approx(math.sqrt(0.02))
    assert (attacked.n, difference.signed) == (2, True)
    assert len(table.rows) == 12


def test_attacks_at_common_budgets(budgets: Path) -> None:
    table = common_table(read(budgets), NDCG, (0.5, 1, 4, 8))
    entries = {row: [entry and round(entry.mean, 9) for entry in table.entries[n]] for n, row in enumerate(table.rows)}
    assert [name for _, name in table.columns] == ["clean", "0.5", "1", "4", "8"]
    # means of seeds 0 and 1; in the box the measured lengths are 4, 8 and 16
    assert entries["fgsm", "–"] == pytest.approx([0.7, 0.6, 0.4, None, None])
    assert entries["pgd", "box"] == pytest.approx([0.7, None, None, 0.5, 0.3])
    assert entries["pgd", "row_l2"] == pytest.approx([0.7, 0.5, 0.3, None, None])


def test_bold_is_the_attack_that_does_most(budgets: Path) -> None:
    table = common_table(read(budgets), NDCG, (0.5,))
    best = {row: table.entries[n][1] is not None and table.entries[n][1].best for n, row in enumerate(table.rows)}
    assert best == {("fgsm", "–"): False, ("pgd", "box"): False, ("pgd", "row_l2"): True}


def test_nothing_stands_where_one_seed_was_not_measured(budgets: Path) -> None:
    file = budgets / "0" / "curve.csv"
    file.write_text("".join(line for line in file.open() if ",1,epsilon,2.0," not in line))
    table = common_table(read(budgets), NDCG, (1, 2))
    assert [entry is None for entry in table.entries[0]] == [False, False, True]


def test_steps_stand_in_where_there_is_no_epsilon(tmp_path: Path, make_run, make_curve) -> None:
    numbers = {
        ("none", "none"): {0: {("test", "NDCG", "10"): 0.7}},
        ("bim", "none"): {0: {("test", "NDCG", "10"): 0.4}},
    }
    folder = make_run(tmp_path / "0", "a", numbers)
    assert followed(read(tmp_path)) is None
    points = ((1, 0.25, 0.6), (2, 0.5, 0.5), (3, 0.5, 0.4))
    make_curve(folder, [("bim", "none", 0, "steps", at, l2, 0.1, "test", "NDCG", 10, v) for at, l2, v in points])
    assert followed(read(tmp_path)) == "steps"
    table = common_table(read(tmp_path), NDCG, (0.25, 0.5))
    assert [entry.mean for entry in table.entries[0]] == pytest.approx([0.7, 0.6, 0.4])
