"""Datasets by the names of their YAML files, for commands that need no more of a run than its data."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recpoison.errors import ConfigError
from recpoison.nearest import nearest
from recpoison.paths import CONF_DIR

if TYPE_CHECKING:
    from recpoison.data.dataset import Dataset, GraphDataset

PREFIX = "recpoison.data."


def dataset_files() -> dict[str, Path]:
    """The YAML file of every dataset."""
    return {path.stem: path for path in sorted((CONF_DIR / "dataset").glob("*.yaml"))}


def choose(name: str, names: Sequence[str]) -> str:
    """The end of a sentence about a name that is not one of ``names``."""
    found = nearest(name, names)
    return f"did you mean {found}?" if found else f"give one of {', '.join(names)}"


def build_dataset(name: str, overrides: Sequence[str] = ()) -> Dataset | GraphDataset:
    """The dataset of ``conf/dataset/NAME.yaml``.

    Args:
        name: Stem of the file.
        overrides: ``dataset.filters.k_core=10``, as for ``recpoison``; the leading ``dataset.`` may be left out.

    Raises:
        ConfigError: If there is no such dataset or setting, or a value is missing or out of range.
    """
    from omegaconf import OmegaConf

    files = dataset_files()
    if name not in files:
        raise ConfigError(f"there is no dataset {name!r}: {choose(name, list(files))}")
    config = OmegaConf.load(files[name])
    for override in overrides:
        key, equals, value = override.removeprefix("dataset.").partition("=")
        known = dict(_leaves(OmegaConf.to_container(config)))
        if not equals or key not in known:
            raise ConfigError(
                f"{name} has no setting {override!r}: {choose(key, list(known))}, and write it as name=value"
            )
        given = OmegaConf.from_dotlist([f"x={value}"]).x
        if isinstance(known[key], int | float) and not isinstance(given, int | float | None):
            raise ConfigError(f"dataset.{key} is {given!r}, but its default is {known[key]}: give a value of that type")
        OmegaConf.update(config, key, given)
    if missing := OmegaConf.missing_keys(config):
        raise ConfigError(f"{name} needs dataset.{min(missing)}: add dataset.{min(missing)}=...")
    try:
        return _build(OmegaConf.to_container(config))
    except TypeError as error:
        raise ConfigError(f"dataset {name} cannot be built ({error}): check the types of its settings") from None


def _leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        elif key != "_target_":
            yield f"{prefix}{key}", value


def _build(node: Any) -> Any:
    """Instantiate nested ``_target_`` nodes of this package's data modules."""
    if not isinstance(node, dict):
        return node
    values = {key: _build(value) for key, value in node.items()}
    target = values.pop("_target_")
    if not target.startswith(PREFIX):
        raise ConfigError(f"_target_ is {target}, but describe only builds parts of {PREFIX}: use recpoison instead")
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)(**values)
