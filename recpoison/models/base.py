"""What a recommender is: a description that holds no numbers, and pure functions of its numbers."""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, final

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from recpoison.border import called, check_tables, method, named_tensors
from recpoison.data.interactions import Interactions
from recpoison.errors import IncompatibleParts
from recpoison.idle import Part
from recpoison.progress import Progress
from recpoison.seeds import Seeds

Params = dict[str, Tensor]


class Watch:
    """The curve of a fit: figures every few epochs, from the first to the last. It decides nothing.

    Args:
        every: Epochs between two looks; the last epoch is always looked at.
        figures: Maps parameters to numbers, as many at each look; must not change them.

    Attributes:
        seen: What was found, by epoch (1 is the end of the first), once a fit is over.
    """

    def __init__(self, every: int, figures: Callable[[int, Params], Sequence[float]]) -> None:
        self.every, self.figures = every, figures
        self.seen: dict[int, list[float]] = {}


@dataclass(frozen=True)
class Monitor:
    """Looks at a fit while it runs, and decides which epoch is kept.

    Args:
        every: Epochs between two looks; the last epoch is always looked at.
        score: Maps parameters to a number, higher is better; must not change them. None keeps the last epoch.
        watch: Also draws the curve of the fit.
    """

    every: int = 1
    score: Callable[[int, Params], float] | None = None
    watch: Watch | None = None


@dataclass(frozen=True)
class Model(Part, ABC):
    """A recommender's hyperparameters. Its numbers live in ``Params``; nothing here is mutated by fitting.

    A concrete model is a frozen dataclass whose fields are plain values or frozen dataclasses, so that its description
    can be hashed.
    """

    works_on: ClassVar[str | None] = "interactions"  # a Dataset.kind
    reads_values: ClassVar[bool] = True  # whether ratings count, or only who has what
    has_epochs: ClassVar[bool] = True  # whether a monitor is asked

    @abstractmethod
    def fit(
        self, data: Interactions, seeds: Seeds, device: torch.device, progress: Progress, monitor: Monitor | None = None
    ) -> Params:
        """Learn from ``data``.

        Streams of ``seeds``: ``init`` for initial values (drawn with numpy on the CPU, one stream a table, so that
        real users start equal with and without fake ones and on every device), ``train`` for everything else. With a
        ``monitor`` the epoch it scores highest is returned.
        Models without epochs ignore the monitor.
        """

    @final
    def fitted(
        self, data: Interactions, seeds: Seeds, device: torch.device, progress: Progress, monitor: Monitor | None = None
    ) -> Fitted:
        """What ``fit`` learns from ``data``, on ``device``: the one way in which ``fit`` is called.

        Raises:
            UserError: If it gives anything but finite tensors by name.
        """
        given = called(self.fit, data, seeds, device, progress, monitor)
        return Fitted(self, named_tensors(given, method(self.fit), device), data)

    @abstractmethod
    def scores(self, params: Params, data: Interactions, users: Tensor) -> Tensor:
        """Scores ``(len(users), n_items)``, higher is better, for ``users`` of ``data``, the rows it was fitted on."""

    def prepared(self, params: Params, data: Interactions) -> Params:
        """``params`` with what ``scores`` would else compute anew for every block of users; ``fit`` returns none of it.

        ``scores`` takes both, and finds the same.
        """
        return params


class DataLoss(ABC):
    """A model's training loss summed over all of its data, as a function of the parameters."""

    @abstractmethod
    def gradient(self, params: Params, draw: int = 0) -> tuple[float, Params]:
        """The loss and its gradient in each of ``params``, which stay as they are.

        Exact, and with a peak memory that does not grow with the number of pairs.

        Args:
            params: Where.
            draw: What chance decides (negatives) is the same for the same number, and fresh for another.
        """


@dataclass(frozen=True)
class GradientModel(Model):
    """A model with a differentiable loss: white-box attacks and adversarial training need one."""

    tables: ClassVar[tuple[str, ...]] = ()  # the params that hold one embedding a row; embedding attacks shift these
    samples: ClassVar[bool] = True  # whether ``data_loss`` depends on the draw

    @final
    def start(self, data: Interactions, seeds: Seeds, device: torch.device) -> Params:
        """The values of ``init`` on ``device``.

        Raises:
            UserError: If it gives anything but finite tensors by name, or lacks one of ``tables``.
        """
        source = method(self.init)
        params = named_tensors(called(self.init, data, seeds), source, device)
        check_tables(params, self.tables, type(self).__name__, source)
        return params

    @abstractmethod
    def init(self, data: Interactions, seeds: Seeds) -> Params:
        """Initial parameters on the CPU; shapes come from ``data``, so that fake users just work."""

    @abstractmethod
    def loss(self, params: Params, batch: tuple[Tensor, ...]) -> Tensor:
        """Scalar training loss of ``batch``; the docstring says whether it is a sum or a mean."""

    def data_loss(self, data: Interactions, seeds: Seeds, device: torch.device) -> DataLoss:
        """The training loss summed over all of ``data``; a model that names ``tables`` gives one.

        Raises:
            IncompatibleParts: If the model has none.
        """
        raise IncompatibleParts(f"{type(self).__name__} does not say what its training loss on all data is")


@dataclass(frozen=True)
class Fitted:
    """A model, its numbers and the data they were learned from.

    Args:
        model: The model.
        params: Its numbers.
        data: What it was fitted on, and serves.
        removed: Numbers of the users of ``data`` whose rows a defense left out; None where it removes nobody by rule.
        suspicion: ``(n_users,)`` by which they were chosen, higher is more suspicious; None where there is none.
        weights: ``(n_users,)`` by which a defense multiplied each user's loss; None where it weighs nobody.
    """

    model: Model
    params: Params
    data: Interactions
    removed: np.ndarray | None = None
    suspicion: np.ndarray | None = None
    weights: np.ndarray | None = None

    def scores(self, users: Tensor) -> Tensor:
        """Scores ``(len(users), n_items)``, higher is better."""
        scores: Tensor = called(self.model.scores, self.prepared, self.data, users)
        return scores

    @property
    def prepared(self) -> Params:
        """``params`` as the model prepares them: once, unless a gradient is wanted."""
        if any(tensor.requires_grad for tensor in self.params.values()):
            return self.model.prepared(self.params, self.data)
        return self._kept

    @cached_property
    def _kept(self) -> Params:
        kept: Params = called(self.model.prepared, self.params, self.data)
        return kept

    @property
    def device(self) -> torch.device:
        """Where the numbers live; the CPU for a model that has none."""
        return next((tensor.device for tensor in self.params.values()), torch.device("cpu"))


def save_params(params: Params, path: Path) -> None:
    """Write parameters as safetensors.

    Raises:
        OSError: If they cannot be written, such as on a full disk.
    """
    try:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in params.items()}, str(path))
    except SafetensorError as error:
        raise OSError(errno.EIO, str(error), str(path)) from error


def load_params(path: Path, device: torch.device) -> Params:
    """Read what ``save_params`` wrote."""
    return dict(load_file(str(path), device=str(device)))
