"""From a path to the text of a table; the small files are those that users sent (``tests/data/opening``)."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from recpoison.data import opening
from recpoison.data.layout import Layout
from recpoison.data.named import build_dataset
from recpoison.data.opening import is_parquet, open_table, read_bytes
from recpoison.data.ratings import digest
from recpoison.errors import ConfigError, DataError
from recpoison.progress import Progress
from recpoison.seeds import Seeds

TEXT = "user,item,rating\n1,1,3\n1,2,4\n2,2,5\n"
SENT = Path(__file__).parent / "opening"
LAYOUT = Layout(",", True, "user", "item", "rating")
RATINGS = ("rating=rating", "low=1", "high=5")


def counts(path: Path | str, *overrides: str) -> tuple[int, int, int]:
    data = build_dataset("csv", (f"path={path}", *overrides)).read(None, Seeds(0), Progress())
    return data.n_users, data.n_items, len(data)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def tarred(content: bytes) -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        about = tarfile.TarInfo("ratings.csv")
        about.size = len(content)
        archive.addfile(about, io.BytesIO(content))
    return whole.getvalue()


@pytest.mark.parametrize(
    "name",
    [
        "gz_named.csv",
        "plain_named.csv.gz",
        "ratings.csv.xz",
        "ratings.zip",
        "ratings.zip/ratings.csv",
        "utf16.csv",
        "mac.csv",
    ],
)
def test_files_of_users_are_read_whatever_their_name(name: str):
    assert counts(SENT / name, *RATINGS) == (6, 10, 36)


def test_latin_1_is_a_setting_that_the_refusal_names():
    books = ("user=User-ID", "item=ISBN")
    with pytest.raises(DataError, match=r"BX-latin1.csv, line 9: .* not UTF-8 .*dataset.encoding.*latin-1"):
        counts(SENT / "BX-latin1.csv", *books)
    assert counts(SENT / "BX-latin1.csv", *books, "encoding=latin-1") == (6, 10, 36)
    with pytest.raises(ConfigError, match=r"dataset.encoding is 'klingon': give utf-8, latin-1"):
        counts(SENT / "mac.csv", "encoding=klingon")
    for name in ("rot13", "hex", "zlib"):  # codecs that are no encoding of text
        with pytest.raises(ConfigError, match=r"dataset.encoding"):
            counts(SENT / "mac.csv", f"encoding={name}")


def test_a_text_longer_than_pythons_csv_limit_is_read(tmp_path: Path):
    text = "user,item,stars,text\n" + f'1,1,3,"{"good, " * 40_000}"\n1,2,4,short\n'
    path = write(tmp_path / "long.csv", text.encode())
    assert counts(path, "rating=stars", "low=1", "high=5") == (1, 2, 2)
    with pytest.raises(DataError, match=r"line 3: the rating is 4, but the scale runs from 1 to 3"):
        counts(path, "rating=stars", "low=1", "high=3")


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_packed_and_encoded_at_once(tmp_path: Path, pack, encoding: str):
    path = write(tmp_path / "ratings", pack(TEXT.replace("1,1", "é,1").encode(encoding)))
    content, layout = open_table(path, LAYOUT)
    assert content == TEXT.replace("1,1", "é,1").encode()
    assert layout == LAYOUT


def test_letters_cut_by_the_end_of_a_piece_stay_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(opening, "CHUNK", 5)
    text = "user,item\nMüller,é€𝄞\r\nä,ö\r\n"
    for encoding in ("utf-8", "utf-16"):
        assert read_bytes(write(tmp_path / encoding, text.encode(encoding))).decode() == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\rc,d\r", "a,b\nc,d\n"),
        ('a,"b"\rc,d\r', 'a,"b"\nc,d\n'),
        ("a,b\r\nc,d\re,f\n", "a,b\r\nc,d\ne,f\n"),
        ('a,"b\rc"\nd,e\n', 'a,"b\rc"\nd,e\n'),  # a letter of the text, not the end of a line
    ],
)
def test_line_ends(tmp_path: Path, text: str, expected: str):
    assert read_bytes(write(tmp_path / "a.csv", text.encode())) == expected.encode()


def test_a_zip_of_several_files_says_how_to_choose(tmp_path: Path):
    path = zipped(
        tmp_path / "ml.zip", **{"ml/README.txt": b"hello", "ml/ratings.csv": TEXT.encode(), "ml/movies.csv": b"a,b\n"}
    )
    with pytest.raises(DataError) as caught:
        counts(path, *RATINGS)
    assert "a zip of 2 files (ml/ratings.csv, ml/movies.csv): add the table's name to the path" in str(caught.value)
    assert str(caught.value).endswith(f"such as dataset.path={path}/ml/ratings.csv")
    assert counts(path / "ml" / "ratings.csv", *RATINGS) == (2, 2, 3)
    with pytest.raises(DataError, match=r"the zip has no ml/links.csv; it has ml/ratings.csv, ml/movies.csv"):
        counts(path / "ml" / "links.csv")
    assert digest([path / "ml" / "ratings.csv"]) != digest([path / "ml" / "movies.csv"])
    one = zipped(
        tmp_path / "one.zip",
        **{"README.md": b"x", "a/": b"", "__MACOSX/a/._b": b"x", "a/b.gz": gzip.compress(TEXT.encode(), mtime=0)},
    )
    assert counts(one, *RATINGS) == (2, 2, 3)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x28\xb5\x2f\xfd\0\0", r"is packed with zstd: unpack it with `zstd -d`"),
        (gzip.compress(tarred(TEXT.encode()), mtime=0), r"is a tar archive: unpack it with `tar -xf`"),
        (b"SQLite format 3\0" + bytes(100), r"is an SQLite database: export its table as csv"),
        (b"\x80\x04\x95\x10\0\0\0", r"is a pickle: .*nothing is unpickled"),
        (b"\n<!DOCTYPE html><html>", r"is a web page or XML: download the table itself"),
        (b'[\n  {"user": 1, "item": 2}\n]', r"is a JSON array: make JSON lines of it with `jq -c '\.\[\]' what`"),
        (b'[{"user": 1}]', r"is a JSON array"),
        (b"{'reviewerID': 'A1', 'asin': 'B1'}\n", r"Python dictionaries in single quotes.*json.dumps"),
        (b"user,item\n1,2\n1,\0\0\n", r"line 3: a zero byte stands there"),
        (TEXT.encode("utf-16-le"), r"line 1: a zero byte .*dataset.encoding \(utf-16-le\?\)"),
        (gzip.compress(TEXT.encode() * 100, mtime=0)[:40], r"is cut short or broken .*fetch it again"),
        (lzma.compress(TEXT.encode())[:-20], r"is cut short or broken .*fetch it again"),
        (b"PK\x03\x04" + bytes(40), r"is cut short or broken .*fetch it again"),
        (b" \n\n", r"is empty"),
        (gzip.compress(b"", mtime=0), r"is empty"),
    ],
)
def test_what_is_no_table_is_named_with_a_remedy(tmp_path: Path, content: bytes, words: str):
    path = write(tmp_path / "what", content)
    with pytest.raises(DataError, match=words) as caught:
        open_table(path, LAYOUT)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_utf_16_without_a_mark_is_read_with_the_setting(tmp_path: Path):
    assert counts(write(tmp_path / "a.csv", TEXT.encode("utf-16-le")), "encoding=utf-16-le", *RATINGS) == (2, 2, 3)


def test_bytes_of_a_file_do_not_reach_the_terminal(tmp_path: Path):
    path = write(tmp_path / "a.csv", b"\x1b]0;owned\x07\x1b[2J,item\x9c\n1,2\n")
    with pytest.raises(DataError) as caught:
        counts(path, "encoding=latin-1")
    assert str(caught.value).isprintable()
    assert r"\x1b[2J" in str(caught.value)


def test_a_list_of_columns_is_bounded(tmp_path: Path):
    path = write(tmp_path / "wide.csv", b",".join(b"%d" % n + b"x" * 1000 for n in range(500)) + b"\n")
    with pytest.raises(DataError, match=r"set dataset.user to one of 0x.* and 488 more$") as caught:
        counts(path)
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize("packed", [False, True])
def test_expansion_is_counted_against_free_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool):
    text = b"user,item\n" + b"1,1\n" * 2_000_000
    path = write(tmp_path / "a.csv", gzip.compress(text, 1, mtime=0) if packed else text)
    monkeypatch.setattr(opening, "available_memory", lambda: 2 * len(text) + 64 * 2_000_001)
    assert len(read_bytes(path)) == len(text)
    monkeypatch.setattr(opening, "available_memory", lambda: 2 * len(text) + 64 * 2_000_001 - 1)
    with pytest.raises(
        DataError, match=r"a\.csv has more rows than free memory holds \(over 2,000,001 in 0\.0 GB .* give only"
    ):
        read_bytes(path)


def test_a_line_has_a_bound(tmp_path: Path):
    fits = b"user,item\n1," + b"x" * (opening.LONGEST_LINE - 2) + b"\n"
    assert read_bytes(write(tmp_path / "fits.csv", fits)) == fits
    with pytest.raises(DataError, match=r"long.csv, line 2: it is over 16 MB long"):
        read_bytes(write(tmp_path / "long.csv", b"user,item\n1," + b"x" * opening.LONGEST_LINE + b"\n"))
    with pytest.raises(DataError, match=r"zeros, line 1: a zero byte"):
        read_bytes(write(tmp_path / "zeros", gzip.compress(bytes(100 << 20), mtime=0)))


def test_packed_for_ever_is_refused(tmp_path: Path):
    content = TEXT.encode()
    for _ in range(3):
        content = gzip.compress(content, mtime=0)
    assert read_bytes(write(tmp_path / "a.gz", content)) == TEXT.encode()
    with pytest.raises(DataError, match=r"packed more than 3 times over"):
        read_bytes(write(tmp_path / "a.gz", gzip.compress(content, mtime=0)))


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(DataError, match=r"is a pipe, socket or device, no file: save the table to a file"):
            counts(path)
    with pytest.raises(DataError, match=r"there is no file .*a.csv/b, here or in"):
        counts(tmp_path / "a.csv" / "b")
    with pytest.raises(DataError, match=r"a.csv/b goes on after a file that is no zip"):
        counts(write(tmp_path / "a.csv", TEXT.encode()) / "b")


@pytest.mark.skipif(not Path("/proc/kmsg").exists(), reason="no /proc/kmsg here")
def test_the_kernels_messages_are_not_waited_for():
    with pytest.raises(DataError, match=r"/proc/kmsg is empty"):
        counts("/proc/kmsg")


def test_a_folder_is_named_with_what_is_in_it(tmp_path: Path):
    with pytest.raises(DataError, match=r"is a folder without files"):
        is_parquet(tmp_path)
    write(tmp_path / "part-0.csv", TEXT.encode())
    write(tmp_path / "_SUCCESS", b"")
    with pytest.raises(DataError, match=r"is a folder without parquet files: give the path of one of part-0.csv$"):
        counts(tmp_path)
