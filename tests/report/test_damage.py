"""Damaged and hand-edited files of a run: a report ends in a sentence that names the file, never in a traceback."""

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recpoison.report.command import main

TABLES = ("metrics.csv", "costs.csv", "curve.csv", "summary.csv")
ARRAYS = ("ranks.npz", "change.npz")
TEXTS = ["", " ", "x", "nan", "-1", "0", "1.5", "1e400", "1e99", "-inf", "9" * 30, "None", "True", "[1]", "\x00", "é,"]
NODES = [
    None,
    True,
    0,
    -1,
    1.5,
    10**400,
    float("nan"),
    float("inf"),
    "",
    "x",
    "\ud800",
    [],
    [[1]],
    [None],
    {},
    {"a": []},
]
FORMS = [["--format", form] for form in ("console", "csv", "markdown", "latex", "console", "html")]


@pytest.fixture
def whole(tmp_path: Path, make_run, make_curve) -> Path:
    """Four jobs on subsamples of one dataset, each with every file that a report might read."""
    for job in range(4):
        folder = tmp_path / "runs" / str(job)
        clean = {("target", "HR", "50"): 0.1 + job / 10, ("test", "NDCG", "10"): 0.5}
        after = {("target", "HR", "50"): 0.6, ("test", "NDCG", "10"): 0.4 + job / 50, ("fake", "OutlierAUROC", ""): 0.7}
        config = {"dataset": {"filters": {"k_core": job}}}
        make_run(folder, "planted", {("none", "none"): {0: clean}, ("random", "none"): {0: after}}, config=config)
        points = [("random", "none", 0, "steps", at, at, at, "test", "NDCG", 10, 0.5 - at / 10) for at in (1, 2)]
        make_curve(folder, points, dataset="planted")
        about = json.loads((folder / "run.json").read_text())
        about["notes"] = ["one note"]
        about["data"] = {"0": {"users": 100 + job, "items": 50 + job * job, "train_rows": 900 - job}}
        about["changes"] = {"seed=0/attack=random/defense=none": {"fake_users": 3, "rows": 30}}
        (folder / "run.json").write_text(json.dumps(about))
        prefix = "seed=0/attack=random/defense=none"
        save(folder / "ranks.npz", {f"{prefix}/{name}": array for name, array in seen().items()})
        save(folder / "change.npz", {f"{prefix}/users": np.arange(3)})
    return tmp_path / "runs"


def seen() -> dict[str, np.ndarray]:
    """What an evaluation of fake users leaves."""
    return {
        "latent": np.array([[0.0, 0], [1, 0], [0, 2], [5, 5]]),
        "explained": np.array([0.6, 0.25]),
        "fake": np.arange(4) > 2,
        "real_popularity": np.array([9, 99, 99]),
        "fake_popularity": np.array([0, 0]),
    }


def save(file: Path, arrays: dict[str, np.ndarray]) -> None:
    with file.open("wb") as opened:
        np.savez(opened, **arrays)


def spoil(file: Path, chance: random.Random) -> None:
    """Damage ``file`` in one way."""
    kinds: list[Callable[[Path, random.Random], None]] = [_delete, _empty, _cut, _flip, _binary, _folder, _no_json]
    own = _edit_table if file.name in TABLES else _edit_arrays if file.name in ARRAYS else _edit_json
    chance.choice([*kinds, *[own] * 12])(file, chance)


def _delete(file: Path, chance: random.Random) -> None:
    file.unlink()


def _empty(file: Path, chance: random.Random) -> None:
    file.write_bytes(b"")


def _cut(file: Path, chance: random.Random) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: chance.randrange(len(content))])


