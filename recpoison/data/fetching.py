"""Downloads of known datasets: verified before they are put in place, whole or not at all."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from recpoison.data.provenance import Source, SourceFile, find
from recpoison.errors import DataError, OutputError


class Bar(Protocol):
    """What a download tells of its progress, in bytes."""

    total: int

    def update(self, step: int) -> None:
        """``step`` bytes more."""

    def reset(self) -> None:
        """Start again from 0."""

    def close(self) -> None:
        """The download is over."""


def sha256_of(path: Path) -> str:
    """sha256 of the contents, unpacked if the name ends in ``.gz``."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(source: Source, root: Path, bar: Bar | None = None) -> list[Path]:
    """Download what is missing of ``source`` into its folder below ``root``.

    Everything is downloaded, unpacked and verified in a scratch folder first, then renamed into place.

    Args:
        source: What to fetch.
        root: The data folder.
        bar: Hears about progress.

    Returns:
        The files that were put in place; none if all were there.

    Raises:
        DataError: If there is no address, the download fails, or what came is not what was expected.
        OutputError: If the folder cannot be written to.
    """
    folder = root / source.folder
    wanted = [file for file in source.files if file.address and not find(folder, file.name)]
    if not any(file.address for file in source.files):
        raise DataError(f"{source.name} cannot be fetched: {source.ask}, then put its files in {folder}")
    if not wanted:
        return []
    created = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".fetch-", dir=folder) as scratch:
            staged = _stage(source, wanted, Path(scratch), bar)
            for name, path in staged.items():
                os.replace(path, folder / name)
        return [folder / name for name in staged]
    except OSError as error:
        raise OutputError(f"{folder} cannot be written to ({error.strerror}): set data_dir to another folder") from None
    finally:
        for path in created:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()


def _stage(source: Source, wanted: list[SourceFile], scratch: Path, bar: Bar | None) -> dict[str, Path]:
    staged: dict[str, Path] = {}
    downloads: dict[str, Path] = {}
    for file in wanted:
        assert file.address is not None
        if file.address not in downloads:
            downloads[file.address] = _download(source, file, scratch / f"{len(downloads)}.download", bar)
        path = scratch / file.name
        if file.member:
            _unpack(downloads[file.address], file, path)
        else:
            path = downloads[file.address]
        if file.sha256 and (digest := sha256_of(path)) != file.sha256:
            raise DataError(
                f"{file.address} gave a {file.name} with sha256 {digest}, but {file.sha256} is expected: "
                f"nothing was kept; the source has changed, or the download was tampered with"
            )
        staged[file.name] = path
    return staged


def _download(source: Source, file: SourceFile, path: Path, bar: Bar | None) -> Path:
    import pooch  # slow to import
    import requests

    loader = pooch.HTTPDownloader(progressbar=bar or False, chunk_size=1 << 16, timeout=30)
    try:
        pooch.retrieve(file.address, file.archive_hash, fname=path.name, path=path.parent, downloader=loader)
    except requests.RequestException as error:
        raise DataError(
            f"{file.address} could not be downloaded ({type(error).__name__}): check the connection and run "
            f"`recpoison-data fetch {source.name}` again, or put {file.name} in {source.folder}/ by hand"
        ) from None
    except ValueError as error:
        raise DataError(f"{file.address} is not the file that was published ({error}): nothing was kept") from None
    return path


def _unpack(archive: Path, file: SourceFile, path: Path) -> None:
    """Take ``file.member`` out of a zip, in whatever folder it lies."""
    assert file.member is not None
    base = file.member.rsplit("/", 1)[-1]
    try:
        with zipfile.ZipFile(archive) as packed:
            names = [name for name in packed.namelist() if name.rsplit("/", 1)[-1] == base and "__MACOSX" not in name]
            if not names:
                raise DataError(f"{file.address} holds no {base}: nothing was kept; the source has changed")
            with packed.open(names[0]) as content, path.open("wb") as target:
                shutil.copyfileobj(content, target)
    except zipfile.BadZipFile as error:
        raise DataError(f"{file.address} is no whole zip ({error}): nothing was kept; fetch it again") from None
