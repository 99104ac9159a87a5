"""Reliability weights: GraphRfi's idea (Zhang, Yin, Chen, Hung, Huang and Cui, SIGIR 2020) in front of any fit."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import numpy as np
import torch

from recpoison.data.interactions import Interactions
from recpoison.defenses.base import Defense
from recpoison.defenses.detectors.degree_features import profile_features, standardised
from recpoison.defenses.detectors.degree_sad import popularity_features
from recpoison.defenses.forest import chances
from recpoison.defenses.labels import Labels
from recpoison.errors import IncompatibleParts
from recpoison.idle import Together
from recpoison.models.base import Fitted, Model, Monitor
from recpoison.models.bprmf import BPRMF
from recpoison.models.lightgcn import LightGCN
from recpoison.models.mf import MF
from recpoison.progress import Progress
from recpoison.ranges import check_ranges, ranged
from recpoison.seeds import Seeds
from recpoison.training.weighted import weighted

_DIGITS = 9  # of standardised features; beyond them sums depend on how users are numbered


@dataclass(frozen=True, kw_only=True)
class Reliability(Defense):
    """A user's loss is multiplied by 1 - P(fake), which a random forest says: nobody is dropped.

    The forest sees seven features of each profile: ``rdma``, ``wdma``, ``length_variance`` and ``degree_similarity``
    (those of ``filter_degree``), and mean, range and lower quartile of the popularity of its items (those of
    ``filter_degree_sad``). Ratings count in the first two, which are 0 for all on implicit data. A user with a label is
    judged by the trees that did not see them. Who has no rows weighs 1, and it makes no difference.

    Works on ``bprmf``, ``mf`` and ``lightgcn`` (in its loss; its graph keeps all edges). The weight is on a triple's or
    rating's whole loss, regulariser included, and means stay means over all rows. Where all weigh 1, as where an oracle
    is told that nobody is fake, it is the model's own fit.

    The mean weights of fake and real users, and the AUROC of P(fake), are the numbers of the subject ``weighed``.

    A weight is a slope, not a cut, and where few rated an item before, few rows of small weight still decide: on
    ml_100k with ``mf`` and 3% of ``average``, fake users weigh 0.36 on average by ``simulated`` labels (real ones
    0.998) and the targets' HR@50 falls from 0.983 to 0.947; by ``known`` 0.72 and 0.976; by ``truth`` 0 and 0.

    Departures: GraphRfi's neural forest is trained beside the recommender, on the user's vector and rating error, with
    the truth as its labels and with side features that are not published; here a forest comes first, by the rows alone,
    so that any model can follow, and ``labels.source`` says who taught it.

    A killed fit goes on from its checkpoint. The forest is grown again: 0.8 s of one core on ml_100k, 6 s on ml_1m.

    Args:
        labels: Who says who is fake; the authors' are the truth.
        trees: Of the forest.
        neighbours: Users whose similarity is averaged.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Interactions([0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 3], [1] * 6, n_users=3, n_items=4)
        >>> defense = Reliability(labels=Labels("truth"))
        >>> defense.weights(data, n_real=3).tolist()  # nobody is fake
        [1.0, 1.0, 1.0]
        >>> model = BPRMF(embedding_size=4, trainer=Trainer(epochs=100))
        >>> fitted = Reliability().fit(model, data, Seeds(0), torch.device("cpu"), Progress())
        >>> fitted.scores(torch.tensor([0]))[0].argsort(descending=True)[:2].sort().values.tolist()
        [0, 1]
    """

    labels: Labels = field(default_factory=Labels)
    trees: int = ranged(100, low=1)
    neighbours: int = ranged(25, low=1)

    def __post_init__(self) -> None:
        check_ranges(self, "defense")

    @property
    def told(self) -> bool:
        """Where the truth says who is fake, in part or whole."""
        return self.labels.told

    def idle(self, parts: Together) -> dict[str, str]:
        """The forest, where its labels say that nobody is fake."""
        if not self.told or parts.attack.poisons:
            return super().idle(parts)
        own = (each.name for each in fields(self) if each.name != "labels")
        return super().idle(parts) | dict.fromkeys(own, "the forest is told who is fake, and no user is")

    def remarks(self, parts: Together) -> list[str]:
        """Where labels come from."""
        return self.labels.said_of("defense.labels", parts)

    def check_model(self, model: Model) -> None:
        """Refuse a ``model`` whose loss has no users to weigh.

        Raises:
            IncompatibleParts: If it is such a one.
        """
        if not isinstance(model, BPRMF | MF | LightGCN):
            raise IncompatibleParts(
                f"{type(self).__name__} weighs users in the loss of triples or ratings, and {type(model).__name__} has "
                "no such loss: choose model=bprmf, mf or lightgcn, or another defense"
            )

    def weights(self, data: Interactions, n_real: int | None = None) -> np.ndarray:
        """1 - P(fake) of each user, ``(n_users,)`` in [0, 1]; all 1 where nobody is called fake, or nobody genuine.

        Args:
            data: Whom to weigh.
            n_real: How many users, the first, are genuine, which an oracle is told.

        Raises:
            ConfigError: If the labels are of an oracle that is not told.
        """
        labelled, fake, genuine = self.labels.of(data, n_real)
        columns = [profile_features(labelled, self.neighbours), popularity_features(labelled)]
        features = standardised(np.column_stack(columns)).round(_DIGITS)
        suspicion = np.where(labelled.user_counts > 0, chances(features, fake, genuine, self.trees), 0.0)
        return 1 - suspicion[: data.n_users]

    def fit(
        self,
        model: Model,
        data: Interactions,
        seeds: Seeds,
        device: torch.device,
        progress: Progress,
        monitor: Monitor | None = None,
        before: Interactions | None = None,
    ) -> Fitted:
        """Fit ``model`` on all rows of ``data``, each weighing as its user.

        An oracle knows by ``before``, the rows before the attack, who came later.

        Raises:
            ConfigError: Of an oracle that is not told what was before.
            IncompatibleParts: If the model cannot be fitted so.
            Diverged: If a number is no longer finite.
        """
        self.check_model(model)
        assert isinstance(model, BPRMF | MF | LightGCN)
        weights = self.weights(data, None if before is None else before.n_users)
        low = int((weights < 0.5).sum())
        progress.note(
            f"reliability: users weigh {weights.mean():.3f} on average, {low} of {len(weights)} less than half"
        )
        if (weights == 1).all():
            return replace(model.fitted(data, seeds, device, progress, monitor), weights=weights)
        objective = weighted(model.objective(data, seeds, device), weights)
        params = model.trainer.fit(objective, model.start(data, seeds, device), progress, monitor)
        return Fitted(model, params, data, weights=weights)
