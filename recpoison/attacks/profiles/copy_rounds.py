"""CopyAttack's rounds: copy users in groups, ask the queried model after each, and learn from what spies were shown."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recpoison.attacks.profiles.base import of_rows
from recpoison.attacks.profiles.copy_policy import Policies
from recpoison.attacks.profiles.copy_source import SHARES, Source
from recpoison.changes import FakeProfiles
from recpoison.data.interactions import Interactions
from recpoison.models.base import Model, Params
from recpoison.progress import QUIET, Progress, alike
from recpoison.seeds import Seeds
from recpoison.training.optimizers import State, initial_state, slots, step

_EPS = 1e-8  # of Adam


class Copied(NamedTuple):
    """A user that was copied: whose profile, for which target, how much of it; and the log of how likely that was."""

    user: int
    target: int
    share: float
    chance: Tensor


class Choice(NamedTuple):
    """How users and windows are chosen.

    Args:
        policies: The learned ones.
        learns: Whether they choose; otherwise all that is allowed is equally likely.
        masked: Whether only owners of the target are copied.
        share: A fixed share of profiles; None where it is chosen.
    """

    policies: Policies
    learns: bool
    masked: bool
    share: float | None


def chosen(
    choice: Choice, params: Params, source: Source, targets: np.ndarray, count: int, rng: np.random.Generator
) -> list[Copied]:
    """``count`` users, each for one target in turn; a user may be copied again."""
    allowed = {int(t): source.owners(t) if choice.masked else np.ones(source.data.n_users, dtype=bool) for t in targets}
    state, found = choice.policies.nobody(), []
    for number in range(count):
        target = int(targets[number % len(targets)])
        user, share, chance = _one(choice, params, state, target, allowed[target], rng)
        if choice.learns:
            state = choice.policies.after(params, state, user)
        found.append(Copied(user, target, share, chance))
    return found


def _one(
    choice: Choice, params: Params, state: Tensor, target: int, allowed: np.ndarray, rng: np.random.Generator
) -> tuple[int, float, Tensor]:
    """A user, the share that is kept, and the log of how likely both were, where that is learned."""
    if not choice.learns:
        user = int(rng.choice(np.flatnonzero(allowed)))
        return user, float(rng.choice(SHARES)) if choice.share is None else choice.share, state.new_zeros(())
    user, chance = choice.policies.user(params, state, target, allowed, rng)
    if choice.share is not None:
        return user, choice.share, chance
    share, said = choice.policies.share(params, target, user, rng)
    return user, share, chance + said


def profiles(
    copied: list[Copied], source: Source, data: Interactions, targets: np.ndarray, click: bool
) -> FakeProfiles:
    """The copies as fake users of ``data``; with ``click`` each has every target, rated highest."""
    rows = [source.window(one.user, one.target, one.share) for one in copied]
    items, values = [], []
    for window in rows:
        kept = (
            ~np.isin(source.data.items[window], targets) if click else np.ones(window.stop - window.start, dtype=bool)
        )
        pushed = targets if click else targets[:0]
        items.append(np.concatenate([source.data.items[window][kept], pushed]))
        values.append(np.concatenate([source.data.values[window][kept], np.full(len(pushed), data.highest)]))
    return of_rows(items, values, targets)


class Spies:
    """Accounts of the attacker in the target domain, who see which items they are recommended.

    Args:
        queried: The model that answers.
        data: Real users, the spies among them.
        targets: ``(n_targets,)``.
        count: Spies, drawn from the users who lack a target; all of them where there are fewer.
        cutoff: Length of a list.
        seeds: Streams ``spies`` and of the model's fits.
        device: Where it is fitted.
    """

    def __init__(
        self,
        queried: Model,
        data: Interactions,
        targets: np.ndarray,
        count: int,
        cutoff: int,
        seeds: Seeds,
        device: torch.device,
    ) -> None:
        self.queried, self.data, self.targets, self.cutoff = queried, data, targets, cutoff
        self.seeds, self.device, self.asked = seeds, device, 0
        owned = data.seen[:, targets].toarray() > 0
        lacking = np.flatnonzero((~owned).any(axis=1))
        self.users = np.sort(seeds.numpy("spies").permutation(lacking)[:count])
        self.lacks = ~owned[self.users]

    def ask(self, fakes: FakeProfiles) -> tuple[float, float]:
        """Fit the model anew beside ``fakes`` and look at the spies' lists: one query.

        Returns:
            The share of pairs of a spy and a target that it lacks with the target in the list, and the mean logarithm
            of its place among what the spy has not seen. Ties count against the target.
        """
        self.asked += 1
        fitted = self.queried.fitted(fakes.apply(self.data), self.seeds.child("queried"), self.device, QUIET)
        scores = fitted.scores(torch.from_numpy(self.users).to(self.device)).detach().double().cpu().numpy()
        own = np.where(self.data.seen[self.users].toarray() > 0, -np.inf, scores)
        places = np.stack([(own >= scores[:, [t]]).sum(axis=1) for t in self.targets], axis=1)[self.lacks]
        return float((places <= self.cutoff).mean()), float(np.log2(places).mean())


def returns(rewards: np.ndarray, discount: float) -> np.ndarray:
    """What each group is worth: its reward and the later ones, each ``discount`` times as much as the one before."""
    found, after = np.zeros(len(rewards)), 0.0
    for group in reversed(range(len(rewards))):
        after = found[group] = rewards[group] + discount * after
    return found


def regret(copied: list[Copied], size: int, advantages: np.ndarray) -> Tensor:
    """What REINFORCE minimises: minus the log probability of each choice times its group's advantage, summed."""
    return -torch.stack([one.chance * advantages[n // size] for n, one in enumerate(copied)]).sum()


class Found(NamedTuple):
    """What came of all rounds: the best one's copies, its number, and ``(rounds, 2)`` hit ratio and mean log place."""

    copied: list[Copied]
    place: int
    trace: Tensor


class Game:
    """Plays rounds, and learns from each.

    Args:
        choice: How users and windows are chosen.
        source: Who may be copied.
        spies: Who sees what came of it.
        click: Whether every copy has all targets.
        size: Copies of a group.
        discount: What a later reward is worth, for each group later.
        learning_rate: Step of Adam.
    """

    def __init__(
        self,
        choice: Choice,
        source: Source,
        spies: Spies,
        click: bool,
        size: int,
        discount: float,
        learning_rate: float,
    ) -> None:
        self.choice, self.source, self.spies, self.click = choice, source, spies, click
        self.size, self.discount, self.learning_rate = size, discount, learning_rate

    def play(self, rounds: int, count: int, seeds: Seeds, progress: Progress, work: object) -> Found:
        """``rounds`` rounds of ``count`` copies, or those that remain; ``work`` is what tells this loop from others."""
        start = self._first(count, seeds)
        loop = progress.loop((work, rounds, count), partial(_fits, start, rounds))
        state = start | {name: tensor.to(start[name].device) for name, tensor in (loop.state or {}).items()}
        while (done := len(state["trace"])) < rounds:
            state = self._round(state, count, seeds.numpy(done))
            progress.step(done + 1, rounds, spies_hit_ratio=float(state["trace"][-1, 0]))
            loop.keep(partial(dict, state))
        nothing = torch.zeros(())
        copied = [Copied(int(user), int(target), share, nothing) for user, target, share in state["best"].tolist()]
        return Found(copied, int(state["place"]), state["trace"])

    def _first(self, count: int, seeds: Seeds) -> State:
        device, groups = self.choice.policies.users.device, -(-count // self.size)
        params = self.choice.policies.start(seeds.child("init")) if self.choice.learns else {}
        wide = torch.zeros(0, 2, dtype=torch.float64)
        kept = {"trace": wide, "returns": wide.new_zeros(0, groups), "best": wide.new_zeros(count, 3)}
        learned = initial_state("adam", 0, {name: tensor.to(device) for name, tensor in params.items()})
        return learned | kept | {"place": torch.tensor(0)}

    def _round(self, state: State, count: int, rng: np.random.Generator) -> State:
        """Copy group by group and ask after each; keep the best, and take a step."""
        leaves = {name: tensor.detach().requires_grad_() for name, tensor in slots(state, "param").items()}
        targets = self.spies.targets
        copied = chosen(self.choice, leaves, self.source, targets, count, rng)
        rewards, log_place = [], 0.0
        for end in range(self.size, count + self.size, self.size):
            fakes = profiles(copied[:end], self.source, self.spies.data, targets, self.click)
            hit_ratio, log_place = self.spies.ask(fakes)
            rewards.append(hit_ratio)
        worth = returns(np.array(rewards), self.discount)
        if self.choice.learns and len(state["returns"]):
            loss = regret(copied, self.size, worth - state["returns"].mean(0).numpy())
            gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
            step("adam", state, dict(zip(leaves, gradients, strict=True)), self.learning_rate, _EPS)
        seen = torch.tensor([[rewards[-1], log_place]], dtype=torch.float64)
        return state | self._judged(state, copied, seen, torch.from_numpy(worth)[None])

    def _judged(self, state: State, copied: list[Copied], seen: Tensor, worth: Tensor) -> State:
        trace, place = torch.cat([state["trace"], seen]), int(state["place"])
        kept = {"trace": trace, "returns": torch.cat([state["returns"], worth])}
        (hit_ratio, log_place), (best, best_place) = trace[-1].tolist(), trace[place].tolist()
        if len(trace) > 1 and (hit_ratio, -log_place) <= (best, -best_place):
            return kept
        rows = torch.tensor([[one.user, one.target, one.share] for one in copied], dtype=torch.float64)
        return kept | {"best": rows, "place": torch.tensor(len(trace) - 1)}


def _fits(start: State, rounds: int, found: State) -> bool:
    """Whether a game that begins with ``start`` could have kept ``found``."""
    grown = ("trace", "returns")
    if found.keys() != start.keys() or not all(alike(found[k], start[k]) for k in start if k not in grown):
        return False
    columns = all(found[name].shape[1:] == start[name].shape[1:] for name in grown)
    return columns and len(found["trace"]) == len(found["returns"]) <= rounds and int(found["place"]) < rounds
