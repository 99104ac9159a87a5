"""A few negatives are the candidates: the protocol of NCF (He et al. 2017), with 99 of them."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import torch

from recpoison.data.pairs import distinct
from recpoison.data.splitting import Split
from recpoison.errors import ConfigError
from recpoison.evaluation.counting import Rows
from recpoison.evaluation.ranking import ON_LISTS, RankingEvaluation
from recpoison.evaluation.ranks import Ranks, rank_items, rows_of, seen_items
from recpoison.models.base import Fitted
from recpoison.progress import Progress
from recpoison.ranges import ranged
from recpoison.seeds import Seeds


@dataclass(frozen=True, kw_only=True)
class Sampled(RankingEvaluation):
    """Ranks each held-out and target item among the user's held-out items and a sample of the others.

    Numbers depend on the sample's size and do not compare with full ranking. All cells of a seed share the negatives.
    EFD, Entropy and Coverage say what lists are made of; of a list out of a sample they would tell the sample.

    Args:
        n_negatives: Negatives of each user, drawn without replacement from the items it has not in training,
            validation or test. None takes the negatives that the source ships; users without any are then left out.

    Example:
        >>> split = Planted("planted", n_users=4).load(None, Seeds(0), Progress())
        >>> fitted = NoDefense().fit(Popularity(), split.train, Seeds(0), torch.device("cpu"), Progress())
        >>> evaluation = Sampled(metrics=["HR"], cutoffs=[1, 2], n_negatives=3)  # all that there are
        >>> seen = evaluation.look(fitted, split, np.array([]), Seeds(0), torch.device("cpu"), Progress())
        >>> [round(measure.value, 3) for measure in evaluation.measures(seen)]  # three items are equally popular
        [0.333, 0.667]
    """

    n_negatives: int | None = ranged(99, low=1, null="those that come with the data")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._refuse_metrics_of_lists()
        if self.n_negatives is None:
            if self.select_on == "valid":
                raise ConfigError(
                    "evaluation.select_on is valid, but shipped negatives belong to the test items: "
                    "give evaluation.n_negatives a number, or select on last"
                )
        else:
            self._check_cutoffs(self.n_negatives + 1)

    def check_split(self, split: Split) -> None:
        """Refuse cutoffs beyond the candidates, and data with too few negatives.

        Raises:
            ConfigError: If lists would be longer than the candidates, or negatives are missing.
        """
        super().check_split(split)
        if self.n_negatives is None:
            if split.negatives is None:
                raise ConfigError(
                    "evaluation.n_negatives is null, but this dataset ships no negatives: give a number, such as 99"
                )
            self._check_cutoffs(split.negatives.shape[1] + 1)
            return
        free = split.train.n_items - np.diff(_known(split).starts)
        if free.min(initial=self.n_negatives) < self.n_negatives:
            raise ConfigError(
                f"evaluation.n_negatives is {self.n_negatives}, but user {free.argmin()} has {free.min()} items left: "
                f"give {free.min()} or fewer, or evaluation=full_ranking"
            )

    def look(
        self, fitted: Fitted, split: Split, targets: np.ndarray, seeds: Seeds, device: torch.device, progress: Progress
    ) -> Ranks:
        """Rank for every real user; negatives come from the stream ``evaluate``.

        Raises:
            ConfigError: If a cutoff is beyond the candidates, or negatives are missing.
            UserError: If a score is infinite or not a number.
        """
        self.check_split(split)
        return self._rank(fitted, split, targets, seeds, device, progress, max(self.cutoffs))

    @property
    def _candidates(self) -> str:
        if self.n_negatives is None:
            return "held-out items and the negatives that the dataset ships"
        return f"held-out items and {self.n_negatives} unseen items drawn for each user"

    def _rank_held_out(self, fitted: Fitted, split: Split, seeds: Seeds) -> Ranks:
        no_targets = np.zeros(0, dtype=np.int64)
        self.check_split(split)
        return self._rank(fitted, split, no_targets, seeds, fitted.device, Progress(), 0)

    def _rank(
        self,
        fitted: Fitted,
        split: Split,
        targets: np.ndarray,
        seeds: Seeds,
        device: torch.device,
        progress: Progress,
        list_length: int,
    ) -> Ranks:
        negatives = self._negatives(split, seeds)
        with_candidates = np.flatnonzero(np.diff(negatives.starts))
        if not len(targets) and not list_length:
            with_candidates = np.intersect1d(with_candidates, split.test.users)
        return rank_items(
            fitted,
            split,
            targets,
            device,
            progress,
            list_length=list_length,
            memory_mb=self.memory_mb,
            users=with_candidates,
            negatives=negatives,
        )

    def _negatives(self, split: Split, seeds: Seeds) -> Rows:
        if self.n_negatives is not None:
            return draw_negatives(_known(split), split.train.n_items, self.n_negatives, seeds.numpy("evaluate"))
        given = split.negatives
        if given is None:
            raise ValueError("the split ships no negatives")
        n_items = split.train.n_items
        keys = distinct(split.test.users[:, None] * n_items + given)
        starts = np.searchsorted(keys, np.arange(split.train.n_users + 1) * n_items)
        return Rows(starts, (keys % n_items).astype(np.int32))

    def _refuse_metrics_of_lists(self) -> None:
        selected = self.select_metric.partition("@")[0]
        for name, labels in (("metrics", self.metrics), ("select_metric", [selected])):
            if found := [label for label in labels if label in ("EFD", *ON_LISTS)]:
                raise ConfigError(
                    f"evaluation.{name} has {', '.join(found)}, which would measure the sample of candidates that "
                    "evaluation=sampled draws and not what is recommended: take evaluation=full_ranking, "
                    "or leave it out"
                )

    def _check_cutoffs(self, n_candidates: int) -> None:
        if max(self.cutoffs) > n_candidates:
            raise ConfigError(
                f"evaluation.cutoffs has {max(self.cutoffs)}, but a user has {n_candidates} candidates: "
                f"give cutoffs of at most {n_candidates}, or raise evaluation.n_negatives"
            )


def draw_negatives(known: Rows, n_items: int, n: int, rng: np.random.Generator) -> Rows:
    """Draw ``n`` different items for each user, none of them in its list of ``known`` items.

    Args:
        known: Distinct items of each user, at most ``n_items - n``.
        n_items: Size of the catalogue.
        n: Items to draw for each user.
        rng: Where draws come from, user after user.
    """
    n_users = len(known.starts) - 1
    drawn = np.empty((n_users, n), dtype=np.int32)
    _draw(known.starts, known.items, n_items, rng, drawn)
    return Rows(np.arange(n_users + 1) * n, drawn.ravel())


@numba.njit(cache=True, nogil=True)
def _draw(starts: np.ndarray, known: np.ndarray, n_items: int, rng: np.random.Generator, drawn: np.ndarray) -> None:
    """The first steps of a Fisher-Yates shuffle of each user's free items."""
    free = np.empty(n_items, dtype=np.int32)
    taken = np.zeros(n_items, dtype=np.bool_)
    for user in range(len(drawn)):
        mine = known[starts[user] : starts[user + 1]]
        taken[mine] = True
        n_free = 0
        for item in range(n_items):
            free[n_free] = item
            n_free += not taken[item]
        taken[mine] = False
        for i in range(drawn.shape[1]):
            j = i + int(rng.random() * (n_free - i))
            free[i], free[j] = free[j], free[i]
            drawn[user, i] = free[i]


def _known(split: Split) -> Rows:
    """Distinct items of each user in training, validation and test."""
    seen = seen_items(split)
    shape = (split.train.n_users, split.train.n_items)
    ones = np.ones(len(seen.items), dtype=np.float32)
    return rows_of(split.test.seen + type(split.test.seen)((ones, seen.items, seen.starts), shape=shape))
