"""Where users lie in a model's latent space: pure functions of their embeddings.

None of them changes when the space is turned, mirrored or moved, so that an embedding is only compared with others of
the same fit. All work in float64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_BLOCK = 512  # users whose distances to all others are held at a time
_COPY = 1e-6  # users closer than this share of the spread are taken for copies of each other


class Projection(NamedTuple):
    """Users on the axes of largest variance.

    Args:
        coordinates: ``(n, dimensions)``, centred.
        explained: ``(dimensions,)`` share of the whole variance on each axis.
    """

    coordinates: np.ndarray
    explained: np.ndarray


def principal_components(points: np.ndarray, dimensions: int) -> Projection:
    """PCA fitted on all ``points`` ``(n, size)``, centred and not scaled.

    An axis has no sign of its own: the point that lies farthest out on it is put on its positive side.
    """
    centred = points - points.mean(0)
    variances, axes = np.linalg.eigh(centred.T @ centred / len(points))
    coordinates = centred @ axes[:, ::-1][:, :dimensions]
    farthest = np.abs(coordinates).argmax(0)
    signs = np.where(coordinates[farthest, np.arange(dimensions)] < 0, -1.0, 1.0)
    total = variances.sum()
    explained = variances[::-1][:dimensions] / (total if total > 0 else 1.0)
    return Projection(coordinates * signs, explained.clip(0))


def closeness(points: np.ndarray, neighbours: int) -> np.ndarray:
    """Minus the mean Euclidean distance to the nearest ``neighbours`` other users, ``(n,)``: large inside a cluster.

    Costs ``n^2 * size`` multiplications; memory grows with ``n``.

    Args:
        points: ``(n, size)``.
        neighbours: Fewer than n.
    """
    centred = points - points.mean(0)
    squares = np.einsum("ij,ij->i", centred, centred)
    nearest = np.empty(len(points))
    for start in range(0, len(points), _BLOCK):
        rows = slice(start, start + _BLOCK)
        # |a - b|² = |a|² + |b|² - 2 a·b
        apart = squares[rows, None] + squares - 2 * centred[rows] @ centred.T
        here = np.arange(len(apart))
        apart[here, start + here] = np.inf
        closest = np.partition(apart, neighbours - 1, axis=1)[:, :neighbours]
        nearest[rows] = np.sqrt(closest.clip(0)).mean(1)
    return -np.maximum(nearest, _COPY * np.sqrt(squares.mean()))


def mahalanobis(points: np.ndarray) -> np.ndarray:
    """Mahalanobis distance of each point to the mean, ``(n,)``, by the covariance of all; flat directions are left out.

    Real and fake users enter the covariance alike, as nobody knows which are which.
    """
    centred = points - points.mean(0)
    variances, axes = np.linalg.eigh(centred.T @ centred / len(points))
    kept = variances > 1e-10 * variances[-1]
    return np.sqrt(((centred @ axes[:, kept]) ** 2 / variances[kept]).sum(1))
