"""Any recommender written as a ``torch.nn.Module``: for code of one's own."""

from __future__ import annotations

import inspect
import itertools
from abc import abstractmethod
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from recpoison.border import called, in_words, method
from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError, IncompatibleParts, UserError
from recpoison.idle import Together
from recpoison.models.base import DataLoss, Params
from recpoison.models.trained import TrainedModel
from recpoison.ranges import check_ranges, ranged
from recpoison.seeds import Seeds
from recpoison.training.module_objective import FORMS, Columns, ModuleBatch, ModuleObjective
from recpoison.training.module_start import RowByRow, seeded
from recpoison.training.objectives import bpr_loss
from recpoison.training.trainer import Trainer
from recpoison.training.whole_data import ChunkedLoss

CHUNK = 1 << 16  # pairs that the module scores at once
Score = Callable[[Tensor, Tensor], Tensor]


def _adam() -> Trainer:
    return Trainer(epochs=20, batch_size=512, optimizer="adam", learning_rate=0.01, eps=1e-8)


@dataclass(frozen=True)
class ModuleModel(TrainedModel):
    """A module whose ``forward(users, items)`` scores pairs: two int64 tensors ``(n,)`` in, scores ``(n,)`` out.

    A subclass, again a frozen dataclass, writes ``build_module``. It names in ``tables`` the parameters that embedding
    attacks and adversarial training shift (as ``named_parameters`` has them, such as ``user.weight``), and says in
    ``form`` what it learns from. Params: the module's parameters by name; those that need no gradient stay as they
    are. Buffers are constants that ``build_module`` makes anew from the data, so layers that learn buffers (batch norm
    with running statistics) are refused.

    Initial values are the module's own, drawn from the run's seed; real users and items start equal with and without
    fake users as far as their spread does not depend on how many there are. Dropout and the like draw from the run's
    seed too, and are off outside training.

    Args:
        negatives: Unseen items a positive, for ``pairs`` alone.
        trainer: How the loss, a sum over the batch, is minimised.

    Raises:
        ConfigError: If a value is out of range.
    """

    form: ClassVar[str] = "triples"  # or pairs, ratings: what batches are made of

    negatives: int = ranged(4, low=1)
    trainer: Trainer = field(default_factory=_adam)

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise ConfigError(f"{type(self).__name__}.form is {self.form!r}: choose one of {', '.join(FORMS)}")
        check_ranges(self, "model")
        if self.trainer.backend == "numba":
            raise ConfigError(f"model.trainer.backend=numba has no {type(self).__name__}: set backend=auto or torch")

    def idle(self, parts: Together) -> dict[str, str]:
        """There is one way to train it, and negatives are drawn for pairs alone."""
        found = super().idle(parts) | {"trainer.backend": f"{type(self).__name__} has no numba kernel"}
        return (
            found if self.form == "pairs" else found | {"negatives": f"{type(self).__name__} learns from {self.form}"}
        )

    @abstractmethod
    def build_module(self, data: Interactions) -> nn.Module:
        """The module for ``data``, on the CPU; ``data`` says how many users and items there are, fake ones included."""

    def batch_loss(self, score: Score, batch: tuple[Tensor, ...]) -> Tensor:
        """The loss summed over a batch: BPR of triples, cross-entropy of pairs, squared error of ratings.

        Args:
            score: The module's ``forward`` at the parameters that are being looked at.
            batch: Users and items ``(n,)``, and unseen items (``triples``), ones and zeros (``pairs``) or values as in
                the data (``ratings``), ``(n,)``.
        """
        users, items, third = batch
        if self.form == "triples":
            return bpr_loss(score(users, items), score(users, third))
        if self.form == "pairs":
            return F.binary_cross_entropy_with_logits(score(users, items), third, reduction="sum")
        return (score(users, items) - third).square().sum()

    def init(self, data: Interactions, seeds: Seeds) -> Params:
        """The parameters of a new module, drawn from the stream ``init``."""
        streams = seeds.child("init")
        with seeded(streams.integer("module")), RowByRow(streams):
            module = self._built(data)
        return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}

    def loss(self, params: Params, batch: tuple[Tensor, ...]) -> Tensor:
        """``batch_loss`` at ``params``.

        Args:
            params: As of ``init``.
            batch: Of ``objective`` or ``data_loss``: they know the module.

        Raises:
            UserError: If it is no number with a gradient.
        """
        assert isinstance(batch, ModuleBatch), "batches of a module are made by its objective"
        loss = called(self.batch_loss, self._score(params, batch.module, batch.seed), tuple(batch))
        if not isinstance(loss, Tensor) or loss.ndim or not loss.requires_grad:
            constant = " without a gradient" if isinstance(loss, Tensor) and not loss.requires_grad else ""
            raise UserError(
                f"{method(self.batch_loss)} gave {in_words(loss)}{constant}: a single number with a gradient, the "
                "loss summed over the batch, is expected"
            )
        return loss

    def objective(self, data: Interactions, seeds: Seeds, device: torch.device) -> ModuleObjective:
        """What ``fit`` minimises on ``data``, with draws from the stream ``train``."""
        columns = Columns(self.form, data, seeds.child("train"), self.negatives, device)
        return ModuleObjective(self, self.loss, self._module(data, device), columns)

    def data_loss(self, data: Interactions, seeds: Seeds, device: torch.device) -> DataLoss:
        """The loss of every positive with its negatives, or of every rating, without dropout."""
        columns, module = Columns(self.form, data, seeds, self.negatives, device), self._module(data, device)
        size = CHUNK // (self.negatives + 1) + 1 if self.form == "pairs" else CHUNK
        return ChunkedLoss(
            self.loss,
            lambda draw: (ModuleBatch.of(part, module, None) for part in columns.draw(draw, size, len(columns))),
        )

    def scores(self, params: Params, data: Interactions, users: Tensor) -> Tensor:
        """The module's score of every item ``(len(users), n_items)``, pair by pair.

        Override it where there is a quicker way, such as a product of two tables.
        """
        score = self._score(params, self._module(data, users.device), None)
        items = torch.arange(data.n_items, device=users.device)
        at_once = max(1, CHUNK // data.n_items)
        blocks = [
            score(part.repeat_interleave(len(items)), items.repeat(len(part))).view(len(part), -1)
            for part in users.split(at_once)
        ]
        return torch.cat(blocks) if blocks else torch.zeros(0, len(items), device=users.device)

    def _built(self, data: Interactions) -> nn.Module:
        module = called(self.build_module, data)
        source = method(self.build_module)
        if not isinstance(module, nn.Module):
            raise UserError(f"{source} gave {in_words(module)}: a torch.nn.Module is expected")
        try:
            inspect.signature(module.forward).bind("users", "items")
        except TypeError as error:
            raise UserError(
                f"{type(module).__name__}.forward does not take users and items ({error}): define forward(users, items)"
            ) from error
        for name, layer in module.named_modules():
            if getattr(layer, "track_running_stats", False):
                raise IncompatibleParts(
                    f"{source} gave {type(module).__name__} with {type(layer).__name__} at {name!r}, whose running "
                    "statistics are no parameters: use LayerNorm, or track_running_stats=False"
                )
        return module

    def _module(self, data: Interactions, device: torch.device) -> nn.Module:
        """A module to be called with parameters in place of its own; its buffers are the same each time."""
        with seeded(0):
            return self._built(data).to(device)

    def _score(self, params: Params, module: nn.Module, seed: int | None) -> Score:
        """``forward`` at ``params``: as in training with what ``seed`` draws, else without chance."""
        calls = itertools.count(seed or 0)
        constants = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
        numbers = {name: tensor.detach() if name in constants else tensor for name, tensor in params.items()}

        def forward(users: Tensor, items: Tensor) -> Tensor:
            module.train(seed is not None)
            with nullcontext() if seed is None else seeded(next(calls), [users.device]):
                given = functional_call(module, numbers, (users, items))
            if not isinstance(given, Tensor) or given.shape not in ((len(users),), (len(users), 1)):
                raise UserError(
                    f"{type(module).__name__}.forward gave {in_words(given)}: a score for each of {len(users)} pairs "
                    "of a user and an item is expected"
                )
            return given.flatten()

        return forward
