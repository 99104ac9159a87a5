"""Fake users from files: each form, what is done about defects, and the files of VAT as they were counted by hand."""

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recpoison.attacks.profiles.given import GivenAttack
from recpoison.attacks.targets import Targets
from recpoison.changes import FakeProfiles
from recpoison.data.interactions import Interactions, Scale
from recpoison.errors import ConfigError, DataError
from recpoison.progress import Progress
from recpoison.seeds import Seeds

RATED = Interactions(
    [0, 1, 1], [0, 1, 2], [5, 3, 1], n_users=2, n_items=4, scale=Scale(1, 5),
    user_labels=np.array([1, 2]), item_labels=np.array([10, 11, 12, 13]),
)  # fmt: skip
EXPECTED = [(0, 1, 5.0), (0, 3, 2.0), (1, 3, 4.0)]  # two fake users


def poisoned(attack: GivenAttack, data: Interactions = RATED, seed: int = 0) -> FakeProfiles:
    seeds = Seeds(seed)
    change = attack.poison(data, attack.choose_targets(data, seeds), seeds, torch.device("cpu"), Progress())
    change.check(data, np.inf)
    return change


def rows(change: FakeProfiles) -> list[tuple]:
    return list(zip(change.profile.tolist(), change.items.tolist(), change.values.tolist(), strict=True))


