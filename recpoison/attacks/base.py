"""What an attack is: it crafts a change, and its base class holds the budget."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, final

import numpy as np
import torch

from recpoison.attacks.taking import embedding_shift, fake_profiles
from recpoison.attacks.targets import Targets
from recpoison.border import called, method
from recpoison.changes import COUNT, SHARE, Budget, EmbeddingShift, FakeProfiles
from recpoison.data.interactions import Interactions
from recpoison.data.splitting import DRAWN
from recpoison.edge_flips import EdgeFlips
from recpoison.errors import BudgetExceeded, IncompatibleParts
from recpoison.idle import Part, Together
from recpoison.models.base import Fitted, GradientModel, Model
from recpoison.progress import Progress
from recpoison.ranges import check_ranges, ranged
from recpoison.seeds import Seeds


@dataclass(frozen=True)
class Attack(Part):
    """Anything that can be done to a recommender. The runner knows this class and none below it.

    An attack changes the data before fitting (``poison``) or a fitted model at evaluation (``perturb``); a kind that
    does one leaves the other alone.
    """

    works_on: ClassVar[str | None] = "interactions"  # a Dataset.kind; None: any
    needs_ratings: ClassVar[bool] = False  # whether it has nothing to say where feedback is implicit
    flips: ClassVar[bool] = False  # whether its change of the data is of edges, which not every evaluation can measure
    crafts: ClassVar[Any] = FakeProfiles  # the class of its change of the data

    @property
    def poisons(self) -> bool:
        """Whether it has a ``poison`` of its own."""
        return type(self).poison is not Attack.poison

    @property
    def perturbs(self) -> bool:
        """Whether it has a ``perturb`` of its own."""
        return type(self).perturb is not Attack.perturb

    @property
    def ranks(self) -> bool:
        """Whether it needs a ranking to be learned, where an evaluation may have edges and zeros learned instead."""
        return False

    @property
    def aims(self) -> bool:
        """Whether it is about items in particular."""
        return type(self).choose_targets is not Attack.choose_targets

    @property
    def promotes(self) -> bool:
        """Whether it wants those items recommended, not the opposite."""
        return self.aims

    @property
    def crafted_with(self) -> int | None:
        """The seed whose split, targets and draws its change of the data is crafted with; None: each seed's own."""
        return None

    @property
    def reads(self) -> str | None:
        """Digest of the files that its change of the data is made of; None where it reads none."""
        return None

    @property
    def planned(self) -> Attack:
        """The attack whose change of the data is crafted and kept, of which this one may use a part."""
        return self

    def used(self, change: Any) -> Any:
        """The part that this attack uses of the change that ``planned`` made."""
        return change

    def check_model(self, model: Model) -> None:
        """Refuse a victim that cannot be attacked so, before anything is fitted.

        Raises:
            IncompatibleParts: Naming what the model lacks.
        """

    @final
    def check_ratings(self, has_ratings: bool) -> None:
        """Refuse data without ratings where the attack writes them, before anything is read.

        Raises:
            IncompatibleParts: If it does.
        """
        if self.needs_ratings and not has_ratings:
            raise IncompatibleParts(
                f"{type(self).__name__} writes ratings, and these data have none: choose a dataset with ratings (such "
                "as ml_100k, without filters.binarise_at), or attack=rand_filter"
            )

    def choose_targets(self, data: Interactions, seeds: Seeds) -> np.ndarray:
        """Items to promote, ``(n_targets,)``; none where the attack is about no item in particular."""
        return np.zeros(0, dtype=np.int64)

    def poison(
        self, data: Any, targets: np.ndarray, seeds: Seeds, device: torch.device, progress: Progress
    ) -> FakeProfiles | EdgeFlips:
        """The change to the training data; nothing here."""
        return FakeProfiles.none(targets)

    def perturb(self, fitted: Fitted, targets: np.ndarray, seeds: Seeds, progress: Progress) -> EmbeddingShift | None:
        """The shift of a fitted model's tables, on the device of its numbers; None here."""
        return None


class Crafting(NamedTuple):
    """What an attack by fake users is given.

    Args:
        data: The rows that the attacker sees.
        targets: ``(n_targets,)`` items that the attack is about.
        n_fakes: Fake users that the budget allows.
        seeds: Streams of the attack's own.
        device: Where tensors live.
        progress: Hears how far it is, and keeps the state of long loops.
    """

    data: Interactions
    targets: np.ndarray
    n_fakes: int
    seeds: Seeds
    device: torch.device
    progress: Progress


