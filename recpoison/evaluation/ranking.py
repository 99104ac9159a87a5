"""What full and sampled ranking share: their settings, and the way from ranks to the numbers of a table."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recpoison.changes import FakeProfiles
from recpoison.data.splitting import Split
from recpoison.descriptions import NO_EFFECT, identity
from recpoison.errors import ConfigError, IncompatibleParts
from recpoison.evaluation import beyond_accuracy, target_effect
from recpoison.evaluation.base import Evaluation, Measure, check_metrics
from recpoison.evaluation.metrics import AT_CUTOFF, HeldOut, auc, place_held_out
from recpoison.evaluation.ranks import Ranks
from recpoison.evaluation.ties import TIES, share_decided
from recpoison.idle import Together
from recpoison.models.base import Fitted
from recpoison.ranges import ranged
from recpoison.seeds import Seeds

ON_HELD_OUT = (*AT_CUTOFF, "AUC", "EFD")
ON_LISTS = ("Entropy", "Coverage")
ON_TARGETS = ("HR", "NDCG", "MeanRank", "RankShift")
WITHOUT_CUTOFF = ("AUC", "MeanRank", "RankShift")
LABELS = tuple(dict.fromkeys((*ON_HELD_OUT, *ON_LISTS, *ON_TARGETS)))

_SELECTING = ("select_on", "select_metric", "select_every")
_COUNTING = ("metrics", "cutoffs", "owners", "target_hr", "rows")  # which rows, the split itself says
_DECIDED = (
    "ranks tied with another candidate that give another metric with evaluation.ties=for than with against; "
    "the largest share of any cell"
)
_OWNERS = {
    "missing": "a miss, without a rank",
    "excluded": "not counted",
    "included": "ranked as if they did not have it",
}


@dataclass(frozen=True, kw_only=True)
class RankingEvaluation(Evaluation[Ranks]):
    """Ranks candidates for every real user and counts; a concrete one says what the candidates are.

    Args:
        metrics: Labels, in the order of the table. HR and NDCG are taken on held-out items and on targets, MeanRank and
            RankShift on targets, the others on held-out items or lists.
        cutoffs: List lengths, in the order of the table.
        ties: Where candidates of the same score stand: in random order, a metric being its expected value (``half``),
            before an item (``against``) or after it (``for``). An epoch is chosen by the same rule. Recommended lists
            are one order whatever it is: equal scores by item number.
        owners: What becomes of users who have a target in training: ``missing``, ``excluded`` or ``included``
            (``recpoison.evaluation.target_effect``).
        target_hr: HR on several targets: the ``mean`` over users and targets, or users with ``any`` of them.
        rows: Which held-out items are ranked: those of the ``test`` rows, or of the ``valid`` rows, so that a search
            for settings never looks at the test rows.
        select_metric: What an epoch is chosen by where ``select_on`` is not ``last``: a metric of held-out items.
        curve_fakes: Numbers of fake users for a curve over them (security curve): the undefended victim is fitted anew
            with the first so many of those that the attack crafts, beside none and all. Empty draws none.
        memory_mb: Memory for scores, in MiB; ranks do not depend on it. None: 16 on a CPU, and a 32nd
            of what is free on a CUDA device.

    Raises:
        ConfigError: If a value is unknown or out of range.
    """

    metrics: Sequence[str] = ("HR", "NDCG", "AUC", "MeanRank", "RankShift")
    cutoffs: Sequence[int] = ranged((10, 50), low=1, many=True)
    ties: str = ranged("half", words=tuple(TIES))
    owners: str = ranged("missing", words=tuple(_OWNERS))
    target_hr: str = ranged("mean", words=("mean", "any"))
    rows: str = ranged("test", words=("test", "valid"))
    select_metric: str = "NDCG@10"
    curve_fakes: Sequence[int] = ranged((), metadata=NO_EFFECT, low=1, many=True)
    memory_mb: int | None = ranged(None, metadata=NO_EFFECT, low=1, null="what suits the device")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.cutoffs or len(set(self.cutoffs)) < len(self.cutoffs):
            raise ConfigError(f"evaluation.cutoffs is {list(self.cutoffs)}: give different whole numbers from 1")
        check_metrics(self.metrics, LABELS)
        if (self.rows, self.select_on) == ("valid", "test"):
            raise ConfigError(
                "evaluation.rows=valid keeps away from the test rows: give evaluation.select_on=valid too"
            )
        self._selection()

    def judged(self, split: Split) -> Split:
        """The split whose test rows are those that are ranked.

        Raises:
            IncompatibleParts: If they are the validation rows, and there are none.
        """
        if self.rows == "test":
            return split
        if split.valid is None or not len(split.valid):
            raise IncompatibleParts(
                "evaluation.rows=valid needs validation rows: set dataset.split.validation, such as 0.1"
            )
        return Split(split.train, split.valid, held_out=f"the validation rows ({split.held_out})", notes=split.notes)

    @property
    def selects_measured(self) -> bool:
        """Whether an epoch is chosen by the rows that are then measured."""
        return self.select_on == self.rows

    def idle(self, parts: Together) -> dict[str, str]:
        """How an epoch is chosen, where the last is kept; how targets count, where none are ranked."""
        found = super().idle(parts)
        if "select_on" in found or self.select_on == "last":
            found["select_metric"] = found.get("select_on", "select_on is last")
        if not (parts.attack.poisons and parts.attack.crafts is FakeProfiles):
            found["curve_fakes"] = f"{type(parts.attack).__name__} adds no fake users"
        if not parts.attack.aims:
            found |= dict.fromkeys(("owners", "target_hr"), f"{type(parts.attack).__name__} has no targets")
            return found
        if not set(self.metrics) & set(ON_TARGETS):
            found["owners"] = "metrics has none of targets"
        if "HR" not in self.metrics:
            found["target_hr"] = "metrics has no HR"
        elif getattr(getattr(parts.attack, "targets", None), "at_most", 2) == 1:
            found["target_hr"] = "there is one target"
        return found

    def check_targets(self, n_targets: int) -> None:
        """Refuse metrics of targets alone where there are none.

        Raises:
            ConfigError: If no number would be left.
        """
        if not n_targets and not set(self.metrics) & {*ON_HELD_OUT, *ON_LISTS}:
            raise ConfigError(
                f"evaluation.metrics is {list(self.metrics)}, all about targets, but the attack has none: "
                "add HR or NDCG, or take an attack with targets"
            )

    def check_split(self, split: Split) -> None:
        """Refuse cutoffs beyond the catalogue.

        Raises:
            ConfigError: If a list would be longer than the catalogue.
        """
        if max(self.cutoffs) > split.train.n_items:
            raise ConfigError(
                f"evaluation.cutoffs has {max(self.cutoffs)}, but the catalogue has {split.train.n_items} items: "
                f"give cutoffs of at most {split.train.n_items}"
            )

    @property
    def look_inputs(self) -> Any:
        """Ranks know no metric, tie or owner; the recommended lists know the largest cutoff."""
        return _without(identity(self), *_SELECTING, *_COUNTING, "ties") | {"list_length": max(self.cutoffs)}

    @property
    def score_inputs(self) -> Any:
        """An epoch is chosen by ``select_metric`` alone, whose cutoff is its own."""
        return _without(identity(self), *_COUNTING)

    def read(self, path: Path) -> Ranks:
        """Read back what ``look`` returned and ``save`` wrote."""
        return Ranks.load(path)

    def measures(self, seen: Ranks, clean: Ranks | None = None) -> list[Measure]:
        """The numbers of a table: held-out items first, then targets. RankShift needs ``clean``."""
        held = place_held_out(seen.test, self.ties)
        found = [m for label in self.metrics for m in self._on_held_out(label, held, seen)] if len(seen.test) else []
        if len(seen.target):
            found += [m for label in self.metrics for m in self._on_targets(label, seen, clean)]
        return found

    def score(self, fitted: Fitted, held_out: Split, seeds: Seeds) -> float:
        """Mean ``select_metric`` of the held-out items of ``held_out.test``, after training on ``held_out.train``."""
        label, k = self._selection()
        ranks = self._rank_held_out(fitted, held_out, seeds)
        values = _held_out_metric(label, place_held_out(ranks.test, self.ties), ranks.item_counts, k)
        return float(np.nanmean(values))

    @property
    def protocol(self) -> dict[str, str]:
        """What a reader must know to compare these numbers."""
        lists = {"lists": "equal scores in order of item number"} if set(self.metrics) & set(ON_LISTS) else {}
        chosen_by = f"best {self.select_metric} on the {'validation' if self.select_on == 'valid' else 'test'} items"
        return {
            "candidates": self._candidates,
            "ties": TIES[self.ties],
            **lists,
            "users": "all real users, no fake ones",
            "owners of a target": _OWNERS[self.owners],
            "HR on targets": "mean over users and targets" if self.target_hr == "mean" else "users with any target",
            "epoch": "last" if self.select_on == "last" else f"{chosen_by}, looked at every {self.select_every}",
        }

    def notes(self, seen: Sequence[Ranks]) -> list[str]:
        """Warn where ties decide more than 2% of the ranks of some cell."""
        shares = {"the held-out items' ranks": 0.0, "the targets' ranks": 0.0}
        for ranks in seen:
            for whose, share in zip(shares, self._decided_by_ties(ranks), strict=True):
                shares[whose] = max(shares[whose], share)
        told = [f"{share:.0%} of {whose}" for whose, share in shares.items() if share > 0.02]
        return [f"ties decide {' and '.join(told)} ({_DECIDED})"] if told else []

    def _decided_by_ties(self, seen: Ranks) -> tuple[float, float]:
        """The share of the held-out items' ranks that ties decide, and of the targets'."""
        held = place_held_out(seen.test, "half")
        target = seen.target if self.owners == "included" else seen.target.take(~seen.target.owned)
        asked = set(self.metrics)
        return (
            share_decided(held.places, held.widths - held.sharing, asked & set(ON_HELD_OUT), self.cutoffs),
            share_decided(target.above, target.ties, asked & set(ON_TARGETS), self.cutoffs),
        )

    @property
    @abstractmethod
    def _candidates(self) -> str:
        """What held-out items are ranked among, in words."""

    @abstractmethod
    def _rank_held_out(self, fitted: Fitted, split: Split, seeds: Seeds) -> Ranks:
        """Ranks of the held-out items alone."""

    def _selection(self) -> tuple[str, int]:
        """Metric and cutoff of ``select_metric``; the cutoff says nothing for AUC."""
        label, _, k = self.select_metric.partition("@")
        if label not in ON_HELD_OUT or (label == "AUC") != (k == "") or (k and not (k.isdecimal() and int(k) > 0)):
            raise ConfigError(
                f"evaluation.select_metric is {self.select_metric!r}: give AUC, or a cutoff with one of "
                f"{', '.join(name for name in ON_HELD_OUT if name != 'AUC')}, such as NDCG@10"
            )
        return label, int(k or 0)

    def _on_held_out(self, label: str, held: HeldOut, seen: Ranks) -> Iterator[Measure]:
        if label in ON_HELD_OUT:
            for k in self._cutoffs_of(label):
                yield _mean("test", label, k, held.users, _held_out_metric(label, held, seen.item_counts, k or 0))
        elif label in ON_LISTS:
            count = beyond_accuracy.shannon_entropy if label == "Entropy" else beyond_accuracy.item_coverage
            for k in self.cutoffs:
                yield Measure("test", label, k, count(seen.lists, len(seen.item_counts), k), len(seen.lists))

    def _on_targets(self, label: str, seen: Ranks, clean: Ranks | None) -> Iterator[Measure]:
        if label not in ON_TARGETS or (label == "RankShift" and clean is None):
            return
        for k in self._cutoffs_of(label):
            if label == "HR":
                found = target_effect.hit_ratio(seen.target, self.ties, self.owners, self.target_hr, k or 0)
            elif label == "NDCG":
                found = target_effect.ndcg(seen.target, self.ties, self.owners, k or 0)
            elif label == "MeanRank":
                found = target_effect.mean_rank(seen.target, self.ties, self.owners)
            elif clean is not None:
                found = target_effect.rank_shift(seen.target, clean.target, self.ties, self.owners)
            yield _mean("target", label, k, *found)

    def _cutoffs_of(self, label: str) -> Sequence[int | None]:
        return (None,) if label in WITHOUT_CUTOFF else self.cutoffs


def _without(description: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in description.items() if name not in names}


def _held_out_metric(label: str, held: HeldOut, item_counts: np.ndarray, k: int) -> np.ndarray:
    if label == "AUC":
        return auc(held)
    if label == "EFD":
        return beyond_accuracy.expected_free_discovery(held, item_counts, k)
    return AT_CUTOFF[label](held, k)


def _mean(subject: str, label: str, k: int | None, users: np.ndarray, values: np.ndarray) -> Measure:
    """The mean over units that have a number."""
    known = ~np.isnan(values)
    users, values = users[known], values[known]
    mean = float(values.mean()) if len(values) else float("nan")
    return Measure(subject, label, k, mean, len(values), users, values)
