"""Node accuracy: how nodes are divided, and what is counted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recpoison.attacks.nodes.metattack import Metattack
from recpoison.data.dataset import GraphDataset
from recpoison.data.graph import NodeGraph, NodeSplit
from recpoison.data.graphs import CitationGraph
from recpoison.errors import ConfigError
from recpoison.evaluation.node_accuracy import Classified, NodeAccuracy
from recpoison.experiment import run
from recpoison.models.base import Fitted
from recpoison.models.gcn import GCN
from recpoison.parts import Parts
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from tests.small_graph import two_blocks

CPU = torch.device("cpu")


def test_each_class_is_divided_alike_and_no_node_twice() -> None:
    split = NodeAccuracy(labelled=0.2, validation=0.1).divide(two_blocks(40), Seeds(3))
    parts = [split.train.labelled, split.valid, split.test]
    assert [np.bincount(split.train.labels[part]).tolist() for part in parts] == [[4, 4], [2, 2], [14, 14]]
    assert sorted(np.concatenate(parts).tolist()) == list(range(40))
    assert NodeAccuracy(labelled=0.001).divide(two_blocks(40), Seeds(0)).train.labelled.shape == (2,), "one a class"


def test_a_split_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    split = NodeAccuracy().divide(two_blocks(), Seeds(1))
    split.save(tmp_path / "split.npz")
    assert NodeSplit.load(tmp_path / "split.npz").fingerprint == split.fingerprint
    assert NodeAccuracy().divide(two_blocks(), Seeds(2)).fingerprint != split.fingerprint


def test_the_mean_is_over_nodes_and_fits() -> None:
    right = np.array([[True, True, False, False], [True, False, False, False]])
    (measure,) = NodeAccuracy().measures(Classified(np.array([3, 5, 6, 9]), right))
    assert (measure.subject, measure.metric, measure.value, measure.n) == ("node", "Accuracy", 3 / 8, 4)
    assert measure.per_unit.tolist() == [1, 0.5, 0, 0]


def test_retrainings_differ_and_the_first_is_the_victim() -> None:
    evaluation, model = NodeAccuracy(retrainings=3), GCN(steps=3)
    split = evaluation.divide(two_blocks(), Seeds(0))
    fitted = Fitted(model, model.fit(split.train, Seeds(0), CPU, Progress()), split.train)
    seen = evaluation.look(fitted, split, np.zeros(0), Seeds(0), CPU, Progress())
    own = fitted.scores(torch.from_numpy(split.test)).argmax(1).numpy() == split.train.labels[split.test]
    assert np.array_equal(seen.right[0], own)
    assert len({row.tobytes() for row in seen.right}) > 1


@pytest.mark.parametrize("change", [{"labelled": 0.3}, {"validation": 0.4}, {"retrainings": 2}])
def test_every_setting_counts(change: dict[str, float]) -> None:
    def value(evaluation: NodeAccuracy) -> tuple[int, ...]:
        split, model = evaluation.divide(two_blocks(), Seeds(0)), GCN(steps=2)
        fitted = Fitted(model, model.fit(split.train, Seeds(0), CPU, Progress()), split.train)
        return (*evaluation.look(fitted, split, np.zeros(0), Seeds(0), CPU, Progress()).right.shape, len(split.valid))

    assert value(NodeAccuracy(retrainings=1)) != value(replace(NodeAccuracy(retrainings=1), **change))


def test_what_cannot_count_says_so() -> None:
    parts = Parts(CitationGraph("cora"), GCN(), Metattack(), evaluation=NodeAccuracy())
    told = {"select_on", "select_every", "curve_epochs", "curve_steps", "curve_epsilons"}
    assert set(parts.idle) == {f"evaluation.{name}" for name in told}
    unflipped = Parts(CitationGraph("cora"), GCN(), evaluation=NodeAccuracy())
    assert set(unflipped.idle) == {f"evaluation.{name}" for name in {*told, "curve_flips"}}


@pytest.mark.parametrize(
    "settings",
    [{"labelled": 0.0}, {"validation": 0.95}, {"retrainings": 0}, {"select_on": "test"}, {"curve_flips": 0}],
)
def test_values_out_of_range_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"evaluation.{next(iter(settings))} is"):
        NodeAccuracy(**settings)


@dataclass(frozen=True)
class Blocks(GraphDataset):
    """Two blocks of forty nodes."""

    name: str = "blocks"

    def load(self, data_dir: Path | None, seeds: Seeds, progress: Progress) -> NodeGraph:
        return two_blocks()

    def fingerprint(self, data_dir: Path | None) -> str:
        return two_blocks().fingerprint


def test_a_whole_run_on_a_graph() -> None:
    """A graph has no users: nothing is told of what a defense thought of them."""
    attack = Metattack(n_flips=20, steps=5, hidden=4)
    record = run(Parts(Blocks(), GCN(hidden=4, steps=60), attack, evaluation=NodeAccuracy(retrainings=3)))
    found = record.metrics()
    assert set(found.subject) == {"node"}
    assert set(found.attack) == {"none", "Metattack"}
    accuracy = found[found.metric == "Accuracy"].groupby("attack").value.mean()
    assert accuracy["Metattack"] < accuracy["none"]
