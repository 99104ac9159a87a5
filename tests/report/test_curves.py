import math
import shutil
from pathlib import Path

import pandas as pd
import pytest

from recpoison.errors import DataError
from recpoison.evaluation.questions import Metric
from recpoison.report.curves import Curves, curves_of
from recpoison.report.measurements import measure
from recpoison.report.runs import CURVE, read_runs

NDCG = Metric("test", "NDCG", 10)


def read(folder: Path, average_repeated: bool = False) -> Curves:
    runs = read_runs([folder])
    return curves_of(runs, measure(runs), average_repeated)


def test_means_spreads_and_the_clean_value_by_hand(budgets: Path) -> None:
    found = read(budgets).over_seeds("epsilon", NDCG).set_index(["attack", "at"])
    # fgsm at 1: 0.3 and 0.5 over seeds 0 and 1; clean is 0.6 and 0.8
    row = found.loc[("fgsm", 1.0)]
    assert row["mean"] == pytest.approx(0.4)
    assert row.sd == pytest.approx(math.sqrt(0.02))
    assert row.n == 2
    assert row.clean_mean == pytest.approx(0.7)
    assert [row.row_l2, row.linf] == pytest.approx([1.0, 0.5])


def test_cells_are_told_apart_by_the_settings_that_vary(budgets: Path) -> None:
    curves = read(budgets)
    assert curves.keys == ("attack.projection",)
    assert set(curves.frame[curves.frame.attack == "pgd"]["attack.projection"]) == {"box", "row_l2"}
    assert curves.frame[curves.frame.attack == "fgsm"]["attack.projection"].isna().all()
    assert list(curves.tidy().columns) == [*CURVE, "attack.projection"]


def test_a_run_without_curves_has_none(sweep: Path) -> None:
    curves = read(sweep)
    assert curves.along() == []
    assert curves.tidy().empty


def test_a_point_that_two_jobs_measured_counts_once_or_is_refused(budgets: Path) -> None:
    shutil.copytree(budgets / "0", budgets / "3")
    assert read(budgets).over_seeds("epsilon", NDCG).n.tolist() == [2] * 12
    file = budgets / "3" / "curve.csv"
    file.write_text(file.read_text().replace("test,NDCG,10,0.3,", "test,NDCG,10,0.1,"))
    with pytest.raises(
        DataError, match=r"attack fgsm, defense none, seed 0, epsilon 1\): test NDCG@10 is 0\.1 in .*/3"
    ):
        read(budgets)
    averaged = read(budgets, average_repeated=True).over_seeds("epsilon", NDCG).set_index(["attack", "at"])
    assert averaged.loc[("fgsm", 1.0), "mean"] == pytest.approx((0.2 + 0.5) / 2)  # seed 0 is the mean of 0.1 and 0.3


def test_what_is_drawn_unless_somebody_names_a_metric(tmp_path: Path, make_run, make_curve) -> None:
    folder = make_run(tmp_path / "0", "a", {("none", "none"): {0: {("test", "HR", "50"): 0.1}}})
    labels = [("AUC", ""), ("HR", 5), ("HR", 10), ("HR", 50), ("NDCG", 5), ("NDCG", 50)]
    make_curve(folder, [("none", "none", 0, "epochs", 10, "", "", "test", name, k, 0.5) for name, k in labels])
    assert read(tmp_path).usual("epochs") == [Metric("test", "NDCG", 50), Metric("test", "HR", 10)]


def test_an_attack_without_steps_stands_beside_those_that_take_some(tmp_path: Path, make_run, make_curve) -> None:
    for job, attack in enumerate(("fgsm", "bim")):
        numbers = {
            ("none", "none"): {0: {("test", "NDCG", "10"): 0.7}},
            (attack, "none"): {0: {("test", "NDCG", "10"): 0.4}},
        }
        folder = make_run(tmp_path / str(job), "a", numbers)
    make_curve(folder, [("bim", "none", 0, "steps", at, 0.1, 0.1, "test", "NDCG", 10, 0.6 - at / 10) for at in (1, 2)])
    beside = read(tmp_path).without_steps(NDCG)
    assert beside[["attack", "at", "mean"]].values.tolist() == [["fgsm", 1.0, 0.4]]


def test_a_surrogates_curve_does_not_depend_on_the_victim(tmp_path: Path, make_run, make_curve) -> None:
    for job, model in enumerate(("wrmf", "mf")):
        numbers = {
            ("none", "none"): {0: {("target", "HR", "10"): 0.1}},
            ("b", "none"): {0: {("target", "HR", "10"): 0.3}},
        }
        folder = make_run(tmp_path / str(job), "a", numbers, model=model)
        make_curve(folder, [("b", "none", 0, "iterations", 0, "", "", "surrogate", "HR", 10, 0.2)], model=model)
    assert len(read(tmp_path).frame) == 1


def test_empty_norms_are_missing_and_a_broken_number_is_named(budgets: Path, make_curve) -> None:
    make_curve(budgets / "0", [("none", "none", 0, "epochs", 5, "", "", "test", "NDCG", 10, 0.5)])
    curve = read_runs([budgets / "0"]).runs[0].curve
    assert curve[["row_l2", "linf"]].isna().all(axis=None)
    assert curve.dtypes["k"] == pd.Int64Dtype()
    file = budgets / "0" / "curve.csv"
    file.write_text(file.read_text().replace("epochs,5", "epochs,five"))
    with pytest.raises(DataError, match=r"curve.csv, line 2: at is 'five' where a number belongs"):
        read_runs([budgets / "0"])
