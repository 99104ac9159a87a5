"""``recpoison-data``: which datasets there are, fetching them, and what is in them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from recpoison.answering import answered
from recpoison.data.named import build_dataset, choose, dataset_files
from recpoison.data.provenance import data_folder, find
from recpoison.data.sources import SOURCES
from recpoison.errors import ConfigError, printable
from recpoison.progress import Progress
from recpoison.ruled import ruled
from recpoison.seeds import Seeds

if TYPE_CHECKING:
    from rich.table import Table

    from recpoison.data.fetching import Bar
    from recpoison.data.interactions import Interactions


class _Notes(Progress):
    def __init__(self, console: Console) -> None:
        self._console = console

    def note(self, text: str) -> None:
        self._console.print(f"note: {printable(text)}", highlight=False, markup=False)


def _list(root: Path, console: Console) -> None:
    table = ruled(f"datasets (data folder: {root})")
    for column in ("name", "what", "users x items, rows", "files"):
        table.add_column(column, no_wrap=column == "name", min_width=24 * (column == "what"))
    for name, path in dataset_files().items():
        what = path.read_text(encoding="utf-8").split("\n", 1)[0].lstrip("# ")
        counts, state = "", "none needed"
        if source := SOURCES.get(name):
            variant = next(iter(source.variants.values()))
            if variant.counts:
                counts = "{:,} x {:,}, {:,}".format(*variant.counts)
            here = all(find(root / source.folder, file) for file in variant.files)
            state = "here" if here else (f"recpoison-data fetch {name}" if source.files[0].address else "by hand")
        elif name == "csv":
            state = "your own"
        table.add_row(name, what, counts, state)
    console.print(table)


def _fetch(name: str, root: Path, console: Console) -> None:
    from recpoison.data.fetching import fetch

    if name not in SOURCES:
        raise ConfigError(f"there is nothing to fetch for {name!r}: {choose(name, list(SOURCES))}")
    source = SOURCES[name]
    console.print(f"{source.title}\ncite: {source.citation}; terms: {source.licence}", highlight=False, markup=False)
    with _bar(console) as bar:
        paths = fetch(source, root, bar)
    for path in paths:
        console.print(f"fetched {path}", highlight=False, markup=False, soft_wrap=True)
    if not paths:
        console.print(f"all files are in {root / source.folder} already", highlight=False, soft_wrap=True)


@contextmanager
def _bar(console: Console) -> Iterator[Bar]:
    import logging

    import pooch
    import rich.progress

    pooch.get_logger().setLevel(logging.ERROR)  # its notices would break the bar
    columns = (rich.progress.BarColumn(), rich.progress.DownloadColumn(), rich.progress.TimeRemainingColumn())
    with rich.progress.Progress(*columns, console=console, transient=True) as live:
        yield _RichBar(live)


class _RichBar:
    """Shows pooch's bytes in a rich bar."""

    def __init__(self, live: Any) -> None:
        self._live = live
        self._task = live.add_task("download", total=None)
        self._total = 0

    @property
    def total(self) -> int:
        return self._total

    @total.setter
    def total(self, value: int) -> None:
        self._total = value
        self._live.update(self._task, total=value or None)

    def update(self, step: int) -> None:
        self._live.advance(self._task, step)

    def reset(self) -> None:
        self._live.reset(self._task)

    def close(self) -> None:
        self._live.refresh()


def _describe(name: str, overrides: Sequence[str], root: Path, seed: int, console: Console) -> None:
    from recpoison.data.dataset import GraphDataset
    from recpoison.data.scales import in_words

    dataset, notes, seeds = build_dataset(name, overrides), _Notes(console), Seeds(seed)
    if isinstance(dataset, GraphDataset):
        graph = dataset.load(root, seeds, notes)
        figures = f"{graph.n_nodes:,} nodes, {graph.n_edges:,} edges, {graph.n_classes} classes"
        console.print(f"{dataset.name}: {figures}, {graph.features.shape[1]:,} features", highlight=False)
        return
    raw = dataset.read(root, seeds, Progress())  # load says the notes
    split = dataset.load(root, seeds, notes)
    tables = {"as read": raw, "as used": split.whole, "training": split.train}
    if split.valid is not None:
        tables["validation"] = split.valid
    console.print(_characteristics(f"{dataset.name}: {in_words(split.train.scale)}", tables | {"test": split.test}))


def _characteristics(title: str, tables: dict[str, Interactions]) -> Table:
    from recpoison.data.characteristics import characterise

    columns = {name: asdict(characterise(data)) for name, data in tables.items()}
    table = ruled(title)
    table.add_column("")
    for name in columns:
        table.add_column(name, justify="right")
    for key in next(iter(columns.values())):
        figures = [column[key] for column in columns.values()]
        table.add_row(key, *(f"{figure:,}" if isinstance(figure, int) else f"{figure:.4f}" for figure in figures))
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="recpoison-data", description=__doc__)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--data-dir", type=Path, help="folder of the datasets' folders (else $RECPOISON_DATA, else the cache)"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", parents=[shared], help="which datasets there are, and which of them are here")
    fetch = commands.add_parser("fetch", parents=[shared], help="download and verify a dataset")
    fetch.add_argument("name")
    describe = commands.add_parser("describe", parents=[shared], help="read, filter and split it; print what is in it")
    describe.add_argument("name")
    describe.add_argument("overrides", nargs="*", help="settings such as dataset.filters.k_core=10")
    describe.add_argument("--seed", type=int, default=0, help="seed of random splits and samples")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 if all went well, 2 for the user's mistakes, 1 for ours, 130 for Ctrl-C."""
    given = _parser().parse_args(arguments)
    return answered("recpoison-data", lambda: _do(given), "stopped; nothing half-written is left")


def _do(given: argparse.Namespace) -> None:
    console = Console() if sys.stdout.isatty() else Console(width=160)
    root = data_folder(given.data_dir)
    if given.command == "list":
        _list(root, console)
    elif given.command == "fetch":
        _fetch(given.name, root, console)
    else:
        _describe(given.name, given.overrides, root, given.seed, console)


if __name__ == "__main__":
    sys.exit(main())
