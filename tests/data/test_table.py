import os
from pathlib import Path

import numpy as np
import pytest

from recpoison.attacks.targets import Targets
from recpoison.data.interactions import Interactions
from recpoison.data.named import build_dataset
from recpoison.data.saving import load_split, save_split
from recpoison.data.table import OwnTable
from recpoison.errors import ConfigError, DataError
from recpoison.progress import Progress
from recpoison.seeds import Seeds

TEXT = "who,stars,what,when\nann,4,tea,2\nbob,5,tea,1\nann,1,nut,1\nbob,3,fig,5\n"
COLUMNS = ("user=who", "item=what")


def load(tmp_path: Path, *overrides: str):
    (tmp_path / "mine.csv").write_text(TEXT)
    dataset = build_dataset("csv", (f"path={tmp_path / 'mine.csv'}", *COLUMNS, *overrides))
    return dataset.load(None, Seeds(0), Progress())


def test_implicit_by_default(tmp_path: Path):
    split = load(tmp_path)
    assert split.train.implicit
    assert split.whole.values.tolist() == [1.0] * 4
    assert split.train.user_labels.tolist() == ["ann", "bob"]
    assert split.train.item_labels.tolist() == ["fig", "nut", "tea"]


def test_ratings_and_times(tmp_path: Path):
    split = load(tmp_path, "rating=stars", "low=1", "high=5", "time=when", "split.method=leave_one_out_last")
    assert split.train.scale == (1, 5, 1)
    assert split.test.items.tolist() == [2, 0]
    assert split.test.values.tolist() == [4.0, 3.0]


def test_found_in_the_data_folder_and_given_test_rows(tmp_path: Path):
    (tmp_path / "a.csv").write_text("user,item\n1,1\n1,2\n2,2\n")
    (tmp_path / "b.csv").write_text("user,item\n2,1\n")
    dataset = build_dataset("csv", ("path=a.csv", "test_path=b.csv", "split.method=given", "filters.min_user=0"))
    split = dataset.load(tmp_path, Seeds(0), Progress())
    assert (len(split.train), len(split.test)) == (3, 1)
    assert split.test.users.tolist() == [1]
    before = dataset.fingerprint(tmp_path)
    (tmp_path / "b.csv").write_text("user,item\n2,2\n")
    assert dataset.fingerprint(tmp_path) != before


def test_errors(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"csv needs dataset.path"):
        build_dataset("csv")
    with pytest.raises(ConfigError, match=r"dataset.low and dataset.high go together"):
        load(tmp_path, "rating=stars", "low=1")
    with pytest.raises(ConfigError, match=r"dataset.low=5 is not below dataset.high=1: give the ends of the scale"):
        load(tmp_path, "rating=stars", "low=5", "high=1")
    with pytest.raises(ConfigError, match=r"dataset.rating names no column"):
        load(tmp_path, "low=1", "high=5")
    with pytest.raises(DataError, match=r"line 3: the rating is 5, but the scale runs from 1 to 4"):
        load(tmp_path, "rating=stars", "low=1", "high=4")
    with pytest.raises(DataError, match=r"there is no file .*gone.csv"):
        build_dataset("csv", ("path=gone.csv",)).load(tmp_path, Seeds(0), Progress())


def test_a_missing_file_is_one_sentence(tmp_path: Path):
    dataset = OwnTable("csv", str(tmp_path / "nofile.csv"))
    with pytest.raises(DataError, match=r"there is no file .*nofile\.csv.*: check dataset\.path"):
        dataset.fingerprint(None)


@pytest.mark.parametrize("name", ["n" * 300 + ".csv", "n" * 300 + "/clicks.csv", "clicks.zip/" + "n" * 300])
def test_a_name_that_no_file_system_takes_is_a_missing_file(name: str):
    with pytest.raises(DataError, match=rf"there is no file {name}, here or in .*: check dataset\.path"):
        OwnTable("csv", name).fingerprint(None)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="only POSIX closes folders so")
def test_a_folder_that_may_not_be_looked_into_is_said(tmp_path: Path):
    (tmp_path / "closed").mkdir(mode=0)
    who = os.geteuid()
    if who == 0:  # who may look everywhere
        os.seteuid(65534)
    try:
        with pytest.raises(DataError, match=r"cannot be read \(Permission denied\): check the path and its perm"):
            OwnTable("csv", str(tmp_path / "closed/clicks.csv")).fingerprint(None)
    finally:
        os.seteuid(who)


