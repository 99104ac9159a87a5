"""README's Python blocks run as they are written."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README.split("## From Python", 1)[1].split("\n## ", 1)[0], re.DOTALL)


def test_there_are_two():
    assert len(BLOCKS) == 2


@pytest.mark.data
def test_the_first_gives_the_numbers_that_readme_tells(data_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found: dict = {}
    exec(BLOCKS[0], found)
    told = capsys.readouterr().out
    assert "HR@50 rose from 0.0000 to 0.9883" in told
    assert "± 0.0066" in told
    pd.testing.assert_frame_equal(found["recpoison"].load("average").to_frame(), found["numbers"])
    assert (tmp_path / "average.pdf").read_bytes().startswith(b"%PDF")


def test_the_second_takes_a_frame_and_parts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(BLOCKS[1], {})
    assert capsys.readouterr().out.startswith("<recpoison frame, MF, BandwagonAttack, 1 seed: The targets' HR@50 ")
