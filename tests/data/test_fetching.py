import gzip
import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from recpoison.data.fetching import fetch, sha256_of
from recpoison.data.provenance import Source, SourceFile, Variant
from recpoison.errors import DataError, OutputError

TABLE = b"1\t1\t3\n" * 50_000
DIGEST = hashlib.sha256(TABLE).hexdigest()


def packed(name: str = "ml/u.data") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ml/README", "hello")
        archive.writestr(name, TABLE)
    return buffer.getvalue()


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = {"/u.data": TABLE, "/cut.data": TABLE, "/ml.zip": packed(), "/half.zip": packed()[:80]}.get(self.path)
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.path == "/cut.data" else body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def source(*files: SourceFile) -> Source:
    return Source("toy", "Toy", "toy", files, {"only": Variant(tuple(file.name for file in files))}, "nobody", ask="us")


class Bytes:
    total = 0
    done = 0
    closed = False

    def update(self, step: int) -> None:
        self.done += step

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        self.closed = True


def test_a_plain_file_is_verified_and_put_in_place(tmp_path: Path, address: str):
    bar, toy = Bytes(), source(SourceFile("u.data", f"{address}/u.data", sha256=DIGEST))
    assert fetch(toy, tmp_path / "new", bar) == [tmp_path / "new" / "toy" / "u.data"]
    assert (tmp_path / "new" / "toy" / "u.data").read_bytes() == TABLE
    assert [path.name for path in (tmp_path / "new" / "toy").iterdir()] == ["u.data"]
    assert (bar.done, bar.total, bar.closed) == (len(TABLE), len(TABLE), True)
    assert fetch(toy, tmp_path / "new") == []


def test_a_packed_copy_is_as_good(tmp_path: Path, address: str):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "u.data.gz").write_bytes(gzip.compress(TABLE))
    assert fetch(source(SourceFile("u.data", f"{address}/u.data")), tmp_path) == []
    assert sha256_of(tmp_path / "toy" / "u.data.gz") == DIGEST


def test_a_zip_is_unpacked_and_its_own_hash_checked(tmp_path: Path, address: str):
    md5 = f"md5:{hashlib.md5(packed()).hexdigest()}"
    toy = source(SourceFile("u.data", f"{address}/ml.zip", "u.data", DIGEST, md5))
    fetch(toy, tmp_path)
    assert [path.name for path in (tmp_path / "toy").iterdir()] == ["u.data"]
    assert (tmp_path / "toy" / "u.data").read_bytes() == TABLE


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (SourceFile("u.data", "/u.data", sha256="0" * 64), r"gave a u.data with sha256 .* nothing was kept"),
        (SourceFile("u.data", "/ml.zip", "u.data", DIGEST, "md5:" + "0" * 32), r"ml.zip is not the file"),
        (SourceFile("u.data", "/cut.data"), r"cut.data could not be downloaded .*recpoison-data fetch toy"),
        (SourceFile("u.data", "/gone"), r"gone could not be downloaded \(HTTPError\)"),
        (SourceFile("u.data", "/ml.zip", "other.data"), r"ml.zip holds no other.data"),
        (SourceFile("u.data", "/half.zip", "u.data"), r"half.zip is no whole zip"),
    ],
)
def test_nothing_is_left_behind(tmp_path: Path, address: str, file: SourceFile, message: str):
    good = SourceFile("a.data", f"{address}/u.data", sha256=DIGEST)
    bad = SourceFile(file.name, f"{address}{file.address}", file.member, file.sha256, file.archive_hash)
    with pytest.raises(DataError, match=message):
        fetch(source(good, bad), tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "mine.txt").write_text("stays")
    with pytest.raises(DataError, match=message):
        fetch(source(good, bad), tmp_path)
    assert [path.name for path in (tmp_path / "toy").iterdir()] == ["mine.txt"]


def test_nobody_answers(tmp_path: Path):
    with pytest.raises(DataError, match=r"could not be downloaded \(ConnectionError\): check the connection"):
        fetch(source(SourceFile("u.data", "http://127.0.0.1:9/u.data")), tmp_path)


def test_no_address_and_no_folder(tmp_path: Path, address: str):
    with pytest.raises(DataError, match=r"toy cannot be fetched: us, then put its files in"):
        fetch(source(SourceFile("u.data")), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot be written to .*set data_dir to another folder"):
        fetch(source(SourceFile("u.data", f"{address}/u.data")), tmp_path / "file")
