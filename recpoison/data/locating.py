"""Where a dataset's files lie, asked before any reader is imported: what is missing is told at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recpoison.data.opening import is_there
from recpoison.data.provenance import data_folder, require
from recpoison.data.sources import SOURCES
from recpoison.errors import DataError


def own_files(path: str, test_path: str | None, data_dir: Path | None) -> list[Path]:
    """A user's own files: where the command is run, else in the data folder.

    Raises:
        DataError: If one is in neither.
    """
    names = [Path(name).expanduser() for name in (path, test_path) if name is not None]
    paths = [name if is_there(name) else data_folder(data_dir) / name for name in names]
    for name, found in zip(names, paths, strict=True):
        if not is_there(found):
            raise DataError(f"there is no file {name}, here or in {data_folder(data_dir)}: check dataset.path")
    return paths


def require_files(dataset: Mapping[str, Any], data_dir: Path | None) -> None:
    """Look for the files that a dataset reads; of other datasets than this package's nothing is known.

    Args:
        dataset: Its settings as plain values, as its YAML has them.
        data_dir: Folder of the datasets; None means the default.

    Raises:
        DataError: If one is missing.
    """
    match str(dataset["_target_"]).rpartition(".")[2], dict(dataset):
        case "KnownRatings", {"source": name, "variant": variant}:
            _require_known(name, variant, data_dir)
        case "CitationGraph", {"variant": variant}:
            _require_known("cora", variant, data_dir)
        case "OwnTable", {"path": str(path), **others}:
            own_files(path, others.get("test_path"), data_dir)


def _require_known(name: Any, variant: Any, data_dir: Path | None) -> None:
    if name in SOURCES and variant in SOURCES[name].variants:  # else the constructor says so
        require(SOURCES[name], variant, data_dir)
