"""Robustness by hand: each protected cell beside the undefended attack and the model without either."""

import math

import numpy as np
import pandas as pd
import pytest

from recpoison.evaluation.questions import Metric
from recpoison.report.measurements import measure
from recpoison.report.robustness import (
    ATTACKED,
    DEFENDED,
    ORIGIN,
    SAFE,
    SAFE_TEST,
    improvement,
    jackknife,
    robustness_of,
)
from recpoison.report.robustness_figures import draw_robustness
from recpoison.report.runs import read_runs

TARGET, TEST = Metric("target", "HR", 50), Metric("test", "HR", 10)


@pytest.fixture
def study(tmp_path, make_run, make_values):
    """Two seeds. Origin 0.1 and 0.2; at size 0.01 the attack has 0.5 and 0.6, at 0.03 0.9; APT half of what was added.

    APT costs held-out items 0.05; PCMF is another model, which no defense meets: 0.3 under attack, and costs 0.2.
    """
    for budget, attacked in ((0.01, (0.5, 0.6)), (0.03, (0.9, 0.9))):
        numbers = {(attack, defense): {} for attack in ("none", "average") for defense in ("none", "apt")}
        alone = {("none", "none"): {}, ("average", "none"): {}}
        for seed, origin in enumerate((0.1, 0.2)):
            numbers["none", "none"][seed] = make_values(origin, 0.7)
            numbers["none", "apt"][seed] = make_values(origin / 2, 0.65)
            numbers["average", "none"][seed] = make_values(attacked[seed], 0.6)
            numbers["average", "apt"][seed] = make_values((origin + attacked[seed]) / 2, 0.62)
            alone["none", "none"][seed] = make_values(0.25, 0.5)
            alone["average", "none"][seed] = make_values(0.3, 0.45)
        config = {"attack": {"budget": budget}, "defense": {"erm_users": 0.05}}
        make_run(tmp_path / f"mf{budget}", "a", numbers, model="mf", config=config)
        make_run(tmp_path / f"pcmf{budget}", "a", alone, model="pcmf", config={"attack": {"budget": budget}})
    return tmp_path


def test_each_cell_is_beside_its_own(study):
    found = robustness_of(measure(read_runs([study])), TARGET, TEST).frame
    assert len(found) == 8
    rows = found.set_index(["protection", "attack.budget", "seed"]).sort_index()
    numbers = [ORIGIN, ATTACKED, DEFENDED, SAFE_TEST, SAFE]
    assert rows.loc[("apt", 0.01, 1), numbers].tolist() == pytest.approx([0.2, 0.6, 0.4, 0.7, 0.65])
    assert rows.loc[("apt", 0.03, 0), numbers].tolist() == pytest.approx([0.1, 0.9, 0.5, 0.7, 0.65])
    assert rows.loc[("pcmf", 0.01, 0), numbers].tolist() == pytest.approx([0.1, 0.5, 0.3, 0.7, 0.5])


def test_of_several_protected_models_each_is_held_against_itself(tmp_path, make_run, make_values):
    """bprmf falls from 0.8 to 0.4 with APT, wrmf from 0.2 to 0.1, and item_knn, never defended, is nobody's defense."""
    for model, attacked in (("bprmf", 0.8), ("wrmf", 0.2)):
        cells = {("none", "none"): 0.0, ("none", "apt"): 0.0, ("average", "none"): attacked}
        cells["average", "apt"] = attacked / 2
        make_run(tmp_path / model, "a", {c: {0: make_values(x, 0.7)} for c, x in cells.items()}, model=model)
    alone = {("none", "none"): {0: make_values(0.0, 0.7)}, ("average", "none"): {0: make_values(0.3, 0.7)}}
    make_run(tmp_path / "item_knn", "a", alone, model="item_knn")
    measurements = measure(read_runs([tmp_path]))
    found = robustness_of(measurements, TARGET, TEST).frame
    assert found[["base", "protection", ATTACKED, DEFENDED]].values.tolist() == [
        ["bprmf", "apt", 0.8, 0.4],
        ["wrmf", "apt", 0.2, 0.1],
    ]
    panels = draw_robustness(measurements)["robustness_against_cost"].axes
    assert [axes.get_title() for axes in panels] == ["a, bprmf", "a, wrmf"]


