import gzip
import time
from pathlib import Path

import pandas as pd
import pytest

from recpoison.data.delimited import read_delimited
from recpoison.data.formats import read_grouped, read_negatives, read_parquet, rows_of_frame
from recpoison.data.layout import Layout
from recpoison.errors import DataError

STARS = (1.0, 5.0, 1.0)


def write(path: Path, text: str) -> Path:
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize(
    ("name", "text", "separator"),
    [
        ("tab", "7\t3\t4\t100\n5\t9\t2\t200\n", "\t"),
        ("colons", "7::3::4::100\n5::9::2::200\n", "::"),
        ("crlf", "7,3,4.0,100\r\n5,9,2.0,200\r\n", ","),
        ("spaces", "7  3 4 100\n5 9 2  200", r"\s+"),
        ("guessed", "7::3::4::100\n\n5::9::2::200\n", None),
        ("guessed spaces", "7 3 4 100\n5 9 2 200\n", None),
        ("bom", "\ufeff7;3;4;100\n5;9;2;200\n", None),
        ("packed.gz", "7,3,4,100\n5,9,2,200\n", ","),
    ],
)
def test_separators(tmp_path: Path, name: str, text: str, separator: str | None):
    rows = read_delimited(write(tmp_path / name, text), Layout(separator, time=3, scale=STARS))
    assert rows.users.each.tolist() == [7, 5]
    assert rows.items.each.tolist() == [3, 9]
    assert rows.values.tolist() == [4.0, 2.0]
    assert rows.times.tolist() == [100.0, 200.0]


def test_header_names_text_ids_and_iso_dates(tmp_path: Path):
    path = write(tmp_path / "a.csv", 'when,item,who\n1970-01-02,"x, y",ann\n1970-01-01T00:00:10,NA,007\n')
    rows = read_delimited(path, Layout(",", True, "who", "item", None, "when"))
    assert rows.users.each.tolist() == ["ann", "007"]
    assert rows.items.each.tolist() == ["x, y", "NA"]
    assert rows.values is None
    assert rows.times.tolist() == [86400.0, 10.0]


@pytest.mark.parametrize(
    ("text", "layout", "message"),
    [
        ("1,1,3\n1,2,x\n", Layout(","), r"line 2: the rating is 'x', but a number is needed"),
        ("1,1,3\n\n1,2,\n", Layout(","), r"line 3: the rating is missing"),
        ("1,1,3\n1,2,inf\n", Layout(","), r"line 2: the rating is 'inf'"),
        ("1,1,3\n1,2,9\n", Layout(",", scale=STARS), r"line 2: the rating is 9, but the scale runs from 1 to 5"),
        ("1,1,3\n1\n", Layout(","), r"line 2: the item is missing"),
        ("1,1,3\n,2,3\n", Layout(","), r"line 2: the user is missing"),
        ("user,item,rating\n1,2,3\n", Layout(","), r"line 1: .*looks like a header.*dataset.header=true"),
        ("1,1,3,today\n", Layout(",", time=3), r"line 1: the time is 'today'"),
        ("1,1\n", Layout(","), r"line 1: there are 2 columns.*dataset.rating"),
        ("a,b,c\n1,2,3\n", Layout(",", True, "who"), r"no column 'who': set dataset.user to one of a, b, c"),
        ("1,1,3\n", Layout(",", False, "who"), r"without a header, but dataset.user is 'who'"),
        ("1,1,3\n", Layout(",;"), r"separator ',;' cannot be read"),
        ("1::1::3\n1::2::bad\n", Layout("::"), r"line 2: the rating is 'bad'"),
        ("1 1 3\n1 2 bad\n", Layout(r"\s+"), r"line 2: the rating is 'bad'"),
        ("1,1,3\n\n1,2,4,3\n", Layout(","), r"line 3: there are 4 fields, but line 1 has 3: mend or delete the line"),
        ('1,1,"a, b"\n1,2,c, d\n', Layout(",", rating=None), r"line 2: there are 4 fields, but line 1 has 3"),
        ("1::1::3\n1::2::3::4\n", Layout("::"), r"line 2: there are 4 fields, but line 1 has 3"),
        ("1 1 3\n1 2 3 4\n", Layout(r"\s+"), r"line 2: there are 4 fields, but line 1 has 3"),
        ("", Layout(","), r"is empty"),
        ("u,i,r\n", Layout(",", True), r"holds no row"),
    ],
)
def test_bad_tables_name_file_and_line(tmp_path: Path, text: str, layout: Layout, message: str):
    with pytest.raises(DataError, match=message) as caught:
        read_delimited(write(tmp_path / "ratings.csv", text), layout)
    assert "ratings.csv" in str(caught.value) or "separator" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_header_in_front_of_text_ids_is_not_a_row(tmp_path: Path):
    path = write(tmp_path / "a.csv", "1,1,5\n1,2,3\n")
    with pytest.raises(DataError, match=r"line 1: .*looks like data.*dataset.header=false"):
        read_delimited(path, Layout(",", True))


