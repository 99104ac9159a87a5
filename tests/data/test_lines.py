from pathlib import Path

import pytest

from recpoison.data.lines import BLANKS, Text
from recpoison.errors import DataError


def text(content: str, separator: str = ",") -> Text:
    return Text(Path("a.csv"), content.encode(), separator)


@pytest.mark.parametrize(
    ("content", "separator", "rows"),
    [
        ('"a";"b; c"\n"d";"e ""f"""\n', ";", [["a", "b; c"], ["d", 'e "f"']]),
        ('1\t"a\tb"\r\n2\tc\r\n', "\t", [["1", "a\tb"], ["2", "c"]]),
        ('"1"::"x"\n2::y\n', "::", [["1", "x"], ["2", "y"]]),
        ('1 "a b"\n2  c\n', BLANKS, [["1", "a b"], ["2", "c"]]),
        ('1,5" pipe\n2,"a, b"\n', ",", [["1", '5" pipe'], ["2", "a, b"]]),
        ('1,"a\nb"\n2,c\n', ",", [["1", "a\nb"], ["2", "c"]]),
        ('"u";"i"\n"1";"\\"04"\n', ";", [["u", "i"], ["1", '\\04"']]),  # one odd field in a file that quotes all
    ],
)
def test_quotes_enclose_whatever_the_separator(content: str, separator: str, rows: list[list[str]]):
    assert text(content, separator).enclosed
    assert [fields for _, fields in text(content, separator).split()] == rows
    assert text(content, separator).shape.overlong is None


@pytest.mark.parametrize("content", ['1\t"Heroes\n2\tb\n3\tc"\n', 'u\ti\n1\t"Weird Al" Y\n2\t"b"\n', '1\t"\n2\tb\n'])
def test_a_lone_quote_proves_that_quotes_are_letters(content: str):
    assert not text(content, "\t").enclosed
    assert [fields for _, fields in text(content, "\t").split()] == [line.split("\t") for line in content.splitlines()]


def test_a_quote_that_would_swallow_lines_is_named():
    with pytest.raises(DataError, match=r"a.csv, line 2: a quote opens a field and is not closed"):
        text('1,"a, b",3\n1,"x,3\n2,y,4\n').enclosed  # noqa: B018 - the look itself raises


@pytest.mark.parametrize(
    ("content", "separator", "overlong"),
    [
        ("1,2\n\n3,4,5\n", ",", (3, 3)),
        ('1,2\n"a,b",4\n5,6,7,8', ",", (3, 4)),
        ("1::2\n3::4::5\n", "::", (2, 3)),
        (" 1 2\n3\t4 \n5 6 7\n", BLANKS, (3, 3)),
        ("1,2\n3\n", ",", None),
        ("1,2,3\n" * 400_000 + "1,2,3,4\n", ",", (400_001, 4)),  # beyond one block
    ],
)
def test_the_first_line_with_too_many_fields(content: str, separator: str, overlong: tuple[int, int] | None):
    assert text(content, separator).shape.overlong == overlong


@pytest.mark.parametrize("word", ["007", "+7", "-0", " 7", '"07"'])
def test_a_field_that_no_plain_decimal_starts_like(word: str):
    assert not text(f"1,2\n{word},4\n").shape.plain
    assert not text(f"1,2\n3,{word}\n").shape.plain
    assert text('1,0\n-3,0.5\n"10",4\n').shape.plain
