import json
import math
from pathlib import Path

import numpy as np
import pytest

from recpoison.errors import ConfigError
from recpoison.evaluation.questions import Metric
from recpoison.report.characteristics import draw_characteristics, fit_line, losses, slopes_table
from recpoison.report.measurements import measure
from recpoison.report.runs import read_runs

NDCG = Metric("test", "NDCG", 10)
SIZES = {10: (4000, 2000, 400_000), 20: (3000, 2000, 600_000), 30: (2000, 2000, 600_000)}  # density 0.05, 0.1, 0.15


@pytest.fixture
def cores(tmp_path: Path, make_run) -> Path:
    """One attack on three subsamples: it takes 60%, 50% and 40% of 0.5, and a tenth of that under apr; two seeds."""
    for job, (k, (users, items, rows)) in enumerate(SIZES.items()):
        numbers = {}
        for defense, share in (("none", 1.0), ("apr", 0.1)):
            for seed, off in ((0, 0.01), (1, -0.01)):
                loss = share * (0.7 - k / 100 + off)
                numbers.setdefault(("none", defense), {})[seed] = {("test", "NDCG", "10"): 0.5}
                numbers.setdefault(("pgd", defense), {})[seed] = {("test", "NDCG", "10"): 0.5 * (1 - loss)}
        folder = make_run(tmp_path / str(job), "ml", numbers, config={"dataset": {"filters": {"k_core": k}}})
        about = json.loads((folder / "run.json").read_text())
        about["data"] = {str(seed): {"users": users, "items": items, "train_rows": rows} for seed in (0, 1)}
        (folder / "run.json").write_text(json.dumps(about))
    return tmp_path


def test_the_fitted_line_by_hand() -> None:
    line = fit_line(np.array([0.0, 1.0, 2.0]), np.array([1.0, 2.0, 6.0]))
    # deviations -1, 0, 1 and -2, -1, 3: slope 5/2, intercept 3 - 2.5, r 5/sqrt(2 * 14)
    assert [line.slope, line.intercept, line.r] == pytest.approx([2.5, 0.5, 5 / math.sqrt(28)])


def test_losses_and_what_the_data_are_like(cores: Path) -> None:
    runs = read_runs([cores])
    points = losses(runs, measure(runs), NDCG).set_index(["defense", "dataset.filters.k_core"])
    assert points.loc["none"].rho.tolist() == pytest.approx([60, 50, 40])
    assert points.loc["apr"].rho.tolist() == pytest.approx([6, 5, 4])
    assert points.loc["none"].sd.tolist() == pytest.approx([math.sqrt(2)] * 3)
    assert points.loc["none"].density.tolist() == pytest.approx([0.05, 0.1, 0.15])
    assert points.loc["none"]["size"].tolist() == [8e6, 6e6, 4e6]
    assert points.loc["none"]["shape"].tolist() == [2.0, 1.5, 1.0]
    assert set(points.n) == {2}


def test_slopes(cores: Path) -> None:
    runs = read_runs([cores])
    measurements = measure(runs)
    table = slopes_table(losses(runs, measurements, NDCG), NDCG, measurements.keys)
    assert table.keys == ("defense", "attack")
    slopes = {row: [entry.mean for entry in table.entries[n]] for n, row in enumerate(table.rows)}
    # 20 points less over 0.1 of density, over 4 million pairs, over 1 of shape
    assert slopes["none", "pgd"] == pytest.approx([-200, 5, 20, -1, 1, 1])
    assert slopes["apr", "pgd"] == pytest.approx([-20, 0.5, 2, -1, 1, 1])
    assert table.seeds(0) == "3"


def test_the_figure_has_a_row_a_defense_and_a_panel_a_characteristic(cores: Path) -> None:
    runs = read_runs([cores])
    measurements = measure(runs)
    figure = draw_characteristics(losses(runs, measurements, NDCG), NDCG, measurements.keys)
    assert len(figure.axes) == 6
    first, below = figure.axes[0], figure.axes[3]
    assert first.get_title() == "slopes: pgd -200"
    assert first.get_ylabel() == "ml, bprmf, no defense\nloss of NDCG@10 (% of clean)"
    assert below.get_ylabel() == "ml, bprmf, apr\nloss of NDCG@10 (% of clean)"
    assert below.get_xlabel() == "density (share of all user-item pairs)"
    fitted = first.lines[-1].get_xydata()
    assert fitted.tolist() == pytest.approx(np.array([[0.05, 60], [0.15, 40]]))


def test_too_few_subsamples_or_unknown_sizes_are_refused(cores: Path) -> None:
    runs = read_runs([cores / "0", cores / "1"])
    with pytest.raises(ConfigError, match="at least 3 subsamples"):
        losses(runs, measure(runs), NDCG)
    (cores / "2" / "run.json").write_text("{}")
    runs = read_runs([cores])
    with pytest.raises(ConfigError, match=r"2/run.json does not say users, items and train_rows of seed 0"):
        losses(runs, measure(runs), NDCG)