def described(path: Path, *overrides: str) -> tuple[Interactions, list[str]]:
    notes = Notes()
    dataset = build_dataset("csv", (f"path={path}", *overrides))
    dataset.load(None, Seeds(0), notes)
    return dataset.read(None, Seeds(0), Progress()), notes.said


class Notes(Progress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def write(tmp_path: Path, lines: list[str]) -> Path:
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


SMALL = ("filters.min_user=0", "split.method=ratio")


def test_ids_are_compared_as_they_are_written(tmp_path: Path):
    users = ["1200000000000000021.0", "1200000000000000014", "1200000000000000021"]
    path = write(
        tmp_path, ["user,item", *(f"{user},{item}" for user in users for item in ("1E3", "1000", "10E2", "7"))]
    )
    data, notes = described(path)
    assert data.user_labels.tolist() == sorted(users)
    assert data.item_labels.tolist() == ["1000", "10E2", "1E3", "7"]
    assert any("1 ids of users are another's number written otherwise" in note for note in notes)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_leading_zeros_stay_and_a_target_is_found_as_typed(tmp_path: Path, separator: str):
    items = ["0001050087", "1050087", "0108775044"]
    path = write(tmp_path, ["user,item".replace(",", separator), *(f"{u}{separator}{i}" for u in "12" for i in items)])
    data, notes = described(path)
    assert data.item_labels.tolist() == ["0001050087", "0108775044", "1050087"]
    assert data.user_labels.tolist() == [1, 2]
    chosen = Targets("list", ["0108775044"], labels=True).choose(data, np.random.default_rng(0))
    assert chosen.tolist() == [1]
    assert any("'0001050087' and '1050087'" in note for note in notes)


def test_a_rating_without_its_scale_is_refused_with_the_settings_to_type(tmp_path: Path):
    path = write(tmp_path, ["user,item,stars", "1,1,0.5", "1,2,3", "2,1,5", "2,2,4.5"])
    with pytest.raises(
        DataError,
        match=r"holds 0.5 to 5 in steps of 0.5, so give dataset.low=0.5 dataset.high=5 dataset.step=0.5,",
    ):
        described(path, "rating=stars")
    data, notes = described(path, "rating=stars", "low=0.5", "high=5", "step=0.5")
    assert data.scale == (0.5, 5, 0.5)
    assert "csv: feedback is explicit: ratings 0.5 to 5 in steps of 0.5" in notes
    assert "csv: feedback is implicit" in described(path, "rating=stars", "filters.implicit=true")[1]
    assert "csv: feedback is implicit" in described(path, "rating=stars", "filters.binarise_at=0.5")[1]
    marked = write(tmp_path, ["user,item,stars", "1,1,-1", "1,2,3", "2,1,4", "2,2,-1"])
    with pytest.raises(DataError, match=r"holds -1 to 4 .*dataset.missing=\[-1\]"):
        described(marked, "rating=stars")


def test_a_scale_off_its_own_steps_and_ratings_between_them(tmp_path: Path):
    path = write(tmp_path, ["user,item,stars", "1,1,0.5", "1,2,3", "2,1,5", "2,2,4.5"])
    with pytest.raises(ConfigError, match=r"dataset.high=5 is no whole number of steps of dataset.step=1"):
        described(path, "rating=stars", "low=0.5", "high=5")
    notes = described(path, "rating=stars", "low=0", "high=5")[1]
    assert any("2 of 4 ratings, such as 0.5, are no whole number of steps of 1 above 0" in note for note in notes)


def test_the_published_book_crossing_form(tmp_path: Path):
    rows = [
        ('"1"', '"0195153448"', '"0"'),
        ('"1"', '"002 x"', '"5"'),
        ('"2"', '"0195153448"', '"10"'),
        ('"2"', '"3"', '"7"'),
    ]
    path = write(tmp_path, ['"User-ID";"ISBN";"Book-Rating"', *map(";".join, rows)])
    columns = ("user=User-ID", "item=ISBN", "rating=Book-Rating", "high=10")
    data, _ = described(path, *columns, "low=0")
    assert data.user_labels.tolist() == [1, 2]
    assert data.item_labels.tolist() == ["002 x", "0195153448", "3"]
    assert data.values.tolist() == [0, 5, 10, 7]
    with pytest.raises(
        DataError,
        match=r"line 2: the rating is 0, but the scale runs from 1 to 10 \(of 4 rows 1 has a rating off the scale "
        r"1 to 10\).*dataset.missing=\[0\] if 0 means 'not rated', or set dataset.drop_invalid=true",
    ):
        described(path, *columns, "low=1")
    data, notes = described(path, *columns, "low=1", "missing=[0]", *SMALL)
    assert data.values.tolist() == [5, 10, 7]
    assert "mine.csv: 1 of 4 rows are dropped as not rated (dataset.missing=[0])" in notes


def test_rows_that_cannot_be_used_are_counted(tmp_path: Path):
    lines = [
        "user,item,stars,when",
        "1,1,3,10",
        ",2,3,11",
        "1,,3,12",
        "2,1,x,13",
        "2,2,99,14",
        "2,3,2,",
        "2,4,5,2020-01-01",
    ]
    path = write(tmp_path, lines)
    columns = ("rating=stars", "low=1", "high=5", "time=when")
    with pytest.raises(
        DataError, match=r"line 3: the user is missing \(of 7 rows 1 has no user, 1 has no item, 1 has no"
    ):
        described(path, *columns)
    data, notes = described(path, *columns, "drop_invalid=true", *SMALL)
    assert data.values.tolist() == [3]
    assert any(note.startswith("mine.csv: 6 of 7 rows are dropped as invalid: 1 has no user, ") for note in notes)
    only_dates = write(tmp_path, ["user,item,when", "1,1,12/1/2010 8:26", "1,2,12/2/2010 8:26"])
    with pytest.raises(DataError, match=r"the time is '12/1/2010 8:26', but .*\(of 2 rows 2 have no time .*\)"):
        described(only_dates, "time=when")
    with pytest.raises(DataError, match="leaves no row: 2 of 2 rows"):
        described(only_dates, "time=when", "drop_invalid=true")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["A3Q,105,4.0", "A2Q,B00,2.0"], "looks like data, not like a header: set dataset.header=false"),
        (["ann,tea", "bob,tea", "ann,nut"], r"\('ann' is a user in the lines below\): set dataset.header=false"),
    ],
)
def test_a_first_row_is_not_taken_for_a_header(tmp_path: Path, lines: list[str], message: str):
    with pytest.raises(DataError, match=message):
        described(write(tmp_path, lines), "user=0", "item=1")


