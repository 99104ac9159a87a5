"""Where users lie: K-means and t-SNE beside the numbers of link prediction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recpoison.data.interactions import Edges, Interactions
from recpoison.data.splitting import Split
from recpoison.errors import ConfigError
from recpoison.evaluation.link_prediction import LinkPrediction
from recpoison.evaluation.user_map import MappedUsers, UserMap
from recpoison.models.base import Fitted
from recpoison.models.cf import CF
from recpoison.progress import Progress
from recpoison.seeds import Seeds

CPU, MAP = torch.device("cpu"), UserMap(clusters=2, perplexities=[3.0, 5.0], unseen=0.2)


def clouds(size: int = 2) -> tuple[Fitted, Split]:
    """30 users in two clouds far apart, by turns, with an item each."""
    users, points = np.arange(30), np.random.default_rng(0).normal(size=(30, size))
    points[1::2] += 40
    table = Interactions(users, users % 3, np.ones(30), 30, 4, zeros=Edges(users, np.full(30, 3)))
    split = Split(table, table)
    model = CF(embedding_size=size)
    params = model.init(table, Seeds(0)) | {"user": torch.from_numpy(points).float()}
    return Fitted(model, params, table), split


def look(evaluation: UserMap, size: int = 2) -> MappedUsers:
    fitted, split = clouds(size)
    return evaluation.look(fitted, split, np.zeros(0), Seeds(0), CPU, Progress())


def test_two_clouds_are_two_clusters_and_lie_apart() -> None:
    seen = look(MAP)
    assert len(set(seen.cluster[::2])) == len(set(seen.cluster[1::2])) == 1
    assert seen.cluster[0] != seen.cluster[1]
    assert seen.silhouette[0] > 0.9
    assert seen.places.shape == (2, 32, 2)
    for plane in seen.places:
        one, other = plane[:30:2], plane[1:30:2]
        inside = max(np.ptp(one, axis=0).max(), np.ptp(other, axis=0).max())
        assert np.linalg.norm(one.mean(0) - other.mean(0)) > inside / 2


def test_the_numbers_are_those_of_link_prediction(tmp_path: Path) -> None:
    fitted, split = clouds()
    plain = LinkPrediction(unseen=0.2)
    seen = look(MAP)
    own = plain.measures(plain.look(fitted, split, np.zeros(0), Seeds(0), CPU, Progress()))
    assert [m.value for m in MAP.measures(seen)] == [m.value for m in own]
    seen.save(tmp_path / "seen.npz")
    read = MAP.read(tmp_path / "seen.npz")
    assert all(np.array_equal(array, seen.arrays()[name]) for name, array in read.arrays().items())


def test_embeddings_of_one_number_have_a_plane_too() -> None:
    assert np.isfinite(look(MAP, size=1).places).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clusters": 30}, r"evaluation\.clusters is 30, but there are 30 users"),
        ({"perplexities": [32.0]}, r"evaluation\.perplexities has 32, but there are 30 users and 2 centres"),
    ],
)
def test_too_few_users_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(MAP, **change).check_split(clouds()[1])


@pytest.mark.parametrize("change", [{"clusters": 1}, {"perplexities": []}, {"perplexities": [1.0]}])
def test_values_out_of_range_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"evaluation.{next(iter(change))} is"):
        replace(MAP, **change)
