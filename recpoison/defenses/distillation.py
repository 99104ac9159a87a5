"""Distillation for matrix factorisation (APR report, section 4; after Papernot et al., S&P 2016)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from recpoison.data.interactions import Interactions
from recpoison.defenses.base import Defense
from recpoison.errors import IncompatibleParts
from recpoison.idle import Together
from recpoison.models.base import Fitted, GradientModel, Model, Monitor, Params
from recpoison.progress import Progress
from recpoison.ranges import check_ranges, ranged
from recpoison.seeds import Seeds
from recpoison.training.inner_attack import InnerAttack
from recpoison.training.optimizers import State, slots, step
from recpoison.training.trainer import Diverged, Objective, Trainer

_TABLES = ("user", "item")


@dataclass(frozen=True, kw_only=True)
class Distillation(Defense):
    """A student regresses the scores of a teacher for all users and items, seen or not, by squared error.

    The teacher is the model's own fit. The student is the same model from fresh initial values; its loss is the mean
    over all pairs of (p_u·q_i - t_u·s_i / temperature)², so that a learning rate means the same for any number of
    pairs. With ``weight`` it adds ``weight`` times that loss at tables whose rows are shifted by ``epsilon`` along
    their own gradient: the report's adversarial version. Neither the scores nor their differences are ever built, so a
    step costs what the tables cost.

    A student of the teacher's size meets its scores exactly and so mimics its lists, as the report found; a smaller one
    meets their best approximation of its rank. What changes is the length of rows: both tables' come out alike, where
    BPR by Adagrad leaves users' three times as long as items' (book_crossing), and shifting these then costs less.

    Temperature: a classifier's flattens its softmax; a regression has none, so here it divides the scores that are to
    be met. No list changes by that. But rows are 1/sqrt(temperature) times as long, and a shift of fixed length changes
    the score of longer rows less, relative to their differences: below 1 the student stands firmer against the same
    epsilon, above 1 less firm. That is a change of unit, not robustness: an attacker whose epsilon is a share of a
    row's length sees none of it.

    The report names neither temperature, constants nor optimiser; there is no authors' code. The student is trained by
    Adam on all pairs at each step, an epoch being one step, without the model's regulariser; its eps is 1e-12, because
    gradients of a mean over all pairs are small. Where an epoch is chosen, the teacher's is (as that of the fit without
    the defense, so that the two differ in nothing else), and then the student's; a curve shows the student.

    Args:
        temperature: Divides the teacher's scores.
        teacher_embedding_size: Length of the teacher's embeddings; None: the student's, which are the model's.
        weight: Of the loss at the shifted tables; 0: plain distillation.
        epsilon: L2 norm of a row's shift.
        epochs: Steps of the student.
        learning_rate: Of the student's Adam.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Interactions([0, 0, 1, 1, 2], [0, 1, 0, 1, 0], [1] * 5, n_users=3, n_items=4)
        >>> model = BPRMF(embedding_size=4, trainer=Trainer(epochs=100))
        >>> fits = [
        ...     defense.fit(model, data, Seeds(0), torch.device("cpu"), Progress()).scores(torch.arange(3))
        ...     for defense in (NoDefense(), Distillation(temperature=2.0))
        ... ]
        >>> torch.allclose(fits[0], 2 * fits[1], atol=0.01)
        True
    """

    temperature: float = ranged(1.0, low=0.0, open_low=True)
    teacher_embedding_size: int | None = ranged(None, low=1, null="the model's")
    weight: float = ranged(0.0, low=0.0)
    epsilon: float = ranged(0.5, low=0.0)
    epochs: int = ranged(500, low=1)
    learning_rate: float = ranged(0.03, low=0.0, open_low=True)

    def __post_init__(self) -> None:
        check_ranges(self, "defense")
        self.inner_attack()

    @property
    def reads_values(self) -> bool:
        """The model's own fit is all it looks at."""
        return False

    def idle(self, parts: Together) -> dict[str, str]:
        """The size of a shift that has no weight."""
        return super().idle(parts) | ({} if self.weight else {"epsilon": "weight is 0, so nothing is shifted"})

    def inner_attack(self) -> InnerAttack:
        """How the student's tables are shifted: one step up the gradient."""
        return InnerAttack(self.epsilon)

    @property
    def trainer(self) -> Trainer:
        """How the student's loss is minimised."""
        return Trainer(self.epochs, optimizer="adam", learning_rate=self.learning_rate, eps=1e-12)

    def check_model(self, model: Model) -> None:
        """See whether a score of ``model`` is the product of a user's and an item's row, and nothing else.

        Raises:
            IncompatibleParts: If it is not.
        """
        if not _is_product_of_tables(model):
            raise IncompatibleParts(
                "distillation regresses scores that are products of a user's and an item's embedding, and those of "
                f"{type(model).__name__} are not: choose model=bprmf, mf or wrmf, or another defense"
            )
        self._teacher(model)

    def _teacher(self, model: Model) -> Model:
        size = self.teacher_embedding_size
        if size is None:
            return model
        if not hasattr(model, "embedding_size"):
            raise IncompatibleParts(
                f"defense.teacher_embedding_size is {size}, but {type(model).__name__} has no embedding_size: "
                "set it to null"
            )
        return replace(model, embedding_size=size)  # type: ignore[call-arg]

    def fit(
        self,
        model: Model,
        data: Interactions,
        seeds: Seeds,
        device: torch.device,
        progress: Progress,
        monitor: Monitor | None = None,
    ) -> Fitted:
        """Fit the teacher from ``seeds``, then the student, whose initial values come from their child ``student``.

        Raises:
            IncompatibleParts: If the model's scores are no product of two tables.
            Diverged: If a loss is no longer finite.
        """
        self.check_model(model)
        assert isinstance(model, GradientModel), "check_model has seen to that"
        chosen = None if monitor is None else replace(monitor, watch=None)
        teacher = self._teacher(model).fitted(data, seeds, device, progress, chosen).params
        start = model.start(data, seeds.child("student"), device)
        objective = ScoreRegression(teacher, self.temperature, self.inner_attack(), self.weight)
        try:
            params = self.trainer.fit(objective, start, progress, monitor)
        except Diverged as error:
            raise Diverged(f"the student diverged: lower defense.learning_rate (now {self.learning_rate:g})") from error
        return Fitted(model, params, data)


