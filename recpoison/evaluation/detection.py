"""Whether fake users can be told from real ones, by where they lie in latent space and by what they click."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recpoison.attacks.base import Attack
from recpoison.data.arrays import save_arrays
from recpoison.data.interactions import Interactions
from recpoison.data.splitting import Split
from recpoison.descriptions import identity
from recpoison.errors import ConfigError, IncompatibleParts, UserError
from recpoison.evaluation.base import Evaluation, Measure, check_metrics
from recpoison.evaluation.latent_space import closeness, mahalanobis, principal_components
from recpoison.models.base import Fitted, Model, Params
from recpoison.progress import Progress
from recpoison.ranges import ranged
from recpoison.seeds import Seeds

DETECTORS = {"OutlierAUROC": "outlier", "ClusterAUROC": "cluster", "PCAClusterAUROC": "pca_cluster"}
"""Metric labels of the detectors, and the array of ``Suspicion`` that holds their scores."""

LABELS = (*DETECTORS, "PopularityKS")
_BLOCK = 1024  # users embedded at a time
_REMEDY = "take an attack that adds users, such as attack=rand_filter, or evaluation=full_ranking"


@runtime_checkable
class EmbedsUsers(Protocol):
    """A model that computes the users' embeddings instead of keeping them in its parameter ``user``."""

    def user_embeddings(self, params: Params, data: Interactions, users: Tensor) -> Tensor:
        """``(len(users), size)``, for ``users`` of ``data``, the rows it was fitted on."""


