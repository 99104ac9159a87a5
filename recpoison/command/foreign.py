"""What Hydra's own settings may name: they call functions too, and may come from anybody's YAML.

Callbacks, launchers and sweepers are built from a ``_target_``, loggers from a ``class`` or a factory ``()``, and
``ext://`` imports what follows it. Only what Hydra and this package name there themselves is allowed without --trust.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from recpoison.command.checking import TARGET

_KNOWN = {
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
    "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper",
    *(f"optuna.samplers.{name}Sampler" for name in ("TPE", "Random", "CmaEs", "NSGAII", "MOTPE", "Grid")),
    "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher",
    "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher",
    "hydra_plugins.hydra_ray_launcher.ray_aws_launcher.RayAWSLauncher",
    *("logging.Formatter", "logging.FileHandler", "logging.StreamHandler", "logging.NullHandler"),
    *("rich.logging.RichHandler", "colorlog.ColoredFormatter"),
    *("ext://sys.stdout", "ext://sys.stderr"),
}
# Keys whose value is imported; the second one is of the optuna sweeper.
_NAMING = (TARGET, "custom_search_space")


def naming_problems(cfg: DictConfig, trusted: Sequence[str]) -> list[str]:
    """What ``cfg.hydra`` names that neither Hydra nor recpoison does, nor a trusted package: one sentence each.

    Args:
        cfg: A composed configuration with its ``hydra`` node.
        trusted: Packages that the user trusts.
    """
    plain = OmegaConf.to_container(cfg.hydra, resolve=False)
    chosen = {name: plain.get(name) for name in ("launcher", "sweeper")} if isinstance(plain, dict) else {}
    return [
        f"hydra.{name} is {node!r}: choose it as hydra/{name}=NAME"
        for name, node in chosen.items()
        if not isinstance(node, dict) or TARGET not in node
    ] + [
        f"{path} names {name}, which is neither Hydra's nor recpoison's: "
        f"if you trust it, add --trust {name.removeprefix('ext://').split('.')[0]} to the command"
        for path, name in _names(plain, "hydra")
        if name not in _KNOWN and not any(_within(name.removeprefix("ext://"), package) for package in trusted)
    ]


def searchpath_problems(overrides: Sequence[str], trusted: Sequence[str]) -> list[str]:
    """Packages that composing alone would import: ``hydra.searchpath=[pkg://x]``."""
    found = [part for text in overrides if "searchpath" in text for part in text.split("pkg://")[1:]]
    packages = ["".join(_leading_name(part)) for part in found]
    return [
        f"hydra.searchpath would import {package}: if you trust it, add --trust {package.split('.')[0]} to the command"
        for package in packages
        if not any(_within(package, trust) for trust in ("recpoison", "hydra", *trusted))
    ]


def _leading_name(text: str) -> Iterator[str]:
    for letter in text:
        if not (letter.isalnum() or letter in "._"):
            return
        yield letter


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def _names(node: Any, path: str) -> Iterator[tuple[str, str]]:
    """Each place that names something to import or call, and what."""
    if isinstance(node, dict):
        logging = path.startswith(("hydra.job_logging", "hydra.hydra_logging"))
        for key, value in node.items():
            here = f"{path}.{key}"
            if (key in _NAMING and value is not None) or (logging and key in ("class", "()")):
                yield here, str(value)
            else:
                yield from _names(value, here)
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _names(value, f"{path}[{number}]")
    elif isinstance(node, str) and node.startswith("ext://"):
        yield path, node