class ScoreRegression(Objective):
    """Mean over all users and items of (p_u·q_i - t_u·s_i / temperature)², and ``weight`` times it at shifted tables.

    With T the temperature, t and s the teacher's tables, the sum over all pairs and its gradient are

        tr((P'P)(Q'Q)) - 2/T tr((P't)(s'Q)) + tr((t't)(s's))/T²,   2 P (Q'Q) - 2/T t (s'Q)  and its mirror,

    so that nothing of the size users x items is built: a step takes some products of tables with matrices of the
    embedding's size.

    Args:
        teacher: Tables ``user`` and ``item``, whose columns may be more or fewer than the student's.
        temperature: Divides the teacher's scores.
        attack: How rows are shifted.
        weight: Of the second loss; the shift is a constant of it.
    """

    def __init__(self, teacher: Params, temperature: float, attack: InnerAttack, weight: float) -> None:
        self.user, self.item = (teacher[name].detach() for name in _TABLES)
        self.temperature, self.attack, self.weight = temperature, attack, weight
        squares = (self.user.T @ self.user).double() * (self.item.T @ self.item).double()
        self.constant = squares.sum() / temperature**2
        self.n_pairs = len(self.user) * len(self.item)

    def inputs(self) -> object:
        """The teacher and all settings."""
        return self.user, self.item, self.temperature, self.attack, self.weight

    def loss_and_gradient(self, params: Params) -> tuple[Tensor, Params]:
        """The mean over all pairs without the adversary, in double precision, and its gradient in both tables."""
        p, q = (params[name] for name in _TABLES)
        pp, qq = p.T @ p, q.T @ q
        tp, sq = self.user.T @ p / self.temperature, self.item.T @ q / self.temperature
        total = (pp.double() * qq.double()).sum() - 2 * self.temperature * (tp.double() * sq.double()).sum()
        scale = 2 / self.n_pairs
        user = torch.addmm(p @ qq, self.user, sq, alpha=-1).mul_(scale)
        item = torch.addmm(q @ pp, self.item, tp, alpha=-1).mul_(scale)
        return (total + self.constant) / self.n_pairs, {"user": user, "item": item}

    def epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        """One step on all pairs; returns the mean squared error before it."""
        params = slots(state, "param")
        loss, gradient = self.loss_and_gradient(params)
        if self.weight:  # section 4's adversarial term, in the form of eq. 11
            shift = self.attack.climb(None, lambda _: gradient)
            adverse = self.loss_and_gradient({name: table + shift[name] for name, table in params.items()})[1]
            gradient = {name: table + self.weight * adverse[name] for name, table in gradient.items()}
        step(trainer.optimizer, state, gradient, trainer.learning_rate, trainer.eps)
        return float(loss)


def _is_product_of_tables(model: Model) -> bool:
    """Try it on two users and three items: no model says how it scores, and some shift or mix their tables."""
    if not isinstance(model, GradientModel) or model.tables != _TABLES:
        return False
    data, seeds = Interactions(np.array([0, 1]), np.array([0, 1]), np.ones(2), 2, 3), Seeds(0)
    params = model.start(data, seeds, torch.device("cpu"))
    if params.keys() != set(_TABLES) or params["user"].shape[1] != params["item"].shape[1]:
        return False
    scores = model.scores(params, data, torch.arange(2))
    return torch.allclose(scores, params["user"] @ params["item"].T)
