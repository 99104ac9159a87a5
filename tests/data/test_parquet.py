import importlib.util
from pathlib import Path

import pandas as pd
import pytest

from recpoison.data.named import build_dataset
from recpoison.data.opening import is_parquet
from recpoison.data.parquet import open_parquet
from recpoison.data.ratings import digest
from recpoison.errors import DataError
from recpoison.progress import Progress
from recpoison.seeds import Seeds

SENT = Path(__file__).parent / "opening"
needs_pyarrow = pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed")


def read(path: Path, *overrides: str):
    return build_dataset("csv", (f"path={path}", *overrides)).read(None, Seeds(0), Progress())


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is not None, reason="pyarrow is installed")
def test_without_pyarrow():
    with pytest.raises(DataError, match=r"needs pyarrow: pip install 'recpoison\[parquet\]'"):
        read(SENT / "p_index.parquet")


def test_recognised_by_its_bytes(tmp_path: Path):
    (tmp_path / "table").write_bytes((SENT / "p_index.parquet").read_bytes())
    (tmp_path / "a.parquet").write_bytes(b"user,item\n1,2\n")
    assert is_parquet(tmp_path / "table")
    assert not is_parquet(tmp_path / "a.parquet")


@needs_pyarrow
def test_an_index_is_a_column():
    data = read(SENT / "p_index.parquet", "rating=rating", "time=ts", "low=1", "high=5")
    assert (data.n_users, data.n_items, len(data)) == (6, 10, 36)


@needs_pyarrow
def test_a_folder_of_parts_with_keys_in_their_paths(tmp_path: Path):
    folder = tmp_path / "ratings.parquet"
    for stars, users in ((5, [1, 2]), (3, [1])):
        (folder / f"rating={stars}").mkdir(parents=True)
        pd.DataFrame({"user": users, "item": [7] * len(users)}).to_parquet(
            folder / f"rating={stars}" / "part-0.parquet"
        )
    before = digest([folder])
    (folder / "_SUCCESS").write_bytes(b"")
    (folder / "rating=5" / ".part-0.parquet.crc").write_bytes(b"crc")
    data = read(folder, "rating=rating", "low=1", "high=5")
    assert (data.n_users, data.n_items) == (2, 1)
    assert sorted(zip(data.users, data.values, strict=True)) == [(0, 3.0), (0, 5.0), (1, 5.0)]
    assert digest([folder]) == before
    pd.DataFrame({"user": [9], "item": [7]}).to_parquet(folder / "rating=3" / "part-1.parquet")
    assert digest([folder]) != before


@needs_pyarrow
def test_whole_numbers_beside_a_missing_one_do_not_become_floats(tmp_path: Path):
    path = tmp_path / "a.parquet"
    pd.DataFrame({"user": pd.array([2**53 + 1, 2**53, None], dtype="Int64")}).to_parquet(path)
    assert open_parquet(path)["user"].tolist() == [2**53 + 1, 2**53, None]


@needs_pyarrow
def test_broken_and_empty_files(tmp_path: Path):
    (tmp_path / "cut.parquet").write_bytes((SENT / "p_index.parquet").read_bytes()[:1000])
    with pytest.raises(DataError, match=r"cut.parquet is no readable parquet file"):
        read(tmp_path / "cut.parquet")
    pd.DataFrame({"user": [], "item": []}).to_parquet(tmp_path / "empty.parquet")
    with pytest.raises(DataError, match=r"empty.parquet is empty"):
        read(tmp_path / "empty.parquet")
    with pytest.raises(DataError, match=r"set dataset.user to one of item, rating, ts, user"):
        read(SENT / "p_index.parquet", "user=who")
