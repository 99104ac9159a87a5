"""References in values, such as ``${oc.env:HOME}``: each that leads nowhere is told before anything else is done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException


def reference_problems(cfg: DictConfig) -> list[str]:
    """One sentence for each setting whose reference cannot be followed.

    Args:
        cfg: A composed configuration; its ``hydra`` node, which has references to the run itself, is left out.
    """
    plain = OmegaConf.to_container(cfg)
    assert isinstance(plain, dict)
    plain.pop("hydra", None)
    told = (_problem(cfg, path) for path, value in _leaves(plain, "") if "${" in value)
    return [sentence for sentence in told if sentence]


def _problem(cfg: DictConfig, path: str) -> str | None:
    try:
        OmegaConf.to_container(OmegaConf.create({"value": OmegaConf.select(cfg, path)}), resolve=True)
    except InterpolationKeyError as error:
        name = str(error).partition("'")[2].partition("'")[0]
        return (
            f"{path}: {name} is no setting; for an environment variable write ${{oc.env:{name}}}, "
            "or let the shell fill it in (double quotes)"
        )
    except RecursionError:
        return f"{path}: its value refers to itself"
    except OmegaConfBaseException as error:
        return f"{path}: {str(error).splitlines()[0]}"
    return None


def _leaves(node: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _leaves(value, f"{path}[{number}]")
    elif isinstance(node, str):
        yield path, node
