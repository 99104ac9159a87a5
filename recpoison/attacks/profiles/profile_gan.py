"""The two networks of AUSH: one rates a fake user's selected items, the other tells fake users from real ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from recpoison.attacks.profiles.templates import Templates
from recpoison.errors import UserError
from recpoison.idle import Part, Together
from recpoison.models.base import Params
from recpoison.progress import Progress, alike
from recpoison.ranges import check_ranges, ranged
from recpoison.seeds import Seeds
from recpoison.training.initial_values import glorot, uniform
from recpoison.training.optimizers import State, initial_state, slots, step

HIGHEST = 5.0  # ratings are put on a scale that ends here, so that weights mean the same on every scale
_EPS = 1e-8


class Losses(NamedTuple):
    """What the generator minimises on a batch, each as a mean over its fake users."""

    gan: Tensor
    shilling: Tensor
    reconstruction: Tensor


@dataclass(frozen=True)
class ProfileGAN(Part):
    """AUSH's networks and how they are trained, as the authors' code has them.

    The generator reads the ratings of a template's fillers and writes a rating of each selected item, the scale's
    maximum times a sigmoid. The discriminator reads a whole profile, without targets: a template's, or its fillers
    with generated ratings. All layers have sigmoids. An epoch trains the discriminator on all templates, then the
    generator. The generator's loss is the sum of

    - ``gan_weight`` times the cross-entropy of being taken for real,
    - ``shilling_weight`` times the mean over selected items of (rating - 5)²,
    - ``reconstruction_weight`` times the sum over selected items of (rating - the template's)²; an item that the
      template did not rate counts as 0, with probability ``zero_ratio``, or not at all,

    with ratings on a scale to 5, and ``regularization`` times half the squared length of the generator's numbers.

    Args:
        epochs: Passes over the templates.
        generator: Sizes of the generator's hidden layers, input first.
        discriminator: Sizes of the discriminator's.
        generator_learning_rate: Step of Adam.
        discriminator_learning_rate: Likewise.
        generator_batch_size: Templates in a batch.
        discriminator_batch_size: Likewise.
        gan_weight: Weight of what the discriminator says.
        shilling_weight: Weight of the distance to the highest rating.
        reconstruction_weight: Weight of the distance to the template.
        zero_ratio: Probability that an item which the template did not rate is reconstructed, as 0.
        regularization: Weight of half the squared length of the generator.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> gan = ProfileGAN(generator=(4,), discriminator=(3,))
        >>> generator, discriminator = gan.start(n_items=9, n_selected=2, seeds=Seeds(0))
        >>> [tuple(generator[name].shape) for name in ("weight_0", "bias_0", "weight_1")]
        [(4, 9), (4,), (2, 4)]
        >>> gan.rate(generator, torch.zeros(1, 9)).shape
        torch.Size([1, 2])
    """

    epochs: int = ranged(150, low=0)
    generator: Sequence[int] = ranged((133, 44, 14, 4, 1), low=1, many=True)
    discriminator: Sequence[int] = ranged((150, 150, 150), low=1, many=True)
    generator_learning_rate: float = ranged(0.01, low=0.0, open_low=True)
    discriminator_learning_rate: float = ranged(1e-4, low=0.0, open_low=True)
    generator_batch_size: int = ranged(256, low=1)
    discriminator_batch_size: int = ranged(64, low=1)
    gan_weight: float = ranged(1.0, low=0.0)
    shilling_weight: float = ranged(1.0, low=0.0)
    reconstruction_weight: float = ranged(1.0, low=0.0)
    zero_ratio: float = ranged(0.5, low=0.0, high=1)
    regularization: float = ranged(1e-4, low=0.0)

    def __post_init__(self) -> None:
        check_ranges(self, "attack.gan")

    def idle(self, parts: Together) -> dict[str, str]:
        """All of training where there is none, and what belongs to a weight of 0."""
        names = [name for name in self.__dataclass_fields__ if name not in ("epochs", "generator")]
        if self.epochs == 0:
            return dict.fromkeys(names, "epochs is 0, so nothing is trained")
        found: dict[str, str] = {}
        if self.gan_weight == 0:
            unheard = [name for name in names if name.startswith("discriminator")]
            found |= dict.fromkeys(unheard, "gan_weight is 0, so nobody hears the discriminator")
        if self.reconstruction_weight == 0:
            found["zero_ratio"] = "reconstruction_weight is 0"
        return found

    def start(self, n_items: int, n_selected: int, seeds: Seeds) -> tuple[Params, Params]:
        """Initial layers of generator and discriminator on the CPU, from the streams of their names."""
        return (
            _layers(seeds.child("generator"), (n_items, *self.generator, n_selected)),
            _layers(seeds.child("discriminator"), (n_items, *self.discriminator, 1)),
        )

    def rate(self, generator: Params, fillers: Tensor) -> Tensor:
        """Ratings ``(n, n_selected)`` in (0, 5) for the fillers ``(n, n_items)`` of fake users."""
        return HIGHEST * torch.sigmoid(_forward(generator, fillers))

    def judge(self, discriminator: Params, profiles: Tensor) -> Tensor:
        """How real profiles ``(n, n_items)`` look, ``(n,)``: the log of the odds."""
        return _forward(discriminator, profiles).squeeze(1)

    def doubt(self, discriminator: Params, real: Tensor, fake: Tensor) -> Tensor:
        """What the discriminator minimises: its cross-entropy on real and on fake profiles ``(n, n_items)``."""
        said = self.judge(discriminator, real), self.judge(discriminator, fake)
        return F.softplus(-said[0]).mean() + F.softplus(said[1]).mean()

    def losses(
        self,
        generator: Params,
        discriminator: Params,
        fillers: Tensor,
        selected: Tensor,
        own: Tensor,
        counted: Tensor,
    ) -> Losses:
        """The generator's three losses on a batch.

        Args:
            generator: Its layers.
            discriminator: Its layers.
            fillers: ``(n, n_items)`` borrowed ratings.
            selected: ``(n_selected,)`` items.
            own: ``(n, n_selected)`` the templates' own ratings of them, 0 where there is none.
            counted: ``(n, n_selected)`` whether a rating is to be reconstructed.
        """
        rated = self.rate(generator, fillers)
        gan = F.softplus(-self.judge(discriminator, with_selected(fillers, selected, rated))).mean()
        reconstruction = ((rated - own).square() * counted).sum(1).mean()
        return Losses(gan, (rated - HIGHEST).square().mean(), reconstruction)

    def train(self, templates: Templates, seeds: Seeds, device: torch.device, progress: Progress) -> Params:
        """The generator's layers, trained on ``templates``, whose ratings are on a scale to 5.

        Raises:
            UserError: If a number is no longer finite.
        """
        first = self.start(templates.whole.shape[1], len(templates.selected), seeds.child("init"))
        start = _joined(*(initial_state("adam", 0, {k: v.to(device) for k, v in params.items()}) for params in first))
        loop = progress.loop((self, *templates.arrays, seeds), partial(_fits, start, self.epochs))
        kept = start if loop.state is None else _on(loop.state, device)
        generator, discriminator = _parted(kept)
        selected = torch.from_numpy(templates.selected).to(device)
        for epoch in range(int(generator["epoch"]), self.epochs):
            draws = seeds.child("epoch", epoch)
            if self.gan_weight:
                self._train_discriminator(discriminator, slots(generator, "param"), templates, selected, draws)
            losses = self._train_generator(generator, slots(discriminator, "param"), templates, selected, draws)
            if not all(map(math.isfinite, losses)):
                raise UserError(
                    f"the generator of fake users left the finite numbers in epoch {epoch + 1}: lower "
                    f"attack.gan.generator_learning_rate (now {self.generator_learning_rate:g})"
                )
            generator["epoch"] += 1
            progress.step(epoch + 1, self.epochs, shilling=losses[1], reconstruction=losses[2])
            loop.keep(lambda: _joined(generator, discriminator))
        return slots(generator, "param")

    def _train_discriminator(
        self, state: State, generator: Params, templates: Templates, selected: Tensor, seeds: Seeds
    ) -> None:
        """One pass over the templates."""
        rng = seeds.numpy("discriminator")
        order = rng.permutation(len(templates))
        for begin in range(0, len(order), self.discriminator_batch_size):
            rows = order[begin : begin + self.discriminator_batch_size]
            fillers = _borrowed(templates, rows, rng, selected.device)
            whole = torch.from_numpy(templates.whole[rows].toarray().astype(np.float32))
            real = whole.to(selected.device, non_blocking=True)
            fake = with_selected(fillers, selected, self.rate(generator, fillers))
            leaves = _leaves(slots(state, "param"))
            gradients = torch.autograd.grad(self.doubt(leaves, real, fake), list(leaves.values()))
            named = dict(zip(leaves, gradients, strict=True))
            step("adam", state, named, self.discriminator_learning_rate, _EPS)

    def _train_generator(
        self, state: State, discriminator: Params, templates: Templates, selected: Tensor, seeds: Seeds
    ) -> list[float]:
        """One pass over the templates; the mean losses before each step."""
        rng = seeds.numpy("generator")
        order = rng.permutation(len(templates))
        sums = torch.zeros(3, dtype=torch.float64, device=selected.device)
        for begin in range(0, len(order), self.generator_batch_size):
            rows = order[begin : begin + self.generator_batch_size]
            fillers = _borrowed(templates, rows, rng, selected.device)
            own = torch.from_numpy(templates.whole[rows][:, templates.selected].toarray())
            own = own.to(fillers, non_blocking=True)
            rated = templates.has_selected[rows]
            counted = torch.from_numpy(rated | (rng.random(rated.shape) < self.zero_ratio))
            counted = counted.to(fillers, non_blocking=True)
            leaves = _leaves(slots(state, "param"))
            losses = self.losses(leaves, discriminator, fillers, selected, own, counted)
            weights = (self.gan_weight, self.shilling_weight, self.reconstruction_weight)
            total = torch.stack([w * loss for w, loss in zip(weights, losses, strict=True)]).sum()
            gradients = torch.autograd.grad(total, list(leaves.values()))
            named = {
                name: gradient.add(leaf.detach(), alpha=self.regularization)
                for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True)
            }
            step("adam", state, named, self.generator_learning_rate, _EPS)
            sums += len(rows) * torch.stack([loss.detach() for loss in losses]).double()
        means: list[float] = (sums / len(order)).tolist()
        return means


def with_selected(fillers: Tensor, selected: Tensor, ratings: Tensor) -> Tensor:
    """Profiles ``(n, n_items)``: the fillers, and these ratings of the selected items; no target has one."""
    return fillers.index_copy(1, selected, ratings)


def _borrowed(templates: Templates, rows: np.ndarray, rng: np.random.Generator, device: torch.device) -> Tensor:
    dense = torch.from_numpy(templates.borrow(rows, rng).dense(templates.whole.shape[1]))
    return dense.to(device, non_blocking=True)


def _layers(seeds: Seeds, sizes: Sequence[int]) -> Params:
    """Weights uniform within the bound of Glorot and Bengio (2010), biases within 0.01."""
    params = {}
    for number, (below, above) in enumerate(pairwise(sizes)):
        rng = seeds.numpy(number)
        params[f"weight_{number}"] = glorot(rng, (above, below))
        params[f"bias_{number}"] = uniform(rng, (above,), 0.01)
    return params


def _forward(params: Params, values: Tensor) -> Tensor:
    """What the last layer says, before its sigmoid."""
    last = len(params) // 2 - 1
    for number in range(last + 1):
        values = F.linear(values, params[f"weight_{number}"], params[f"bias_{number}"])
        values = values if number == last else torch.sigmoid(values)
    return values


def _leaves(params: Params) -> Params:
    return {name: tensor.detach().requires_grad_() for name, tensor in params.items()}


def _joined(generator: State, discriminator: State) -> State:
    """Both states in one, as a checkpoint holds them."""
    named = (("generator", generator), ("discriminator", discriminator))
    return {f"{name}/{key}": tensor for name, state in named for key, tensor in state.items()}


def _parted(state: State) -> list[State]:
    return [
        {key.removeprefix(f"{name}/"): tensor.clone() for key, tensor in state.items() if key.startswith(f"{name}/")}
        for name in ("generator", "discriminator")
    ]


def _on(state: State, device: torch.device) -> State:
    """``state`` on ``device``, but for counts."""
    return {key: tensor if tensor.dtype == torch.int64 else tensor.to(device) for key, tensor in state.items()}


def _fits(start: State, epochs: int, found: State) -> bool:
    """Whether training from ``start`` could have kept ``found``."""
    same = found.keys() == start.keys() and all(alike(found[key], tensor) for key, tensor in start.items())
    return same and 0 <= int(found["generator/epoch"]) <= epochs
