"""Whether a user and an item are an edge: accuracy, AUROC and log loss on labelled pairs (the meta-gradient report)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from recpoison.attacks.base import Attack
from recpoison.data.interactions import Edges, Interactions, LabelledEdges
from recpoison.data.splitting import Split
from recpoison.descriptions import identity
from recpoison.errors import ConfigError, IncompatibleParts, UserError
from recpoison.evaluation.base import Measure, check_metrics
from recpoison.evaluation.edges import GraphEvaluation
from recpoison.evaluation.judged_edges import LABELS, JudgedEdges, measure
from recpoison.idle import Together
from recpoison.models.base import Fitted, Model
from recpoison.models.edge_learner import EdgeLearner
from recpoison.progress import Progress
from recpoison.ranges import ranged
from recpoison.seeds import Seeds

_BLOCK = 1 << 18  # pairs asked for at a time


@dataclass(frozen=True, kw_only=True)
class LinkPrediction(GraphEvaluation[JudgedEdges]):
    """Tells edges from sampled zeros (the meta-gradient report, chapters 3 and 4).

    All rows of the dataset are edges, and so many zeros are drawn, evenly and without replacement, among the pairs that
    are no rows: the two signs of one fixed set, drawn once a seed. Of both a share is held out; repeats of a pair stay
    together, and are counted once where they are held out. The report does not say how it divides; 80 to 20 is ours.

    - ``Accuracy``: pairs on the right side of probability one half; a half is no edge.
    - ``AUROC``: share of (edge, zero) pairs in order, ties counting half.
    - ``LogLoss``: mean over pairs of minus the natural logarithm of the probability of the label.

    Args:
        zeros: Zeros to draw; None draws as many as there are distinct pairs among the rows.
        unseen: Share of the distinct pairs, and of the zeros, that is held out; 0 trains on all.
        edges: Which pairs are measured: ``unseen`` or ``train``.
        perturbed: Whether training pairs that an attack flipped are measured: ``excluded``, or ``included`` with the
            label that the attack gave them.
        metrics: Labels, in the order of the table.

    Raises:
        ConfigError: If a value is unknown or out of range.

    Example:
        >>> blocks = Planted("planted", n_users=4).load_whole(None, Seeds(0), Progress())  # 8 pairs of 20
        >>> split = LinkPrediction(zeros=6, unseen=0.5).divide(blocks, Seeds(0))
        >>> len(split.train), len(split.train.zeros.users), len(split.test), len(split.test.zeros.users)
        (4, 3, 4, 3)
    """

    divides_edges: ClassVar[bool] = True

    zeros: int | None = ranged(None, low=1, null="as many as pairs")
    unseen: float = ranged(0.2, low=0.0, high=1, open_high=True)
    edges: str = ranged("unseen", words=("unseen", "train"))
    perturbed: str = ranged("excluded", words=("excluded", "included"))
    metrics: Sequence[str] = LABELS

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.edges == "unseen" and not self.unseen:
            raise ConfigError(
                "evaluation.edges is unseen, but evaluation.unseen=0 holds nothing out: raise it, or set "
                "evaluation.edges=train"
            )
        if self.select_on != "last":
            raise ConfigError(
                f"evaluation.select_on is {self.select_on!r}, but a model takes a fixed number of full-batch steps, "
                "and no pairs are set aside to choose one by: give last"
            )
        check_metrics(self.metrics, LABELS)

    def idle(self, parts: Together) -> dict[str, str]:
        """What becomes of perturbed pairs, where none are measured."""
        found = super().idle(parts)
        if self.edges == "unseen":
            return found | {"perturbed": "edges is unseen, and attacks flip training pairs alone"}
        if not parts.attack.flips:
            return found | {"perturbed": f"{type(parts.attack).__name__} flips no edges"}
        return found

    def check_parts(self, model: Model, attack: Attack) -> None:
        """Refuse a model that gives pairs no probabilities, and an attack on what such a model is not trained by.

        Raises:
            IncompatibleParts: Naming what fits.
        """
        if not isinstance(model, EdgeLearner):
            raise IncompatibleParts(
                f"evaluation=link_prediction asks whether pairs are edges, and {type(model).__name__} does not learn "
                "that: choose model=cf, gmf, neumf or lightgcn"
            )
        if attack.perturbs:
            raise IncompatibleParts(
                f"{type(attack).__name__} shifts embeddings along a loss of ranking, and evaluation=link_prediction "
                "fits labelled pairs: choose attack=meta_attack or random_edges, or evaluation=full_ranking"
            )
        if attack.ranks:
            raise IncompatibleParts(
                f"{type(attack).__name__} differentiates a surrogate's ranking, which evaluation=link_prediction, with "
                "its zeros drawn once, does not have: choose attack=meta_attack or random_edges, or "
                "evaluation=full_ranking"
            )

    @property
    def divide_inputs(self) -> Any:
        """How many zeros, and how much is held out."""
        return {"zeros": self.zeros, "unseen": self.unseen}

    def divide(self, loaded: Split, seeds: Seeds) -> Split:
        """Draw zeros beside all rows, and hold out a share of both, from streams below ``split``.

        Pairs come in order of user and item, whatever their order in the file.

        Raises:
            ConfigError: If there are too few pairs without a row, or too few pairs to hold some out.
        """
        data, streams = loaded.whole, seeds.child("split")
        data = data.take(np.lexsort((data.items, data.users)))
        pairs, of_row = np.unique(data.users * data.n_items + data.items, return_inverse=True)
        zeros = self._draw(pairs, data, streams.numpy("zeros"))
        held_pairs = self._held(len(pairs), "pairs", streams.numpy("edges"))
        held_zeros = self._held(len(zeros), "zeros", streams.numpy("unseen_zeros"))
        train = _with(data.take(~held_pairs[of_row]), zeros[~held_zeros])
        once = np.unique(of_row, return_index=True)[1]
        test = _with(data.take(once[held_pairs]), zeros[held_zeros])
        told = f"a random {self.unseen:.0%} of the pairs and of {len(zeros):,} sampled zeros" if self.unseen else "none"
        return Split(train, test, held_out=told, notes=(*loaded.notes, *_untrained(train), *_repeated(data, pairs)))

    @property
    def look_inputs(self) -> Any:
        """What was seen knows no choice of pairs and no metric."""
        chosen = ("edges", "perturbed", "metrics")
        return {name: value for name, value in identity(self).items() if name not in chosen}

    def look(
        self, fitted: Fitted, split: Split, targets: np.ndarray, seeds: Seeds, device: torch.device, progress: Progress
    ) -> JudgedEdges:
        """Log odds of all training and unseen pairs of ``split``.

        Raises:
            UserError: If one is infinite or not a number.
        """
        parts = [split.train.labelled(), split.test.labelled()]
        users, items, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
        sizes = [len(part.users) for part in parts]
        flipped = np.concatenate([_flipped(parts[0], fitted.data), np.zeros(sizes[1], dtype=bool)])
        unseen = np.repeat([False, True], sizes)
        return JudgedEdges(users, items, _logits(fitted, users, items, progress), labels == 1, flipped, unseen)

    def read(self, path: Path) -> JudgedEdges:
        """Read back what ``look`` returned and ``save`` wrote."""
        return JudgedEdges.load(path)

    def measures(self, seen: JudgedEdges, clean: JudgedEdges | None = None) -> list[Measure]:
        """The numbers of a table, over the pairs that are measured."""
        chosen = seen.unseen == (self.edges == "unseen")
        if self.perturbed == "excluded":
            chosen = chosen & ~seen.perturbed
        labels, logits = (seen.labels ^ seen.perturbed)[chosen], seen.logits[chosen].astype(np.float64)
        return [Measure("link", label, None, measure(label, labels, logits), len(labels)) for label in self.metrics]

    def notes(self, seen: Sequence[JudgedEdges]) -> list[str]:
        """How many training pairs an attack flipped, where they would be measured."""
        most = max((int(one.perturbed.sum()) for one in seen), default=0)
        if self.edges == "unseen" or not most:
            return []
        how = "not counted" if self.perturbed == "excluded" else "counted with their new label"
        return [f"{most:,} training pairs that the attack flipped are {how} in its cells"]

    def score(self, fitted: Fitted, held_out: Split, seeds: Seeds) -> float:
        """Never asked: ``select_on`` is always last.

        Raises:
            IncompatibleParts: Always.
        """
        raise IncompatibleParts("evaluation=link_prediction cannot choose an epoch: give evaluation.select_on=last")

    @property
    def protocol(self) -> dict[str, str]:
        """What a reader must know to compare these numbers."""
        drawn = "as many as distinct pairs" if self.zeros is None else f"{self.zeros:,}"
        flipped = {"excluded": "not counted", "included": "counted with their new label"}[self.perturbed]
        told = {"perturbed pairs": flipped} if self.edges == "train" else {}
        return {
            "pairs": f"{'held-out' if self.edges == 'unseen' else 'training'} edges and zeros of real users",
            "zeros": f"{drawn}, drawn evenly among pairs without a row, once a seed",
            **told,
            "Accuracy": "a probability above one half is an edge",
            "epoch": "last",
        }

    def _draw(self, pairs: np.ndarray, data: Interactions, rng: np.random.Generator) -> np.ndarray:
        """Sorted keys of zeros, evenly among those that are none of the sorted ``pairs``."""
        count, free = len(pairs) if self.zeros is None else self.zeros, data.n_users * data.n_items - len(pairs)
        if count > free:
            asked = f"evaluation.zeros is {count:,}" + (" (as many as pairs)" if self.zeros is None else "")
            raise ConfigError(f"{asked}, but only {free:,} pairs have no row: set evaluation.zeros to at most {free}")
        places = np.sort(rng.choice(free, count, replace=False))
        before = np.searchsorted(pairs - np.arange(len(pairs)), places, side="right")  # rows' pairs before each
        return places + before

    def _held(self, n: int, noun: str, rng: np.random.Generator) -> np.ndarray:
        """``(n,)`` mask of the share that is held out."""
        count = round(self.unseen * n)
        if self.unseen and not 0 < count < n:
            raise ConfigError(
                f"evaluation.unseen={self.unseen:g} of {n:,} {noun} leaves none held out or none to train on: choose "
                "another share, or a dataset with more rows"
            )
        mask = np.zeros(n, dtype=bool)
        mask[rng.permutation(n)[:count]] = True
        return mask


def _with(rows: Interactions, zeros: np.ndarray) -> Interactions:
    """``rows`` with the zeros of these keys."""
    return replace(rows, zeros=Edges(zeros // rows.n_items, zeros % rows.n_items))


def _untrained(train: Interactions) -> list[str]:
    """A sentence on users and items that have no edge to learn from."""
    counts = {"users": train.user_counts, "items": train.item_counts}
    told = [f"{int((c == 0).sum()):,} of {len(c):,} {noun}" for noun, c in counts.items() if (c == 0).any()]
    return [f"{' and '.join(told)} have no training edge"] if told else []


def _repeated(data: Interactions, pairs: np.ndarray) -> list[str]:
    """A sentence on repeats of a pair."""
    more = len(data) - len(pairs)
    told = f"{more:,} of {len(data):,} rows repeat a pair: each counts as an edge of its own in training"
    return [f"{told}, and its pair once where it is held out"] if more else []


def _flipped(before: LabelledEdges, after: Interactions) -> np.ndarray:
    """``(n,)`` whether a pair has another label in ``after``."""
    edges = after.users * after.n_items + after.items
    keys = before.users * after.n_items + before.items
    return np.isin(keys, edges) != (before.labels == 1)


def _logits(fitted: Fitted, users: np.ndarray, items: np.ndarray, progress: Progress) -> np.ndarray:
    model = fitted.model
    assert isinstance(model, EdgeLearner), "check_parts has seen to that"
    found = []
    with torch.no_grad():
        for start in range(0, len(users), _BLOCK):
            block = [torch.from_numpy(ids[start : start + _BLOCK]).to(fitted.device) for ids in (users, items)]
            found.append(model.edge_logits(fitted.prepared, fitted.data, *block).float().cpu().numpy())
            progress.step(min(start + _BLOCK, len(users)), len(users))
    logits = np.concatenate(found)
    if not np.isfinite(logits).all():
        raise UserError(
            f"{type(model).__name__} gives edges log odds that are infinite or not a number, so its fit diverged: "
            "lower model.edge_trainer.learning_rate or check the model's settings"
        )
    return logits
