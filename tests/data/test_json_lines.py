import gzip
import json
from pathlib import Path

import pytest

from recpoison.data import json_lines
from recpoison.data.layout import Layout
from recpoison.data.named import build_dataset
from recpoison.data.opening import open_table
from recpoison.errors import DataError
from recpoison.progress import Progress
from recpoison.seeds import Seeds

SENT = Path(__file__).parent / "opening"
LAYOUT = Layout(None, True, "user", "item", "stars", "when")
ROWS = [
    {"user": "ann", "item": 'a "b", c', "stars": 4, "when": 10, "text": "x" * 200_000},
    {"user": "bob", "stars": None, "item": 7, "votes": {"up": 1}},
    {"user": "ann", "item": "é", "stars": 2.5, "when": "2020-01-02"},
]


def read(path: Path, *overrides: str):
    return build_dataset("csv", (f"path={path}", *overrides)).read(None, Seeds(0), Progress())


def write(path: Path, *rows: object) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "columns", "first_time"),
    [
        ("yelp_academic_dataset_review.json", ("user_id", "business_id", "stars", "date"), 1515362951.0),
        ("All_Beauty.jsonl", ("user_id", "parent_asin", "rating", "timestamp"), 1300679215000.0),
    ],
)
def test_yelp_and_amazon(tmp_path: Path, name: str, columns: tuple[str, ...], first_time: float):
    names = ("user", "item", "rating", "time")
    settings = [f"{name}={column}" for name, column in zip(names, columns, strict=True)]
    (tmp_path / "packed").write_bytes(gzip.compress((SENT / name).read_bytes()))
    objects = [json.loads(line) for line in (SENT / name).read_text().splitlines()]
    for path in (SENT / name, tmp_path / "packed"):
        data = read(path, *settings, "low=1", "high=5")
        assert (data.n_users, data.n_items, len(data)) == (6, 10, 36)
        assert data.values.tolist() == [row[columns[2]] for row in objects]
        assert [str(data.user_labels[user]) for user in data.users] == [row[columns[0]] for row in objects]
        assert data.times[0] == first_time


def test_amazon_2018(tmp_path: Path):
    path = write(
        tmp_path / "Magazine.json",
        {"overall": 5.0, "verified": True, "reviewerID": "A1", "asin": "B1", "unixReviewTime": 1447286400},
        {"overall": 1.0, "vote": "9", "reviewerID": "A1", "asin": "B2", "unixReviewTime": 1447286401},
    )
    data = read(path, "user=reviewerID", "item=asin", "rating=overall", "time=unixReviewTime", "low=1", "high=5")
    assert data.values.tolist() == [5.0, 1.0]
    assert data.times.tolist() == [1447286400.0, 1447286401.0]


@pytest.mark.parametrize("batch", [1, 10_000])
def test_lines_keep_their_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int):
    monkeypatch.setattr(json_lines, "BATCH", batch)
    content, layout = open_table(write(tmp_path / "a", "", ROWS[0], "  ", *ROWS[1:]), LAYOUT)
    assert content.decode().split("\n") == ["", 'ann,"a ""b"", c",4,10', "", "bob,7,,", "ann,é,2.5,2020-01-02", "", ""]
    assert layout == Layout(",", False, 0, 1, 2, 3)


def test_columns_by_number_and_columns_not_wanted(tmp_path: Path):
    content, layout = open_table(write(tmp_path / "a", *ROWS), Layout(None, True, 0, 2, None, None))
    assert content.decode().split("\n")[0] == "ann,4"
    assert layout == Layout(",", False, 0, 1, None, None)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([ROWS[0], "{broken"], r"a.json, line 2: '\{broken' is no whole JSON object: give one object a line"),
        ([ROWS[0], "[1, 2]"], r"a.json, line 2: '\[1, 2\]' is no whole JSON object"),
        (["{", '  "user": 1', "}"], r"line 1: '\{' is no whole JSON object: .*`jq -c \. a.json`"),
        ([ROWS[0], {"user": ["x"], "item": 1}], r"line 2: 'user' is a list, but one value is needed"),
        ([ROWS[0], {"user": {"x": 1}, "item": 1}], r"line 2: 'user' is a nested object"),
        ([{"user": "a\0b", "item": 1}], r"line 1: 'user' holds a zero byte"),
        (['{"user": ' + "[" * 100_000], r"line 1: .* is no whole JSON object"),
        ([{"who": 1, "item": 1}, {"what": 1}], r"has no column 'user': set dataset.user to one of who, item, what$"),
        ([{f"key{n}": 1 for n in range(100_000)}], r"set dataset.user to one of key0, .* and 99,988 more$"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, rows: list[object], message: str):
    with pytest.raises(DataError, match=message) as caught:
        open_table(write(tmp_path / "a.json", *rows), LAYOUT)
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


def test_a_key_that_a_row_lacks_is_a_missing_value(tmp_path: Path):
    path = write(tmp_path / "a.json", ROWS[0], "", {"user": "bob", "item": "x"})
    with pytest.raises(DataError, match=r"a.json, line 3: the rating is missing"):
        read(path, "rating=stars", "low=1", "high=5")
