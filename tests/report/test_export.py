"""Fake users go out in others' forms and come back through ``attack=given`` bit for bit."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from recpoison.attacks.profiles.given import GivenAttack
from recpoison.attacks.targets import Targets
from recpoison.changes import FakeProfiles
from recpoison.crafted import fake_users
from recpoison.data.interactions import Interactions, Scale
from recpoison.errors import ConfigError, DataError
from recpoison.progress import Progress
from recpoison.report.command import main
from recpoison.report.export import export
from recpoison.report.runs import read_runs
from recpoison.seeds import Seeds

LABELS = np.array(["b, c", "7", "é", "07"])
CELLS = {("wave", "none"): {0: {("target", "HR", "50"): 0.5}, 1: {("target", "HR", "50"): 0.5}}}
CELLS |= {("wave", "apr"): CELLS["wave", "none"]}


def data(scale: Scale | None) -> Interactions:
    return Interactions([0, 1], [0, 1], [1, 1], n_users=2, n_items=4, scale=scale, item_labels=LABELS)


def change(values: list[float], repeats: bool = False) -> FakeProfiles:
    """Two fake users: items 3, 1 and 3, 2; with ``repeats`` the second's last is its first again."""
    items = np.array([3, 1, 3, 3 if repeats else 2])
    return FakeProfiles(
        np.array([0, 0, 1, 1]), items, np.array(values), n_fakes=2, targets=np.array([3]), repeats=repeats
    )


def run_with(make_run, folder: Path, made: FakeProfiles, scale: Scale | None) -> Path:
    make_run(folder, "a", CELLS)
    cells = [f"seed={seed}/attack=wave/defense={defense}" for seed in (0, 1) for defense in ("none", "apr")]
    np.savez(folder / "change.npz", **{f"{cell}/{name}": x for cell in cells for name, x in made.arrays().items()})
    fake_users({0: made, 1: made}, {0: LABELS, 1: LABELS}).to_csv(folder / "fake_users.csv", index=False)
    about = json.loads((folder / "run.json").read_text())
    about["changes"] = {cell: made.facts() for cell in cells}
    about["data"] = {seed: {"items": 4, "ratings": None if scale is None else list(scale)} for seed in "01"}
    about["targets"] = {seed: [{"item": 3, "id": "07", "rows": 1}] for seed in "01"}
    (folder / "run.json").write_text(json.dumps(about))
    return folder


def again(file: Path, scale: Scale | None, **settings) -> FakeProfiles:
    attack = GivenAttack(path=str(file), **settings)
    targets = attack.choose_targets(data(scale), Seeds(0))
    return attack.poison(data(scale), targets, Seeds(0), torch.device("cpu"), Progress())


@pytest.mark.parametrize("scale", [None, Scale(1, 5), Scale(0.5, 5, 0.5)])
@pytest.mark.parametrize("form", ["csv", "json", "npy"])
def test_a_round_trip_is_bit_for_bit(tmp_path, make_run, form, scale, capsys) -> None:
    """Rows in their order, or, from a matrix, by item; one file a seed, whatever the number of defenses."""
    values = [1.0] * 4 if scale is None else [5.0] * 4 if form == "json" else [5.0, 2.0, 1 / scale.step, scale.low]
    made = change(values)
    folder = run_with(make_run, tmp_path / "run", made, scale)
    assert main([str(folder), "--export", form]) == 0
    files = [folder / f"fake_users_wave_seed_{seed}.{form}" for seed in (0, 1)]
    assert capsys.readouterr().out.splitlines() == [str(file) for file in files]
    own = {} if form == "json" else {"own_targets": False, "targets": Targets("list", [3])}
    found = again(files[0], scale, **own)
    order = [1, 0, 3, 2] if form == "npy" else slice(None)
    for name in ("profile", "items", "values"):
        assert getattr(found, name).tolist() == getattr(made, name)[order].tolist(), name
    assert (found.n_fakes, found.targets.tolist()) == (2, [3])
    if form != "npy":
        assert found.apply(data(scale)).fingerprint == made.apply(data(scale)).fingerprint


def test_what_a_form_would_lose_is_refused(tmp_path, make_run) -> None:
    rated = read_runs([run_with(make_run, tmp_path / "rated", change([5.0, 2, 5, 1]), Scale(1, 5))])
    with pytest.raises(ConfigError, match="json holds clicks, and these fake users have ratings"):
        export(rated, "json", None)
    zero = read_runs([run_with(make_run, tmp_path / "zero", change([5.0, 0, 5, 1]), Scale(0, 5))])
    with pytest.raises(ConfigError, match="npy holds one rating, not 0"):
        export(zero, "npy", None)
    repeated = read_runs([run_with(make_run, tmp_path / "repeated", change([1.0] * 4, repeats=True), None)])
    with pytest.raises(ConfigError, match="npy holds one rating"):
        export(repeated, "npy", None)
    (file, _) = export(repeated, "csv", tmp_path / "elsewhere")
    assert file.parent.name == "elsewhere"
    kept = {"own_targets": False, "targets": Targets("list", [3]), "repeated_clicks": "keep"}
    assert again(file, None, **kept).items.tolist() == [3, 1, 3, 3]
    half = read_runs([run_with(make_run, tmp_path / "half", change([0.5, 1, 0.5, 1]), Scale(0.5, 5, 0.5))])
    with pytest.raises(ConfigError, match="npy would not read back as these fake users"):
        export(half, "npy", None)
    assert not list(tmp_path.glob("*/*.npy"))


def test_runs_without_fake_users_and_shared_folders_are_told(tmp_path, make_run) -> None:
    for n in "12":
        run_with(make_run, tmp_path / "runs" / n, change([1.0] * 4), None)
    runs = read_runs([tmp_path / "runs"])
    with pytest.raises(ConfigError, match="for the fake users of one run, and here are 2"):
        export(runs, "csv", tmp_path / "out")
    make_run(tmp_path / "clean", "a", {("none", "none"): CELLS["wave", "none"]})
    with pytest.raises(ConfigError, match="no fake users are in these runs"):
        export(read_runs([tmp_path / "clean"]), "csv", None)
    (tmp_path / "runs" / "1" / "fake_users.csv").write_text("seed,fake_user,item,value\n0,0,7,1\n")
    with pytest.raises(DataError, match=r"and fake_users\.csv differ about seed=0/attack=wave"):
        export(read_runs([tmp_path / "runs" / "1"]), "csv", None)


def test_options_of_tables_are_refused_beside_it(tmp_path, make_run, capsys) -> None:
    folder = run_with(make_run, tmp_path / "run", change([1.0] * 4), None)
    assert main([str(folder), "--export", "csv", "--metric", "HR@50"]) == 2
    assert "--export writes fake users and no tables: leave out --metric" in capsys.readouterr().err
