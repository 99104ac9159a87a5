"""Fake users by the gradient of the closed-form solution of alternating least squares (Li et al. 2016).

The form is WRMF+ALS of the injection paper (Tang, Wen and Wang 2020): section 4, and its authors' code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import scipy.sparse as sp
import torch
from torch import Tensor

from recpoison.algebra.normal_equations import group_rows, solve_rows
from recpoison.algebra.observed import Observed
from recpoison.attacks.objectives import TargetHits
from recpoison.attacks.profiles.bilevel import BilevelAttack, Look, Surrogate
from recpoison.attacks.profiles.outer import OuterOptimizer
from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.idle import Together
from recpoison.models.wrmf_als import WRMFALS
from recpoison.progress import Progress
from recpoison.ranges import ranged
from recpoison.seeds import Seeds
from recpoison.training.trainer import Diverged

WEIGHTS = ("detached", "differentiated")


def _short_steps() -> OuterOptimizer:
    """The gradient leaves out how users move, so it is trusted for short steps only."""
    return OuterOptimizer(step_size=0.5, momentum=0.0)


def _small() -> WRMFALS:
    return WRMFALS(embedding_size=16, weight=20.0, regularization=0.05)


@dataclass(frozen=True, kw_only=True)
class WRMFALSGradientAttack(BilevelAttack):
    """Looks at how fake users move the items, while all users' vectors are held as constants.

    In each iteration WRMF is solved by ALS on the real and the present fake users. Its last half sweep solved each item
    exactly: A q = b with A = sum over users of c p p' + ridge, b = sum of c x p, and confidence c = 1 + (weight - 1) x.
    So the derivative in a fake user's value x of an item is known without unrolling anything, and all of them take one
    batched solve, of A y = the objective's gradient in q: the chain is (p.y) times

    - c with ``weights: detached``: x moves b alone, as in the authors' code;
    - 1 + (weight - 1) (2x - p.q) with ``differentiated``: the confidence grows with x too, in both A and b.

    Li et al. have explicit ratings and regress over the users who rated an item alone; here all users count, as in the
    injection paper's code.

    ``unroll_steps`` and ``memory_limit`` have nothing to act on.

    Args:
        surrogate: The attacker's own model.
        weights: Whether the confidence of a cell follows its value in the gradient.

    Example:
        >>> data = Planted("planted", n_users=8).read(None, Seeds(0), Progress())
        >>> surrogate = WRMFALS(4)
        >>> settings = {"n_fake_users": 2, "click_targets": True, "outer": OuterOptimizer(iterations=3)}
        >>> attack = WRMFALSGradientAttack(targets=Targets("list", [8]), surrogate=surrogate, **settings)
        >>> fakes = attack.poison(data, np.array([8]), Seeds(0), torch.device("cpu"), Progress())
        >>> len(fakes.trace["HR"]), (fakes.items == 8).sum().item()  # before and after each step; both click item 8
        (4, 2)
    """

    outer: OuterOptimizer = field(default_factory=_short_steps)
    click_targets: bool = True
    surrogate: WRMFALS = field(default_factory=_small)
    weights: str = ranged("differentiated", words=WEIGHTS)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.surrogate.solver != "cholesky":
            raise ConfigError(
                f"attack.surrogate.solver is {self.surrogate.solver}, but this attack differentiates exact solutions: "
                "choose cholesky"
            )
        for name in ("unroll_steps", "memory_limit"):
            if getattr(self, name) is not None:
                raise ConfigError(
                    f"attack.{name} is {getattr(self, name)}, but this attack has a closed form and unrolls nothing: "
                    "leave it out"
                )

    def idle(self, parts: Together) -> dict[str, str]:
        """How it is differentiated, where it is not."""
        still = "outer.iterations is 0, so nothing is differentiated"
        return super().idle(parts) | ({"weights": still} if self.outer.iterations == 0 else {})

    @property
    def _start_rank(self) -> int:
        return self.surrogate.embedding_size

    def _surrogate(
        self, data: Interactions, targets: Tensor, n_fakes: int, seeds: Seeds, device: torch.device
    ) -> Surrogate:
        return _ClosedForm(self, data, targets, seeds, device)


class _ClosedForm:
    """Solves the surrogate with given fake users, and for the objective's gradient in their values."""

    def __init__(
        self, attack: WRMFALSGradientAttack, data: Interactions, targets: Tensor, seeds: Seeds, device: torch.device
    ) -> None:
        self.attack, self.model, self.targets, self.real = attack, attack.surrogate, targets, data.seen
        self.seen = Observed.of(data.seen, device)
        self.first = self.model.initial_items(data.n_items, seeds).to(device)

    def __call__(self, shown: Tensor, want_gradient: bool) -> Look:
        """Sweep from the initial values with the fake users ``shown``.

        Raises:
            Diverged: If an equation of a sweep has no solution.
        """
        seen = sp.vstack([self.real, sp.csr_matrix(shown.cpu().numpy())], format="csr")
        params = self.model.sweep(seen, self.first, Progress(), "attack.surrogate")
        users, items = params["user"], params["item"].requires_grad_(want_gradient)
        hits = TargetHits(self.seen, self.targets, self.attack.cutoff)
        n_real = self.seen.n_rows
        value = self.attack.value(users[:n_real], items, self.targets, self.seen, hits)
        gradient = None
        if want_gradient:
            pull = torch.autograd.grad(value, items)[0]
            gradient = self._chain(shown, users, items.detach(), pull, seen)
        objective, hit_ratio = torch.stack([value.detach().double(), hits.share]).tolist()
        if not math.isfinite(objective):  # on a CPU a sweep has said so
            raise Diverged("the attack's surrogate left the finite numbers: raise attack.surrogate.regularization")
        return Look(objective, hit_ratio, gradient)

    def _chain(self, shown: Tensor, users: Tensor, items: Tensor, pull: Tensor, seen: sp.csr_matrix) -> Tensor:
        """The gradient in ``shown``, from that in each item's vector, ``pull`` ``(n_items, embedding_size)``."""
        model, fakes = self.model, users[self.seen.n_rows :]
        groups = group_rows(seen.T.tocsr(), users.device)
        # eq. 10: A dq = db - dA q; A is symmetric, so that its inverse goes to ``pull``, one solve for all fake users
        carried = solve_rows(users, groups, len(items), model.weight, model.regularization, pull)
        if self.attack.weights == "detached":
            slope = 1 + (model.weight - 1) * shown  # db/dx = c p, dA/dx = 0
        else:
            # db/dx = (c + (weight - 1) x) p, dA/dx = (weight - 1) p p'
            slope = 1 + (model.weight - 1) * (2 * shown - fakes @ items.T)
        return slope * (fakes @ carried.T)
