"""No attack: only the clean cells are measured."""

from dataclasses import dataclass
from typing import ClassVar

from recpoison.attacks.base import Attack


@dataclass(frozen=True)
class NoAttack(Attack):
    """Changes nothing and has no targets."""

    works_on: ClassVar[str | None] = None
