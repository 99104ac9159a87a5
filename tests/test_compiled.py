"""Where numba keeps what it compiled."""

from pathlib import Path

from recpoison import compiled


def test_a_folder_of_the_users_own_is_left_alone(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    compiled.keep_compiled_code()
    assert compiled.os.environ["NUMBA_CACHE_DIR"] == str(tmp_path)


def test_the_first_place_that_can_be_written_is_taken(monkeypatch, tmp_path: Path):
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setattr(compiled, "_places", lambda: [tmp_path / "file", tmp_path / "folder"])
    compiled.keep_compiled_code()
    chosen = Path(compiled.os.environ["NUMBA_CACHE_DIR"])
    assert chosen.is_relative_to(tmp_path / "folder")
    assert chosen.is_dir()


def test_the_folder_changes_with_any_kernel(monkeypatch, tmp_path: Path):
    (tmp_path / "one.py").write_text("@njit\ndef one(): return 1\n")
    (tmp_path / "plain.py").write_text("x = 1\n")
    monkeypatch.setattr(compiled, "__file__", str(tmp_path / "compiled.py"))
    before = compiled._kernels()
    (tmp_path / "plain.py").write_text("x = 2\n")
    assert compiled._kernels() == before
    (tmp_path / "one.py").write_text("@njit\ndef one(): return 2\n")
    assert compiled._kernels() != before
