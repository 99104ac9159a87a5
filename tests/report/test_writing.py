from pathlib import Path

import pytest

from recpoison.errors import OutputError
from recpoison.report.writing import MANIFEST, write_file, write_report


def files_in(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()} - {MANIFEST}


def test_a_new_report_removes_what_the_old_one_left_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "mine.png").write_bytes(b"mine")
    write_report(tmp_path, {"a.csv": b"1", "figures/old.png": b"old", "figures/edited.png": b"old"})
    (tmp_path / "figures" / "edited.png").write_bytes(b"by hand")
    write_report(tmp_path, {"a.csv": b"2", "figures/new.png": b"new"})
    assert files_in(tmp_path) == {"mine.png", "a.csv", "figures/new.png", "figures/edited.png"}
    assert (tmp_path / "a.csv").read_bytes() == b"2"


def test_an_empty_folder_of_figures_goes_too(tmp_path: Path) -> None:
    write_report(tmp_path, {"figures/old.png": b"old"})
    write_report(tmp_path, {"a.csv": b"1"})
    assert not (tmp_path / "figures").exists()


@pytest.mark.parametrize("manifest", ["not json", "[1]", '{"../outside": "x"}'])
def test_a_manifest_that_is_none_of_ours_removes_nothing(tmp_path: Path, manifest: str) -> None:
    (tmp_path / "outside").write_bytes(b"x")
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / MANIFEST).write_text(manifest)
    write_report(folder, {"a.csv": b"1"})
    assert (tmp_path / "outside").exists()
    assert files_in(folder) == {"a.csv"}


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file/a.csv cannot be written"):
        write_file(tmp_path / "file" / "a.csv", b"1")
