"""PCA-VarSelect (Mehta and Nejdl, "Unsupervised strategies for shilling detection", UMUAI 2009)."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import LinearOperator, svds

from recpoison.data.interactions import Interactions
from recpoison.defenses.detectors.base import Detector
from recpoison.errors import ConfigError
from recpoison.ranges import check_ranges, ranged


@dataclass(frozen=True)
class PCASelectUsers(Detector):
    """Fake users covary little with the crowd, so they weigh little in the first principal components of the users.

    Each user's row of ratings (0 where there is none, ones on implicit data) is standardised over the items to mean 0
    and variance 1. With U the leading eigenvectors of the users' covariance, a user's suspicion is minus the sum of
    squares of their row of U, so the sign of an eigenvector does not matter. The covariance is never built: U are the
    leading left singular vectors of the standardised matrix, which is sparse minus rank one.

    SDLib's code (PCASelectUsers) scales without centring and adds up unsquared loadings, whose sign is arbitrary, and
    is told how many users are fake. Here the share of suspects is a setting of the defense.

    Args:
        components: Number of eigenvectors. SDLib takes 3.

    Raises:
        ConfigError: If ``components`` is below 1.

    Example:
        >>> users, items = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4], [0, 1, 0, 1, 0, 1, 0, 1, 1, 3]  # user 4 covaries with nobody
        >>> data = Interactions(users, items, [1] * 10, n_users=5, n_items=4)
        >>> (-PCASelectUsers(components=1).scores(data)).round(3).tolist()
        [0.25, 0.25, 0.25, 0.25, 0.0]
    """

    components: int = ranged(3, low=1)

    def __post_init__(self) -> None:
        check_ranges(self, "defense.detector")

    def scores(self, data: Interactions) -> np.ndarray:
        """Suspicion ``(n_users,)`` in [-1, 0]; -1 for users without rows.

        Raises:
            ConfigError: If there are fewer users or items than ``components`` needs.
        """
        size = min(data.n_users, data.n_items)
        if self.components >= size:
            raise ConfigError(
                f"defense.detector.components is {self.components}, but {data.n_users} users and {data.n_items} items "
                f"have fewer: give {size - 1} or less"
            )
        loadings = _leading_users(data, self.components)
        return np.where(data.user_counts > 0, -np.square(loadings).sum(axis=1), -1.0)


def _leading_users(data: Interactions, components: int) -> np.ndarray:
    """Left singular vectors ``(n_users, components)`` of the standardised rows; zero where a row is constant."""
    ratings = (data.seen if data.implicit else data.csr).astype(np.float64)
    means = np.asarray(ratings.mean(axis=1)).ravel()
    variances = np.asarray(ratings.power(2).mean(axis=1)).ravel() - means**2
    varies = variances > 1e-12
    inverse_stds = np.where(varies, 1 / np.sqrt(np.where(varies, variances, 1)), 0)

    def project(vectors: np.ndarray) -> np.ndarray:
        # each row minus its mean, over its deviation: the dense part is of rank one
        columns = vectors.reshape(data.n_items, -1)
        return inverse_stds[:, None] * (ratings @ columns - np.outer(means, columns.sum(axis=0)))

    def back(vectors: np.ndarray) -> np.ndarray:
        columns = inverse_stds[:, None] * vectors.reshape(data.n_users, -1)
        return ratings.T @ columns - means @ columns

    standardised = LinearOperator(
        (data.n_users, data.n_items), matvec=project, rmatvec=back, matmat=project, rmatmat=back, dtype=np.float64
    )
    start = np.random.default_rng(0).standard_normal(min(data.n_users, data.n_items))
    vectors, _, _ = svds(standardised, k=components, v0=start)
    return np.where(varies[:, None], vectors, 0)
