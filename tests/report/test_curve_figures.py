from pathlib import Path

import numpy as np
import pytest

from recpoison.evaluation.questions import Metric
from recpoison.report.curve_figures import draw_curves, over_budget, over_place
from recpoison.report.curves import Curves, curves_of
from recpoison.report.figures import as_bytes
from recpoison.report.measurements import measure
from recpoison.report.runs import read_runs

NDCG = Metric("test", "NDCG", 10)


def read(folder: Path) -> Curves:
    runs = read_runs([folder])
    return curves_of(runs, measure(runs))


def test_a_line_an_attack_in_a_band_with_the_clean_value_dotted(budgets: Path) -> None:
    figure = over_place(read(budgets), "epsilon", NDCG)
    axes = figure.axes[0]
    assert axes.lines[0].get_xydata().tolist() == pytest.approx(np.array([[0, 0.7], [0.5, 0.6], [1, 0.4], [2, 0.3]]))
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["fgsm", "pgd, projection box", "pgd, projection row_l2", "clean"]
    assert list(axes.lines[-1].get_ydata()) == pytest.approx([0.7, 0.7])
    band = axes.collections[0].get_paths()[0].vertices
    assert [band[:, 1].min(), band[:, 1].max()] == pytest.approx([0.3 - 0.02**0.5, 0.7 + 0.02**0.5])
    assert axes.get_xscale() == "symlog"  # epsilon 0 is among them
    assert axes.get_xlabel() == "epsilon (in each attack's own norm)"  # in the box rows get longer than epsilon
    assert axes.get_ylabel() == "NDCG@10 of held-out items\n(0 to 1)"


def test_epsilon_is_a_length_where_no_row_is_longer(budgets: Path) -> None:
    axes = over_place(read(budgets / "0"), "epsilon", NDCG).axes[0]
    assert axes.get_xlabel() == "epsilon (L2 length of a row)"


def test_at_equal_budget_the_axis_is_what_was_used(budgets: Path) -> None:
    axes = over_budget(read(budgets), "epsilon", NDCG).axes[0]
    assert axes.lines[1].get_xdata().tolist() == [4, 8, 16]  # pgd in a box; the point without a shift is left out
    assert axes.get_xscale() == "log"
    assert axes.get_xlabel() == "row L2 used (length of the longest row's shift)"


def test_lines_differ_without_colour(budgets: Path) -> None:
    lines = over_budget(read(budgets), "epsilon", NDCG).axes[0].lines[:3]
    assert len({line.get_marker() for line in lines}) == 3
    assert len({line.get_linestyle() for line in lines}) > 1


def test_a_panel_for_each_defense_on_one_scale(tmp_path: Path, make_run, make_curve) -> None:
    numbers = {
        (attack, defense): {0: {("test", "NDCG", "10"): 0.5}}
        for attack in ("none", "bim")
        for defense in ("apr", "none")
    }
    folder = make_run(tmp_path / "0", "a", numbers)
    rows = [
        ("bim", defense, 0, "steps", at, at / 8, 0.1, "test", "NDCG", 10, height / at)
        for defense, height in (("apr", 0.4), ("none", 0.2))
        for at in (1, 2, 4)
    ]
    make_curve(folder, rows)
    left, right = over_place(read(tmp_path), "steps", NDCG).axes
    assert [left.get_title(), right.get_title()] == ["a, bprmf, no defense", "a, bprmf, apr"]
    assert left.get_ylim() == right.get_ylim()
    assert right.lines[0].get_ydata().tolist() == [0.4, 0.2, 0.1]
    assert left.get_xlabel() == "steps of the attack"


def test_an_attack_without_steps_is_a_level_line(tmp_path: Path, make_run, make_curve) -> None:
    for job, attack in enumerate(("fgsm", "bim")):
        clean, hit = {0: {("test", "NDCG", "10"): 0.7}}, {0: {("test", "NDCG", "10"): 0.4}}
        folder = make_run(tmp_path / str(job), "a", {("none", "none"): clean, (attack, "none"): hit})
    make_curve(folder, [("bim", "none", 0, "steps", at, 0.1, 0.1, "test", "NDCG", 10, 1 / at) for at in (2, 4)])
    level, steps = over_place(read(tmp_path), "steps", NDCG).axes[0].lines[:2]
    assert set(level.get_ydata()) == {0.4}
    assert [level.get_xdata().min(), level.get_xdata().max()] == [1, 4]
    assert steps.get_ydata().tolist() == [0.5, 0.25]


def test_defenses_share_a_panel_over_epochs(tmp_path: Path, make_run, make_curve) -> None:
    numbers = {("none", defense): {0: {("test", "NDCG", "10"): 0.5}} for defense in ("none", "apr")}
    folder = make_run(tmp_path / "0", "a", numbers)
    rows = [
        ("none", defense, 0, "epochs", at, "", "", "test", "NDCG", 10, at / 100)
        for defense in ("none", "apr")
        for at in (20, 40)
    ]
    make_curve(folder, rows)
    figure = over_place(read(tmp_path), "epochs", NDCG)
    assert len(figure.axes) == 1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["no defense", "apr"]
    assert figure.axes[0].lines[0].get_xydata().tolist() == [[20, 0.2], [40, 0.4]]


def test_what_is_drawn_and_that_it_is_the_same_each_time(budgets: Path) -> None:
    curves = read(budgets)
    assert list(draw_curves(curves)) == ["test_ndcg_at_10_over_epsilon", "equal_budget_test_ndcg_at_10"]
    assert draw_curves(curves, [Metric("test", "HR", 10)]) == {}
    drawings = [as_bytes(over_place(curves, "epsilon", NDCG), "svg") for _ in range(2)]
    assert drawings[0] == drawings[1]


def test_random_order_is_a_line_where_a_run_of_it_is_among_the_runs(budgets: Path, make_run) -> None:
    numbers = {("none", "none"): {seed: {("test", "NDCG", "10"): height} for seed, height in ((0, 0.01), (1, 0.03))}}
    make_run(budgets / "random", "a", numbers, model="random")
    labelled = {line.get_label(): line for line in over_place(read(budgets), "epsilon", NDCG).axes[0].lines}
    assert labelled["random order"].get_ydata() == pytest.approx([0.02, 0.02])
    make_run(budgets / "elsewhere", "b", numbers, model="random")
    assert "b" not in set(read(budgets).over_seeds("epsilon", NDCG).dataset)


def test_lengths_that_are_all_alike_make_no_second_figure(tmp_path: Path, make_run, make_curve) -> None:
    """Rows held at their bound are 0.5 long at each step, but for rounding: an axis of them orders noise."""
    numbers = {(attack, "none"): {0: {("test", "NDCG", "10"): 0.5}} for attack in ("none", "bim")}
    for name, second, drawn in (("bound", 0.50000001, False), ("free", 0.6, True)):
        rows = [
            ("bim", "none", 0, "steps", step, length, 0.1, "test", "NDCG", 10, 0.4)
            for step, length in ((1, 0.5), (2, second))
        ]
        make_curve(make_run(tmp_path / name, "a", numbers), rows)
        names = draw_curves(read(tmp_path / name))
        assert "test_ndcg_at_10_over_steps" in names
        assert ("equal_budget_test_ndcg_at_10_over_steps" in names) == drawn
