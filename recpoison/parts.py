"""What a run is made of, and its squares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from recpoison.attacks.base import Attack
from recpoison.attacks.none import NoAttack
from recpoison.data.dataset import Dataset, GraphDataset
from recpoison.defenses.base import Defense
from recpoison.defenses.none import NoDefense
from recpoison.descriptions import describe
from recpoison.errors import IncompatibleParts
from recpoison.evaluation.base import Evaluation
from recpoison.idle import PARTS, at_rest, idle_settings
from recpoison.models.base import Model


@dataclass(frozen=True)
class Parts:
    """What a run is made of.

    What cannot matter is put where its class has it, so that runs which differ in nothing else share their stages.

    Args:
        dataset: Where rows come from.
        model: The victim.
        attack: What is done to it.
        defense: How it is fitted in the defended cells.
        evaluation: How it is measured.
        labels: What tables call each of the five; where absent the dataset's name and class names.

    Attributes:
        idle: Settings that cannot matter, as they were given, and why.

    Example:
        >>> parts = Parts(Planted("planted"), BPRMF(), FGSM(), evaluation=FullRanking(), labels={"attack": "fgsm"})
        >>> [parts.label(part) for part in ("dataset", "model", "attack", "defense")]
        ['planted', 'BPRMF', 'fgsm', 'NoDefense']
    """

    dataset: Dataset | GraphDataset
    model: Model
    attack: Attack = field(default_factory=NoAttack)
    defense: Defense = field(default_factory=NoDefense)
    evaluation: Evaluation = field(kw_only=True)
    labels: dict[str, str] = field(default_factory=dict)
    idle: dict[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._check()
        idle = idle_settings(self)
        for name in PARTS:
            object.__setattr__(self, name, at_rest(getattr(self, name), name, idle))
        object.__setattr__(self, "idle", idle)

    def _check(self) -> None:
        """Refuse parts that do not go together, and say which."""
        for names, check, given in (
            (("attack", "model"), self.attack.check_model, (self.model,)),
            (("attack", "dataset"), self.attack.check_ratings, (self.dataset.has_ratings,)),
            (("defense", "model"), self.defense.check_model, (self.model,)),
            (("defense", "dataset"), self.defense.check_ratings, (self.dataset.has_ratings,)),
            (("evaluation", "attack"), self.evaluation.check_attack, (self.attack,)),
            (("evaluation", "defense"), self.evaluation.check_defense, (self.defense,)),
            (("evaluation", "model", "attack"), self.evaluation.check_parts, (self.model, self.attack)),
        ):
            try:
                check(*given)
            except IncompatibleParts as error:
                error.parts = names
                raise

    def label(self, part: str) -> str:
        """What tables call ``part``."""
        chosen = getattr(self, part)
        return self.labels.get(part) or str(getattr(chosen, "name", type(chosen).__name__))

    @property
    def protocol(self) -> dict[str, str]:
        """What a reader must know of the evaluation to compare the numbers."""
        protocol = self.evaluation.protocol
        return protocol if self.model.has_epochs else protocol | {"epoch": f"none: {self.label('model')} has none"}

    @property
    def remarks(self) -> list[str]:
        """What a reader must know of how these parts go together, as sentences."""
        return [note for name in PARTS for note in getattr(self, name).remarks(self)]


def describe_parts(parts: Parts) -> dict[str, object]:
    """The five parts in plain values."""
    return {name: describe(getattr(parts, name)) for name in PARTS}


class Square(NamedTuple):
    """One square of the two-by-two: an attack, or none, on a defense, or none, with what tables call them."""

    attack_label: str
    attack: Attack
    defense_label: str
    defense: Defense

    @property
    def name(self) -> str:
        """``attack/defense``."""
        return f"{self.attack_label}/{self.defense_label}"

    @property
    def clean(self) -> bool:
        """Whether nothing is attacked."""
        return isinstance(self.attack, NoAttack)


def squares_of(parts: Parts) -> list[Square]:
    """The squares of a run in order: clean before attacked, undefended before defended."""
    attacks: list[tuple[str, Attack]] = [("none", NoAttack())]
    if not isinstance(parts.attack, NoAttack):
        attacks.append((parts.label("attack"), parts.attack))
    defenses: list[tuple[str, Defense]] = [("none", NoDefense())]
    if not isinstance(parts.defense, NoDefense):
        defenses.append((parts.label("defense"), parts.defense))
    return [
        Square(attack_label, attack, defense_label, defense)
        for defense_label, defense in defenses
        for attack_label, attack in attacks
    ]
