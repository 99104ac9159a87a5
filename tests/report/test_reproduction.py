"""REPRODUCTION.md holds what the files of ours hold."""

from pathlib import Path

import pytest

from recpoison.errors import DataError
from recpoison.published.kept import OURS, Kept, key_of, read_kept
from recpoison.published.tables import load
from recpoison.report.reproduction import block, blocks, filled

FILE = Path(__file__).resolve().parents[2] / "REPRODUCTION.md"


def test_its_tables_are_those_of_the_files():
    """After --keep: python scripts/reproduction.py."""
    text = FILE.read_text(encoding="utf-8")
    assert filled(text) == text


def test_every_kept_table_stands_in_it():
    assert set(blocks(FILE.read_text(encoding="utf-8"))) == {file.stem for file in OURS.glob("*.csv")}


@pytest.mark.parametrize("file", sorted(OURS.glob("*.csv")), ids=lambda file: file.stem)
def test_kept_numbers_are_whole(file):
    kept = read_kept(load(file.stem))
    assert kept
    for one in kept.values():
        assert one.n >= 1
        assert (one.sd == one.sd) == (one.n > 1)
        assert one.command.startswith("recpoison ")
        assert one.date.startswith("2026-")
        assert one.device
        assert one.commit or one.origin == "transcribed"


def test_a_block_is_written_again_and_prose_stays():
    text = "before\n<!-- ours: injection_table_1 -->\nstale\n<!-- end: injection_table_1 -->\nafter\n"
    new = filled(text)
    assert new.startswith("before\n<!-- ours: injection_table_1 -->\n")
    assert new.endswith("<!-- end: injection_table_1 -->\nafter\n")
    assert "stale" not in new
    assert filled(new) == new


def test_a_blocks_numbers_by_hand():
    """0.2885 printed, 0.3000 ours: 0.0115 off, within 5% (0.0144) and 0.02."""
    table = load("injection_table_1")
    made = block("injection_table_1", {key_of(table.distinct[0]): Kept(0.3, 0.01, 2, command="recpoison x")})
    assert "| WRMF+SGD | agrees | 0.2885 | 0.3000 ± 0.0100 | +0.0115 | – | 2 |" in made


@pytest.mark.parametrize(
    "text",
    [
        "<!-- ours: injection_table_1 -->\n",
        "<!-- ours: injection_table_1 -->\n<!-- end: injection_table_2 -->\n",
        2 * "<!-- ours: injection_table_1 -->\n<!-- end: injection_table_1 -->\n",
    ],
)
def test_marks_that_do_not_pair_up_are_refused(text):
    with pytest.raises(DataError, match="do not pair up"):
        filled(text)
