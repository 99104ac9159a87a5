"""What a run is made of, and its squares."""

from __future__ import annotations

from dataclasses import dataclass, field

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


def grid(parts: Parts) -> list[tuple[str, Attack, str, Defense]]:
    """The cells of a run in order, each with what tables call its attack and its defense."""
    attacks: list[tuple[str, Attack]] = [("none", NoAttack())]
    if not isinstance(parts.attack, NoAttack):
        attacks.append((parts.label("attack"), parts.attack))
    defenses: list[tuple[str, Defense]] = [("none", NoDefense())]
    if not isinstance(parts.defense, NoDefense):
        defenses.append((parts.label("defense"), parts.defense))
    return [(*attack, *defense) for defense in defenses for attack in attacks]
