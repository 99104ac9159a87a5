"""Every unseen item is a candidate: the protocol of APR, APT and the injection paper."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from recpoison.data.splitting import Split
from recpoison.evaluation.ranking import RankingEvaluation
from recpoison.evaluation.ranks import Ranks, rank_items
from recpoison.models.base import Fitted
from recpoison.progress import Progress
from recpoison.seeds import Seeds


@dataclass(frozen=True, kw_only=True)
class FullRanking(RankingEvaluation):
    """Ranks each held-out and target item among all items that the user has neither in training nor in validation.

    The user's other held-out items are candidates too. Settings are those of ``RankingEvaluation``.

    Example:
        >>> split = Planted("planted", n_users=4).load(None, Seeds(0), Progress())
        >>> fitted = NoDefense().fit(Popularity(), split.train, Seeds(0), torch.device("cpu"), Progress())
        >>> evaluation = FullRanking(metrics=["HR"], cutoffs=[1, 2])
        >>> seen = evaluation.look(fitted, split, np.array([]), Seeds(0), torch.device("cpu"), Progress())
        >>> [round(measure.value, 3) for measure in evaluation.measures(seen)]  # three items are equally popular
        [0.333, 0.667]
    """

    def look(
        self, fitted: Fitted, split: Split, targets: np.ndarray, seeds: Seeds, device: torch.device, progress: Progress
    ) -> Ranks:
        """Rank for every real user; nothing is drawn.

        Raises:
            ConfigError: If a cutoff is beyond the catalogue.
            UserError: If a score is infinite or not a number.
        """
        self.check_split(split)
        return rank_items(
            fitted, split, targets, device, progress, list_length=max(self.cutoffs), memory_mb=self.memory_mb
        )

    @property
    def _candidates(self) -> str:
        return "all items the user has not seen in training or validation"

    def _rank_held_out(self, fitted: Fitted, split: Split, seeds: Seeds) -> Ranks:
        no_targets = np.zeros(0, dtype=np.int64)
        users = np.unique(split.test.users)
        return rank_items(
            fitted,
            split,
            no_targets,
            fitted.device,
            Progress(),
            list_length=0,
            memory_mb=self.memory_mb,
            users=users,
        )
