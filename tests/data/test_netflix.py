from pathlib import Path

import pytest

from recpoison.data import netflix
from recpoison.data.netflix import read_netflix
from recpoison.errors import DataError

FIRST = "1:\n1488844,3,2005-09-06\n822109,5,2005-05-13\n"
SECOND = "2:\n2059652,4,1970-01-02\n"


def expect(rows) -> None:
    assert rows.users.each.tolist() == [1488844, 822109, 2059652]
    assert rows.items.each.tolist() == [1, 1, 2]
    assert rows.values.tolist() == [3.0, 5.0, 4.0]
    assert rows.times[2] == 86400.0


def test_one_movie_a_file(tmp_path: Path):
    paths = [tmp_path / "mv_0000001.txt", tmp_path / "mv_0000002.txt"]
    for path, text in zip(paths, (FIRST, SECOND), strict=True):
        path.write_text(text)
    expect(read_netflix(paths))


@pytest.mark.parametrize("chunk", [1, 20, 1 << 20])
def test_many_movies_a_file_in_pieces_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int):
    monkeypatch.setattr(netflix, "CHUNK", chunk)
    path = tmp_path / "combined_data_1.txt"
    path.write_text(FIRST + SECOND)
    expect(read_netflix([path]))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("1:\n7,3,2005-09-06\n8,x,2005-09-06\n", 3),
        ("7,3,2005-09-06\n", 1),
        ("1:\n7,3,2005-09-06\n2:\n8,6,2005-09-06\n", 4),
        ("1:\n7,3,soon\n", 2),
    ],
)
@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_bad_lines_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, line: int, chunk: int):
    monkeypatch.setattr(netflix, "CHUNK", chunk)
    good, bad = tmp_path / "mv_1.txt", tmp_path / "mv_2.txt"
    good.write_text(FIRST)
    bad.write_text(text)
    with pytest.raises(DataError, match=rf"mv_2.txt, line {line}: .* is neither"):
        read_netflix([bad])
    if text.startswith("1:"):
        with pytest.raises(DataError, match=rf"mv_2.txt, line {line}: .* is neither"):
            read_netflix([good, bad])
