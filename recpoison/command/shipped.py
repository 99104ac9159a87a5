"""The options that ship with recpoison: their classes, and what their files hold."""

from __future__ import annotations

from functools import cache
from typing import Any

from omegaconf import OmegaConf

from recpoison.paths import CONF_DIR

TARGET = "_target_"


def options(group: str) -> dict[str, str]:
    """The options of a group, and the class of each."""
    return {name: node[TARGET] for name, node in _files(group).items() if isinstance(node, dict) and TARGET in node}


def given_by(group: str, target: str) -> dict[str, Any]:
    """What the option of a group has that names the class ``target``; nothing where none does."""
    return next((node for node in _files(group).values() if isinstance(node, dict) and node.get(TARGET) == target), {})


@cache
def _files(group: str) -> dict[str, Any]:
    """What stands in each file, references as they are written."""
    files = sorted((CONF_DIR / group).glob("*.yaml"))
    return {file.stem: OmegaConf.to_container(OmegaConf.load(file), resolve=False) for file in files}