def test_missing_file():
    with pytest.raises(DataError, match=r"there is no file .*gone.csv"):
        read_delimited(Path("gone.csv"), Layout(","))


def test_grouped(tmp_path: Path):
    rows = read_grouped(write(tmp_path / "train.txt", "3 10 11\n4 \n\n5 10\n"))
    assert rows.users.each.tolist() == [3, 3, 5]
    assert rows.items.each.tolist() == [10, 11, 10]
    with pytest.raises(DataError, match=r"bad.txt, line 2: an id is no whole number"):
        read_grouped(write(tmp_path / "bad.txt", "3 10 11\n4 x\n"))


def test_negatives(tmp_path: Path):
    pairs, negatives = read_negatives(write(tmp_path / "a.test.negative", "(0,25)\t3\t4\n(1,7)\t5\t6\n"))
    assert pairs.tolist() == [[0, 25], [1, 7]]
    assert negatives.tolist() == [[3, 4], [5, 6]]
    with pytest.raises(DataError, match=r"line 2: there are 1 negatives, but line 1 has 2"):
        read_negatives(write(tmp_path / "b", "(0,25)\t3\t4\n(1,7)\t5\n"))
    with pytest.raises(DataError, match=r"line 1: an id is no whole number"):
        read_negatives(write(tmp_path / "c", "(0,25)\tx\t4\n"))


def test_parquet(tmp_path: Path):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    path = tmp_path / "a.parquet"
    pd.DataFrame({"who": ["b", "a"], "what": [2, 1], "stars": [5, 4]}).to_parquet(path)
    rows = read_parquet(path, Layout(user="who", item="what", rating=2, scale=STARS))
    assert (rows.users.each.tolist(), rows.items.each.tolist(), rows.values.tolist()) == (
        ["b", "a"],
        [2, 1],
        [5.0, 4.0],
    )
    with pytest.raises(DataError, match=r"no column 'when': set dataset.time to one of who, what, stars"):
        read_parquet(path, Layout(user="who", item="what", rating=2, time="when"))


@pytest.mark.data
def test_a_million_ratings_are_read_in_under_two_seconds(data_dir: Path):
    started = time.process_time()
    rows = read_delimited(data_dir / "ml-1m" / "ratings.dat.gz", Layout("::", scale=STARS))
    assert len(rows) == 1_000_209
    assert time.process_time() - started < 2


@pytest.mark.parametrize("start", ["\n", "  \n\n", "\r\n"])
def test_blank_lines_before_the_header_are_passed_over(tmp_path: Path, start: str):
    rows = read_delimited(
        write(tmp_path / "a.csv", start + "user,item\n1,2\n3,4\n"), Layout(",", True, "user", "item", None)
    )
    assert rows.users.each.tolist() == [1, 3]


def test_a_quote_in_a_tab_table_is_a_letter(tmp_path: Path):
    rows = read_delimited(write(tmp_path / "a.tsv", '1\t"Heroes\n2\tb\n3\tc"\n'), Layout("\t", False, 0, 1, None))
    assert rows.items.each.tolist() == ['"Heroes', "b", 'c"']


def test_a_missing_date_is_not_another_rows_date(tmp_path: Path):
    path = write(tmp_path / "a.csv", "user,item,when\n1,2,2020-01-01\n1,3,\n2,2,2021-01-01\n")
    with pytest.raises(DataError, match="line 3"):
        read_delimited(path, Layout(",", True, "user", "item", None, "when"))


def test_a_frame_with_whole_floats_for_ids(tmp_path: Path):
    layout = Layout(user="who", item="what", rating=None, drop_invalid=True)
    frame = pd.DataFrame({"who": [21.0, None, 3.0], "what": ["b", "a", "007"]})
    rows = rows_of_frame(tmp_path / "a.parquet", frame, layout)
    assert (rows.users.each.tolist(), rows.items.each.tolist()) == ([21, 3], ["b", "007"])
    with pytest.raises(DataError, match=r"numbers with a fraction, or too large .*save them as text"):
        rows_of_frame(tmp_path / "a.parquet", pd.DataFrame({"who": [0.5], "what": [1]}), layout)
