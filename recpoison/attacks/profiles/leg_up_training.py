"""How Leg-UP's generator is trained: to look like real users, and then to raise the targets on a surrogate."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor

from recpoison.attacks.base import Crafting
from recpoison.attacks.objectives import TargetHits
from recpoison.attacks.profiles.closed_form import ClosedForm
from recpoison.attacks.profiles.profile_gan import HIGHEST
from recpoison.attacks.profiles.rating_generator import RatingGAN
from recpoison.attacks.profiles.templates import Borrowed, Templates
from recpoison.errors import UserError
from recpoison.models.base import Params
from recpoison.progress import alike
from recpoison.seeds import Seeds
from recpoison.training.optimizers import State, initial_state, slots, step

_EPS = 1e-8  # of Adam
_NETWORKS = ("generator", "discriminator")


class Training:
    """The generator's way from real users' ratings to those that raise the targets.

    Args:
        gan: The networks and their steps.
        form: The surrogate.
        cutoff: Length of the lists in the trace's hit ratio.
        crafting: What the attack was given.
        templates: Who lends, with ratings on a scale to 5.
        borrowed: What was lent to each fake user.
    """

    def __init__(
        self,
        gan: RatingGAN,
        form: ClosedForm,
        cutoff: int,
        crafting: Crafting,
        templates: Templates,
        borrowed: Borrowed,
    ) -> None:
        data, device = crafting.data, crafting.device
        assert data.scale is not None, "check_ratings has seen to that"
        self.gan, self.form, self.cutoff, self.crafting, self.templates = gan, form, cutoff, crafting, templates
        self.scale, self.n_grades = data.scale, round((data.scale.high - data.scale.low) / data.scale.step) + 1
        self.targets = torch.from_numpy(crafting.targets).to(device)
        self.borrowed = torch.from_numpy(borrowed.dense(data.n_items)).to(device)
        lent = torch.from_numpy(borrowed.items).to(device)
        self.lent = torch.zeros_like(self.borrowed).scatter_(1, lent, 1.0)
        self.cells = self.lent.index_fill(1, self.targets, 1.0)
        whole = templates.whole
        self.rated = sp.csr_matrix((np.ones(whole.nnz, dtype=np.float32), whole.indices, whole.indptr), whole.shape)

    def run(self, work: object) -> tuple[Tensor, Tensor]:
        """Grades ``(n_fakes, n_items)``, and the trace ``(looks, 2)``; ``work`` is what tells this loop from others."""
        seeds, progress = self.crafting.seeds.child("gan"), self.crafting.progress
        start = self._first()
        loop = progress.loop(work, partial(_fits, start, self.gan.epochs))
        state = start if loop.state is None else {k: x.to(start[k].device) for k, x in loop.state.items()}
        if not int(state["begun"]):
            self._pre_train(state, seeds.child("before"))
            state["begun"] += 1
        for epoch in range(int(state["generator/epoch"]), self.gan.epochs):
            self._epoch(state, seeds.child("epoch", epoch))
            state["generator/epoch"] += 1
            hit_ratio, value = state["trace"][-1].tolist() if len(state["trace"]) else (0.0, 0.0)
            progress.step(epoch + 1, self.gan.epochs, surrogate_hit_ratio=hit_ratio, objective=value)
            loop.keep(partial(dict, state))
        with torch.no_grad():
            grades = self.gan.grades(_own(state, "generator"), self.borrowed)
            last = self._look(grades)[0]
        return grades, torch.cat([state["trace"], last])

    def _first(self) -> State:
        data = self.crafting.data
        both = self.gan.start(data.n_items, self.n_grades, self.crafting.seeds.child("gan", "init"))
        state: State = {"begun": torch.tensor(0), "trace": torch.zeros(0, 2, dtype=torch.float64)}
        for name, params in zip(_NETWORKS, both, strict=True):
            placed = {key: tensor.to(self.borrowed.device) for key, tensor in params.items()}
            state |= {f"{name}/{key}": tensor for key, tensor in initial_state("adam", 0, placed).items()}
        return state

    def _pre_train(self, state: State, seeds: Seeds) -> None:
        gan = self.gan
        for number in range(gan.pre_training):
            order = seeds.numpy("generator", number).permutation(len(self.templates))
            for begin in range(0, len(order), gan.batch_size):
                rows = order[begin : begin + gan.batch_size]
                real, rated = self._dense(self.templates.whole[rows]), self._dense(self.rated[rows]) > 0
                own = (real / HIGHEST * self.scale.high - self.scale.low) / self.scale.step
                learned = partial(gan.reconstruction, profiles=real, grades=own.round() + 1, rated=rated)
                self._step(state, "generator", learned)
        for number in range(gan.discriminator_pre_training):
            self._discriminate(state, seeds.numpy("discriminator", number))

    def _epoch(self, state: State, seeds: Seeds) -> None:
        for number in range(self.gan.discriminator_steps if self.gan.adversarial_steps else 0):
            self._discriminate(state, seeds.numpy("discriminator", number))
        judge = _own(state, "discriminator")
        for _ in range(self.gan.adversarial_steps):
            self._step(state, "generator", partial(self._suspected, judge))
        for _ in range(self.gan.attack_steps):
            self._step(state, "generator", partial(self._attacked, state))

    def _suspected(self, judge: Params, generator: Params) -> Tensor:
        """The cross-entropy of being taken for real."""
        return F.softplus(-self.gan.judge(judge, self._fake(generator))).mean()

    def _attacked(self, state: State, generator: Params) -> Tensor:
        """The objective, which is written into the trace."""
        seen, value = self._look(self.gan.grades(generator, self.borrowed))
        state["trace"] = torch.cat([state["trace"], seen])
        return value

    def _look(self, grades: Tensor) -> tuple[Tensor, Tensor]:
        """What the surrogate says of fake users with these grades: ``(1, 2)`` for the trace, and the objective."""
        shares = ((self.scale.low + self.scale.step * (grades - 1)) / self.scale.high).index_fill(1, self.targets, 1.0)
        scores = self.form.users @ self.form.items(self.cells, shares).T
        hits = TargetHits(self.form.seen, self.targets, self.cutoff)
        hits(slice(0, len(scores)), scores.detach())
        value = raised(HIGHEST * scores, self.targets, self.form.lacking(self.targets))
        return torch.tensor([[hits.ratio, float(value.detach())]], dtype=torch.float64), value

    def _discriminate(self, state: State, rng: np.random.Generator) -> None:
        """One step on as many real users as there are fake ones."""
        real = self._dense(self.templates.whole[rng.permutation(len(self.templates))[: len(self.borrowed)]])
        with torch.no_grad():
            fake = self._fake(_own(state, "generator"))
        self._step(state, "discriminator", partial(self.gan.doubt, real=real, fake=fake))

    def _fake(self, generator: Params) -> Tensor:
        """Profiles ``(n_fakes, n_items)`` without targets, on a scale to 5."""
        own = self.scale.low + self.scale.step * (self.gan.grades(generator, self.borrowed) - 1)
        return own * (HIGHEST / self.scale.high) * self.lent

    def _dense(self, rows: sp.csr_matrix) -> Tensor:
        return torch.from_numpy(rows.toarray().astype(np.float32)).to(self.borrowed.device)

    def _step(self, state: State, name: str, loss: Callable[[Params], Tensor]) -> None:
        """A step of one network down ``loss``, in place."""
        leaves = {key: tensor.detach().requires_grad_() for key, tensor in _own(state, name).items()}
        value = loss(leaves)
        if not bool(value.isfinite()):
            raise UserError(
                f"Leg-UP's {name} left the finite numbers: lower attack.gan.learning_rate (now "
                f"{self.gan.learning_rate:g}) or attack.gan.discriminator_learning_rate"
            )
        found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True, materialize_grads=True)
        rate = self.gan.learning_rate if name == "generator" else self.gan.discriminator_learning_rate
        step("adam", _part(state, name), dict(zip(leaves, found, strict=True)), rate, _EPS)


def raised(scores: Tensor, targets: Tensor, lacking: Tensor) -> Tensor:
    """The attack's objective on scores ``(n_users, n_items)``, a mean over pairs of a user and a target that it lacks.

    Of each, -log softmax of the target among the items that score as high or higher.
    """
    values = []
    for number, target in enumerate(targets.tolist()):
        own = scores[:, target : target + 1]
        better = scores.masked_fill(scores < own, -torch.inf)
        values.append((better.logsumexp(1) - own.squeeze(1)) @ lacking[:, number])
    return torch.stack(values).sum() / lacking.sum().clamp_min(1)


def _part(state: State, name: str) -> State:
    """One network's optimiser, whose tensors are those of ``state``."""
    return {key.removeprefix(f"{name}/"): tensor for key, tensor in state.items() if key.startswith(f"{name}/")}


def _own(state: State, name: str) -> Params:
    return slots(_part(state, name), "param")


def _fits(start: State, epochs: int, found: State) -> bool:
    """Whether training from ``start`` could have kept ``found``."""
    if found.keys() != start.keys() or not all(alike(found[k], x) for k, x in start.items() if k != "trace"):
        return False
    return found["trace"].shape[1:] == (2,) and 0 <= int(found["generator/epoch"]) <= epochs
