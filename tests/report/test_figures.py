import json
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from recpoison.evaluation.questions import Metric
from recpoison.report.drawing import axis_label, new_figure, ticks_at
from recpoison.report.figures import as_bytes, as_files, bars, curve, draw_all, heat_map
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


def test_whiskers_of_a_share_end_at_0_and_1(tmp_path: Path, make_run, make_values) -> None:
    numbers = {("none", "none"): {s: make_values(v, 0.6) for s, v in enumerate((0.0, 0.2))}}
    numbers |= {("random", "none"): {s: make_values(v, 0.6) for s, v in enumerate((0.9, 1.0))}}
    make_run(tmp_path / "0", "a", numbers)
    axes = bars(measure(read_runs([tmp_path])).summary([TARGET]), TARGET).axes[0]
    clean, attacked = (axes.collections[place].get_segments()[0][:, 1] for place in (0, 1))
    assert clean == pytest.approx([0.0, 0.1 + 0.02**0.5])
    assert attacked == pytest.approx([0.95 - 0.005**0.5, 1.0])


@pytest.mark.parametrize(
    ("metric", "label"),
    [
        (Metric("test", "NDCG", 10), "NDCG@10 of held-out items (0 to 1)"),
        (Metric("test", "Recall", 10), "Recall@10 of held-out items (share, 0 to 1)"),
        (Metric("target", "MeanRank"), "MeanRank of the targets (rank, 1 is the top)"),
    ],
)
def test_what_is_no_share_is_not_called_one(metric: Metric, label: str) -> None:
    assert axis_label(metric) == label


def test_a_figure_is_as_wide_as_its_longest_name(tmp_path: Path, make_run, make_values) -> None:
    """Names of many settings were cut at both sides of the legend and of the heat map."""
    for model in ("bprmf", "wrmf"):
        for rule, size, rate in (("rare", 16, 0.5), ("medium", 64, 0.05)):
            cells = {("none", "none"): 0.1, ("average_of_all_that_there_is", "none"): 0.5, ("random", "none"): 0.2}
            numbers = {cell: {0: make_values(value, 0.7)} for cell, value in cells.items()}
            attack = {"targets_and_their_rule": rule, "surrogate_embedding_size": size, "surrogate_learning_rate": rate}
            make_run(tmp_path / f"{model}{size}", "a", numbers, model=model, config={"attack": attack})
    drawn = draw_all(measure(read_runs([tmp_path])), [TARGET])
    for name in ("bars_target_hr_at_50", "heat_map_target_hr_at_50"):
        figure = drawn[name]
        FigureCanvasAgg(figure).draw()
        parts = [*figure.legends, *figure.axes[0].get_yticklabels()]
        boxes = [part.get_window_extent() for part in parts]
        assert min(box.x0 for box in boxes) >= 0
        assert max(box.x1 for box in boxes) <= figure.bbox.width


def left_out(folder: Path, model: str, attack: str, defense: str) -> None:
    """A job whose defense does not fit its model."""
    labels = {"dataset": "filmtrust", "model": model, "attack": attack, "defense": defense}
    status = {"status": "undefined", "labels": labels, "misfits": ["defense", "model"], "reason": "they do not fit"}
    folder.mkdir(parents=True)
    (folder / "status.json").write_text(json.dumps(status))
    (folder / "config.yaml").write_text("{}")


def test_what_is_not_defined_has_na_for_its_bar_and_its_square(tmp_path: Path, make_run, make_values) -> None:
    """apr does not fit item_knn: there 2 of 6 bars are n/a, at their places; bprmf under random is the one not run."""
    cells = {("none", "none"): 0.1, ("average", "none"): 0.5, ("none", "apr"): 0.2, ("average", "apr"): 0.3}
    numbers = {cell: {0: make_values(value, 0.6)} for cell, value in cells.items()}
    make_run(tmp_path / "0", "filmtrust", numbers, model="bprmf")
    plain = {cell: found for cell, found in numbers.items() if "apr" not in cell}
    make_run(tmp_path / "1", "filmtrust", plain | {("random", "none"): {0: make_values(0.4, 0.6)}}, model="item_knn")
    for job in range(2):  # two seeds of one cell
        left_out(tmp_path / f"left{job}", "item_knn", "average", "apr")
    measured = measure(read_runs([tmp_path]))
    summary = measured.with_undefined(measured.summary([TARGET]))
    axes = bars(summary, TARGET).axes[0]
    labels = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    width = 0.8 / len(labels)
    places = sorted(text.get_position()[0] for text in axes.texts if text.get_text().strip() == "n/a")
    gaps = (1 + (labels.index(name) - (len(labels) - 1) / 2) * width for name in ("clean, apr", "average, apr"))
    expected = sorted(gaps)
    assert places == pytest.approx(expected)
    beside = sorted(bar.get_height() for bar in axes.patches if bar.get_x() > 0.5 and bar.get_height() > 0)
    assert beside == [0.1, 0.4, 0.5]
    axes = heat_map(summary, TARGET).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "average, no defense",
        "average, apr",
        "random, no defense",
    ]
    told = [text.get_text() for text in axes.texts]
    assert told == ["+0.400", "+0.400", "+0.100", "n/a", "not run", "+0.300"]


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
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("dataset", "attack")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["random", "average"]


