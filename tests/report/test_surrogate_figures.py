from pathlib import Path

import pytest

from recpoison.report.curves import Curves, curves_of
from recpoison.report.drawing import in_natural_order
from recpoison.report.measurements import measure
from recpoison.report.runs import read_runs
from recpoison.report.surrogate_figures import best_iterations, draw_surrogate, over_iterations


def write(folder: Path, make_run, make_curve, hits, objectives, unroll: int, objective: str = "promote") -> None:
    """``hits[seed]`` and ``objectives[seed]`` over iterations 0, 1, 2."""
    clean = {seed: {("target", "HR", "10"): 0.1} for seed in hits}
    attacked = {seed: {("target", "HR", "10"): 0.2 + unroll / 100} for seed in hits}
    config = {"attack": {"unroll_steps": unroll, "objective": objective}}
    make_run(folder, "a", {("none", "none"): clean, ("bilevel", "none"): attacked}, config=config)
    rows = []
    for seed in hits:
        for at, (hit, loss) in enumerate(zip(hits[seed], objectives[seed], strict=True)):
            place = ("bilevel", "none", seed, "iterations", at, "", "", "surrogate")
            rows += [(*place, "HR", 10, hit), (*place, "Objective", "", loss)]
    make_curve(folder, rows)


@pytest.fixture
def unrolled(tmp_path: Path, make_run, make_curve) -> Path:
    """Best of 5 steps: seed 0 at iteration 1 (0.3, 4.0), seed 1 at 2 (0.5, 3.0). Of 100: 0.6 and 0.8, both 2.0."""
    write(
        tmp_path / "0", make_run, make_curve, {0: (0.1, 0.3, 0.2), 1: (0.1, 0.2, 0.5)}, {0: (5, 4, 3), 1: (5, 4, 3)}, 5
    )
    write(
        tmp_path / "1",
        make_run,
        make_curve,
        {0: (0.1, 0.2, 0.6), 1: (0.1, 0.4, 0.8)},
        {0: (5, 3, 2), 1: (5, 3, 2)},
        100,
    )
    return tmp_path


def read(folder: Path) -> Curves:
    runs = read_runs([folder])
    return curves_of(runs, measure(runs))


def test_the_best_iteration_has_the_highest_hit_ratio(unrolled: Path) -> None:
    best = best_iterations(read(unrolled)).sort_values(["attack.unroll_steps", "seed"])
    assert best[["at", "hits", "objective"]].values.tolist() == [[1, 0.3, 4], [2, 0.5, 3], [2, 0.6, 2], [2, 0.8, 2]]


def test_of_equal_hit_ratios_the_lowest_objective_and_for_nuke_the_lowest(tmp_path: Path, make_run, make_curve) -> None:
    write(tmp_path / "0", make_run, make_curve, {0: (0.2, 0.4, 0.4)}, {0: (5, 4, 3)}, 5)
    write(tmp_path / "1", make_run, make_curve, {0: (0.2, 0.1, 0.4)}, {0: (5, 4, 3)}, 5, objective="nuke")
    assert best_iterations(read(tmp_path / "0"))["at"].tolist() == [2]
    assert best_iterations(read(tmp_path / "1"))["at"].tolist() == [1]


def test_cells_that_share_one_crafting_are_one_line(tmp_path: Path, make_run, make_curve) -> None:
    for unroll, last in ((5, 0.2), (50, 0.2), (100, 0.3)):
        write(tmp_path / str(unroll), make_run, make_curve, {0: (0.1, last)}, {0: (5, 4)}, unroll)
    (legend,) = over_iterations(read(tmp_path)).legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "bilevel, unroll steps 5 (and 1 more: one crafting)",
        "bilevel, unroll steps 100",
    ]


def test_over_iterations_objective_left_and_hits_right(unrolled: Path) -> None:
    left, right = over_iterations(read(unrolled)).axes
    assert left.get_ylabel().startswith("Objective on the surrogate")
    assert right.get_ylabel().startswith("target HR@10 on the surrogate")
    assert left.lines[0].get_ydata().tolist() == [5, 4, 3]
    assert right.lines[1].get_ydata().tolist() == pytest.approx([0.1, 0.3, 0.7])
    assert left.get_xlabel() == "iterations of the attack"
    assert [line.get_label() for line in right.lines] == ["bilevel, unroll steps 5", "bilevel, unroll steps 100"]


def test_over_a_setting_bars_on_the_left_and_a_line_on_the_right(unrolled: Path) -> None:
    drawn = draw_surrogate(read(unrolled))
    assert list(drawn) == ["surrogate_over_iterations", "surrogate_over_attack_unroll_steps"]
    left, right = drawn["surrogate_over_attack_unroll_steps"].axes
    assert [bar.get_height() for bar in left.patches] == pytest.approx([0.4, 0.7])
    assert [label.get_text() for label in left.get_xticklabels()] == ["5", "100"]
    whisker = left.collections[0].get_segments()[0]
    assert whisker[:, 1] == pytest.approx([0.4 - 0.02**0.5, 0.4 + 0.02**0.5])
    assert right.lines[0].get_ydata().tolist() == [3.5, 2]
    assert left.get_xlabel() == "attack.unroll_steps"


def test_without_a_learned_attack_there_is_nothing(sweep: Path) -> None:
    assert draw_surrogate(read(sweep)) == {}


def test_names_stand_in_natural_order():
    names = ["steps 60", "steps 5", "steps 100", "steps 5", "other"]
    assert in_natural_order(names) == ["other", "steps 5", "steps 60", "steps 100"]
