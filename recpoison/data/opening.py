"""From a path that somebody named to the text of a table: packed or not, in any encoding, bounded in size."""

from __future__ import annotations

import bz2
import codecs
import errno
import gzip
import io
import lzma
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from recpoison.data.json_lines import as_csv, other_json
from recpoison.data.layout import Layout
from recpoison.data.recognising import HEAD, encoding_of, foreign, json_form, packing
from recpoison.errors import DataError, some_of
from recpoison.memory import available_memory

CHUNK = 1 << 20  # bytes taken at a time
LONGEST_LINE = 16 << 20  # bytes; a table's line is shorter, a broken file's may be its whole
DEEPEST = 3  # a gz in a zip is read, a packing for ever is not
TEXT_COST = 2  # bytes of memory that reading takes for a byte of text
ROW_COST = 64  # and for a row: its columns, and its ids as numbers
_BROKEN = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError)
_NO_TABLE = re.compile(r"(?i)(^|/)(__MACOSX/|\.|readme|licen[cs]e)|/$|\.(md|pdf|html?|py|png|jpe?g)$")


def open_table(path: Path, layout: Layout) -> tuple[bytes, Layout]:
    """The text of a table, and where its columns lie in that text.

    JSON lines become comma separated lines of the wanted columns, each in the place of its JSON line.

    Args:
        path: A file, packed or not; ``archive.zip/member`` is a file in a zip.
        layout: Where its columns lie.

    Returns:
        The text in UTF-8 without byte order mark, with a line feed at each line's end; the layout that fits it.

    Raises:
        DataError: If there is no such file, or it is broken, too large, no table or not in ``layout.encoding``.
    """
    with _opened(path) as stream:
        head = stream.peek(HEAD)[:HEAD]
        encoding = encoding_of(head, layout.encoding)
        form = json_form(head.decode(encoding, "ignore"))
        chunks = _decoded(path, stream, encoding)
        if form is None:
            return _line_feeds(_gathered(path, chunks)), layout
        if form != "lines":
            raise DataError(other_json(path, form))
        lines, layout = as_csv(path, _lines(chunks), layout)
        return _gathered(path, lines), layout


def read_bytes(path: Path, encoding: str = "utf-8") -> bytes:
    """The text of a file that is no JSON, as ``open_table`` returns it; see there for what is raised."""
    with _opened(path) as stream:
        encoding = encoding_of(stream.peek(HEAD), encoding)
        return _line_feeds(_gathered(path, _decoded(path, stream, encoding)))


def first_line(path: Path) -> str:
    """The first line of a file.

    Raises:
        DataError: If it cannot be read.
    """
    with _opened(path) as stream:
        return stream.readline(CHUNK).decode("utf-8", "replace")


def is_parquet(path: Path) -> bool:
    """Whether ``path`` is a parquet file or a folder of such.

    Raises:
        DataError: If it is a folder without one, or no file that can be read.
    """
    if path.is_dir():
        if not parts_of(path)[0].name.endswith(".parquet"):
            names = some_of([part.name for part in parts_of(path)])
            raise DataError(f"{path} is a folder without parquet files: give the path of one of {names}")
        return True
    with on_disk(path) as file:
        return file.read(4) == b"PAR1" and located(path)[1] is None


def parts_of(folder: Path) -> list[Path]:
    """The files below a folder in order, parquet files only if there are any; no hidden ones and no ``_SUCCESS``.

    Raises:
        DataError: If there is none.
    """
    files = [path for path in sorted(folder.rglob("*")) if not _hidden(path.relative_to(folder)) and path.is_file()]
    if not files:
        raise DataError(f"{folder} is a folder without files: give the path of a table")
    return [path for path in files if path.suffix == ".parquet"] or files


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def located(path: Path) -> tuple[Path, str | None]:
    """What lies on disk of ``path``, and the rest of it: the name of a member where it goes on inside a file."""
    for place in (path, *path.parents):
        if _exists(place):
            inside = place != path and not place.is_dir()
            return (place, path.relative_to(place).as_posix()) if inside else (path, None)
    return path, None


def is_there(path: Path) -> bool:
    """Whether ``path``, or the file that it goes into, exists."""
    place, member = located(path)
    return member is not None or _exists(place)


def _exists(place: Path) -> bool:
    try:
        return place.exists()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise DataError(f"{place} cannot be read ({error.strerror}): check the path and its permissions") from None


@contextmanager
def on_disk(path: Path) -> Iterator[io.BufferedReader]:
    """The file behind ``path``, its bytes as they are; a pipe or a device is refused before anything is read.

    Raises:
        DataError: If there is none or it cannot be read.
    """
    place, _ = located(path)
    try:
        about = place.stat()
        if not stat.S_ISREG(about.st_mode):
            kind = "a folder" if stat.S_ISDIR(about.st_mode) else "a pipe, socket or device"
            raise DataError(f"{path} is {kind}, no file: save the table to a file and give its path")
        if about.st_size == 0:  # /proc/kmsg too, which would wait for ever
            raise DataError(f"{path} is empty: fetch it again, or give a file with rows")
        with place.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise DataError(f"there is no file {path}: check the path") from None
    except OSError as error:
        if isinstance(error, _BROKEN):
            raise
        cause = error.strerror or error
        raise DataError(f"{path} cannot be read ({cause}): check the path and its permissions") from None


