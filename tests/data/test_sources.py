from pathlib import Path

import pytest

from recpoison.data.fetching import sha256_of
from recpoison.data.named import dataset_files
from recpoison.data.provenance import data_folder, find
from recpoison.data.sources import SOURCES


def test_every_source_has_a_yaml_and_can_be_had():
    for name, source in SOURCES.items():
        assert name in dataset_files()
        assert source.citation
        assert all(file.address or file.optional for file in source.files) or source.ask
        names = {file.name for file in source.files}
        for variant in source.variants.values():
            assert {*variant.files, variant.test, variant.negatives, variant.last} - {None} <= names
        assert all(len(file.sha256) == 64 for file in source.files if file.sha256)


@pytest.mark.data
@pytest.mark.parametrize("name", list(SOURCES))
def test_checksums_are_those_of_the_files(data_dir: Path, name: str):
    folder = data_dir / SOURCES[name].folder
    held = {file: find(folder, file.name) for file in SOURCES[name].files if file.sha256}
    if not any(held.values()):
        pytest.skip(f"no file of {name} with a known sha256 is in {folder}")
    for file, paths in held.items():
        assert [sha256_of(path) for path in paths] == [file.sha256]


def test_where_data_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RECPOISON_DATA", str(tmp_path / "b"))
    assert data_folder(tmp_path / "a") == tmp_path / "a"
    assert data_folder(None) == tmp_path / "b"
    monkeypatch.delenv("RECPOISON_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
    assert data_folder(None).name == "data"
    assert "recpoison" in data_folder(None).parts
    for name in ("mv_2.txt", "mv_1.txt", "u.data.gz"):
        (tmp_path / name).write_text("x")
    assert [path.name for path in find(tmp_path, "mv_*.txt")] == ["mv_1.txt", "mv_2.txt"]
    assert [path.name for path in find(tmp_path, "u.data")] == ["u.data.gz"]


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RECPOISON_DATA", "~/x")
    assert data_folder(None) == tmp_path / "x"
    assert data_folder(Path("~/y")) == tmp_path / "y"
