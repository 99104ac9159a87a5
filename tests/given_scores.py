"""A model whose scores a test chooses, for tests of what is done with scores."""

from dataclasses import dataclass

import numpy as np
import torch

from recpoison.data.splitting import Split
from recpoison.evaluation.base import Evaluation, Measure
from recpoison.evaluation.ranks import Ranks
from recpoison.models.base import Fitted, Model
from recpoison.progress import Progress
from recpoison.seeds import Seeds

CPU = torch.device("cpu")


@dataclass(frozen=True)
class GivenScores(Model):
    """Scores are rows of the parameter ``table``."""

    def fit(self, data, seeds, device, progress, monitor=None):
        raise NotImplementedError

    def scores(self, params, data, users):
        return params["table"][users]


def given(scores, split: Split) -> Fitted:
    return Fitted(GivenScores(), {"table": torch.as_tensor(scores)}, split.train)


def look(evaluation: Evaluation, scores, split: Split, targets=(), seed: int = 0) -> Ranks:
    return evaluation.look(given(scores, split), split, np.array(targets, dtype=int), Seeds(seed), CPU, Progress())


def numbers(measures: list[Measure]) -> dict[tuple[str, str, int | None], float]:
    return {(m.subject, m.metric, m.k): m.value for m in measures}