@dataclass(frozen=True, kw_only=True)
class ProfileAttack(Attack, ABC):
    """Adds fake users. A new attack writes ``_craft``; the budget is checked here.

    Args:
        targets: How the items to promote are chosen.
        budget: Fake users, as a share of the real ones, in (0, 1].
        n_fake_users: Fake users, as a number; it wins over ``budget``.
        craft_seed: None: crafted anew for each seed. A number: crafted once, with that seed's split, targets and draws,
            and the same fake users meet every repeat, as where authors load one file of them (APT). The spread over
            repeats is then that of splits and fits alone.
    """

    targets: Targets = field(default_factory=Targets)
    budget: float = ranged(0.01, SHARE)
    n_fake_users: int | None = ranged(None, COUNT)
    craft_seed: int | None = ranged(None, low=0, null="each seed's own")

    def __post_init__(self) -> None:
        check_ranges(self, "attack")

    def idle(self, parts: Together) -> dict[str, str]:
        """The share, where the number is given."""
        given = f"n_fake_users is {self.n_fake_users}, which wins over it"
        return {} if self.n_fake_users is None else {"budget": given}

    def remarks(self, parts: Together) -> list[str]:
        """What the spread over repeats does not hold, where all meet the same fake users."""
        if self.craft_seed is None:
            return []
        told = (
            f"all repeats meet the same fake users, crafted with seed {self.craft_seed} (attack.craft_seed): spread "
            "and p-values are over splits and fits, not over attacks"
        )
        method = getattr(getattr(parts.dataset, "split", None), "method", None)
        if method in DRAWN:
            told += (
                f"; dataset.split.method={method} draws held-out rows for each seed, so that the attacker saw rows "
                "that other repeats hold out"
            )
        return [told]

    @final
    @property
    def crafted_with(self) -> int | None:
        """``craft_seed``."""
        return self.craft_seed

    @final
    def choose_targets(self, data: Interactions, seeds: Seeds) -> np.ndarray:
        """Items to promote, ``(n_targets,)``."""
        return self.targets.choose(data, seeds.numpy("targets"))

    @final
    def poison(
        self, data: Interactions, targets: np.ndarray, seeds: Seeds, device: torch.device, progress: Progress
    ) -> FakeProfiles:
        """Craft fake users within the budget.

        Raises:
            BudgetExceeded: If the attack made more fake users than it may.
            IncompatibleParts: If it needs ratings, and the data have none.
            UserError: If it gave anything but fake users that the data can hold.
        """
        self.check_ratings(data.scale is not None)
        n_fakes = Budget(self.budget, self.n_fake_users).fake_users(data.n_users)
        crafting = Crafting(data, targets, n_fakes, seeds.child("attack"), device, progress)
        return fake_profiles(called(self._craft, crafting), data, method(self._craft), n_fakes)

    @abstractmethod
    def _craft(self, crafting: Crafting) -> FakeProfiles:
        """At most ``crafting.n_fakes`` fake users."""


@dataclass(frozen=True, kw_only=True)
class EmbeddingAttack(Attack, ABC):
    """Shifts the tables of a fitted model. A new attack writes ``_craft`` and ``limit``; the budget is checked here.

    It reads the model's numbers and the data they were learned from, and changes neither.
    """

    @property
    @abstractmethod
    def limit(self) -> tuple[str, float] | None:
        """The norm that bounds the shift (``row_l2``, ``linf`` or ``matrix_l2``) and its bound; None for no bound."""

    @final
    def check_model(self, model: Model) -> None:
        """Refuse a model without tables.

        Raises:
            IncompatibleParts: If it names none.
        """
        if not (isinstance(model, GradientModel) and model.tables):
            raise IncompatibleParts(
                f"{type(self).__name__} shifts embeddings, but {type(model).__name__} names no tables of them: "
                "choose model=bprmf, mf, wrmf, gmf, cf, neumf or lightgcn, or another attack"
            )

    @final
    def perturb(self, fitted: Fitted, targets: np.ndarray, seeds: Seeds, progress: Progress) -> EmbeddingShift:
        """Craft a shift within the budget.

        Raises:
            IncompatibleParts: If the model names no tables.
            BudgetExceeded: If the shift is larger than it may be, beyond rounding, or not finite.
        """
        self.check_model(fitted.model)
        given = called(self._craft, fitted, targets, seeds.child("attack"), progress)
        return self._checked(given, fitted, method(self._craft))

    @final
    def path(
        self, fitted: Fitted, targets: np.ndarray, seeds: Seeds, progress: Progress
    ) -> Iterator[tuple[int, EmbeddingShift]]:
        """The shift after each step, counted from 1; nothing from an attack that takes no steps.

        The last is what ``perturb`` returns. Each is within the budget, as there.
        """
        self.check_model(fitted.model)
        for number, given in called(self._walk, fitted, targets, seeds.child("attack"), progress):
            yield number, self._checked(given, fitted, method(self._walk))

    @property
    def takes_steps(self) -> bool:
        """Whether ``path`` gives anything."""
        return type(self)._walk is not EmbeddingAttack._walk

    def _walk(
        self, fitted: Fitted, targets: np.ndarray, seeds: Seeds, progress: Progress
    ) -> Iterator[tuple[int, EmbeddingShift]]:
        yield from ()

    def _checked(self, given: object, fitted: Fitted, source: str) -> EmbeddingShift:
        assert isinstance(fitted.model, GradientModel), "check_model has seen to that"
        shift = embedding_shift(given, {name: fitted.params[name] for name in fitted.model.tables}, source)
        if not all(bool(table.isfinite().all()) for table in shift.tables.values()):
            raise BudgetExceeded(f"the shift of {type(self).__name__} is not finite: the model's numbers are too large")
        if self.limit is None:
            return shift
        norm, bound = self.limit
        used = shift.used(norm)
        if used > bound * (1 + 1e-5):
            raise BudgetExceeded(
                f"the attack's shift has {norm} {used:g}, but its budget allows {bound:g}: raise attack.epsilon"
            )
        return shift

    @abstractmethod
    def _craft(self, fitted: Fitted, targets: np.ndarray, seeds: Seeds, progress: Progress) -> EmbeddingShift:
        """A shift of the tables that ``fitted.model`` names."""
