"""No attack: only the clean cells are measured."""

from dataclasses import dataclass
from typing import ClassVar

from recpoison.attacks.base import Attack


@dataclass(frozen=True)
class NoAttack(Attack):
    """Changes nothing and has no targets.

    Example:
        >>> data = Interactions([0, 1], [0, 1], [1, 1], n_users=2, n_items=2)
        >>> NoAttack().poison(data, np.array([]), Seeds(0), torch.device("cpu"), Progress()).n_fakes
        0
    """

    works_on: ClassVar[str | None] = None
