"""Rank shifts drawn from ranks.npz: the clean place minus the attacked one of each user and target."""

import numpy as np
import pytest

from recpoison.errors import DataError
from recpoison.report.measurements import measure
from recpoison.report.rank_shift_figure import draw_rank_shifts
from recpoison.report.runs import read_runs

PLACES = {  # of target 7 for users 0, 1 and 2; user 2 owns it
    "none/none": [900, 800, 5],
    "average/none": [100, 400, 5],
    "none/apt": [700, 600, 5],
    "average/apt": [650, 590, 5],
}


@pytest.fixture
def runs(tmp_path, make_run):
    shift = {0: {("target", "RankShift", ""): 1.0, ("target", "HR", "50"): 0.5}}
    clean = {0: {("target", "HR", "50"): 0.1}}
    numbers = {("none", "none"): clean, ("average", "none"): shift, ("none", "apt"): clean, ("average", "apt"): shift}
    folder = make_run(tmp_path / "run", "a", numbers, model="mf", config={"evaluation": {"ties": "against"}})
    arrays = {}
    for cell, places in PLACES.items():
        attack, defense = cell.split("/")
        order = [2, 0, 1] if attack == "none" else [0, 1, 2]  # pairs are matched by user and target
        found = {
            "users": np.array([0, 1, 2])[order],
            "items": np.array([7, 7, 7]),
            "above": np.array(places)[order] - 1,
            "ties": np.ones(3, dtype=int),
            "owned": np.array([False, False, True])[order],
        }
        arrays |= {f"seed=0/attack={attack}/defense={defense}/target_{name}": array for name, array in found.items()}
    np.savez(folder / "ranks.npz", **arrays)
    return tmp_path


def test_medians_by_hand(runs):
    """Undefended 800 and 400 places risen, under APT 50 and 10; the owner has no rank."""
    read = read_runs([runs])
    drawn = draw_rank_shifts(read, measure(read))
    assert set(drawn) == {"rank_shift_a_mf"}
    *panels, boxes = drawn["rank_shift_a_mf"].axes
    assert [axes.get_title() for axes in panels] == ["no defense\nmedian 600", "apt\nmedian 30"]
    assert [tick.get_text() for tick in boxes.get_yticklabels()] == ["no defense", "apt"]
    assert panels[0].get_ylabel().startswith("average\n")


def test_a_run_without_its_ranks_is_left_out(runs):
    (runs / "run" / "ranks.npz").unlink()
    read = read_runs([runs])
    assert draw_rank_shifts(read, measure(read)) == {}


def test_arrays_that_do_not_fit_are_told(runs):
    file = runs / "run" / "ranks.npz"
    with np.load(file) as arrays:
        content = dict(arrays)
    content["seed=0/attack=average/defense=apt/target_owned"] = np.array([0, 0, 1])
    np.savez(file, **content)
    read = read_runs([runs])
    with pytest.raises(DataError, match="do not fit each other"):
        draw_rank_shifts(read, measure(read))
