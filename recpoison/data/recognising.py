"""What a file is, by its first bytes and whatever its name."""

from __future__ import annotations

import codecs
import re

HEAD = 512  # bytes that are looked at

PACKED = {b"\x1f\x8b": "gz", b"\xfd7zXZ\x00": "xz", b"BZh": "bz2", b"PK\x03\x04": "zip", b"PK\x05\x06": "zip"}
# what cannot be read, and how it becomes a table
_FOREIGN = (
    (b"\x28\xb5\x2f\xfd", "packed with zstd", "unpack it with `zstd -d`"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it and give the table in it"),
    (b"Rar!\x1a\x07", "a rar archive", "unpack it and give the table in it"),
    (b"SQLite format 3\x00", "an SQLite database", "export its table as csv"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "save its table as csv or parquet"),
    (b"ARROW1\x00\x00", "a feather file", "save it as parquet or csv"),
    (b"Obj\x01", "an Avro file", "save it as parquet or csv"),
    (b"ORC", "an ORC file", "save it as parquet or csv"),
    (b"\x93NUMPY", "a numpy array", "save it as csv"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook", "save its sheet as csv"),
    (b"%PDF-", "a PDF document", "give a table as csv"),
)
_PICKLE = re.compile(rb"\x80[\x02-\x05]")  # protocol 2 to 5
_PAGE = re.compile(rb"\s*<(!doctype|html|\?xml)", re.IGNORECASE)
_BOMS = (  # the longer ones first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def packing(head: bytes) -> str | None:
    """``gz``, ``xz``, ``bz2`` or ``zip``; None for what is not packed."""
    return next((name for mark, name in PACKED.items() if head.startswith(mark)), None)


def encoding_of(head: bytes, given: str) -> str:
    """The encoding that a byte order mark states, else the one given."""
    return next((name for mark, name in _BOMS if head.startswith(mark)), given)


def is_encoding(name: str) -> bool:
    """Whether text can be written in the encoding ``name``."""
    try:
        "1".encode(name)
        return codecs.getincrementaldecoder(name) is not None
    except (LookupError, UnicodeError, ValueError, TypeError):
        return False


def foreign(head: bytes) -> tuple[str, str] | None:
    """What a file is that holds no table we read, and what to do with it; None for others."""
    if head[257:262] == b"ustar":
        return "a tar archive", "unpack it with `tar -xf` and give the table in it"
    if _PICKLE.match(head) and b"\n" not in head[:2]:
        return "a pickle", "save its table as csv or parquet (nothing is unpickled here)"
    if _PAGE.match(head):
        return "a web page or XML", "download the table itself, or save it as csv"
    return next(((what, remedy) for mark, what, remedy in _FOREIGN if head.startswith(mark)), None)


def json_form(text: str) -> str | None:
    """``lines`` or ``array`` of JSON, ``python`` for its look-alike; None for what is no JSON."""
    text = text.lstrip()
    if re.match(r"\{\s*(\"|\}|$)", text):
        return "lines"
    if re.match(r"\{\s*'", text):
        return "python"
    return "array" if re.match(r"\[\s*([\[{]|$)", text) else None
