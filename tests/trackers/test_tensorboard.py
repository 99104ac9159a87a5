"""TensorBoard gets the numbers of ``metrics.csv``: the calls with a stand-in, the files with the real package."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from recpoison.trackers.tensorboard import TensorBoardTracker


class Writer:
    """Stands in for torch's writer."""

    def __init__(self, folder: str) -> None:
        self.folder, self.scalars, self.texts, self.closed = folder, [], {}, False
        Writer.last = self

    def __enter__(self):
        return self

    def __exit__(self, *error: object) -> None:
        self.closed = True

    def add_scalar(self, name, value, step, *, new_style, double_precision):
        assert new_style
        assert double_precision
        self.scalars.append((name, step, value))

    def add_text(self, name, text):
        self.texts[name] = text


@pytest.fixture
def writer(monkeypatch):
    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    return Writer


def test_each_number_is_one_scalar(writer, record, numbers, tmp_path):
    TensorBoardTracker().log(record, tmp_path, ["attack=bad"])
    assert len(writer.last.scalars) == len(numbers)
    assert set(writer.last.scalars) == numbers
    assert writer.last.texts["parameters/attack"] == "bad"
    assert writer.last.texts["parameters/overrides"] == "attack=bad"
    assert writer.last.folder == str(tmp_path / "tensorboard")
    assert writer.last.closed


def test_in_a_folder_of_all_runs_each_has_its_own(writer, record):
    TensorBoardTracker("all").log(record, Path("outputs/2026-01-01/10-00-00-1"), [])
    assert writer.last.folder == str(Path("all/2026-01-01/10-00-00-1"))


def test_the_real_files_hold_the_numbers_exactly(record, numbers, tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install 'recpoison[tensorboard]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    TensorBoardTracker().log(record, tmp_path, ["attack=bad"])
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    names = [name for name in events.Tags()["tensors"] if not name.startswith("parameters/")]
    found = [(name, e.step, make_ndarray(e.tensor_proto).item()) for name in names for e in events.Tensors(name)]
    assert sorted(found) == sorted(numbers)
    [text] = events.Tensors("parameters/overrides/text_summary")
    assert make_ndarray(text.tensor_proto).item() == b"attack=bad"
