from pathlib import Path

import pytest

from recpoison.data.named import build_dataset
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
    with pytest.raises(ConfigError, match=r"out of order: give low below high"):
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
