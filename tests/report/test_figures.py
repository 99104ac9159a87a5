from pathlib import Path

import pytest

from recpoison.errors import OutputError
from recpoison.evaluation.questions import Metric
from recpoison.report.figures import as_bytes, bars, curve, draw_all, heat_map, save_all
from recpoison.report.measurements import Measurements, measure
from recpoison.report.runs import read_runs

TARGET = Metric("target", "HR", 50)


@pytest.fixture
def measurements(sweep: Path) -> Measurements:
    return measure(read_runs([sweep]))


@pytest.fixture
def budgets(tmp_path: Path, make_run, make_values) -> Measurements:
    for job, budget in enumerate((0.05, 0.01)):
        numbers = {
            ("none", "none"): {0: make_values(0.1, 0.6)},
            ("average", "none"): {0: make_values(10 * budget, 0.5)},
        }
        make_run(tmp_path / str(job), "filmtrust", numbers, config={"attack": {"budget": budget}})
    return measure(read_runs([tmp_path]))


def test_bars_are_as_high_as_the_means_and_whiskers_as_long_as_the_spread(measurements: Measurements) -> None:
    axes = bars(measurements.summary([TARGET]), TARGET).axes[0]
    assert [patch.get_height() for patch in axes.patches] == pytest.approx([0.15, 0.35, 0.65])
    whisker = axes.collections[1].get_segments()[0]  # of random: 0.35 ± sqrt(0.045)
    assert whisker[:, 1] == pytest.approx([0.35 - 0.045**0.5, 0.35 + 0.045**0.5])
    assert axes.get_ylabel() == "HR@50 of the targets (share, 0 to 1)"


def test_bars_differ_without_colour(measurements: Measurements) -> None:
    figure = bars(measurements.summary([TARGET]), TARGET)
    assert len({patch.get_hatch() for patch in figure.axes[0].patches}) == 3
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["clean", "random", "average"]


def test_the_heat_map_prints_the_change_of_each_victim(tmp_path: Path, make_run, make_values) -> None:
    for job, (data, attack, gain) in enumerate((("a", "random", 0.2), ("a", "average", 0.5), ("b", "random", 0.4))):
        numbers = {("none", "none"): {0: make_values(0.1, 0.6)}, (attack, "none"): {0: make_values(0.1 + gain, 0.5)}}
        make_run(tmp_path / str(job), data, numbers)
    axes = heat_map(measure(read_runs([tmp_path])).summary([TARGET]), TARGET).axes[0]
    assert [text.get_text() for text in axes.texts] == ["+0.200", "+0.400", "+0.500", "not run"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["random", "average"]


def test_the_curve_runs_over_the_setting_in_order(budgets: Measurements) -> None:
    axes = curve(budgets.summary([TARGET]), TARGET, "attack.budget").axes[0]
    assert axes.lines[0].get_xydata().tolist() == [[0.01, 0.1], [0.05, 0.5]]
    assert axes.get_xlabel() == "attack.budget (share of real users)"


def test_bars_stand_at_the_largest_budget_and_say_so(budgets: Measurements) -> None:
    drawn = draw_all(budgets, [TARGET])
    assert list(drawn) == ["bars_target_hr_at_50", "curve_target_hr_at_50_over_attack_budget"]
    axes = drawn["bars_target_hr_at_50"].axes[0]
    assert [patch.get_height() for patch in axes.patches] == [0.1, 0.5]
    assert axes.get_title() == "attack.budget = 0.05"


def test_files_are_written_and_equal_each_time(measurements: Measurements, tmp_path: Path) -> None:
    drawn = draw_all(measurements, [TARGET])
    files = save_all(drawn, tmp_path / "figures")
    assert [file.name for file in files] == ["bars_target_hr_at_50.png", "bars_target_hr_at_50.pdf"]
    assert sorted(tmp_path.joinpath("figures").iterdir()) == sorted(files)  # no drafts left
    assert files[0].read_bytes().startswith(b"\x89PNG")
    assert files[1].read_bytes().startswith(b"%PDF")
    drawings = [as_bytes(bars(measurements.summary([TARGET]), TARGET), "svg") for _ in range(2)]
    assert drawings[0] == drawings[1]


def test_a_folder_that_cannot_be_made_is_named(measurements: Measurements, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"figures cannot be written to .*file"):
        save_all(draw_all(measurements, [TARGET]), tmp_path / "file")