def given(path: Path, **settings) -> GivenAttack:
    return GivenAttack(path=str(path), own_targets=False, targets=Targets("list", [3]), **settings)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("f.csv", "a,11,5\na,13,2\nb,13,4\n"),
        ("f.csv", "fake_user,item,rating\na,11,5\na,13,2\nb,13,4"),
        ("fake_users.csv", "seed,fake_user,item,value\n0,0,11,5.0\n0,0,13,2.0\n0,1,13,4.0\n"),
        ("aush.data", "1\t10\t5\n2\t11\t3\n3\t11\t5.0\n3\t13\t2.0\n4\t13\t4.0"),
        ("train.txt", "1 10 5\nfakeUser0 11 5\nfakeUser0 13 2\nfakeUser1 13 4\n"),
    ],
)
def test_tables_are_read(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert rows(poisoned(given(tmp_path / name))) == EXPECTED


def test_matrices_are_read(tmp_path):
    matrix = np.array([[0, 5, 0, 2], [0, 0, 0, 4]]) / 1.0
    sp.save_npz(tmp_path / "revisit.npz", sp.csr_matrix(matrix))
    np.save(tmp_path / "apt.npy", matrix / 5)  # APT's are shares of the highest rating
    for name in ("revisit.npz", "apt.npy"):
        assert rows(poisoned(given(tmp_path / name))) == EXPECTED
    np.save(tmp_path / "wide.npy", np.ones((2, 9)))
    with pytest.raises(ConfigError, match="has 9 columns, but the catalogue 4 items"):
        poisoned(given(tmp_path / "wide.npy"))


def test_our_own_change_comes_back_bit_for_bit(tmp_path):
    profile, items, values, targets = np.array([0, 0, 1]), np.array([3, 1, 3]), np.array([5.0, 2, 4]), np.array([3, 1])
    change = FakeProfiles(profile, items, values, n_fakes=2, targets=targets)
    change.save(tmp_path / "change.npz")
    found = poisoned(GivenAttack(path=str(tmp_path / "change.npz")))
    assert found.targets.tolist() == [3, 1]
    assert found.apply(RATED).fingerprint == change.apply(RATED).fingerprint


def test_a_path_leads_from_here_and_else_from_the_datasets(tmp_path, monkeypatch):
    for place, item in (("here", 11), ("data", 13)):
        (tmp_path / place).mkdir()
        (tmp_path / place / "f.csv").write_text(f"a,{item},5\n")
    monkeypatch.setenv("RECPOISON_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    assert rows(poisoned(given(Path("f.csv")))) == [(0, 3, 5.0)]
    monkeypatch.chdir(tmp_path / "here")
    assert rows(poisoned(given(Path("f.csv")))) == [(0, 1, 5.0)]


def test_defects_are_counted_and_options_decide(tmp_path):
    file = tmp_path / "vat.json"
    fakes = {"z": ["13", "11", "13", "99"], "a": ["10"], "m": ["12", "11"]}
    file.write_text(json.dumps({"target_items": ["13"], "fake_users": fakes}))
    attack = GivenAttack(path=str(file))
    change = poisoned(attack)
    assert rows(change) == [(0, 3, 5.0), (0, 1, 5.0), (1, 0, 5.0), (2, 2, 5.0), (2, 1, 5.0)]
    told = {"fakes": 3, "repeated_clicks": 1, "unknown_ids": 1, "unknown_clicks": 1, "mean_length": 2, "pairs": 1}
    assert told.items() <= change.diagnosis.items()
    assert "; their file: in file 3, too short 0, unknown ids 1, unknown clicks 1, fakes 3" in change.in_words(3)
    assert change.facts()["diagnosis"] == change.diagnosis
    assert change.apply(RATED).n_pairs == 3 + 5
    kept = poisoned(replace(attack, repeated_clicks="keep", min_length=2))
    assert kept.items.tolist() == [3, 1, 3, 2, 1]
    assert (kept.n_fakes, kept.diagnosis["too_short"]) == (2, 1)
    kept.save(tmp_path / "kept.npz")
    again = FakeProfiles.load(tmp_path / "kept.npz")
    assert (again.repeats, again.diagnosis) == (True, kept.diagnosis)
    with pytest.raises(ConfigError, match=r"has targets that the catalogue lacks \(13\)"):
        poisoned(replace(attack, id_space="mapped"))
    with pytest.raises(ConfigError, match=r"nothing of .* is left"):
        poisoned(replace(attack, min_length=9))


def test_pickles_are_refused_by_name(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    (tmp_path / "a.pickle").write_bytes(pickle.dumps(Trap()))
    (tmp_path / "b.data").write_bytes(pickle.dumps(Trap()))
    np.save(tmp_path / "c.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "d.npz", profile=np.array([Trap()], dtype=object))
    for name in ("a.pickle", "b.data", "c.npy", "d.npz"):
        with pytest.raises(DataError, match=rf"{name} (is|holds).* a pickle, which runs"):
            poisoned(given(tmp_path / name))
    assert not (tmp_path / "sprung").exists()


def test_a_missing_file_is_told_and_a_changed_one_is_another(tmp_path):
    with pytest.raises(DataError, match=r"there is no file .*nowhere\.json: give a path"):
        given(tmp_path / "nowhere.json").check_model(None)
    file = tmp_path / "f.csv"
    file.write_text("a,11,5\n")
    before = given(file).reads
    file.write_text("a,12,5\n")
    assert given(file).reads != before


VAT = Path(os.environ.get("RECPOISON_DATA", "data")) / "vat-poison" / "gowalla"
COUNTED = {  # fakes, shortest, longest, profiles with repeats, repeated clicks, pairs, pairs in train after 70%
    "random_1": (298, 11, 34, 288, 508, 982, 907),
    "bandwagon_1": (298, 11, 34, 286, 481, 1009, 925),
    "dp_1": (300, 15, 34, 0, 0, 300, 201),
    "rev_1": (295, 9, 35, 0, 0, 1045, 681),
}


@pytest.mark.skipif(not VAT.is_dir(), reason="RECPOISON_DATA has no vat-poison")
@pytest.mark.parametrize("name", COUNTED)
def test_the_files_of_vat_are_as_counted_by_hand(name):
    labels = np.arange(40981)
    data = Interactions([0], [0], [1], n_users=1, n_items=40981, item_labels=labels)
    attack = GivenAttack(path=str(VAT / f"{name}.json"))
    change = poisoned(attack, data)
    keys = ("fakes", "shortest", "longest", "profiles_with_repeats", "repeated_clicks", "pairs")
    assert tuple(change.diagnosis[key] for key in keys) == COUNTED[name][:-1]
    assert change.diagnosis["unknown_ids"] == 0
    assert set(change.targets) == {18443, 34868, 29335, 34106, 22009}
    split = poisoned(replace(attack, repeated_clicks="keep", min_length=10, fake_split="70-10-20"), data)
    assert split.diagnosis["too_short"] == (3 if name == "rev_1" else 0)
    clicked = {(f, i) for f, i, _ in rows(split) if i in split.targets}
    assert len(clicked) == COUNTED[name][-1]
