"""YAML files as plain values, which no run composes: what a table says, and what options fix."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def dotted(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a configuration by dotted key; lists as text, as runs are read."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from dotted(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, json.dumps(node) if isinstance(node, list) else node


def read_plain(file: Path) -> dict[str, Any]:
    """A YAML file as plain values with text for keys."""
    from omegaconf import OmegaConf  # its YAML takes 1e-4 for a number

    content = OmegaConf.to_container(OmegaConf.load(file))
    return _with_text_keys(content)


def _with_text_keys(node: Any) -> Any:
    return {str(key): _with_text_keys(value) for key, value in node.items()} if isinstance(node, dict) else node
