"""Named arrays as npz files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def save_arrays(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Write ``arrays`` compressed under their names, whole or not at all."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        with draft.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the keywords for its flag
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
