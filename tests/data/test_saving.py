"""What the store keeps of a split."""

from pathlib import Path

import numpy as np
import pytest

from recpoison.data.interactions import Interactions, Scale
from recpoison.data.saving import load_split, save_split
from recpoison.data.splitting import Split


def table(items: list[int], scale: Scale | None = None) -> Interactions:
    labels = np.array(["é", "b"])
    return Interactions(np.array([0, 1]), np.array(items), np.ones(2), 2, 3, scale, np.array([1.0, 2.0]), labels)


@pytest.mark.parametrize(
    "notes", [(), ("3 rows are 2: “merged”", "", "a much longer note, for the width of the array")]
)
def test_a_split_comes_back_as_it_was(tmp_path: Path, notes: tuple[str, ...]):
    split = Split(table([0, 1]), table([1, 2]), table([2, 0]), np.array([[0], [1]]), "each user’s last row", notes)
    save_split(split, tmp_path / "split.npz")
    back = load_split(tmp_path / "split.npz")
    assert back.fingerprint == split.fingerprint
    assert (back.held_out, back.notes) == (split.held_out, notes)
    assert back.train.user_labels.tolist() == ["é", "b"]
    assert back.train.times.tolist() == [1, 2]


def test_without_validation_and_negatives(tmp_path: Path):
    save_split(Split(table([0, 1], Scale(1, 5)), table([1, 2])), tmp_path / "split.npz")
    back = load_split(tmp_path / "split.npz")
    assert (back.valid, back.negatives, back.train.scale) == (None, None, Scale(1, 5, 1))
