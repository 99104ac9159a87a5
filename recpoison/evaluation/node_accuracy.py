"""Accuracy of node classification, over several trainings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recpoison.data.arrays import save_arrays
from recpoison.data.graph import NodeGraph, NodeSplit
from recpoison.descriptions import identity
from recpoison.errors import ConfigError, DataError, IncompatibleParts
from recpoison.evaluation.base import Measure, check_metrics
from recpoison.evaluation.edges import GraphEvaluation
from recpoison.models.base import Fitted
from recpoison.progress import QUIET, Progress
from recpoison.ranges import ranged
from recpoison.seeds import Seeds

LABELS = ("Accuracy",)


@dataclass(frozen=True, eq=False)
class Classified:
    """Which test nodes a model got right.

    Args:
        nodes: ``(n,)`` test nodes.
        right: ``(retrainings, n)``.
    """

    nodes: np.ndarray
    right: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """By name."""
        return {"nodes": self.nodes, "right": self.right}

    def save(self, path: Path) -> None:
        """Write as npz."""
        save_arrays(self.arrays(), path)

    @staticmethod
    def load(path: Path) -> Classified:
        """Read what ``save`` wrote."""
        with np.load(path, allow_pickle=False) as file:
            return Classified(file["nodes"], file["right"])


@dataclass(frozen=True)
class NodeAccuracy(GraphEvaluation[Classified]):
    """The share of test nodes whose class is found, the mean over ``retrainings`` fits that differ in what they draw.

    Nodes are divided at random within each class, as Zügner and Günnemann do: some are ``labelled`` and learned from,
    some are set aside for ``validation``, the rest are test nodes. ``n`` is the number of test nodes.

    Args:
        metrics: Labels, in the order of the table: ``Accuracy``.
        labelled: Share of each class that is learned from, at least one node.
        validation: Share of each class that is set aside; nothing here looks at it.
        retrainings: Fits that are averaged; the first is the victim's own.

    Raises:
        ConfigError: If a value is unknown or out of range.

    Example:
        >>> edges = sp.csr_matrix(np.kron(np.eye(2), np.ones((4, 4))) - np.eye(8))  # two cliques
        >>> graph = NodeGraph(edges, sp.identity(8, format="csr"), np.repeat([0, 1], 4))
        >>> split = NodeAccuracy().divide(graph, Seeds(0))
        >>> len(split.train.labelled), len(split.test)
        (2, 6)
    """

    works_on = "graph"

    metrics: Sequence[str] = LABELS
    labelled: float = ranged(0.1, low=0.0, high=1, open_low=True, open_high=True)
    validation: float = ranged(0.1, low=0.0, high=1, open_high=True)
    retrainings: int = ranged(10, low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_metrics(self.metrics, LABELS)
        if self.validation >= 1 - self.labelled:
            raise ConfigError(
                f"evaluation.validation is {self.validation:g}: give a share that leaves test nodes beside "
                f"evaluation.labelled={self.labelled:g}"
            )
        if self.select_on != "last":
            raise ConfigError(
                f"evaluation.select_on is {self.select_on!r}, but node_accuracy chooses no epoch: give last"
            )

    def divide(self, loaded: NodeGraph, seeds: Seeds) -> NodeSplit:
        """Labelled, validation and test nodes, drawn within each class by the stream ``split``.

        Raises:
            DataError: If no test nodes are left.
        """
        rng = seeds.numpy("split")
        parts: tuple[list[np.ndarray], ...] = ([], [], [])
        for number in range(loaded.n_classes):
            nodes = rng.permutation(np.flatnonzero(loaded.labels == number))
            first = max(1, round(self.labelled * len(nodes)))
            second = first + round(self.validation * len(nodes))
            for part, chosen in zip(parts, np.split(nodes, [first, second]), strict=True):
                part.append(chosen)
        labelled, valid, test = (np.sort(np.concatenate(part)) for part in parts)
        if not len(test):
            raise DataError(f"all {loaded.n_nodes} nodes are labelled or set aside: lower evaluation.labelled")
        held_out = f"a random {1 - self.labelled - self.validation:.0%} of each class's nodes"
        if self.validation:
            held_out += f"; validation: a random {self.validation:.0%}"
        graph = NodeGraph(loaded.adjacency, loaded.features, loaded.labels, labelled)
        return NodeSplit(graph, test, valid, held_out)

    @property
    def divide_inputs(self) -> Any:
        """The shares."""
        return {"labelled": self.labelled, "validation": self.validation}

    @property
    def look_inputs(self) -> Any:
        """What was seen knows no metric."""
        return {name: value for name, value in identity(self).items() if name != "metrics"}

    def look(
        self,
        fitted: Fitted,
        split: Any,
        targets: np.ndarray,
        seeds: Seeds,
        device: torch.device,
        progress: Progress,
    ) -> Classified:
        """Ask the victim, and as many others of its kind, fitted on the same graph with other draws."""
        nodes = torch.from_numpy(split.test).to(device)
        classes = torch.from_numpy(split.train.labels[split.test]).to(device)
        right = []
        for number in range(self.retrainings):
            own = seeds.child("retraining", number)
            again = fitted if not number else fitted.model.fitted(fitted.data, own, device, QUIET)
            right.append((again.scores(nodes).argmax(dim=1) == classes).cpu().numpy())
            progress.step(number + 1, self.retrainings, accuracy=float(np.mean(right)))
        return Classified(split.test, np.stack(right))

    def read(self, path: Path) -> Classified:
        """Read back what ``look`` returned and ``save`` wrote."""
        return Classified.load(path)

    def measures(self, seen: Classified, clean: Classified | None = None) -> list[Measure]:
        """The numbers of a table; a unit is a test node."""
        shares = seen.right.mean(axis=0)
        return [Measure("node", "Accuracy", None, float(shares.mean()), len(shares), seen.nodes, shares)]

    def score(self, fitted: Fitted, held_out: Any, seeds: Seeds) -> float:
        """Never asked: ``select_on`` is always last.

        Raises:
            IncompatibleParts: Always.
        """
        raise IncompatibleParts("evaluation=node_accuracy cannot choose an epoch: give evaluation.select_on=last")

    @property
    def protocol(self) -> dict[str, str]:
        """What a reader must know to compare these numbers."""
        return {
            "nodes": f"{self.labelled:.0%} of each class learned from, the flips seen by both training and testing",
            "value": f"mean over {self.retrainings} fits that differ in what they draw",
            "epoch": "last",
        }
