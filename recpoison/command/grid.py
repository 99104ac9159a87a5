"""The jobs of a grid: those that choose the same options are composed once, and each sets its values in a copy."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import cache

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from recpoison.paths import ROOT_CONFIG


class Grid:
    """Composes the jobs of one sweep, each to what Hydra composes by itself.

    Hydra composes the chosen options first and sets values in the result, so that jobs which differ in values alone
    share the first step, which takes nearly all of the time.

    Args:
        loader: Hydra's own.
        shared: The configuration that all jobs share, with the ``hydra`` node.
    """

    def __init__(self, loader: ConfigLoader, shared: DictConfig) -> None:
        assert isinstance(loader, ConfigLoaderImpl)
        self._loader, self._shared = loader, shared
        hydras = [str(text) for text in shared.hydra.overrides.hydra]
        _, self._options = loader._parse_overrides_and_create_caching_repo(ROOT_CONFIG, hydras)
        self._parse = cache(OverridesParser.create().parse_override)
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    def job(self, texts: Sequence[str]) -> DictConfig:
        """The configuration of a job, with the ``hydra`` node.

        Args:
            texts: What is typed for it, such as ``model=mf`` and ``seed=3``.

        Raises:
            HydraException: If it does not compose, as Hydra says it.
        """
        try:
            overrides = [self._parse(text) for text in texts]
            if not any(override.is_hydra_override() for override in overrides):
                return self._set(overrides)
        except Exception:  # Hydra has the words for it
            pass
        return self._loader.load_sweep_config(self._shared, list(texts))

    def _set(self, overrides: Sequence[Override]) -> DictConfig:
        """A copy of the composed options with the values of ``overrides``, and what Hydra notes about them."""
        values = [override for override in overrides if self._is_value(override)]
        choices = tuple(override.input_line or "" for override in overrides if override not in values)
        if choices not in self._composed:
            self._composed[choices] = self._loader.load_sweep_config(self._shared, list(choices))
        cfg = deepcopy(self._composed[choices])
        ConfigLoaderImpl._apply_overrides_to_config(values, cfg)
        cfg.hydra.overrides.task = [override.input_line for override in overrides]
        form = cfg.hydra.job.config.override_dirname
        cfg.hydra.job.override_dirname = get_overrides_dirname(
            list(overrides), kv_sep=form.kv_sep, item_sep=form.item_sep, exclude_keys=form.exclude_keys
        )
        OmegaConf.copy_cache(from_config=self._shared, to_config=cfg)
        return cfg

    def _is_value(self, override: Override) -> bool:
        """Whether an override sets a value, rather than choosing an option of a group."""
        return isinstance(override.value(), dict) or not self._options.group_exists(override.key_or_group)
