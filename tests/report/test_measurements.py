import math
from pathlib import Path

import pytest

from recpoison.errors import ConfigError, DataError
from recpoison.evaluation.questions import Metric
from recpoison.report.measurements import measure
from recpoison.report.runs import read_runs

TARGET, TEST = Metric("target", "HR", 50), Metric("test", "HR", 10)


def p_of_t_with_two_seeds(t: float) -> float:
    """Student's t with one degree of freedom is Cauchy's distribution."""
    return 1 - 2 * math.atan(t) / math.pi


def test_means_spreads_differences_and_p_by_hand(sweep: Path) -> None:
    summary = measure(read_runs([sweep])).summary([TARGET]).set_index("attack")
    assert summary.loc["none", ["mean", "sd", "n"]].tolist() == pytest.approx([0.15, math.sqrt(0.005), 2])
    assert math.isnan(summary.loc["none", "difference"])
    random, average = summary.loc["random"], summary.loc["average"]
    assert [random["mean"], random.sd, random.difference] == pytest.approx([0.35, math.sqrt(0.045), 0.2])
    assert [random.clean_mean, random.clean_sd, random.clean_n] == pytest.approx([0.15, math.sqrt(0.005), 2])
    # random's differences 0.1 and 0.3 have standard error 0.1, so t = 2; average's 0.4 and 0.6 give t = 5; both
    # attacks have t = 6 on test, whose smaller p doubles and lifts average's
    assert random.p == pytest.approx(p_of_t_with_two_seeds(2))
    assert [average["mean"], average.difference] == pytest.approx([0.65, 0.5])
    assert average.p == pytest.approx(2 * p_of_t_with_two_seeds(6))


def test_a_clean_cell_shared_by_jobs_counts_once(sweep: Path) -> None:
    frame = measure(read_runs([sweep])).frame
    clean = frame[(frame.attack == "none") & (frame.subject == "target")]
    assert sorted(clean.value) == [0.1, 0.2]


def test_a_cell_measured_twice_with_other_numbers_is_refused_or_averaged(sweep: Path, make_run, make_values) -> None:
    numbers = {("none", "none"): {0: make_values(0.1, 0.6)}, ("random", "none"): {0: make_values(0.4, 0.55)}}
    make_run(sweep / "9", "filmtrust", numbers, config={"attack": {"budget": 0.01}})
    runs = read_runs([sweep])
    with pytest.raises(DataError, match=r"attack random.*seed 0.*target HR@50 is 0\.2 in .*/0 and 0\.4 in .*/9"):
        measure(runs)
    averaged = measure(runs, average_repeated=True).summary([TARGET]).set_index("attack")
    assert averaged.loc["random", "mean"] == pytest.approx((0.3 + 0.5) / 2)  # seed 0 is the mean of 0.2 and 0.4
    assert averaged.loc["random", "n"] == 2


def test_a_setting_that_varies_tells_attacked_cells_apart_but_not_clean_ones(tmp_path: Path, make_run, make_values):
    for job, budget in enumerate((0.01, 0.03)):
        numbers = {("none", "none"): {0: make_values(0.1, 0.6)}, ("average", "none"): {0: make_values(budget, 0.5)}}
        config = {"seed": 0, "device": ("cpu", "cuda")[job], "attack": {"budget": budget}, "model": {"epochs": 3}}
        make_run(tmp_path / str(job), "filmtrust", numbers, config=config)
    measurements = measure(read_runs([tmp_path]))
    assert measurements.keys == ("attack.budget",)
    summary = measurements.summary([TARGET])
    assert summary[["attack", "mean", "n"]].values.tolist() == [
        ["none", 0.1, 1],
        ["average", 0.01, 1],
        ["average", 0.03, 1],
    ]
    assert summary["attack.budget"].tolist()[1:] == [0.01, 0.03]


def test_targets_of_an_attack_tell_clean_cells_apart(tmp_path: Path, make_run, make_values) -> None:
    for job, share in enumerate((0.1, 0.2)):
        numbers = {("none", "none"): {0: make_values(share, 0.6)}, ("average", "none"): {0: make_values(0.5, 0.5)}}
        make_run(tmp_path / str(job), "filmtrust", numbers, config={"attack": {"targets": {"count": job + 1}}})
    summary = measure(read_runs([tmp_path])).summary([TARGET])
    assert summary[summary.attack == "none"][["attack.targets.count", "mean"]].values.tolist() == [[1, 0.1], [2, 0.2]]


def test_one_seed_has_no_p(sweep: Path) -> None:
    summary = measure(read_runs([sweep / "0"])).summary([TARGET]).set_index("attack")
    assert math.isnan(summary.loc["random", "p"])
    assert math.isnan(summary.loc["random", "sd"])
    assert math.isnan(summary.loc["none", "p"])


def test_a_metric_without_a_cutoff(sweep: Path) -> None:
    for file in (sweep / "0" / "metrics.csv", sweep / "0" / "summary.csv"):
        file.write_text(file.read_text().replace("target,HR,50", "target,MeanRank,"))
    measurements = measure(read_runs([sweep / "0"]))
    assert measurements.metrics() == [TEST, Metric("target", "MeanRank")]
    random = measurements.summary([Metric("target", "MeanRank")]).set_index("attack").loc["random"]
    assert [random["mean"], random.clean_mean, random.difference] == pytest.approx([0.2, 0.1, 0.1])


def test_a_seed_without_its_clean_cell_is_in_the_mean_but_not_in_the_difference(sweep: Path) -> None:
    file = sweep / "1" / "metrics.csv"
    file.write_text("".join(line for line in file.open() if ",none,none," not in line))
    random = measure(read_runs([sweep])).summary([TARGET]).set_index("attack").loc["random"]
    assert [random["mean"], random.n, random.difference, random.clean_n] == pytest.approx([0.35, 2, 0.1, 1])


def test_metrics_and_settings_are_found_by_name(sweep: Path) -> None:
    measurements = measure(read_runs([sweep]))
    assert measurements.metrics() == [TEST, TARGET]
    assert measurements.find("hr@50", "target") == TARGET
    with pytest.raises(ConfigError, match=r"HR@7 --subject test is not in these runs: choose one of HR@10"):
        measurements.find("HR@7", "test")
    with pytest.raises(ConfigError, match="choose a subject of test, target"):
        measurements.find("HR@7", "link")
    assert set(measurements.with_key("model.epochs").frame["model.epochs"]) == {3}
    with pytest.raises(ConfigError, match=r"budget is no setting of these runs: did you mean attack.budget\?"):
        measurements.with_key("budget")
