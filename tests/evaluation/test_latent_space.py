import numpy as np
import pytest

from recpoison.evaluation.latent_space import closeness, mahalanobis, principal_components

ARROW = np.array([[0.0, 0], [4, 0], [2, 1], [2, -1]])  # variances 2 and 1/2 round (2, 0)


def rotation(size: int) -> np.ndarray:
    """A rotation and a mirror."""
    q, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(size, size)))
    return q * np.where(np.arange(size) == 0, -1, 1)


def test_axes_of_an_arrow_by_hand():
    found = principal_components(ARROW, 2)
    assert found.explained == pytest.approx([0.8, 0.2])
    assert np.abs(found.coordinates) == pytest.approx(np.array([[2.0, 0], [2, 0], [0, 1], [0, 1]]))


def test_the_farthest_point_is_on_the_positive_side():
    points = np.array([[-9.0, 0], [1, 0], [2, 1], [2, -3]])
    for given in (points, -points, points @ rotation(2)):
        coordinates = principal_components(given, 2).coordinates
        farthest = np.abs(coordinates).argmax(0)
        assert (coordinates[farthest, [0, 1]] > 0).all()


def test_nothing_depends_on_turning_mirroring_or_moving():
    points = np.random.default_rng(0).normal(size=(60, 7)) * np.arange(1, 8)
    turned = points @ rotation(7) + 3
    plain, other = principal_components(points, 3), principal_components(turned, 3)
    assert other.coordinates == pytest.approx(plain.coordinates, rel=1e-9)
    assert other.explained == pytest.approx(plain.explained)
    assert closeness(turned, 4) == pytest.approx(closeness(points, 4))
    assert mahalanobis(turned) == pytest.approx(mahalanobis(points))


def test_closeness_by_hand():
    """On a line 0, 1, 3, 7: mean distance to the two nearest others."""
    line = np.array([[0.0], [1], [3], [7]])
    assert closeness(line, 2) == pytest.approx([-2, -1.5, -2.5, -5])


def test_closeness_equals_all_distances_across_blocks():
    points = np.random.default_rng(1).normal(size=(1100, 3))
    apart = np.sort(np.linalg.norm(points[:, None] - points, axis=2), axis=1)
    assert closeness(points, 5) == pytest.approx(-apart[:, 1:6].mean(1))


def test_copies_tie():
    points = np.random.default_rng(2).normal(size=(20, 3))
    points[:4], points[4:8] = points[0], 10 * points[5]
    found = closeness(points, 3)
    assert len(set(found[:8])) == 1
    assert found[0] > found[8:].max()
    assert closeness(np.ones((5, 3)), 2).tolist() == [0] * 5


def test_mahalanobis_by_hand_leaves_flat_directions_out():
    """Along each axis the distance is the offset over the standard deviation: 2 / sqrt(2) and 1 / sqrt(1/2)."""
    assert mahalanobis(ARROW) == pytest.approx([2**0.5] * 4)
    flat = np.hstack([ARROW, ARROW.sum(1, keepdims=True)])
    assert mahalanobis(flat) == pytest.approx([2**0.5] * 4)
