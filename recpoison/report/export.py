"""The fake users of runs in files that other projects read, and ``attack=given`` too.

``csv`` has a row a click: fake user, item, rating. ``json`` is the form of VAT and PamaCF: the targets, and the items
of each fake user, by their ids in the source. ``npy`` is a matrix of fake users x items by number, 0 where there is no
rating, as APT takes it, with ratings as they are; it does not keep the order of a fake user's clicks. A form that would
lose something is refused, and every file is read back and compared before it is kept.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from recpoison.attacks.profiles.poison_files import read_poison
from recpoison.errors import ConfigError, DataError
from recpoison.report.reading import BrokenArrays, read_arrays, read_table
from recpoison.report.runs import Run, Runs
from recpoison.report.writing import write_file

EXPORTS = ("csv", "json", "npy")
_ARRAYS = ("profile", "items", "values", "targets")


class Fakes(NamedTuple):
    """The fake users of one attack and seed.

    Args:
        name: What to call the file, without an ending.
        profile: ``(n,)`` number of the fake user of each row.
        items: ``(n,)`` item numbers.
        values: ``(n,)`` ratings, ones on implicit data.
        ids: ``(n,)`` the items' ids in the source; numbers where these are not known.
        targets: Ids of the targets.
        n_items: Items of the catalogue.
        highest: The highest rating; None of implicit data.
    """

    name: str
    profile: np.ndarray
    items: np.ndarray
    values: np.ndarray
    ids: np.ndarray
    targets: list[str]
    n_items: int
    highest: float | None


def export(runs: Runs, form: str, folder: Path | None) -> list[Path]:
    """Write the fake users of every run, one file an attack and seed; where they are now.

    Args:
        runs: Whose fake users; runs without any are passed over.
        form: ``csv``, ``json`` or ``npy``.
        folder: Where to; each run's own folder where None.

    Raises:
        ConfigError: If no run has fake users, several runs would share a folder, or the form cannot hold them.
        OutputError: If a file cannot be written.
    """
    if folder is not None and len(runs.runs) > 1:
        raise ConfigError(
            f"--output {folder} is for the fake users of one run, and here are {len(runs.runs)}: leave it out (each "
            "run's file goes into its own folder), or name one run"
        )
    files = {
        (folder or run.folder) / f"{fakes.name}.{form}": _checked(fakes, form)
        for run in runs.runs
        for fakes in _of_run(run)
    }
    if not files:
        raise ConfigError("no fake users are in these runs: --export is for attacks that add users")
    for file, content in files.items():
        write_file(file, content)
    return list(files)


def _of_run(run: Run) -> Iterator[Fakes]:
    """Once for each seed and attack: what a defense is given is what the others are."""
    cells = [cell for cell, facts in run.about.get("changes", {}).items() if "fake_users" in facts]
    first: dict[tuple[str, str], str] = {}
    for cell in cells:
        seed, attack, _ = (part.split("=", 1)[1] for part in cell.split("/"))
        first.setdefault((seed, attack), cell)
    written = read_table(run.folder / "fake_users.csv", ("seed", "item")) if first else None
    for (seed, attack), cell in first.items():
        assert written is not None
        arrays = read_arrays(run.folder / "change.npz", cell, _ARRAYS)
        ids = written.item[written.seed == int(seed)].to_numpy(dtype=object)
        if len(ids) != len(arrays["profile"]):
            raise BrokenArrays(run.folder / "change.npz", f"and fake_users.csv differ about {cell}")
        facts = run.about.get("data", {}).get(seed, {})
        if not {"items", "ratings"} <= set(facts):
            raise DataError(f"{run.folder / 'run.json'} does not say how ratings are scaled: run it again")
        chosen = run.about.get("targets", {}).get(seed, [])
        targets = [str(target["item"] if target["id"] is None else target["id"]) for target in chosen]
        highest = None if facts["ratings"] is None else float(facts["ratings"][1])
        profile, items, values, _ = arrays.values()
        name = f"fake_users_{attack}_seed_{seed}"
        yield Fakes(name, profile, items, values, ids, targets, int(facts["items"]), highest)


def _checked(fakes: Fakes, form: str) -> bytes:
    """A file's content, which reads back as what it was made of."""
    content = {"csv": _csv, "json": _json, "npy": _npy}[form](fakes)
    with TemporaryDirectory() as folder:
        file = Path(folder) / f"{fakes.name}.{form}"
        file.write_bytes(content)
        found = read_poison(file)
    order = np.lexsort((fakes.items, fakes.profile)) if form == "npy" else np.arange(len(fakes.items))
    ids = fakes.items.astype(str) if form == "npy" else fakes.ids
    highest = 1.0 if fakes.highest is None else fakes.highest
    values = np.full(len(found.items), highest) if found.values is None else found.values
    same = found.items.tolist() == ids[order].tolist() and values.tolist() == fakes.values[order].tolist()
    if not same or (found.share and fakes.highest is not None):
        raise ConfigError(
            f"{fakes.name}.{form} would not read back as these fake users (an id with blanks or breaks in it, or "
            "ratings of 1 and less alone): choose another of csv, json and npy"
        )
    return content


def _csv(fakes: Fakes) -> bytes:
    text = io.StringIO()
    write = csv.writer(text, lineterminator="\n")
    write.writerow(["fake_user", "item", "rating"])
    write.writerows(zip(fakes.profile.tolist(), fakes.ids, fakes.values.tolist(), strict=True))
    return text.getvalue().encode()


def _json(fakes: Fakes) -> bytes:
    if fakes.highest is not None and (fakes.values != fakes.highest).any():
        raise ConfigError("json holds clicks, and these fake users have ratings that it would lose: choose csv or npy")
    profiles = {f"fake_{n}": fakes.ids[fakes.profile == n].tolist() for n in dict.fromkeys(fakes.profile.tolist())}
    return (json.dumps({"target_items": fakes.targets, "fake_users": profiles}, indent=1) + "\n").encode()


def _npy(fakes: Fakes) -> bytes:
    """Whole ratings are integers: shares of the highest, as APT has them, are told from ratings by being neither."""
    if len(np.unique(fakes.profile * fakes.n_items + fakes.items)) < len(fakes.items) or (fakes.values == 0).any():
        raise ConfigError("npy holds one rating, not 0, of a fake user and item, and these have others: choose csv")
    matrix = np.zeros((int(fakes.profile.max()) + 1, fakes.n_items))
    matrix[fakes.profile, fakes.items] = fakes.values
    whole = bool((matrix == np.rint(matrix)).all()) and np.abs(matrix).max() < 128
    file = io.BytesIO()
    np.save(file, matrix.astype(np.int8) if whole else matrix)
    return file.getvalue()
