"""Where users lie by their embeddings: t-SNE at several perplexities, with the centres of K-means among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch

from recpoison.data.splitting import Split
from recpoison.errors import ConfigError
from recpoison.evaluation.judged_edges import JudgedEdges
from recpoison.evaluation.link_prediction import LinkPrediction
from recpoison.models.base import Fitted
from recpoison.progress import Progress
from recpoison.ranges import ranged
from recpoison.seeds import Seeds


@dataclass(frozen=True, eq=False)
class MappedUsers(JudgedEdges):
    """What a model says of pairs, and where its real users lie.

    Args:
        perplexities: ``(m,)``.
        places: ``(m, n_users + clusters, 2)`` float32: users and then centres, on the plane of each perplexity.
        cluster: ``(n_users,)`` the centre that a user belongs to.
        silhouette: ``(1,)`` mean silhouette of the clusters among the embeddings themselves: 1 apart, 0 one cloud.
    """

    perplexities: np.ndarray
    places: np.ndarray
    cluster: np.ndarray
    silhouette: np.ndarray

    @staticmethod
    def load(path: Path) -> MappedUsers:
        """Read what ``save`` wrote."""
        with np.load(path, allow_pickle=False) as file:
            return MappedUsers(**{field.name: file[field.name] for field in fields(MappedUsers)})


@dataclass(frozen=True, kw_only=True)
class UserMap(LinkPrediction):
    """Figure 4.9 of the meta-gradient report: do users form clusters by their trained embeddings?

    Edge prediction as ``link_prediction`` has it, and beside its numbers a plane for each perplexity of t-SNE (van der
    Maaten and Hinton 2008). The report shows the means of K-means clusters among the users: here they are points of the
    embeddings' space that t-SNE places with the users. ``recpoison-report RUN --figures DIR`` draws the planes; the
    silhouette that it prints is ours, for how far clusters are apart in that space.

    Args:
        clusters: Centres of K-means.
        perplexities: Of t-SNE, a plane each: how many neighbours a point has in mind.

    Raises:
        ConfigError: If a value is out of range, or there are too few users for it.

    Example:
        >>> blocks = Planted("planted", n_users=4).load_whole(None, Seeds(0), Progress())
        >>> split = UserMap(zeros=6).divide(blocks, Seeds(0))
        >>> fitted = Fitted(CF(embedding_size=1), CF(embedding_size=1).init(split.train, Seeds(0)), split.train)
        >>> evaluation = UserMap(clusters=2, perplexities=[1.5])
        >>> seen = evaluation.look(fitted, split, np.array([]), Seeds(0), torch.device("cpu"), Progress())
        >>> seen.places.shape  # 4 users and 2 centres
        (1, 6, 2)
    """

    clusters: int = ranged(10, low=2)
    perplexities: Sequence[float] = ranged((2.0, 10.0, 50.0), low=1.0, open_low=True, many=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.perplexities:
            raise ConfigError("evaluation.perplexities is []: give numbers above 1")

    def check_split(self, split: Split) -> None:
        """Refuse more centres, or more neighbours, than there are users."""
        super().check_split(split)
        n_users = split.train.n_users
        if self.clusters >= n_users:
            raise ConfigError(f"evaluation.clusters is {self.clusters}, but there are {n_users} users: lower it")
        if max(self.perplexities) >= n_users + self.clusters:
            raise ConfigError(
                f"evaluation.perplexities has {max(self.perplexities):g}, but there are {n_users} users and "
                f"{self.clusters} centres: lower it"
            )

    def look(
        self, fitted: Fitted, split: Split, targets: np.ndarray, seeds: Seeds, device: torch.device, progress: Progress
    ) -> MappedUsers:
        """Log odds of pairs, and the planes; draws come from the stream ``evaluate``."""
        judged = super().look(fitted, split, targets, seeds, device, progress)
        points = fitted.params["user"][: split.train.n_users].detach().cpu().numpy().astype(np.float64)
        drawn = int(seeds.numpy("evaluate").integers(2**31))
        return MappedUsers(**judged.arrays(), **self._mapped(points, drawn))

    def _mapped(self, points: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        from sklearn.cluster import KMeans
        from sklearn.manifold import TSNE
        from sklearn.metrics import silhouette_score

        found = KMeans(self.clusters, n_init=1, random_state=seed).fit(points)
        both = np.concatenate([points, found.cluster_centers_])
        start = "pca" if points.shape[1] > 1 else "random"
        planes = [TSNE(perplexity=p, init=start, random_state=seed).fit_transform(both) for p in self.perplexities]
        return {
            "perplexities": np.array(self.perplexities, dtype=np.float64),
            "places": np.stack(planes).astype(np.float32),
            "cluster": found.labels_.astype(np.int64),
            "silhouette": np.array([silhouette_score(points, found.labels_)]),
        }

    def read(self, path: Path) -> MappedUsers:
        """Read back what ``look`` returned and ``save`` wrote."""
        return MappedUsers.load(path)
