"""What Hydra composed once in a process is not composed again there: the suite asks for the same few jobs for hours."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.utils import JobRuntime
from omegaconf import DictConfig, OmegaConf

from recpoison.paths import CONF_DIR

_OURS = ["hydra.conf", str(CONF_DIR), ""]  # Hydra's own YAML, ours, and what is registered from Python


def remember() -> None:
    """Have everyone in this process, Hydra too, read YAML and compose with a memory."""
    OmegaConf.load = staticmethod(reading(OmegaConf.load))
    ConfigLoaderImpl._load_configuration_impl = composing(ConfigLoaderImpl._load_configuration_impl)


def reading(load: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """``OmegaConf.load`` with a memory: an equal text gives a copy, another one is parsed by ``load``.

    Texts are compared, not names or times, so that a file which a test changes is another one.
    """
    known: dict[str | bytes, bytes] = {}

    @wraps(load)
    def remembered(file: Any) -> Any:
        stream = None if isinstance(file, str | Path) else file
        if stream is None:
            text = Path(file).read_bytes()
        else:
            start, text = stream.tell(), stream.read()
        if text not in known:
            if stream is not None:
                stream.seek(start)
            known[text] = pickle.dumps(load(file))
        return pickle.loads(known[text])

    return remembered


def composing(load: Callable[..., DictConfig]) -> Callable[..., DictConfig]:
    """Hydra's own composing with a memory of our YAML, which no test changes; with a user's it composes each time."""
    known: dict[tuple[Any, ...], bytes] = {}

    @wraps(load)
    def remembered(loader: ConfigLoaderImpl, config_name: str | None, overrides: list[str], **how: Any) -> DictConfig:
        sources = [source.path for source in loader.repository.get_sources()]
        if sources != _OURS or any("searchpath" in word or "env_copy" in word for word in overrides):
            return load(loader, config_name, overrides, **how)
        may_sweep = any(sign in word for word in overrides for sign in ",(")  # whether that is refused is in ``how``
        matters = sorted(how.items()) if may_sweep else [how["run_mode"]]
        asked = (config_name, *overrides, *matters, JobRuntime.instance().get("name"))
        if asked not in known:
            known[asked] = pickle.dumps(load(loader, config_name, overrides, **how))
        cfg: DictConfig = pickle.loads(known[asked])
        cfg.hydra.runtime.cwd = os.getcwd()
        return cfg

    return remembered
