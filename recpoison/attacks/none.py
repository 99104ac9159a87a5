"""No attack: only the clean cells are measured."""

from dataclasses import dataclass

from recpoison.attacks.base import Attack


@dataclass(frozen=True)
class NoAttack(Attack):
    """Changes nothing and has no targets."""
