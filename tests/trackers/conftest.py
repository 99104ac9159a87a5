"""A run with a number that single precision cannot hold, and a metric without a cutoff."""

import numpy as np
import pytest

from recpoison.evaluation.base import Measure
from recpoison.records import Cell, CellResult, Cost, RunRecord


class Seen:
    def arrays(self) -> dict[str, np.ndarray]:
        return {"lists": np.array([[3, 1]])}


def result(attack: str, seed: int, hits: float) -> CellResult:
    measures = [Measure("target", "HR", 10, hits, 4), Measure("test", "AUC", None, 0.5 + seed, 4)]
    return CellResult(Cell("toy", "mf", attack, "none", seed), measures, Seen(), None)


@pytest.fixture
def record() -> RunRecord:
    results = [result("none", 3, 1 / 3), result("bad", 3, 0.1), result("none", 4, 0.7), result("bad", 4, 0.2)]
    return RunRecord(results, [Cost("fit", "none/none", 3, 1.5, 100.0, False)], {"ties": "against"})


@pytest.fixture
def numbers() -> set[tuple[str, int, float]]:
    """The rows of that run by hand: name, seed, value."""
    return {
        ("target/HR@10/none/none", 3, 1 / 3),
        ("target/HR@10/bad/none", 3, 0.1),
        ("target/HR@10/none/none", 4, 0.7),
        ("target/HR@10/bad/none", 4, 0.2),
        ("test/AUC/none/none", 3, 3.5),
        ("test/AUC/bad/none", 3, 3.5),
        ("test/AUC/none/none", 4, 4.5),
        ("test/AUC/bad/none", 4, 4.5),
    }
