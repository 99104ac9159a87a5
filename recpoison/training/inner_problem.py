"""A model's training as a function of fake users' values: what a learned attack differentiates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from recpoison.algebra.observed import Observed
from recpoison.algebra.unroll import Optimizer, Tensors
from recpoison.data.interactions import Interactions
from recpoison.models.base import Params
from recpoison.seeds import Seeds
from recpoison.training.trainer import Trainer


class InnerProblem(ABC):
    """Training on real users and some fake ones, whose values ``(n_fakes, n_items)`` are given anew each time.

    The same numbers of steps see the same batches and draws.

    Attributes:
        seen: Real users' pairs.
        first: Initial parameters.
        per_epoch: Steps of an epoch.
        optimizer: The rule of a step.
    """

    seen: Observed
    first: Tensors
    per_epoch: int
    optimizer: Optimizer

    @abstractmethod
    def gradient(self, number: int, tables: Tensors, fakes: Tensor) -> Tensors:
        """What step ``number`` (from 0) goes against, in all tables; differentiable once in these and in ``fakes``."""

    @abstractmethod
    def factors(self, tables: Tensors, fakes: Tensor) -> tuple[Tensor, Tensor]:
        """Real users' and items' vectors, whose dot products are the scores; differentiable likewise."""

    @property
    @abstractmethod
    def kept_numbers(self) -> int:
        """Numbers besides tables, their moments and gradients that a differentiated step keeps, about."""


class Initialised(Protocol):
    """What has initial parameters by name."""

    def init(self, data: Interactions, seeds: Seeds) -> Params:
        """Initial parameters on the CPU."""


def first_tables(
    model: Initialised, names: Sequence[str], data: Interactions, n_fakes: int, seeds: Seeds, device: torch.device
) -> Tensors:
    """The parameters ``names`` of ``model`` before it is trained on ``data`` and ``n_fakes`` users more."""
    everyone = data.with_fake_users(data.users[:0], data.items[:0], data.values[:0], n_fakes)
    params = model.init(everyone, seeds)
    return tuple(params[name].to(device) for name in names)


class Unrollable(Protocol):
    """A model whose training has a derivative in fake users' values, so that it may be a learned attack's surrogate."""

    @property
    def trainer(self) -> Trainer:
        """How its loss is minimised."""

    @property
    def latent_size(self) -> int:
        """Numbers in which the model holds what a user likes."""

    def inner_problem(self, data: Interactions, n_fakes: int, seeds: Seeds, device: torch.device) -> InnerProblem:
        """Its training on ``data`` and ``n_fakes`` more users; draws come from ``seeds``, as those of a fit do."""
