"""CopyAttack (Fan et al., "Attacking black-box recommendations via copying cross-domain user profiles", ICDE 2021)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from recpoison.attacks.base import Crafting, ProfileAttack
from recpoison.attacks.profiles.copy_policy import Policies, Tree, clustered
from recpoison.attacks.profiles.copy_rounds import Choice, Game, Spies, profiles
from recpoison.attacks.profiles.copy_source import Source, dataset_of, other_users, some_users
from recpoison.changes import FakeProfiles
from recpoison.errors import ConfigError
from recpoison.idle import Together
from recpoison.models.base import Model
from recpoison.models.wrmf_als import WRMFALS
from recpoison.progress import QUIET
from recpoison.ranges import ranged

POLICIES = ("tree", "random")


@dataclass(frozen=True, kw_only=True)
class CopyAttack(ProfileAttack):
    """Real users of a source domain are copied, chosen by what a black box recommends to spies.

    A round copies all fake users, in groups. After each group the queried model is fitted anew on real users and the
    copies so far, and the spies' lists are looked at: one query, and there are ``queries`` of them in all. The reward
    is the share of spies with the target in their list. Users are found by a walk down a tree of clustered users, where
    every node has a small network; branches without an owner of the target are closed (``masking``). Of a profile a
    window around the target is kept, whose size is chosen too. REINFORCE learns from each round, whose rewards are
    compared with the mean of earlier rounds. The fake users are those of the round with the highest hit ratio after its
    last group, the mean logarithm of the targets' places breaking ties. The change's ``trace`` says what each found.

    Written from the paper's summary: no code by its authors is known. Departures: only whole rounds are played, from
    the same real users; before anything is learned, all users who may be copied are equally likely, whoever was copied
    before; several targets take turns.

    The source is another dataset, or (``source_share``) some of the users here, whose profiles the attacker knows: they
    stay real users, and their copies are second accounts. Spies are real users who lack a target. The queried model is
    the victim's description unless another is given; a defense does not answer queries.

    Args:
        queried: The model that answers queries.
        source: A dataset, such as ``ml_100k`` or ``csv``; null takes users of the same data.
        source_settings: Of that dataset, such as ``path=others.csv``.
        item_map: A csv with columns ``source,target``, item ids of both domains' files; null: the ids are the same.
        source_share: Share of the users here whose profiles are known, where there is no ``source``.
        policy: ``tree``, or ``random``: users and windows are equally likely in every round, and nothing is learned.
        masking: Whether only owners of the target are copied.
        kept_share: Share of a profile that is kept; null lets the policy choose among ten.
        click_targets: Whether every copy has all targets, rated highest; false: only what the window holds.
        queries: Queries in all, each one fit of the queried model.
        group_size: Copies between two queries.
        spies: Users who are looked at.
        cutoff: Length of their lists.
        depth: Levels of the tree.
        hidden_size: Size of hidden layers.
        discount: What a later reward is worth, for each group later.
        learning_rate: Step of Adam, once a round.
        source_model: Factors of the source, that users are clustered and known by.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Planted("planted", n_users=8).read(None, Seeds(0), Progress())
        >>> attack = CopyAttack(targets=Targets("list", [0]), n_fake_users=2, queried=ItemKNN(), queries=4, spies=3)
        >>> fakes = attack.poison(data, np.array([0]), Seeds(0), torch.device("cpu"), Progress())
        >>> fakes.n_fakes, len(fakes.trace["HR"]), bool((fakes.items % 2 == 0).all())  # owners of item 0 have even ones
        (2, 4, True)
    """

    queried: Model
    source: str | None = None
    source_settings: Sequence[str] = ()
    item_map: str | None = None
    source_share: float = ranged(0.5, low=0.0, high=1, open_low=True)
    policy: str = ranged("tree", words=POLICIES)
    masking: bool = True
    kept_share: float | None = ranged(None, low=0.0, high=1, open_low=True, null="whole profiles")
    click_targets: bool = True
    queries: int = ranged(100, low=1)
    group_size: int = ranged(3, low=1)
    spies: int = ranged(50, low=1)
    cutoff: int = ranged(20, low=1)
    depth: int = ranged(3, low=1)
    hidden_size: int = ranged(16, low=1)
    discount: float = ranged(0.6, low=0.0, high=1)
    learning_rate: float = ranged(0.1, low=0.0, open_low=True)
    source_model: WRMFALS = field(default_factory=partial(WRMFALS, embedding_size=8))

    def idle(self, parts: Together) -> dict[str, str]:
        """What the source or the policy does not need."""
        found = super().idle(parts)
        if self.source is None:
            found |= dict.fromkeys(("source_settings", "item_map"), "source is null, so users here are copied")
        else:
            found["source_share"] = f"source is {self.source}, whose users are all known"
        if self.policy == "random":
            learned = ("depth", "hidden_size", "discount", "learning_rate", "source_model")
            found |= dict.fromkeys(learned, "policy is random, which learns nothing")
        return found

    def remarks(self, parts: Together) -> list[str]:
        """Who is copied, and who answered."""
        told = super().remarks(parts)
        if self.source is None:
            told.append(
                f"CopyAttack knows the profiles of {self.source_share:.0%} of the users (attack.source_share), who "
                "stay among the real ones: a copy is a second account"
            )
        if self.queried != parts.model:
            told.append(f"CopyAttack's queries were answered by {type(self.queried).__name__}, which is not the victim")
        return told

    @property
    def reads(self) -> str | None:
        """Digest of the source's files and of the map; None for users here."""
        if self.source is None:
            return None
        found = hashlib.sha256(dataset_of(self.source, tuple(self.source_settings)).fingerprint(None).encode())
        if self.item_map is not None and Path(self.item_map).is_file():
            found.update(Path(self.item_map).read_bytes())
        return found.hexdigest()

    def _craft(self, crafting: Crafting) -> FakeProfiles:
        data, targets, n_fakes, seeds, device, progress = crafting
        n_groups = -(-n_fakes // self.group_size)
        if self.queries < n_groups:
            raise ConfigError(
                f"attack.queries is {self.queries}, but a round of {n_fakes} copies in groups of {self.group_size} "
                f"takes {n_groups}: raise it, or attack.group_size"
            )
        source = self._source(crafting)
        if self.masking:
            self._check_owners(source, targets)
        choice = Choice(self._policies(source, crafting), self.policy == "tree", self.masking, self.kept_share)
        spies = Spies(self.queried, data, targets, self.spies, self.cutoff, seeds, device)
        rounds = self.queries // n_groups
        game = Game(choice, source, spies, self.click_targets, self.group_size, self.discount, self.learning_rate)
        found = game.play(rounds, n_fakes, seeds.child("rounds"), progress, (self, source.data, data, targets, seeds))
        progress.note(
            f"CopyAttack: {rounds * n_groups} queries of at most {self.queries}, each a fit of "
            f"{type(self.queried).__name__}, in {rounds} rounds of {n_fakes} copies of {source.data.n_users} users"
        )
        trace = {name: column.numpy() for name, column in zip(("HR", "Objective"), found.trace.T, strict=True)}
        fakes = profiles(found.copied, source, data, targets, self.click_targets)
        return replace(fakes, trace=trace, cutoff=self.cutoff, best=found.place)

    def _source(self, crafting: Crafting) -> Source:
        data, seeds = crafting.data, crafting.seeds
        if self.source is None:
            return some_users(data, self.source_share, seeds)
        settings = tuple(self.source_settings)
        return other_users(self.source, settings, self.item_map, data, seeds, crafting.progress)

    def _check_owners(self, source: Source, targets: np.ndarray) -> None:
        for target in targets.tolist():
            if not source.owners(target).any():
                raise ConfigError(
                    f"attack.masking is true, but nobody of the source has target {target}: set it to false, or choose "
                    "other attack.targets or another attack.source_share"
                )

    def _policies(self, source: Source, crafting: Crafting) -> Policies:
        """The tree of the source's users; nothing where nothing is learned."""
        if self.policy == "random":
            nothing = torch.zeros(0, 1)
            return Policies(
                Tree(np.zeros((0, 0)), np.zeros((0, 0)), np.zeros((0, 0))), nothing, nothing, self.hidden_size
            )
        seeds, device = crafting.seeds, crafting.device
        factors = self.source_model.fitted(source.data, seeds.child("source_model"), device, QUIET).params
        users, items = (factors[name] / factors[name].std().clamp_min(1e-9) for name in ("user", "item"))
        tree = clustered(users.cpu().numpy(), self.depth, seeds.numpy("tree"))
        return Policies(tree, users, items, self.hidden_size)
