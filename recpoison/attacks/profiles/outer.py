"""How a learned attack (Tang, Wen and Wang 2020) moves a matrix of fake users, and where it starts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.sparse.linalg import svds
from torch import Tensor

from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.idle import Part, Together
from recpoison.ranges import ANY, check_ranges, ranged

STARTS = ("users", "model", "zeros")


@dataclass(frozen=True)
class OuterOptimizer(Part):
    """Gradient steps on fake users whose presented values are 0 or 1.

    With ``keep: latent`` a real-valued matrix is kept and moved, and the surrogate is shown its projection; the exact
    gradient there is passed straight through. With ``keep: projected`` the projected matrix is the next iterate, as
    in the paper's algorithm 1: with momentum 0.99, a raw gradient and threshold 0.2 that is the published recipe, and
    it is unstable.

    Args:
        iterations: Updates of the matrix.
        step_size: Length of the first step; with ``gradient: row_l2`` in units of a fake user's row.
        decay: ``linear`` (the step falls to 0 over the iterations, so that the end settles) or ``none``.
        momentum: Share of the last step that is kept.
        gradient: ``row_l2`` (each fake user's row has length 1) or ``raw``.
        keep: ``latent`` or ``projected``.
        projection: ``threshold`` (1 above ``threshold``, else 0) or ``top_n`` (the ``profile_size`` highest of each
            row are 1).
        threshold: For ``projection: threshold``.
        bound: Latent values stay this close to the threshold, so that each can still change sides; null lets them run.
        profile_size: Items of each fake user, for ``projection: top_n``; forced targets count. ``mean`` is as many as
            the mean profile of users who have one, so that an attack clicks no more than one with ``fillers: mean``.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> outer = OuterOptimizer(iterations=2, step_size=1.0, momentum=0.0, bound=None)
        >>> start, gradient, free = torch.zeros(1, 2), torch.tensor([[-3.0, 4.0]]), torch.tensor([], dtype=torch.int64)
        >>> kept, _ = outer.step(0, start, start, start, gradient, free)
        >>> kept, outer.present(kept, free)
        (tensor([[ 0.6000, -0.8000]]), tensor([[1., 0.]]))
    """

    iterations: int = ranged(50, low=0)
    step_size: float = ranged(2.0, low=0.0, open_low=True)
    decay: str = ranged("linear", words=("linear", "none"))
    momentum: float = ranged(0.9, low=0.0, high=1, open_high=True)
    gradient: str = ranged("row_l2", words=("row_l2", "raw"))
    keep: str = ranged("latent", words=("latent", "projected"))
    projection: str = ranged("threshold", words=("threshold", "top_n"))
    threshold: float = ranged(0.5, low=ANY)
    bound: float | None = ranged(1.0, low=0.0, open_low=True, null="none")
    profile_size: int | str | None = ranged(None, low=1, words=("mean",), null="none, where nothing is counted")

    def __post_init__(self) -> None:
        check_ranges(self, "attack.outer")
        if self.projection != "top_n" and self.profile_size is not None:
            raise ConfigError(
                f"attack.outer.profile_size is {self.profile_size}, but attack.outer.projection is {self.projection}, "
                "which cuts profiles at a value: set attack.outer.projection=top_n, or leave it out"
            )
        if self.projection == "top_n" and self.profile_size is None:
            raise ConfigError(
                "attack.outer.profile_size is null: top_n needs the items of a fake user, 1 or more, or mean"
            )

    def idle(self, parts: Together) -> dict[str, str]:
        """Steps that are not taken, and the threshold where nothing is cut or bound by it."""
        found = {}
        if self.iterations == 0:
            steps = ("step_size", "decay", "momentum", "gradient", "keep", "bound")
            found = dict.fromkeys(steps, "iterations is 0, so no step is taken")
        elif self.iterations == 1:
            found = dict.fromkeys(("decay", "momentum"), "iterations is 1, so there is one step")
        if self.keep == "projected":
            found["bound"] = "keep is projected, and only latent values are bound"
        if self.projection == "top_n" and (self.bound is None or "bound" in found):
            found["threshold"] = "projection is top_n and no bound is around it"
        return found

    def sized(self, data: Interactions) -> OuterOptimizer:
        """With ``mean`` as the number that it is for ``data``."""
        return replace(self, profile_size=max(1, data.mean_profile)) if self.profile_size == "mean" else self

    def present(self, kept: Tensor, forced: Tensor) -> Tensor:
        """Zeros and ones ``(n_fakes, n_items)`` for ``kept``; the items ``forced`` are ones."""
        if self.projection == "top_n":
            n = min(int(self.profile_size or 0), kept.shape[1])
            values = kept.index_fill(1, forced, torch.inf)
            shown = torch.zeros_like(kept).scatter_(1, values.topk(n, dim=1).indices, 1.0)
        else:
            # the projection of section 3.1, which has >= in print
            shown = (kept > self.threshold).to(kept.dtype)
        return shown.index_fill_(1, forced, 1.0)

    def step(
        self, iteration: int, kept: Tensor, shown: Tensor, velocity: Tensor, gradient: Tensor, forced: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The next matrix and velocity.

        Args:
            iteration: Steps taken before.
            kept: What is kept.
            shown: Its projection, at which the gradient was taken.
            velocity: From the step before.
            gradient: Of the adversarial objective, ``(n_fakes, n_items)``.
            forced: Items whose value is not learned.
        """
        velocity = self.momentum * velocity + self.scaled(gradient, forced)
        length = self.step_size * (1 - iteration / self.iterations if self.decay == "linear" else 1)
        if self.keep == "projected":  # algorithm 1, line 9: from the projected matrix
            return shown - length * velocity, velocity
        kept = kept - length * velocity
        if self.bound is not None:
            kept = kept.clamp(self.threshold - self.bound, self.threshold + self.bound)
        return kept, velocity

    def scaled(self, gradient: Tensor, forced: Tensor) -> Tensor:
        """``gradient`` with 0 at forced items, then rows of length 1 where asked for; a row of zeros stays."""
        gradient = gradient.index_fill(1, forced, 0.0)
        return torch.nn.functional.normalize(gradient, dim=1) if self.gradient == "row_l2" else gradient


def starting_profiles(
    start: str, data: Interactions, n_fakes: int, longest: int | None, rank: int, rng: np.random.Generator
) -> np.ndarray:
    """Where fake users start: zeros and ones ``(n_fakes, n_items)``.

    ``users`` copies real users drawn without replacement (with, if there are too few). ``model`` draws users from a
    model of the data: coordinates in the span of its ``rank`` leading singular vectors from the normal distribution
    with the real users' mean and covariance; each has its highest items, as many as a real user drawn at random has.
    ``zeros`` has nothing.

    Args:
        start: ``users``, ``model`` or ``zeros``.
        data: Real users.
        n_fakes: Fake users.
        longest: Only users with at most so many items are copied or lend their length; None means all.
        rank: Singular vectors of the model.
        rng: Draws.

    Raises:
        ConfigError: If no user is short enough.
    """
    if start == "zeros":
        return np.zeros((n_fakes, data.n_items))
    counts = data.user_counts
    pool = np.flatnonzero((counts > 0) & (counts <= (longest or data.n_items)))
    if not len(pool):
        raise ConfigError(f"attack.longest_start is {longest}, but every user has more items: raise it")
    drawn = rng.choice(pool, n_fakes, replace=n_fakes > len(pool))
    if start == "users":
        return data.seen[drawn].toarray().astype(np.float64)
    rank = min(rank, min(data.seen.shape) - 1)
    left, sizes, right = svds(data.seen.astype(np.float64), k=rank, v0=rng.standard_normal(min(data.seen.shape)))
    coordinates = left * sizes
    centre, spread = coordinates.mean(axis=0), np.cov(coordinates, rowvar=False).reshape(rank, rank)
    scores = rng.multivariate_normal(centre, spread, n_fakes, method="eigh") @ right
    places = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1)
    return (places < counts[drawn][:, None]).astype(np.float64)
