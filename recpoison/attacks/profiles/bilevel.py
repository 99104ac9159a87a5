"""The outer problem of learned injection attacks (Tang, Wen and Wang 2020): fake users go down an objective."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recpoison.algebra.observed import Observed
from recpoison.attacks.base import Crafting, ProfileAttack
from recpoison.attacks.objectives import OBJECTIVES, TargetHits
from recpoison.attacks.profiles.outer import STARTS, OuterOptimizer, starting_profiles
from recpoison.changes import FakeProfiles
from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.idle import Together
from recpoison.memory import refuse_beyond_memory
from recpoison.progress import Loop, Progress, alike
from recpoison.ranges import ranged
from recpoison.seeds import Seeds


class Look(NamedTuple):
    """What a surrogate trained with some fake users says about them.

    Args:
        objective: The adversarial objective, a sum over real users; lower is better for the attacker.
        hit_ratio: Share of real users with a target among their best unseen items.
        gradient: Of the objective in the fake users' values ``(n_fakes, n_items)``; None where not asked for.
    """

    objective: float
    hit_ratio: float
    gradient: Tensor | None


_COPIES = 5  # matrices of the fake users' values: kept, shown, velocity, best and their gradient

# What is kept of each iteration, in the order of the trace's columns.
_TRACED = ("HR", "Objective")

# From fake users' values and whether a gradient is wanted to what the surrogate says.
Surrogate = Callable[[Tensor, bool], Look]


@dataclass(frozen=True, kw_only=True)
class BilevelAttack(ProfileAttack):
    """Fake users by gradient descent through the training of a surrogate. An attack writes ``_surrogate``.

    In each iteration the surrogate is trained from the same initial values on the real and the present fake users,
    and the fake users take a step along the gradient of the objective. All matrices are looked at, the first and the
    last too, and the one with the best effect on the surrogate is returned: the highest hit ratio (the lowest for
    ``nuke``; for ``untargeted`` the objective alone), the objective breaking ties. The authors never look at the
    last, and save nothing where no hit ratio is above 0. The change's ``trace`` says what each look found.

    Fake users have value 1 on implicit data. Explicit data are read as implicit (every rating is a 1), and fake users
    give the highest rating.

    Args:
        unroll_steps: Differentiated steps at the end of the surrogate's training; null means all.
        objective: ``promote``, ``nuke`` or ``untargeted``.
        temperature: Scores are divided by it before the objective's softmax. With the paper's 1 and scores between 0
            and 1 all items weigh nearly alike, so the objective can fall while the hit ratio does too; with less the
            items near the top of a user's list count more.
        outer: How the matrix is moved.
        start: ``users`` (copies of real ones), ``model`` (drawn from a model of the data) or ``zeros``.
        longest_start: Only users with at most so many items are copied or lend their length; null means all.
        click_targets: Whether every fake user has all targets, or what the gradient says.
        cutoff: Length of the lists in the hit ratio.
        memory_limit: GiB for what the differentiated steps keep; beyond it steps are run twice. Null keeps everything.

    Raises:
        ConfigError: If a value is out of range.
    """

    unroll_steps: int | None = ranged(None, low=0, null="all")
    objective: str = ranged("promote", words=tuple(OBJECTIVES))
    temperature: float = ranged(1.0, low=0.0, open_low=True)
    outer: OuterOptimizer = field(default_factory=OuterOptimizer)
    start: str = ranged("users", words=STARTS)
    longest_start: int | None = ranged(None, low=1, null="no bound")
    click_targets: bool = False
    cutoff: int = ranged(10, low=1)
    memory_limit: float | None = ranged(None, low=0.0, open_low=True, null="no limit")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.objective == "nuke" and self.click_targets:
            raise ConfigError(
                "attack.objective is nuke, but attack.click_targets has every fake user click the targets, which lifts "
                "them: set attack.click_targets=false"
            )

    def idle(self, parts: Together) -> dict[str, str]:
        """What a start from nothing, or no iteration, does not need."""
        found = super().idle(parts)
        if self.start == "zeros":
            found["longest_start"] = "start is zeros, so nothing is copied"
        if self.outer.iterations == 0:
            found["unroll_steps"] = "outer.iterations is 0, so nothing is differentiated"
        return found

    @property
    def promotes(self) -> bool:
        """Whether ``objective`` is ``promote``."""
        return self.objective == "promote"

    def value(self, users: Tensor, items: Tensor, targets: Tensor, seen: Observed, hits: TargetHits) -> Tensor:
        """The objective of a surrogate's factors, whose scores ``hits`` is shown."""
        return OBJECTIVES[self.objective](users / self.temperature, items, targets, seen, hits)

    @abstractmethod
    def _surrogate(
        self, data: Interactions, targets: Tensor, n_fakes: int, seeds: Seeds, device: torch.device
    ) -> Surrogate:
        """A function that trains the surrogate with given fake users; the same values give the same answer."""

    @property
    @abstractmethod
    def _start_rank(self) -> int:
        """Singular vectors of the model of the data from which fake users may be drawn."""

    def _craft(self, crafting: Crafting) -> FakeProfiles:
        data, targets, n_fakes, seeds, device, progress = crafting
        if (sized := self.outer.sized(data)) != self.outer:
            return replace(self, outer=sized)._craft(crafting)
        refuse_beyond_memory(
            4 * _COPIES * n_fakes * data.n_items,
            f"{n_fakes} learned fake users of {data.n_items} items",
            "lower attack.n_fake_users or attack.budget",
        )
        aims = torch.from_numpy(targets).to(device)
        surrogate = self._surrogate(data, aims, n_fakes, seeds.child("surrogate"), device)
        first = starting_profiles(self.start, data, n_fakes, self.longest_start, self._start_rank, seeds.numpy("start"))
        start = torch.from_numpy(first).float().to(device)
        loop = progress.loop((self, data, targets, seeds, n_fakes), partial(_fits, start, self.outer.iterations))
        shown, trace, place = self._descend(start, surrogate, aims, progress, loop)
        profile, items = shown.cpu().numpy().nonzero()
        figures = {name: column.numpy() for name, column in zip(_TRACED, trace.T, strict=True)}
        values = np.full(len(items), data.highest)
        return FakeProfiles(profile, items, values, n_fakes, targets, figures, self.cutoff, place)

    def _descend(
        self, start: Tensor, surrogate: Surrogate, targets: Tensor, progress: Progress, loop: Loop
    ) -> tuple[Tensor, Tensor, int]:
        """The best of the matrices met on the way from ``start``, what was seen in each iteration, and in which."""
        forced = targets if self.click_targets else targets[:0]
        lowest = torch.full((2,), -torch.inf, dtype=torch.float64)
        fresh = {"kept": start, "velocity": torch.zeros_like(start), "best": start, "effect": lowest}
        counts = {"iteration": torch.tensor(0), "place": torch.tensor(0), "trace": lowest.new_zeros(0, len(_TRACED))}
        state = loop.state or fresh | counts
        kept, velocity, best = (state[name].to(start) for name in ("kept", "velocity", "best"))
        effect, first, trace = tuple(state["effect"].tolist()), int(state["iteration"]), state["trace"]
        place = int(state["place"])
        for iteration in range(first, self.outer.iterations + 1):  # algorithm 1, line 4, and a look at the last matrix
            shown = self.outer.present(kept, forced)
            look = surrogate(shown, iteration < self.outer.iterations)  # lines 5 to 8
            trace = torch.cat([trace, trace.new_tensor([[look.hit_ratio, look.objective]])])
            if self._effect(look) > effect:
                best, effect, place = shown, self._effect(look), iteration
            progress.step(
                iteration, self.outer.iterations, surrogate_hit_ratio=look.hit_ratio, objective=look.objective
            )
            if look.gradient is not None:
                # line 9, whose projection is the next ``present``
                kept, velocity = self.outer.step(iteration, kept, shown, velocity, look.gradient, forced)
                loop.keep(partial(_state, kept, velocity, best, effect, trace, place))
        return best, trace, place

    def _effect(self, look: Look) -> tuple[float, float]:
        sign = {"promote": 1.0, "nuke": -1.0, "untargeted": 0.0}[self.objective]
        return sign * look.hit_ratio, -look.objective


def _fits(start: Tensor, iterations: int, found: dict[str, Tensor]) -> bool:
    """Whether ``_state`` could have given ``found`` on the way from ``start``."""
    if not alike(found.get("iteration"), torch.tensor(0)) or not 0 < int(found["iteration"]) <= iterations:
        return False
    trace = torch.zeros(int(found["iteration"]), len(_TRACED), dtype=torch.float64)
    like = _state(start, start, start, (0.0, 0.0), trace, 0)
    same = found.keys() == like.keys() and all(alike(found[name], tensor) for name, tensor in like.items())
    return same and 0 <= int(found["place"]) < int(found["iteration"])


def _state(
    kept: Tensor, velocity: Tensor, best: Tensor, effect: tuple[float, ...], trace: Tensor, place: int
) -> dict[str, Tensor]:
    """What the remaining iterations depend on."""
    counts = {"iteration": torch.tensor(len(trace)), "place": torch.tensor(place)}
    figures = counts | {"effect": torch.tensor(effect, dtype=torch.float64)}
    return {"kept": kept, "velocity": velocity, "best": best, "trace": trace} | figures