def _flip(file: Path, chance: random.Random) -> None:
    content = bytearray(file.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    file.write_bytes(content)


def _binary(file: Path, chance: random.Random) -> None:
    file.write_bytes(chance.randbytes(300))


def _folder(file: Path, chance: random.Random) -> None:
    file.unlink()
    file.mkdir()


def _no_json(file: Path, chance: random.Random) -> None:
    file.write_text(chance.choice(["[" * 100_000, "null", "[]", "1", '"x"', "{", "\n\n", '"' * 9]))


def _edit_table(file: Path, chance: random.Random) -> None:
    rows = [line.split(",") for line in file.read_text().splitlines()]
    row, column = chance.randrange(len(rows)), chance.randrange(len(rows[0]))
    match chance.randrange(12):
        case 0:
            rows = rows[:1]
        case 1:
            rows = [[field for place, field in enumerate(line) if place != column] for line in rows]
        case 2:
            rows = [[*line, "more"] for line in rows]
        case 3:
            rows[row].insert(column, "surplus")
        case 4:
            rows[row] = rows[row][:column]
        case 5:
            rows += [rows[row]] * 3
        case 6:
            rows = [rows[0], *([*line[:column], chance.choice(TEXTS), *line[column + 1 :]] for line in rows[1:])]
        case _:
            rows[row][column] = chance.choice(TEXTS)
    file.write_text("\n".join(map(",".join, rows)) + "\n")


def _edit_json(file: Path, chance: random.Random) -> None:
    about = json.loads(file.read_text())
    node, path = about, chance.choice(list(_paths(about)))
    for step in path[:-1]:
        node = node[step]
    if chance.random() < 0.2:
        del node[path[-1]]
    elif isinstance(path[-1], str) and chance.random() < 0.1:
        node["other"] = node.pop(path[-1])
    else:
        node[path[-1]] = chance.choice(NODES)
    file.write_text(json.dumps(about))


def _paths(node: object) -> list[tuple[str | int, ...]]:
    """The way to each value inside, at any depth."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path for key, value in pairs for path in [(key,), *((key, *deeper) for deeper in _paths(value))]]


def _edit_arrays(file: Path, chance: random.Random) -> None:
    with np.load(file) as opened:
        arrays = dict(opened)
    name = chance.choice(list(arrays))
    others = [np.zeros(0), np.array(1.0), np.array(["a", "b"]), np.array([{}, None]), np.full((4, 2), np.nan)]
    others += [np.array([-5, 3]), np.arange(4), np.zeros((4, 1)), np.zeros((2, 2, 2)), np.zeros(4, dtype="M8[s]")]
    match chance.randrange(6):
        case 0:
            del arrays[name]
        case 1:
            with file.open("wb") as opened:
                np.save(opened, arrays[name])
            return
        case _:
            arrays[name] = chance.choice(others)
    save(file, arrays)


def check(folder: Path, count: int, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Damage one file of one job ``count`` times; each report is whole or exits with 2 and names the file."""
    chance = random.Random(seed)
    kept = {file: file.read_bytes() for file in (folder / "0").iterdir()}
    refused = 0
    for number in range(count):
        file = folder / "0" / chance.choice(["run.json", *TABLES, *ARRAYS])
        spoil(file, chance)
        options = [*FORMS[number % len(FORMS)], *(["--characteristics"] if chance.random() < 0.3 else [])]
        left = file.read_bytes()[:400] if file.is_file() else b"none"
        code = main([str(folder), *options])
        printed = capsys.readouterr()
        assert code == 0 or (code == 2 and file.name in printed.err), (number, file.name, left, printed.err)
        assert "Traceback" not in printed.err
        assert code == 2 or printed.out
        refused += code == 2
        if file.is_dir():
            file.rmdir()
        file.write_bytes(kept[file])
    assert refused > count / 5


def test_damage_is_told_in_a_sentence(whole, capsys):
    check(whole, 2, 1, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_much_damage_is_told_in_a_sentence(whole, capsys, seed):
    check(whole, 100, seed + 10, capsys)


@pytest.mark.slow
def test_arrays_that_cannot_be_read_cost_their_run_and_not_the_report(whole, capsys):
    """Figures alone need them, so that tables are made a second time, without that run."""
    (whole / "0" / "ranks.npz").write_bytes(b"")
    drawn = whole.parent / "drawn"
    assert main([str(whole / "0"), "--figures", str(drawn)]) == 2
    assert not drawn.exists()
    capsys.readouterr()
    assert main([str(whole / "0"), str(whole / "1"), "--figures", str(drawn)]) == 2
    out, said = capsys.readouterr()
    assert said.count("left out: ") == 1
    assert f"left out: {whole}/0/ranks.npz holds no readable arrays of " in said
    assert "1 of 2 jobs have no result and are in no mean" in out
    assert list(drawn.glob("fake_users_*"))


def test_a_folder_that_may_not_be_looked_into_is_missing_and_the_others_are_shown(whole, capsys, monkeypatch):
    for name in ("listdir", "scandir", "stat"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name), whole / "1"))
    assert main([str(whole)]) == 2
    out, said = capsys.readouterr()
    assert "1 of 4 jobs have no result" in out
    assert said.endswith(f"left out: {whole}/1 cannot be read (Permission denied): leave it out, or make it readable\n")


def refusing(real, closed: Path):
    """As ``real`` for a user who may not read the folder ``closed``, or know what is in it."""

    def refuse(path=".", *more, **named):
        inside = not isinstance(path, int) and closed in Path(path).parents
        if inside or (real.__name__ != "stat" and not isinstance(path, int) and Path(path) == closed):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *more, **named)

    return refuse


def test_a_yaml_that_grows_for_ever_is_refused_at_once(whole, capsys):
    bomb = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    (whole / "0" / "config.yaml").write_text("\n".join(bomb))
    assert main([str(whole / "0")]) == 2
    assert "config.yaml is no readable YAML (it holds aliases, which no run writes)" in capsys.readouterr().err


def test_a_folder_may_be_called_like_a_pattern(whole, capsys):
    (whole / "0").rename(whole / "run[1]")
    assert main([str(whole / "run[1]")]) == 0


def test_a_name_that_is_too_long_is_a_sentence(whole, capsys):
    assert main(["x" * 300]) == 2
    assert main([str(whole / "0"), "--output", f"{'x' * 300}.csv"]) == 2
    assert "Traceback" not in capsys.readouterr().err
