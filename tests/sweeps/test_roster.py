"""How lines of a sweep name its cells, and the time left by hand."""

from pathlib import Path

import pytest

from recpoison.command.cells import Status, write_status
from recpoison.sweeps.roster import Roster, read_roster, what_differs


def left(folder: Path, roster: Roster, taken: dict[str, float], cell: str) -> str | None:
    """The time left as ``cell`` begins, when others took so long."""
    for name, seconds in taken.items():
        write_status(folder / name, Status("done", name, seconds=seconds))
    overview = roster.overview(folder, cell, [])
    assert overview is not None
    assert (overview.over, overview.of) == (len(taken), len(roster.cells))
    return overview.left() if overview.left else None


def test_only_what_is_not_typed_for_all_is_shown() -> None:
    assert what_differs({"a": ["model=mf", "seed=0"], "b": ["model=mf", "seed=1"]}) == {
        "a": ["seed=0"],
        "b": ["seed=1"],
    }


def test_another_command_in_the_folder_goes_first_and_keeps_the_cells_of_earlier_ones(tmp_path: Path) -> None:
    Roster({"a": ["seed=0"], "b": ["seed=1"]}, 2).write(tmp_path)
    Roster({"c": ["seed=2"], "b": ["seed=1"]}, 2).write(tmp_path)
    roster = read_roster(tmp_path)
    assert list(roster.cells) == ["c", "b", "a"]
    assert roster.name("b", []) == "cell 2 of 2 (seed=1)"
    assert roster.name("a", ["seed=0"]) == "cell a (seed=0)"
    (tmp_path / "sweep.json").write_text("[")
    assert read_roster(tmp_path) == Roster()


@pytest.mark.parametrize(
    ("todo", "taken", "cell", "said"),
    [
        ([None] * 4, {}, "a", None),
        ([None] * 4, {"a": 90.0}, "b", "~4 min 30 s"),  # 3 x 90
        ([None] * 4, {"a": 90.0, "b": 20.0}, "c", "~40.0 s"),  # the first, which also compiles, counts no more
        ([10.0, 20.0, 30.0, None], {}, "a", "~1 min 20 s"),  # 10 + 20 + 30, and their mean
        ([10.0, 20.0, 30.0, 5.0], {"a": 90.0, "b": 40.0}, "c", "~1 min 10 s"),  # twice what was foretold: 60 + 10
    ],
)
def test_the_time_left(tmp_path: Path, todo, taken, cell, said) -> None:
    roster = Roster({key: [] for key in "abcd"}, 4, dict(zip("abcd", todo, strict=True)))
    assert left(tmp_path, roster, taken, cell) == said