@dataclass(frozen=True, eq=False)
class Suspicion:
    """Where users of one fitted model lie, and what they click. Users without a row are left out.

    Args:
        users: ``(n,)`` ids, real users before fake ones.
        fake: ``(n,)`` whether a user is fake: for counting and drawing, never seen by a detector.
        latent: ``(n, dimensions)`` place of each user on the axes of a PCA fitted on all of them.
        explained: ``(dimensions,)`` share of the embeddings' variance on each axis.
        cluster: ``(n,)`` minus the mean distance to the nearest users, in the whole space; larger is more suspicious,
            here and below.
        pca_cluster: ``(n,)`` the same on the PCA's axes alone.
        outlier: ``(n,)`` Mahalanobis distance to the mean of all users.
        sample: ``(m,)`` the real users whose clicks are in ``real_popularity``.
        real_popularity: One entry a click of the sample: real users who have the clicked item in training.
        fake_popularity: The same for all fake users.
    """

    users: np.ndarray
    fake: np.ndarray
    latent: np.ndarray
    explained: np.ndarray
    cluster: np.ndarray
    pca_cluster: np.ndarray
    outlier: np.ndarray
    sample: np.ndarray
    real_popularity: np.ndarray
    fake_popularity: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """Its arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def save(self, path: Path) -> None:
        """Write as npz, whole or not at all."""
        save_arrays(self.arrays(), path)

    @staticmethod
    def load(path: Path) -> Suspicion:
        """Read what ``save`` wrote."""
        with np.load(path, allow_pickle=False) as file:
            return Suspicion(**{field.name: file[field.name] for field in fields(Suspicion)})


@dataclass(frozen=True, kw_only=True)
class Detection(Evaluation[Suspicion]):
    """Tells fake users from real ones (Tang, Wen and Wang 2020, section 4.3 and figures 5(b) and 5(c)).

    The paper draws figures; the numbers are ours. Each detector scores every user and knows no label; which end of its
    score is suspicious follows from the claim that it tests, never from the labels:

    - ``OutlierAUROC``: fake users are unlike real ones, so that they lie far out, by Mahalanobis distance;
    - ``ClusterAUROC``: fake users "self-form clusters", so that a user is suspicious whose nearest neighbours are
      close, by the mean distance to them in the whole latent space. Real users of a dense region look the same;
    - ``PCAClusterAUROC``: the same on the first axes of a PCA, which is what the eye sees in figure 5(c). The two can
      disagree: users far apart in the whole space may share a spot of the plane.

    AUROC is the share of (fake, real) pairs that a score puts in order, ties counting half; 0.5 is chance, and below
    it the fake users look more real than the real ones do. Its units are the fake users. ``PopularityKS`` is the
    Kolmogorov-Smirnov distance (0 equal, 1 apart) between the popularities of the items that fake and sampled real
    users click; targets count as clicks, and a real click counts towards its own item's popularity. ``n`` is the
    number of fake users. A cell without fake users has no numbers.

    Args:
        metrics: Labels, in the order of the table.
        neighbours: Nearest users that a mean distance is taken over.
        dimensions: Axes of the PCA.
        sample_users: Real users whose clicks are compared with the fake ones', drawn by the stream ``evaluate``; the
            paper has 500.

    Raises:
        ConfigError: If a value is unknown or out of range.

    Example:
        >>> split = Planted("planted", n_users=4).load(None, Seeds(0), Progress())
        >>> data = split.train.with_fake_users(np.array([0]), np.array([4]), np.ones(1), n_fakes=1)
        >>> fitted = Fitted(BPRMF(), {"user": torch.tensor([[0.0], [1.0], [2.0], [3.0], [9.0]])}, data)  # far out
        >>> evaluation = Detection(metrics=["OutlierAUROC"], neighbours=1, dimensions=1)
        >>> seen = evaluation.look(fitted, split, np.array([4]), Seeds(0), torch.device("cpu"), Progress())
        >>> evaluation.measures(seen)[0].value
        1.0
    """

    metrics: Sequence[str] = LABELS
    neighbours: int = ranged(5, low=1)
    dimensions: int = ranged(2, low=1)
    sample_users: int = ranged(500, low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.select_on != "last":
            raise ConfigError(
                f"evaluation.select_on is {self.select_on!r}, but no epoch can be chosen by users nobody knows to be "
                "fake: give last"
            )
        check_metrics(self.metrics, LABELS)

    def check_parts(self, model: Model, attack: Attack) -> None:
        """Refuse an attack that adds no users, and a model that says of none where they lie.

        Raises:
            IncompatibleParts: Naming which of the two.
        """
        if not attack.poisons:
            raise IncompatibleParts(f"evaluation=detection looks for fake users, but the attack adds none: {_REMEDY}")
        if not (isinstance(model, EmbedsUsers) or hasattr(model, "embedding_size")):
            raise _without_embeddings(model)

    @property
    def look_inputs(self) -> Any:
        """What was seen knows no metric."""
        return {name: value for name, value in identity(self).items() if name != "metrics"}

    def look(
        self, fitted: Fitted, split: Split, targets: np.ndarray, seeds: Seeds, device: torch.device, progress: Progress
    ) -> Suspicion:
        """Embed, project and score all users who have a row; real users are the first of ``fitted.data``.

        Raises:
            IncompatibleParts: If the model has no embedding of users.
            ConfigError: If there are too few users or dimensions for the settings.
            UserError: If an embedding is infinite or not a number.
        """
        data, n_real = fitted.data, split.train.n_users
        users = np.flatnonzero(data.user_counts)
        points = embeddings(fitted, users)
        self._check_size(*points.shape)
        latent, explained = principal_components(points, self.dimensions)
        real, fake = users[users < n_real], users[users >= n_real]
        drawn = seeds.numpy("evaluate").choice(real, min(self.sample_users, len(real)), replace=False)
        sample = np.sort(drawn)
        popularity = split.train.item_counts
        return Suspicion(
            users,
            users >= n_real,
            latent,
            explained,
            closeness(points, self.neighbours),
            closeness(latent, self.neighbours),
            mahalanobis(points),
            sample,
            popularity[_clicks(data.seen, sample)],
            popularity[_clicks(data.seen, fake)],
        )

    def read(self, path: Path) -> Suspicion:
        """Read back what ``look`` returned and ``save`` wrote."""
        return Suspicion.load(path)

    def measures(self, seen: Suspicion, clean: Suspicion | None = None) -> list[Measure]:
        """The numbers of a table; none for a clean cell."""
        n_fakes = int(seen.fake.sum())
        if not n_fakes:
            return []
        return [self._measure(label, seen, n_fakes) for label in self.metrics]

    def score(self, fitted: Fitted, held_out: Split, seeds: Seeds) -> float:
        """Never asked: ``select_on`` is always last.

        Raises:
            IncompatibleParts: Always.
        """
        raise IncompatibleParts("evaluation=detection cannot choose an epoch: give evaluation.select_on=last")

    @property
    def protocol(self) -> dict[str, str]:
        """What a reader must know to compare these numbers."""
        return {
            "users": "real and fake ones with rows in training, told apart without labels",
            "detectors": f"closeness of the {self.neighbours} nearest users, in the latent space (Cluster) and on "
            f"{self.dimensions} axes of its PCA (PCACluster); Mahalanobis distance (Outlier)",
            "popularity": f"real users who have an item in training; clicks of {self.sample_users} real and all fake "
            "users, targets among them",
            "epoch": "last",
        }

    def _check_size(self, n_users: int, size: int) -> None:
        if self.neighbours >= n_users:
            raise ConfigError(
                f"evaluation.neighbours is {self.neighbours}, but {n_users} users have rows: "
                f"give {n_users - 1} or fewer"
            )
        if self.dimensions > size:
            raise ConfigError(
                f"evaluation.dimensions is {self.dimensions}, but the model's users have {size}: give {size} or fewer"
            )

    def _measure(self, label: str, seen: Suspicion, n_fakes: int) -> Measure:
        if label == "PopularityKS":
            return Measure("fake", label, None, kolmogorov_smirnov(seen.real_popularity, seen.fake_popularity), n_fakes)
        scores = getattr(seen, DETECTORS[label])
        shares = auroc(scores[~seen.fake], scores[seen.fake])
        return Measure("fake", label, None, float(shares.mean()), n_fakes, seen.users[seen.fake], shares)


def embeddings(fitted: Fitted, users: np.ndarray) -> np.ndarray:
    """``(len(users), size)`` float64: what the model computes (``EmbedsUsers``), else its parameter ``user``.

    Raises:
        IncompatibleParts: If the model has neither.
        UserError: If one is infinite or not a number.
    """
    model = fitted.model
    rows = torch.from_numpy(users).to(fitted.device)
    with torch.no_grad():
        if isinstance(model, EmbedsUsers):
            blocks = [model.user_embeddings(fitted.prepared, fitted.data, block) for block in rows.split(_BLOCK)]
        elif "user" in fitted.params:
            blocks = [fitted.params["user"].index_select(0, rows)]
        else:
            raise _without_embeddings(model)
        points = torch.cat(blocks).double().cpu().numpy()
    if not np.isfinite(points).all():
        raise UserError(
            f"{type(model).__name__} has embeddings that are infinite or not a number, so its fit diverged: "
            "lower model.trainer.learning_rate or check the model's settings"
        )
    return points


def _without_embeddings(model: Model) -> IncompatibleParts:
    return IncompatibleParts(
        f"evaluation=detection looks at embeddings of users, and {type(model).__name__} has none: take a model that "
        "has, such as model=wrmf or model=bprmf"
    )


def auroc(real: np.ndarray, fake: np.ndarray) -> np.ndarray:
    """``(n_fake,)`` share of real users that score below each fake one, equal scores counting half.

    Their mean is AUROC.
    """
    ordered = np.sort(real)
    below, up_to = (np.searchsorted(ordered, fake, side) for side in ("left", "right"))
    return (below + up_to) / (2 * len(real))


def kolmogorov_smirnov(a: np.ndarray, b: np.ndarray) -> float:
    """Largest difference between the two samples' cumulative shares."""
    at = np.concatenate([a, b])
    shares = [np.searchsorted(np.sort(sample), at, "right") / len(sample) for sample in (a, b)]
    return float(np.abs(shares[0] - shares[1]).max())


def _clicks(seen: sp.csr_matrix, users: np.ndarray) -> np.ndarray:
    """Items of ``users``, one entry a click."""
    return seen[users].indices