def test_the_heat_map_is_white_at_0_and_as_dark_for_a_fall_as_for_a_rise(tmp_path: Path, make_run, make_values) -> None:
    for job, (model, attack, gain) in enumerate(
        (("mf", "random", 0.3), ("mf", "average", 0.0), ("wrmf", "random", -0.1))
    ):
        numbers = {("none", "none"): {0: make_values(0.5, 0.6)}, (attack, "none"): {0: make_values(0.5 + gain, 0.5)}}
        make_run(tmp_path / str(job), "a", numbers, model=model)
    axes = heat_map(measure(read_runs([tmp_path])).summary([TARGET]), TARGET).axes[0]
    image = axes.images[0]
    assert image.get_clim() == pytest.approx((-0.3, 0.3))
    assert image.cmap(image.norm(0.0)) == pytest.approx((0.97, 0.97, 0.97, 1.0), abs=0.01)
    red, blue = image.cmap(image.norm(0.2)), image.cmap(image.norm(-0.2))
    assert red[0] > red[2]
    assert blue[2] > blue[0]
    assert [text.get_text() for text in axes.texts] == ["+0.300", "−0.100", "+0.000", "not run"]
    assert axes.get_xlabel() == "model"


def test_the_curve_runs_over_the_setting_in_order(budgets: Measurements) -> None:
    axes = curve(budgets.summary([TARGET]), TARGET, "attack.budget").axes[0]
    assert axes.lines[0].get_xydata().tolist() == [[0.01, 0.1], [0.05, 0.5]]
    assert axes.get_xlabel() == "attack.budget (share of real users)"
    assert axes.get_xticks().tolist() == [0.01, 0.05]
    assert axes.get_ylim()[1] > 0.51  # room for the upper mark
    assert axes.get_ylim()[0] < 0 < axes.get_ylim()[0] + 0.05


def test_bars_stand_at_the_largest_budget_and_say_so(budgets: Measurements) -> None:
    drawn = draw_all(budgets, [TARGET])
    assert list(drawn) == ["bars_target_hr_at_50", "curve_target_hr_at_50_over_attack_budget"]
    axes = drawn["bars_target_hr_at_50"].axes[0]
    assert [patch.get_height() for patch in axes.patches] == [0.1, 0.5]
    assert axes.get_title() == "attack.budget = 0.05"


def test_settings_that_move_together_tell_bars_apart(tmp_path: Path, make_run, make_values) -> None:
    """No cell has both the larger size and the larger rate: neither is a curve, and no bar is left out."""
    for job, (size, rate) in enumerate(((16, 0.5), (64, 0.05))):
        numbers = {
            ("none", "none"): {0: make_values(0.1, 0.6)},
            ("bilevel_wrmf", "none"): {0: make_values(0.2 + job, 0.5)},
        }
        surrogate = {"embedding_size": size, "learning_rate": rate}
        make_run(tmp_path / str(job), "filmtrust", numbers, config={"attack": {"surrogate": surrogate}})
    drawn = draw_all(measure(read_runs([tmp_path])), [TARGET])
    assert set(drawn) == {"bars_target_hr_at_50"}
    heights = [patch.get_height() for patch in drawn["bars_target_hr_at_50"].axes[0].patches]
    assert heights == pytest.approx([0.1, 0.2, 1.2])


def test_files_are_equal_each_time(measurements: Measurements) -> None:
    files, again = (as_files(draw_all(measurements, [TARGET])) for _ in range(2))
    assert list(files) == ["bars_target_hr_at_50.png", "bars_target_hr_at_50.pdf"]
    assert files == again
    assert files["bars_target_hr_at_50.png"].startswith(b"\x89PNG")
    assert files["bars_target_hr_at_50.pdf"].startswith(b"%PDF")
    drawings = [as_bytes(bars(measurements.summary([TARGET]), TARGET), "svg") for _ in range(2)]
    assert drawings[0] == drawings[1]


def test_ticks_too_close_for_their_labels_stay_without_one() -> None:
    _, axes = new_figure(4.0, 3.0)
    axes.set_xlim(0.0, 100.0)
    ticks_at(axes, [0.0, 1.0, 50.0, 98.0, 100.0])
    assert sorted(axes.get_xticks()) == [1.0, 50.0, 100.0]
