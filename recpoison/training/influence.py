"""What a rating of one more user would do to the risk of a rating model (Koh and Liang, ICML 2017; APT, equation 5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recpoison.algebra.curvature import BLOCKS, CURVATURES, RatingCurvature
from recpoison.algebra.inverse_products import conjugate_gradient, lissa
from recpoison.data.interactions import Interactions
from recpoison.idle import Part, Together
from recpoison.progress import Progress
from recpoison.ranges import check_ranges, ranged
from recpoison.seeds import Seeds

SOLVERS = ("cg", "lissa")
_LARGEST = 1e9  # beyond it float32 has nothing left of the curvature
RISKS = ("sigmoid_sum", "sigmoid_mean")


@dataclass(frozen=True, kw_only=True)
class InverseCurvature(Part):
    """How the inverse of (H + damping I) times a vector is found, H being the curvature of the rating loss.

    The loss is a mean over ratings, so H shrinks as they grow in number, and most of its eigenvalues lie far below 1.
    The APT authors' code is ``lissa`` on ``diagonal`` blocks with neither damping nor scale: so many terms of a series
    that is far from its limit, which acts like a damping of about 1 / ``iterations``.

    Args:
        solver: ``cg`` (conjugate gradient on all ratings) or ``lissa`` (a series over batches).
        curvature: ``hessian``, or ``gauss_newton``, which is never negative.
        blocks: ``full``, or ``diagonal``, without what couples users and items (the authors' code).
        damping: Added to the diagonal; above minus the smallest eigenvalue of the ``hessian``.
        iterations: Products at most (cg), or terms of the series (lissa).
        tolerance: Of cg: what may be left of the right-hand side, as a share of its length.
        scale: Of lissa: divides the curvature; above half of its largest eigenvalue.
        batch_size: Of lissa: ratings of a term, drawn without replacement; all where there are fewer.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> one = torch.ones(1, 1, dtype=torch.float64)  # loss (p q - 1)^2 at p = q = 1, so H = [[2, 2], [2, 2]]
        >>> inverse = InverseCurvature(damping=1.0)
        >>> here = inverse.at(torch.tensor([0]), torch.tensor([0]), one[0], {"user": one, "item": one}, 0.0)
        >>> found = inverse.solve(here, torch.ones(2, 1, dtype=torch.float64), Seeds(0), Progress(), "it")
        >>> found.flatten().tolist()  # 1 / (4 + 1)
        [0.2, 0.2]
    """

    solver: str = ranged("cg", words=SOLVERS)
    curvature: str = ranged("gauss_newton", words=CURVATURES)
    blocks: str = ranged("full", words=BLOCKS)
    damping: float = ranged(1e-3, low=0.0, high=_LARGEST)
    iterations: int = ranged(200, low=1)
    tolerance: float = ranged(1e-3, low=1e-15, high=_LARGEST)
    scale: float = ranged(1.0, low=1 / _LARGEST, high=_LARGEST)
    batch_size: int = ranged(16384, low=1)

    def __post_init__(self) -> None:
        check_ranges(self, "inverse")

    def idle(self, parts: Together) -> dict[str, str]:
        """What the other solver needs, and the kind of curvature where blocks have but one."""
        others = ("scale", "batch_size") if self.solver == "cg" else ("tolerance",)
        found = dict.fromkeys(others, f"solver is {self.solver}")
        if self.blocks == "diagonal":
            found["curvature"] = "blocks is diagonal, where both curvatures are one"
        return found

    def at(
        self, users: Tensor, items: Tensor, ratings: Tensor, tables: dict[str, Tensor], regularization: float
    ) -> RatingCurvature:
        """The damped curvature at ``tables`` named ``user`` and ``item``; see ``RatingCurvature``."""
        kind = (self.curvature, self.blocks, self.damping)
        return RatingCurvature(users, items, ratings, tables["user"], tables["item"], regularization, *kind)

    def solve(self, here: RatingCurvature, b: Tensor, seeds: Seeds, progress: Progress, name: str) -> Tensor:
        """The inverse at ``here`` times ``b``, ``(n_users + n_items, size)``.

        Args:
            here: What ``at`` gave.
            b: Right-hand side.
            seeds: Stream ``batches`` of lissa.
            progress: Is told where cg stopped short of its tolerance.
            name: What the user calls this part, such as ``defense.inverse``.

        Raises:
            NotSolved: If the curvature is negative (cg) or the series diverges (lissa).
        """
        if self.solver == "lissa":
            rng, n = seeds.numpy("batches"), len(here)
            size = min(self.batch_size, n)

            def product(v: Tensor, _: int) -> Tensor:
                chosen = np.sort(rng.choice(n, size, replace=False, shuffle=False))  # sorted rows are read quicker
                return here.product(v, torch.from_numpy(chosen).to(v.device))

            return lissa(product, b, self.scale, self.iterations, (f"{name}.scale", f"{name}.damping"))
        found = conjugate_gradient(here.product, b, self.tolerance, self.iterations, f"{name}.damping")
        if found.residual > self.tolerance:
            progress.note(
                f"conjugate gradient stopped after {found.iterations} iterations with {found.residual:.2g} of the "
                f"right-hand side left: raise {name}.iterations or {name}.damping"
            )
        return found.x


def risk_slopes(errors: Tensor, risk: str) -> Tensor:
    """Derivative of the empirical risk in each rating's score.

    Args:
        errors: ``(n,)`` score minus rating.
        risk: ``sigmoid_sum``, the sum of sigmoid(error²) (APT, below equation 5), or ``sigmoid_mean``, the sigmoid of
            the mean of error² (the authors' code).
    """
    squares = errors.square()
    if risk == "sigmoid_sum":
        value = torch.sigmoid(squares)
        return 2 * value * (1 - value) * errors
    value = torch.sigmoid(squares.mean())
    return 2 * value * (1 - value) * errors / len(errors)


def influence_of_ratings(here: RatingCurvature, x: Tensor, references: Tensor) -> Tensor:
    """Change of the risk for each unit by which copies of the ``references`` rate an item higher (APT, equation 5).

    An item that they have not rated stands with 0. The derivative of (p_u.q_i - z)² in z and the two rows is
    (-2 q_i, -2 p_u), and the loss is a mean over n ratings, so the influence of item i is the sum over references of
    2/n (x_u.q_i + p_u.x_i).

    Args:
        here: Curvature at the fitted tables.
        x: Its inverse times the gradient of the risk, ``(n_users + n_items, size)``.
        references: Numbers of users.

    Returns:
        ``(n_items,)``; negative where a rating lowers the risk.
    """
    x_user, x_item = x[: here.n_users], x[here.n_users :]
    user = here.user_table[references].sum(0)
    return 2 / len(here) * (here.item_table @ x_user[references].sum(0) + x_item @ user)


def shortest_users(data: Interactions, count: int, rng: np.random.Generator) -> np.ndarray:
    """The ``count`` users whose row of ratings has the smallest L2 norm, of those who have one; ties by lot."""
    squares = np.bincount(data.users, data.values**2, data.n_users)
    users = rng.permutation(np.flatnonzero(data.user_counts))
    return users[np.argsort(squares[users], kind="stable")][:count]
