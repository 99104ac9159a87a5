"""How adversarial training perturbs the rows of a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from scipy.special import ndtr, ndtri
from torch import Tensor

from recpoison.algebra.perturbation import DIRECTIONS, PROJECTIONS, direction, project
from recpoison.errors import ConfigError
from recpoison.models.base import Params
from recpoison.ranges import check_ranges, ranged
from recpoison.seeds import Seeds
from recpoison.training.initial_values import CUT
from recpoison.training.magnitudes import Magnitude

STARTS = ("zero", "uniform")
UNITS = ("row_batch", "instance")
STEPS_OF = 4  # MSAP: several steps are epsilon / 4 long
Generator = np.random.Generator | torch.Generator


@dataclass(frozen=True)
class InnerAttack:
    """Where the second loss of a batch is taken.

    A row's shift starts at 0, uniformly (PGD) or as noise, and takes ``steps`` steps up the gradient of the batch's
    loss, each followed by the projection. One step of epsilon from 0 is FGSM.

    Args:
        epsilon: L2 norm of a row's shift, or the size that ``direction`` has; half width of the ``box``.
        steps: Steps up the gradient.
        step_size: Length of a step; None: epsilon for one step, else epsilon / 4 (MSAP).
        projection: ``row_l2``, ``box`` (MSAP) or ``none``.
        start: ``zero`` or ``uniform`` (PGD).
        start_width: Every number of a uniform start lies within plus or minus this; 0.05 in MSAP, whatever epsilon is.
        noise: Start from truncated normal noise, rows of norm epsilon, instead.
        unit: ``row_batch``: a row has one shift a batch, by the sum of its gradients there (the APR authors);
            ``instance``: one for each of its occurrences (VAT and GPA).
        direction: What a step of size 1 is, of ``recpoison.algebra.perturbation.direction``; ``row_l2`` in APR.
        magnitude: What the shifts of a user's triples are multiplied by; None: nothing. With unit ``instance`` only.

    Raises:
        ConfigError: If a value is out of range.
    """

    epsilon: float = ranged(0.5, low=0.0)
    steps: int = ranged(1, low=0, note=" (1: FGSM; more: BIM, PGD)")
    step_size: float | None = ranged(None, low=0.0, open_low=True, null="epsilon, a quarter of it for several")
    projection: str = ranged("row_l2", words=PROJECTIONS)
    start: str = ranged("zero", words=STARTS)
    start_width: float = ranged(0.05, low=0.0)
    noise: bool = False
    unit: str = ranged("row_batch", words=UNITS)
    direction: str = ranged("row_l2", words=DIRECTIONS)
    magnitude: Magnitude | None = None

    def __post_init__(self) -> None:
        check_ranges(self, "defense")
        if self.steps == 0 and not self.noise:
            raise ConfigError("defense.steps is 0, so nothing is shifted: give 1 (FGSM) or more (BIM, PGD)")

    @property
    def length(self) -> float:
        """Length of a step."""
        if self.step_size is not None:
            return self.step_size
        return self.epsilon if self.steps == 1 else self.epsilon / STEPS_OF

    @property
    def in_one_step(self) -> bool:
        """Whether each row's shift is known from its gradient alone: its length is ``reach``."""
        return self.steps == 1 and self.starts_at_zero and self.direction == "row_l2" and self.projection != "box"

    @property
    def reach(self) -> float:
        """How long a shift of one step is."""
        return min(self.length, self.epsilon) if self.projection == "row_l2" else self.length

    @property
    def starts_at_zero(self) -> bool:
        """Whether no chance is in it."""
        return not self.noise and self.start == "zero"

    def starts(self, shape: tuple[int, int], generator: Generator) -> Tensor:
        """Where the shifts of ``shape[0]`` rows start, on the generator's device."""
        if self.noise:
            noise = _truncated_normal(shape, generator)
            return noise.mul_(self.epsilon / noise.norm(dim=1, keepdim=True))
        return self.start_width * (2 * _uniform(shape, generator) - 1)

    def climb(self, shift: Params | None, gradient: Callable[[Params | None], Params]) -> Params:
        """The shift after all steps.

        Args:
            shift: Where it starts; None: at 0.
            gradient: The loss's gradient at a shift.
        """
        for _ in range(self.steps):
            # one step solves the maximum in the APR report's eq. 11 to first order, row by row; more are MSAP's eq. 7
            slope = direction(gradient(shift), self.direction)
            moved = {name: self.length * rows + (0 if shift is None else shift[name]) for name, rows in slope.items()}
            shift = project(moved, self.epsilon, self.projection)
        assert shift is not None, "there is a start or a step"
        return shift


def generator_of(seeds: Seeds, epoch: int, device: torch.device) -> Generator:
    """The stream of an epoch's starts: numpy's on a CPU, else the device's own."""
    streams = seeds.child("perturbation")
    return streams.numpy("epoch", epoch) if device.type == "cpu" else streams.torch("epoch", epoch, device=device)


def _uniform(shape: tuple[int, int], generator: Generator) -> Tensor:
    """Float32 in [0, 1)."""
    if isinstance(generator, np.random.Generator):
        return torch.from_numpy(generator.random(shape, dtype=np.float32))
    return torch.rand(shape, generator=generator, device=generator.device)


def _truncated_normal(shape: tuple[int, int], generator: Generator) -> Tensor:
    """Float32 from N(0, 1) cut at two standard deviations, to the nearest of 65,536 quantiles: ten times as quick."""
    quantiles = _quantiles()
    if isinstance(generator, np.random.Generator):
        drawn = generator.integers(0, len(quantiles), shape, dtype=np.uint16)
        return torch.from_numpy(quantiles.take(drawn))
    places = torch.randint(len(quantiles), (shape[0] * shape[1],), generator=generator, device=generator.device)
    return _quantiles_on(generator.device).index_select(0, places).view(shape)


@cache
def _quantiles_on(device: torch.device) -> Tensor:
    return torch.from_numpy(_quantiles()).to(device)


@cache
def _quantiles() -> np.ndarray:
    """Middles of 65,536 equally likely parts of the cut normal, ``(65536,)`` float32."""
    share = (np.arange(1 << 16) + 0.5) / (1 << 16)
    low = ndtr(-CUT)
    return ndtri(low + share * (1 - 2 * low)).astype(np.float32)