def test_settings_that_move_together_have_no_curve(tmp_path, make_run, make_values):
    """Each point would be a line of its own, named by the other setting."""
    for size, rate in ((16, 0.5), (64, 0.05)):
        cells = {("none", "none"): 0.1, ("average", "none"): 0.5, ("none", "apt"): 0.1, ("average", "apt"): 0.3}
        numbers = {cell: {0: make_values(value, 0.7)} for cell, value in cells.items()}
        config = {"attack": {"size": size, "rate": rate}}
        make_run(tmp_path / str(size), "a", numbers, model="mf", config=config)
    drawn = draw_robustness(measure(read_runs([tmp_path])))
    assert set(drawn) == {"robustness_against_cost"}
    _, named = drawn["robustness_against_cost"].axes[0].get_legend_handles_labels()
    assert [name for name in named if name.startswith("average")] == [
        "average, size 16, rate 0.5",
        "average, size 64, rate 0.05",
    ]


def test_the_improvement_is_of_means():
    """Origin 0.15, attack 0.55, defended 0.35: half is undone."""
    rows = pd.DataFrame({ORIGIN: [0.1, 0.2], ATTACKED: [0.5, 0.6], DEFENDED: [0.3, 0.4]})
    assert improvement(rows) == pytest.approx(0.5)
    assert improvement(rows.assign(**{DEFENDED: rows[ORIGIN]})) == pytest.approx(1.0)
    assert improvement(rows.assign(**{DEFENDED: rows[ATTACKED]})) == pytest.approx(0.0)
    assert math.isnan(improvement(rows.assign(**{ATTACKED: rows[ORIGIN]})))


def test_the_jackknife_of_a_mean_is_its_standard_error():
    rows = pd.DataFrame({DEFENDED: [0.1, 0.4, 0.3, 0.9]})
    expected = rows[DEFENDED].std() / 2
    assert jackknife(rows, lambda some: some[DEFENDED].mean()) == pytest.approx(expected)
    assert math.isnan(jackknife(rows.iloc[:1], lambda some: some[DEFENDED].mean()))


def lines(axes) -> dict[str, list[float]]:
    named = {bars.get_label(): bars.lines[0] for bars in axes.containers}
    return {name: np.asarray(line.get_ydata(), dtype=float).tolist() for name, line in named.items()}


def test_over_the_size_of_the_attack(study):
    figure = draw_robustness(measure(read_runs([study])))["robustness_over_attack_budget"]
    (axes,) = figure.axes
    assert lines(axes)["average, apt"] == pytest.approx([0.5, 0.5])
    assert lines(axes)["average, pcmf"] == pytest.approx([1 - 0.15 / 0.4, 1 - 0.15 / 0.75])
    assert axes.get_title() == "a"


def test_over_a_setting_of_the_defense_none_comes_first(tmp_path, make_run, make_values):
    for users, rate in ((0.01, 0.4), (0.2, 0.15)):
        cells = {("none", "none"): 0.1, ("average", "none"): 0.5, ("none", "apt"): 0.1, ("average", "apt"): rate}
        numbers = {cell: {0: make_values(value, 0.7), 1: make_values(value, 0.7)} for cell, value in cells.items()}
        make_run(tmp_path / str(users), "a", numbers, model="mf", config={"defense": {"erm_users": users}})
    drawn = draw_robustness(measure(read_runs([tmp_path])))
    assert set(drawn) == {"target_hr_at_50_over_defense_erm_users"}
    (axes,) = drawn["target_hr_at_50_over_defense_erm_users"].axes
    assert lines(axes)["average, apt"] == pytest.approx([0.5, 0.4, 0.15])
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["none", "0.01", "0.2"]
    origin = next(line for line in axes.lines if line.get_label().startswith("origin"))
    assert origin.get_ydata()[0] == pytest.approx(0.1)


def test_against_cost(study):
    """One size alone: APT costs 0.05 and lets the targets rise by 0.2, PCMF costs 0.2 and lets them rise by 0.15."""
    drawn = draw_robustness(measure(read_runs([study / "mf0.01", study / "pcmf0.01"])))
    assert set(drawn) == {"robustness_against_cost"}
    (axes,) = drawn["robustness_against_cost"].axes
    points = [tuple(one.get_offsets()[0]) for one in axes.collections if len(one.get_offsets())]
    assert points == [pytest.approx((0, 0.6)), pytest.approx((0.05, 0.8)), pytest.approx((0.2, 0.85))]


def test_without_a_defense_there_is_nothing(sweep):
    assert draw_robustness(measure(read_runs([sweep]))) == {}
