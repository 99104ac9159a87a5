"""What a composed configuration holds: the settings of a run, and which option each group has."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf

from recpoison.command.checking import TARGET
from recpoison.command.config import BASES


def settings_of(cfg: DictConfig) -> DictConfig:
    """The settings of the run: all but the node of Hydra's own; ``cfg`` itself where it has none, else a copy."""
    if "hydra" not in cfg:
        return cfg
    return OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])


def searches(hydra: Any) -> bool:
    """Whether the sweeper decides as it goes, by what its jobs return; from Hydra's own node."""
    return not str(hydra.sweeper[TARGET]).endswith(".BasicSweeper")


def options_of(hydra: Any) -> dict[str, str]:
    """The option that was chosen for each part of the run, which is what tables call it; from Hydra's own node."""
    choices = hydra.runtime.choices
    return {group: str(choices[group]) for group in BASES if group in choices}
