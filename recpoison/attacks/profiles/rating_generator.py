"""Leg-UP's networks: one rates fake users' fillers on the scale's steps, the other tells fake users from real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from recpoison.attacks.profiles.profile_gan import HIGHEST
from recpoison.idle import Part, Together
from recpoison.models.base import Params
from recpoison.ranges import check_ranges, ranged
from recpoison.seeds import Seeds
from recpoison.training.initial_values import glorot

_LEAST_GAP = 1e-4  # between two thresholds of an item


class Passed(torch.autograd.Function):
    """1 where a number is above 0, else 0; backwards as if it were the hyperbolic tangent."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """The step."""
        ctx.save_for_backward(x)
        return (x > 0).to(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        """1 - tanh(x)² times what comes from above."""
        (x,) = ctx.saved_tensors
        return cotangent * (1 - torch.tanh(x).square())


@dataclass(frozen=True)
class RatingGAN(Part):
    """Leg-UP's two networks and the order in which they are trained.

    The generator is an autoencoder: a profile of length 1, a hidden layer with ReLU, and for each item a number from 0
    to 5 by the hyperbolic tangent. Each item has thresholds of its own, which are learned; a number's grade is 1 and
    how many of them it passes. At first they divide 0 to 5 evenly. The discriminator reads a profile without targets.

    Before the attack the generator learns real users' grades: cross-entropy over grades on what they rated, where a
    grade's score is minus the squared distance to the middle of its interval. Then the discriminator learns. An epoch
    of the attack takes steps of the discriminator, of the generator against it, and of the generator down the attack's
    objective; as in the authors' code these two losses are never added up.

    Args:
        epochs: Of the attack.
        hidden_size: Size of the generator's hidden layer.
        discriminator: Sizes of the discriminator's hidden layers.
        pre_training: Passes over the templates before, of the generator.
        discriminator_pre_training: Steps before, of the discriminator.
        discriminator_steps: Steps of the discriminator in an epoch.
        adversarial_steps: Steps of the generator against it.
        attack_steps: Steps of the generator down the objective.
        batch_size: Templates in a batch of pre-training.
        learning_rate: Step of Adam.
        discriminator_learning_rate: Likewise.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> gan = RatingGAN(hidden_size=4, discriminator=(3,))
        >>> generator, discriminator = gan.start(n_items=9, n_grades=5, seeds=Seeds(0))
        >>> gan.thresholds(generator)[:, 0].tolist()
        [1.0, 2.0, 3.0, 4.0]
        >>> gan.grades(generator, torch.zeros(1, 9)).tolist()  # numbers of 2.5
        [[3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0]]
    """

    epochs: int = ranged(3, low=0)
    hidden_size: int = ranged(125, low=1)
    discriminator: Sequence[int] = ranged((512, 128), low=1, many=True)
    pre_training: int = ranged(15, low=0)
    discriminator_pre_training: int = ranged(5, low=0)
    discriminator_steps: int = ranged(5, low=0)
    adversarial_steps: int = ranged(1, low=0)
    attack_steps: int = ranged(50, low=0)
    batch_size: int = ranged(64, low=1)
    learning_rate: float = ranged(0.01, low=0.0, open_low=True)
    discriminator_learning_rate: float = ranged(0.01, low=0.0, open_low=True)

    def __post_init__(self) -> None:
        check_ranges(self, "attack.gan")

    def idle(self, parts: Together) -> dict[str, str]:
        """What is never reached, and the discriminator where nobody hears it."""
        found: dict[str, str] = {}
        if self.pre_training == 0:
            found["batch_size"] = "pre_training is 0"
        judge = ("discriminator", "discriminator_pre_training", "discriminator_steps", "discriminator_learning_rate")
        if self.epochs == 0:
            unused = (*judge, "adversarial_steps", "attack_steps")
            found |= dict.fromkeys(unused, "epochs is 0, so there is no more than pre_training")
        elif self.adversarial_steps == 0:
            found |= dict.fromkeys(judge, "adversarial_steps is 0, so nobody hears the discriminator")
        if self.discriminator_pre_training == 0 and self.discriminator_steps == 0:
            found["discriminator_learning_rate"] = "the discriminator takes no step"
        return found

    def start(self, n_items: int, n_grades: int, seeds: Seeds) -> tuple[Params, Params]:
        """Layers of the generator and the discriminator; weights within Glorot's bound, biases 0."""
        own = seeds.child("generator")
        generator = {
            "encoder": glorot(own.numpy("encoder"), (self.hidden_size, n_items)),
            "encoder_bias": torch.zeros(self.hidden_size),
            "decoder": glorot(own.numpy("decoder"), (n_items, self.hidden_size)),
            "decoder_bias": torch.zeros(n_items),
            "gaps": torch.full((n_grades - 1, n_items), HIGHEST / n_grades) - _LEAST_GAP,
        }
        judge = {}
        for number, (below, above) in enumerate(pairwise((n_items, *self.discriminator, 1))):
            judge[f"weight_{number}"] = glorot(seeds.numpy("discriminator", number), (above, below))
            judge[f"bias_{number}"] = torch.zeros(above)
        return generator, judge

    def thresholds(self, generator: Params) -> Tensor:
        """``(n_grades - 1, n_items)``, ascending for each item."""
        return (torch.relu(generator["gaps"]) + _LEAST_GAP).cumsum(0)

    def numbers(self, generator: Params, profiles: Tensor) -> Tensor:
        """What the autoencoder says of profiles ``(n, n_items)``: numbers from 0 to 5 of the same shape."""
        hidden = F.linear(F.normalize(profiles), generator["encoder"], generator["encoder_bias"]).relu()
        said = F.linear(hidden, generator["decoder"], generator["decoder_bias"])
        return HIGHEST / 2 * (1 + torch.tanh(said))

    def grades(self, generator: Params, profiles: Tensor) -> Tensor:
        """Whole numbers ``(n, n_items)`` from 1, with a gradient."""
        said = self.numbers(generator, profiles)
        passed: Tensor = Passed.apply(said.unsqueeze(1) - self.thresholds(generator))
        return 1 + passed.sum(1)

    def reconstruction(self, generator: Params, profiles: Tensor, grades: Tensor, rated: Tensor) -> Tensor:
        """Mean cross-entropy of the grades ``(n, n_items)`` that are ``rated``."""
        limits = self.thresholds(generator)
        ends = limits.new_zeros(1, limits.shape[1]), limits.new_full((1, limits.shape[1]), HIGHEST)
        limits = torch.cat([ends[0], limits, ends[1]])
        middles = (limits[1:] + limits[:-1]) / 2
        row, item = rated.nonzero(as_tuple=True)
        said = self.numbers(generator, profiles)[row, item]
        scores = -(said.unsqueeze(1) - middles.T[item]).square()
        return F.cross_entropy(scores, grades[row, item].long() - 1)

    def judge(self, discriminator: Params, profiles: Tensor) -> Tensor:
        """How real profiles ``(n, n_items)`` look, ``(n,)``: the log of the odds."""
        last = len(discriminator) // 2 - 1
        for number in range(last + 1):
            profiles = F.linear(profiles, discriminator[f"weight_{number}"], discriminator[f"bias_{number}"])
            profiles = profiles if number == last else profiles.relu()
        return profiles.squeeze(1)

    def doubt(self, discriminator: Params, real: Tensor, fake: Tensor) -> Tensor:
        """What the discriminator minimises: its cross-entropy on real and on fake profiles."""
        return F.softplus(-self.judge(discriminator, real)).mean() + F.softplus(self.judge(discriminator, fake)).mean()
