"""What is known of a dataset's files: where they lie, where they come from, what must be found in them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from recpoison.data.layout import Layout
from recpoison.errors import DataError


@dataclass(frozen=True)
class SourceFile:
    """One file of a dataset's folder; ``name.gz`` beside it is as good.

    Args:
        name: Its name in the folder; may hold a wildcard where the source ships many.
        address: Where it is downloaded from; None where there is no such place.
        member: Its name inside the zip behind ``address``; None where the address is the file itself.
        sha256: Of the unpacked contents; None where we do not hold the official file.
        archive_hash: Of the zip, as its publisher prints it (``md5:...``).
        optional: Whether the dataset can be read without it.
    """

    name: str
    address: str | None = None
    member: str | None = None
    sha256: str | None = None
    archive_hash: str | None = None
    optional: bool = False


@dataclass(frozen=True)
class Variant:
    """One way to read a dataset.

    Args:
        files: Names of the files that hold the rows.
        form: ``delimited``, ``grouped``, ``netflix`` or ``graph``.
        counts: Users, items and rows that must come out of the files (nodes and edges of a graph); None if unknown.
        layout: Columns of a delimited file.
        test: The one of ``files`` that holds the test rows, where the source ships a split.
        negatives: File of given negatives.
        last: File that marks each user's last interaction, looked at where the rows have no time: a list of users and
            items, or ``test`` where that holds the last row of each user and nothing else.
    """

    files: tuple[str, ...]
    form: str = "delimited"
    counts: tuple[int, int, int] | None = None
    layout: Layout = field(default_factory=Layout)
    test: str | None = None
    negatives: str | None = None
    last: str | None = None


@dataclass(frozen=True)
class Source:
    """A dataset as the world knows it.

    Args:
        name: Its name in ``conf/dataset``.
        title: One line for lists.
        folder: Its folder below the data folder.
        files: All files that can be read or fetched.
        variants: Ways to read it, the default first.
        citation: Whom to cite.
        licence: What its terms say.
        ask: Where to get what cannot be downloaded.
    """

    name: str
    title: str
    folder: str
    files: tuple[SourceFile, ...]
    variants: dict[str, Variant] = field(hash=False)
    citation: str
    licence: str = "none stated by the source"
    ask: str = ""


def data_folder(data_dir: Path | None) -> Path:
    """``data_dir``, else ``$RECPOISON_DATA``, else ``data`` in the user's cache folder."""
    setting = data_dir if data_dir is not None else os.environ.get("RECPOISON_DATA")
    if not setting:
        return platformdirs.user_cache_path("recpoison") / "data"
    return Path(os.path.expanduser(setting))  # shells leave the ~ of data_dir=~/x alone


def find(folder: Path, name: str) -> list[Path]:
    """Files of ``folder`` that are ``name`` or ``name.gz``, in order; ``name`` may hold a wildcard."""
    if "*" in name:
        return sorted(folder.glob(name)) or sorted(folder.glob(f"{name}.gz"))
    return [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()][:1]


def require(source: Source, variant: str, data_dir: Path | None) -> list[Path]:
    """The files of a variant.

    Raises:
        DataError: If one is missing; names its address, the command that fetches it and the setting that finds it.
    """
    folder = data_folder(data_dir) / source.folder
    found = []
    for name in source.variants[variant].files:
        paths = find(folder, name)
        if not paths:
            raise DataError(_missing(source, name, folder))
        found += paths
    return found


def _missing(source: Source, name: str, folder: Path) -> str:
    file = next(file for file in source.files if file.name == name)
    get = (
        f"run `recpoison-data fetch {source.name}` (it reads {file.address})"
        if file.address
        else f"it cannot be downloaded ({source.ask}): put it there"
    )
    setting = f"set data_dir (or RECPOISON_DATA) to the folder that holds {source.folder}/"
    return f"{source.name} needs {name}, which is not in {folder}: {get}, or {setting}"