@contextmanager
def _opened(path: Path) -> Iterator[io.BufferedReader]:
    """The contents of ``path`` without any packing."""
    try:
        with on_disk(path) as file:
            stream, member = file, located(path)[1]
            for _ in range(DEEPEST):
                kind = packing(stream.peek(HEAD))
                if kind is None:
                    break
                stream = _unpacked(path, stream, kind, member)
                member = member if kind != "zip" else None
            if member is not None:
                raise DataError(f"{path} goes on after a file that is no zip: give the path of the file alone")
            head = stream.peek(HEAD)[:HEAD]
            if packing(head):
                raise DataError(f"{path} is packed more than {DEEPEST} times over: unpack it")
            if about := foreign(head):
                raise DataError(f"{path} is {about[0]}: {about[1]}")
            yield stream
    except _BROKEN as error:
        raise DataError(f"{path} is cut short or broken ({error}): delete it and fetch it again") from None
    except RuntimeError as error:  # zipfile's word for a password
        raise DataError(f"{path} cannot be unpacked ({error}): unpack it and give the table in it") from None


def _unpacked(path: Path, stream: IO[bytes], kind: str, member: str | None) -> io.BufferedReader:
    openers: dict[str, Callable[[IO[bytes]], Any]] = {
        "zip": lambda packed: _member(path, packed, member),
        "gz": lambda packed: gzip.GzipFile(fileobj=packed, mode="rb"),
        "xz": lzma.LZMAFile,
        "bz2": bz2.BZ2File,
    }
    return io.BufferedReader(openers[kind](stream), CHUNK)


def _member(path: Path, stream: IO[bytes], member: str | None) -> IO[bytes]:
    """The member of a zip that is asked for, or its only table."""
    if not stream.seekable():
        raise DataError(f"{path} is a packed zip: unpack it once")
    archive = zipfile.ZipFile(stream)
    names = archive.namelist()
    if "[Content_Types].xml" in names:
        raise DataError(f"{path} is an Excel workbook or another office document: save its table as csv")
    tables = [name for name in names if not _NO_TABLE.search(name)]
    if member is not None:
        if member not in names:
            raise DataError(f"{path}: the zip has no {member}; it has {some_of(tables)}: name one of these")
        return archive.open(member)
    if len(tables) != 1:
        archive_path = located(path)[0]
        wish = f"add the table's name to the path, such as dataset.path={archive_path}/{tables[0]}" if tables else ""
        raise DataError(
            f"{path} is a zip of {len(tables)} files ({some_of(tables)}): {wish or 'give one that holds a table'}"
        )
    return archive.open(tables[0])


def _decoded(path: Path, stream: IO[bytes], encoding: str) -> Iterator[bytes]:
    """The text in UTF-8, piece by piece, each looked at for what no table has."""
    decoder = codecs.getincrementaldecoder(encoding)()
    plain = codecs.lookup(encoding).name == "utf-8"
    lines, waiting = 1, 0
    while True:
        raw = stream.read(CHUNK)
        try:
            if plain and raw.isascii() and decoder.getstate()[0] == b"":
                chunk = raw
            else:
                chunk = decoder.decode(raw, final=not raw).encode()
        except UnicodeError as error:
            raise DataError(_undecodable(path, encoding, error, lines)) from None
        if b"\0" in chunk:
            line = lines + chunk.count(b"\n", 0, chunk.index(b"\0"))
            raise DataError(
                f"{path}, line {line}: a zero byte stands there, which no text has: fetch the file again, or set "
                "dataset.encoding (utf-16-le?)"
            )
        waiting = _unbroken(path, chunk, waiting, lines)
        lines += chunk.count(b"\n")
        yield chunk
        if not raw:
            return


def _unbroken(path: Path, chunk: bytes, waiting: int, line: int) -> int:
    """Bytes at the end of ``chunk`` (and ``waiting`` before it) that no line end follows yet."""
    ends = [place for place in (chunk.find(b"\n"), chunk.find(b"\r")) if place >= 0]
    if waiting + (min(ends) if ends else len(chunk)) > LONGEST_LINE:
        raise DataError(f"{path}, line {line}: it is over {LONGEST_LINE >> 20} MB long: give a table of shorter lines")
    return len(chunk) - 1 - max(chunk.rfind(b"\n"), chunk.rfind(b"\r")) if ends else waiting + len(chunk)


def _undecodable(path: Path, encoding: str, error: UnicodeError, line: int) -> str:
    where = ""
    if isinstance(error, UnicodeDecodeError):
        line += error.object.count(b"\n", 0, error.start)
        where = f" (byte 0x{error.object[error.start]:02x})"
    name = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8"}.get(encoding, encoding)
    other = "latin-1" if name == "UTF-8" else "utf-8"
    return (
        f"{path}, line {line}: the text is not {name}{where}: set dataset.encoding to what it was written in, "
        f"such as {other}"
    )


def _gathered(path: Path, chunks: Iterable[bytes]) -> bytes:
    """All pieces together, if free memory allows."""
    free, rows, whole = available_memory(), 0, io.BytesIO()
    for chunk in chunks:
        whole.write(chunk)
        rows += chunk.count(b"\n")
        if TEXT_COST * whole.tell() + ROW_COST * rows > free:
            raise DataError(
                f"{path} has more rows than free memory holds (over {rows:,} in {whole.tell() / 1e9:.1f} GB of text, "
                f"and {free / 1e9:.1f} GB free): give only the rows needed, or take a machine with more memory"
            )
    content = whole.getvalue()
    if not content or content.isspace():
        raise DataError(f"{path} is empty: fetch it again, or give a file with rows")
    return content


def _line_feeds(content: bytes) -> bytes:
    """``content`` with line feeds where its lines end in carriage returns; one within quotes is left alone."""
    if b"\r" in content and (b"\n" not in content or b'"' not in content):
        return re.sub(rb"\r(?!\n)", b"\n", content)
    return content


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines without their ends, across pieces."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
    yield rest
