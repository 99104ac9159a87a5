"""What is wrong with a run as its YAML and files alone show it, told before any part (and torch with it) is imported.

What needs the parts themselves, such as the ranges that constructors hold, is looked at by ``config.check`` later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from recpoison.command.agreement import agreement_problems
from recpoison.command.checking import TARGET, Checker
from recpoison.command.config import BASES, root_problems, settings, unknown_tracker
from recpoison.command.declared import of_source
from recpoison.data.locating import require_files
from recpoison.errors import DataError
from recpoison.trackers.base import TRACKERS


def glance(cfg: DictConfig, labels: Mapping[str, str]) -> list[str]:
    """One sentence for each problem.

    Args:
        cfg: The composed configuration, without the node of Hydra's own.
        labels: The chosen option of each group, for messages.
    """
    labels = {group: labels.get(group, group) for group in BASES}
    checker = Checker(known=list(settings(cfg)))
    problems, sound = root_problems(cfg), []
    for group in BASES:
        part = _plain(cfg, group)
        found = list(_part_problems(part, group, checker))
        problems += found
        if not found and isinstance(part, dict) and TARGET in part:
            sound.append(group)
    problems += agreement_problems(cfg, sound, labels, of_source)
    problems += _tracker_problems(cfg)
    if "dataset" in sound and not any(problem.startswith("data_dir") for problem in problems):
        problems += _file_problems(_plain(cfg, "dataset"), cfg.data_dir)
    return problems


def _plain(cfg: DictConfig, group: str) -> Any:
    """What stands at a group, without references; None where it is missing or cannot be told yet."""
    if OmegaConf.is_missing(cfg, group) or not isinstance(cfg[group], DictConfig):
        return None
    try:
        return OmegaConf.to_container(cfg[group], resolve=True)
    except OmegaConfBaseException:
        return None


def _part_problems(node: Any, path: str, checker: Checker) -> Iterator[str]:
    """Names and types of a part's settings, and of those of parts inside it."""
    if isinstance(node, dict):
        about = of_source(str(node[TARGET])) if TARGET in node else None
        if about is not None:
            yield from checker.fields(node, path, about)
        for key, value in node.items():
            yield from _part_problems(value, f"{path}.{key}", checker)
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _part_problems(value, f"{path}[{number}]", checker)


def _tracker_problems(cfg: DictConfig) -> list[str]:
    """Words that name no tracker."""
    entries = cfg.trackers if isinstance(cfg.trackers, ListConfig) else ()
    return [unknown_tracker(word) for word in entries if isinstance(word, str) and word not in TRACKERS]


def _file_problems(dataset: Mapping[str, Any], data_dir: str | None) -> list[str]:
    try:
        require_files(dataset, Path(data_dir) if data_dir else None)
    except DataError as error:
        return [str(error)]
    return []
