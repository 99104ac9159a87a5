from pathlib import Path

import numpy as np
import pytest

from recpoison.errors import DataError
from recpoison.report.command import main
from recpoison.report.fake_users import draw_fake_users
from recpoison.report.measurements import measure
from recpoison.report.runs import read_runs

LATENT = np.array([[0.0, 0], [1, 0], [0, 2], [5, 5], [6, 5]])  # three real users and two fake ones


def write(make_run, folder: Path, attack: str, seeds=(0,), model: str = "wrmf", budget: float = 0.01) -> Path:
    """A run of ``evaluation=detection``: real clicks on items of 9 and 99 users, fake ones on items nobody has."""
    numbers = {(attack, "none"): {seed: {("fake", "OutlierAUROC", ""): 0.75 + seed / 10} for seed in seeds}}
    config = {"attack": {"budget": budget}}
    make_run(folder, "ml_100k", numbers, model=model, config=config)
    arrays = {
        "latent": LATENT,
        "explained": np.array([0.6, 0.25]),
        "fake": np.arange(5) > 2,
        "real_popularity": np.array([9, 99, 99, 99]),
        "fake_popularity": np.array([0, 0]),
    }
    named = {f"seed={seed}/attack={attack}/defense=none/{name}": a for seed in seeds for name, a in arrays.items()}
    np.savez(folder / "ranks.npz", **named)
    return folder


@pytest.fixture
def drawn(tmp_path: Path, make_run):
    """Two attacks on one model."""
    for attack in ("rand_filter", "bilevel_wrmf"):
        write(make_run, tmp_path / "runs" / attack, attack, seeds=(1, 0))
    runs = read_runs([tmp_path / "runs"])
    return draw_fake_users(runs, measure(runs))


def test_one_pair_of_figures_a_victim(drawn) -> None:
    assert list(drawn) == ["fake_users_popularity_ml_100k_wrmf", "fake_users_latent_ml_100k_wrmf"]


def test_popularity_is_a_density_over_powers_of_ten(drawn) -> None:
    """Every area is one; a quarter of the normal clicks lies at 10, the rest at 100, all fake ones at 1."""
    axes = drawn["fake_users_popularity_ml_100k_wrmf"].axes[0]
    normal, *fakes = (patch.get_data() for patch in axes.patches)
    for part in (normal, *fakes):
        assert (part.values * np.diff(np.log10(part.edges))).sum() == pytest.approx(1)
    below = np.log10(normal.edges[1:]) < 1.5
    assert (normal.values * np.diff(np.log10(normal.edges)))[below].sum() == pytest.approx(0.25)
    assert len(fakes) == 2
    assert all(np.flatnonzero(part.values).tolist() == [0] for part in fakes)
    assert axes.get_xscale() == "log"
    assert axes.get_title() == "wrmf on ml_100k, seed 0"


def test_a_panel_an_attack_with_real_users_and_fake_ones_apart(drawn) -> None:
    figure = drawn["fake_users_latent_ml_100k_wrmf"]
    assert len(figure.axes) == 2
    for axes in figure.axes:
        real, fake = (points.get_offsets() for points in axes.collections)
        assert real.tolist() == LATENT[:3].tolist()
        assert fake.tolist() == LATENT[3:].tolist()
        assert axes.get_xlabel() == "first axis (60% of variance)"
        assert axes.texts[0].get_text() == "AUROC: outlier 0.75"  # of seed 0, the one drawn
    assert {axes.get_title() for axes in figure.axes} == {
        "wrmf on ml_100k\nrand_filter",
        "wrmf on ml_100k\nbilevel_wrmf",
    }
    labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert labels == {"real users", "fake users, rand_filter", "fake users, bilevel_wrmf"}


def test_settings_that_vary_name_the_panels(tmp_path: Path, make_run) -> None:
    for budget in (0.01, 0.05):
        write(make_run, tmp_path / str(budget), "rand_filter", budget=budget)
    runs = read_runs([tmp_path])
    axes = draw_fake_users(runs, measure(runs))["fake_users_latent_ml_100k_wrmf"].axes
    assert [one.get_title().partition("\n")[2] for one in axes] == [
        "rand_filter, budget 0.01",
        "rand_filter, budget 0.05",
    ]


def test_other_evaluations_and_removed_files_draw_nothing(sweep: Path, tmp_path: Path, make_run) -> None:
    runs = read_runs([sweep])
    assert draw_fake_users(runs, measure(runs)) == {}
    (write(make_run, tmp_path / "run", "rand_filter") / "ranks.npz").unlink()
    runs = read_runs([tmp_path / "run"])
    assert draw_fake_users(runs, measure(runs)) == {}


def test_a_broken_file_is_named(tmp_path: Path, make_run) -> None:
    folder = write(make_run, tmp_path / "run", "rand_filter")
    runs = read_runs([folder])
    for content in (b"PK\x03\x04 cut off", b""):
        (folder / "ranks.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"ranks.npz holds no readable arrays of seed=0/attack=rand_filter"):
            draw_fake_users(runs, measure(runs))


def test_the_command_writes_them_beside_the_others(tmp_path: Path, make_run) -> None:
    folder = write(make_run, tmp_path / "run", "rand_filter")
    assert main([str(folder), "--all", str(tmp_path / "report")]) == 0
    names = {file.name for file in (tmp_path / "report" / "figures").glob("*.png")}
    assert {"fake_users_latent_ml_100k_wrmf.png", "fake_users_popularity_ml_100k_wrmf.png"} < names
    assert "Popularity of what normal and fake users click" in (tmp_path / "report" / "report.html").read_text()