@pytest.mark.parametrize("lines", [["user,item,stars", "1,2,3"], ["User ID,item_id", "ann,tea", "bob,nut"]])
def test_a_header_does_not_become_a_user(tmp_path: Path, lines: list[str]):
    with pytest.raises(DataError, match=r"line 1: .* looks like a header, not like data: set dataset.header=true"):
        described(write(tmp_path, lines), "user=0", "item=1", "header=false")


def test_what_was_taken_for_a_header_is_said(tmp_path: Path):
    notes = described(write(tmp_path, ["user,item", "1,1", "1,2"]))[1]
    assert "mine.csv: line 1 is taken for a header: user, item" in notes
    data, notes = described(write(tmp_path, ["A3Q,105", "A3Q,B00"]), "user=0", "item=1", "header=false")
    assert len(data) == 2
    assert not any("header" in note for note in notes)


def test_an_endless_id_is_named(tmp_path: Path):
    path = write(tmp_path, ["user,item", "1,1", f"2,{'x' * 5000}"])
    with pytest.raises(DataError, match=r"line 3: the item has 5,000 characters, but an id has at most 4,096"):
        described(path)


def test_a_stored_split_has_the_same_text_ids(tmp_path: Path):
    path = write(tmp_path, ["user,item", "zoë,007", "zoë,x", "bob,007"])
    split = build_dataset("csv", (f"path={path}", *SMALL)).load(None, Seeds(0), Progress())
    save_split(split, tmp_path / "split.npz")
    again = load_split(tmp_path / "split.npz").train
    assert again.user_labels.tolist() == ["bob", "zoë"]
    assert again.item_labels.tolist() == ["007", "x"]
    assert again.fingerprint == split.train.fingerprint


def test_all_rows_can_be_had_without_a_split(tmp_path: Path):
    """Filtered, in order and with all repeats, of which a split keeps one row of a held-out pair."""
    (tmp_path / "a.csv").write_text("user,item\n1,7\n1,7\n1,8\n2,7\n1,7\n2,9\n3,9\n")
    repeated = ("filters.duplicates=keep", "filters.min_user=2", "split.method=leave_one_out_last")  # which needs times
    dataset = build_dataset("csv", (f"path={tmp_path / 'a.csv'}", *repeated))
    whole = dataset.load_whole(None, Seeds(0), Progress())
    assert [str(whole.train.user_labels[user]) for user in whole.train.users] == ["1", "1", "1", "2", "1", "2"]
    assert (len(whole.train), len(whole.test), whole.held_out) == (6, 0, "none")
    assert not any("test row" in note for note in whole.notes)
