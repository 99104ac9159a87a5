"""What a run is made of, and its squares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from recpoison.attacks.base import Attack
from recpoison.attacks.none import NoAttack
from recpoison.data.dataset import Dataset
from recpoison.defenses.base import Defense
from recpoison.defenses.none import NoDefense
from recpoison.descriptions import describe
from recpoison.evaluation.base import Evaluation
from recpoison.models.base import Model


@dataclass(frozen=True)
class Parts:
    """What a run is made of.

    Args:
        dataset: Where rows come from.
        model: The victim.
        attack: What is done to it.
        defense: How it is fitted in the defended cells.
        evaluation: How it is measured.
        labels: What tables call each of the five; where absent the dataset's name and class names.
    """

    dataset: Dataset
    model: Model
    attack: Attack = field(default_factory=NoAttack)
    defense: Defense = field(default_factory=NoDefense)
    evaluation: Evaluation = field(kw_only=True)
    labels: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.attack.check_model(self.model)
        self.defense.check_model(self.model)
        self.evaluation.check_parts(self.model, self.attack)

    def label(self, part: str) -> str:
        """What tables call ``part``."""
        chosen = getattr(self, part)
        return self.labels.get(part) or str(getattr(chosen, "name", type(chosen).__name__))


def describe_parts(parts: Parts) -> dict[str, object]:
    """The five parts in plain values."""
    return {name: describe(getattr(parts, name)) for name in ("dataset", "model", "attack", "defense", "evaluation")}


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
    return [Square(*attack, *defense) for defense in defenses for attack in attacks]
