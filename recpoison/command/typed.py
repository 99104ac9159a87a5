"""What a user typed that cannot matter: a silent setting is a mistake that nobody sees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from recpoison.command.config import BASES, build
from recpoison.errors import ConfigError, UserError
from recpoison.idle import reason


def refuse_idle(
    typed: Sequence[str],
    cfgs: Sequence[DictConfig],
    trusted: Sequence[str] = (),
    given: Mapping[str, Any] | None = None,
) -> None:
    """Refuse settings of parts that were typed and cannot matter in any of ``cfgs``.

    What YAML files set is never refused, and a cell that is not sound is passed over: its job says what is wrong.

    Args:
        typed: Overrides of the command line, such as ``model.trainer.eps=1e-8``.
        cfgs: The run's configuration, or those of all cells of a sweep; the typed values are in each.
        trusted: Packages besides ``recpoison`` that may be imported.
        given: Parts by group that stand in place of those that ``cfgs`` describe.

    Raises:
        ConfigError: With one sentence for each such setting.
    """
    left = dict.fromkeys(setting for text in typed for setting in _settings(text))
    reasons: dict[str, str] = {}
    for cfg in cfgs:
        if not left:
            return
        idle = _idle_in(cfg, trusted, given or {})
        found = {setting: why for setting in left if idle is not None and (why := reason(setting, idle))}
        left = dict.fromkeys(left if idle is None else found)
        reasons |= found
    told = [f"{name} cannot matter, because {reasons[name]}: leave it out" for name in left if name in reasons]
    if told:
        raise ConfigError("\n".join(told))


def _settings(text: str) -> Iterator[str]:
    """The settings of parts that an override gives a value, each of a mapping on its own."""
    override = OverridesParser.create().parse_override(text)
    group, dot, _ = override.key_or_group.partition(".")
    if dot and group in BASES and not override.is_delete():
        value = None if override.is_sweep_override() else override.value()
        yield from _leaves(override.key_or_group, value)


def _leaves(path: str, value: Any) -> Iterator[str]:
    if not isinstance(value, Mapping) or not value:
        yield path
        return
    for key, inside in value.items():
        yield from _leaves(f"{path}.{key}", inside)


def _idle_in(cfg: DictConfig, trusted: Sequence[str], given: Mapping[str, Any]) -> dict[str, str] | None:
    """What cannot matter in a sound configuration; None for another."""
    from recpoison.parts import Parts

    try:
        described = {group: build(cfg[group], trusted) for group in BASES if group not in given}
        return Parts(**described, **given).idle
    except (UserError, OmegaConfBaseException):
        return None
