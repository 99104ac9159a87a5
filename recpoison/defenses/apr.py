"""Adversarial personalised ranking (He, He, Du and Chua, SIGIR 2018), for any model with embeddings and a gradient."""

from __future__ import annotations

from dataclasses import dataclass

from recpoison.algebra.perturbation import PROJECTIONS
from recpoison.defenses.adversarial_training import AdversarialTraining
from recpoison.idle import Together
from recpoison.ranges import ranged
from recpoison.training.inner_attack import STARTS, UNITS, InnerAttack


@dataclass(frozen=True, kw_only=True)
class APR(AdversarialTraining):
    """Minimises L(θ) + weight · L(θ + Δ), where Δ raises the loss of the batch most (equations 7 to 9).

    Each row of the embeddings that a batch looks at is shifted by ``epsilon`` along its own gradient of the batch's
    loss, summed over the row's occurrences; other rows are not. Δ is a constant of the second loss. So does the
    authors' code, and this too by default; the paper writes one vector for each instance and normalises it whole.

    FGSM is one step. BIM is ``steps=2`` and more, PGD the same with ``start=uniform`` (MSAP, whose code trains with two
    steps and projects on the ``box``, which lets a row be epsilon times the root of the embedding size long).

    Args:
        epsilon: L2 norm of a row's shift; half width of the ``box``. Embeddings have a norm of 0.07 before training.
        steps: Steps of the inner attack.
        step_size: Length of a step; None: epsilon for one step, else epsilon / 4 (MSAP).
        projection: ``row_l2``, ``box`` or ``none``, after each step.
        start: Where a shift starts: ``zero`` or ``uniform``.
        start_width: Every number of a uniform start lies within plus or minus this.
        unit: ``row_batch``, or ``instance``: each occurrence of a row has a shift of its own (VAT and GPA); bprmf
            and lightgcn only.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Interactions([0, 0, 1, 1, 2], [0, 1, 0, 1, 0], [1] * 5, n_users=3, n_items=4)  # user 2 lacks item 1
        >>> model = BPRMF(embedding_size=4, trainer=Trainer(epochs=100))
        >>> fitted = APR(epsilon=0.1).fit(model, data, Seeds(0), torch.device("cpu"), Progress())
        >>> fitted.scores(torch.tensor([2]))[0].argsort(descending=True)[:2].tolist()
        [0, 1]
    """

    epsilon: float = ranged(0.5, low=0.0)
    steps: int = ranged(1, low=1, note=" (1: FGSM; more: BIM, PGD)")
    step_size: float | None = ranged(None, low=0.0, open_low=True, null="epsilon, a quarter of it for several")
    projection: str = ranged("row_l2", words=PROJECTIONS)
    start: str = ranged("zero", words=STARTS)
    start_width: float = ranged(0.05, low=0.0)
    unit: str = ranged("row_batch", words=UNITS)

    def idle(self, parts: Together) -> dict[str, str]:
        """The width of a start that has none."""
        return ({"start_width": "start is zero"} if self.start == "zero" else {}) | super().idle(parts)

    def inner_attack(self) -> InnerAttack:
        """Steps up the gradient."""
        return InnerAttack(
            self.epsilon,
            self.steps,
            self.step_size,
            self.projection,
            self.start,
            self.start_width,
            unit=self.unit,
        )
