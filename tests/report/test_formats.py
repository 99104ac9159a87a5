from io import StringIO

import pytest
from rich.console import Console

from recpoison.report.formats import to_console, to_csv, to_markdown
from recpoison.report.tables import Entry, Table

TABLE = Table(
    "Effect of 50% & more",
    ("dataset",),
    (("ml_100k",), ("a|b",)),
    (("HR@50", "clean"), ("HR@50", "difference"), ("MeanRank", "clean")),
    (
        (
            Entry(0.15, 0.01, 2),
            Entry(0.2, n=2, p=0.004, signed=True, best=True, low=0.1, high=0.3),
            Entry(834.23, 1.26, 2),
        ),
        (Entry(0.1234567, n=1), Entry(-0.05, n=1, p=0.2, signed=True), None),
    ),
    ("* p < 0.05",),
)


def test_markdown_exactly() -> None:
    assert to_markdown(TABLE) == (
        "**Effect of 50% & more**\n"
        "\n"
        "| dataset | HR@50 clean | HR@50 difference | MeanRank clean | n |\n"
        "|---|--:|--:|--:|--:|\n"
        "| ml\\_100k | 0.1500 ± 0.0100 | **+0.2000**\\*\\* | 834.2 ± 1.3 | 2 |\n"
        "| a\\|b | 0.1235 | -0.0500 | – | 1 |\n"
        "\n"
        "- \\* p \\< 0.05\n"
    )


def test_csv_keeps_full_numbers() -> None:
    assert to_csv(TABLE).splitlines() == [
        "table,dataset,group,column,mean,sd,n,p,low,high,best",
        "Effect of 50% & more,ml_100k,HR@50,clean,0.15,0.01,2,,,,0",
        "Effect of 50% & more,ml_100k,HR@50,difference,0.2,,2,0.004,0.1,0.3,1",
        "Effect of 50% & more,ml_100k,MeanRank,clean,834.23,1.26,2,,,,0",
        "Effect of 50% & more,a|b,HR@50,clean,0.1234567,,1,,,,0",
        "Effect of 50% & more,a|b,HR@50,difference,-0.05,,1,0.2,,,0",
    ]


@pytest.mark.parametrize(("width", "tables"), [(120, 1), (48, 1), (30, 2), (20, 2)])
def test_the_console_splits_a_wide_table_and_never_cuts_a_number(width: int, tables: int) -> None:
    console = Console(width=width, record=True, file=StringIO())
    to_console(TABLE, console)
    text = console.export_text()
    assert text.count("dataset") == tables
    assert "…" not in text
    for number in ("0.1500", "± 0.0100", "+0.2000**", "834.2", "± 1.3", "0.1235", "-0.0500"):
        assert number in text


def test_digits_stand_under_digits() -> None:
    console = Console(width=120, record=True, file=StringIO())
    to_console(TABLE, console)
    lines = console.export_text().splitlines()
    places = [line.index(number) for line in lines for number in ("+0.2000", "-0.0500") if number in line]
    assert places == [places[0]] * 2
