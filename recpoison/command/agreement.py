"""Whether the chosen parts work on the data that the chosen dataset holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from omegaconf import DictConfig

from recpoison.command.declared import Declared
from recpoison.command.shipped import TARGET, options

_A: dict[str | None, str] = {"graph": "a graph"}  # as a sentence has it


def agreement_problems(
    cfg: DictConfig, groups: Sequence[str], labels: Mapping[str, str], about: Callable[[str], Declared | None]
) -> list[str]:
    """Whether the parts work on the kind of data that the dataset holds.

    Args:
        cfg: The composed configuration.
        groups: Those that are sound, in the order of ``BASES``.
        labels: The chosen option of each group.
        about: What the class of a ``_target_`` declares, None where it cannot be told.
    """
    if "dataset" not in groups:  # it comes first in BASES
        return []
    works_on = {group: _data_of(about(cfg[group][TARGET])) for group in groups}
    kind = works_on.pop("dataset")
    problems = []
    for group, own in works_on.items():
        if kind is None or own in (kind, None):
            continue
        fitting = ", ".join(name for name, target in options(group).items() if _data_of(about(target)) in (kind, None))
        problems.append(
            f"{group}={labels[group]} works on {_A.get(own, own)}, but dataset={labels['dataset']} holds "
            f"{_A.get(kind, kind)}: "
            + (f"choose {group}={fitting}" if fitting else f"no {group} works on {kind} yet, so choose another dataset")
        )
    return problems


def _data_of(about: Declared | None) -> str | None:
    """The kind of data that a dataset is, or that another part works on; None where that is any, or not known."""
    constants = about.constants if about else {}
    return constants.get("kind", constants.get("works_on"))
