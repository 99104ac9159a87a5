"""What a command line asks for, or all that is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence

from recpoison.command.config import check
from recpoison.command.overrides import Sweep, compose_root, compose_sweep, is_sweep, misread, try_each
from recpoison.errors import ConfigError

_PRESETS = ("experiment", "setting", "victim", "hydra.mode")


def understand(overrides: Sequence[str], sweeping: bool, trusted: Sequence[str]) -> Sweep | None:
    """The sweep that a command line asks for, None for a single run.

    Args:
        overrides: What was typed for Hydra.
        sweeping: Whether a flag asks for many runs; a preset may ask too.
        trusted: Packages besides ``recpoison`` that may be imported.

    Raises:
        ConfigError: With one sentence for each problem, before any folder is made.
    """
    names_preset = any(text.lstrip("+").startswith(_PRESETS) for text in overrides)
    sweeping = sweeping or (names_preset and is_sweep(overrides))
    reasons = misread(overrides, sweeping=sweeping)
    try:
        if not reasons and sweeping:
            return compose_sweep(overrides)
        if not reasons:
            cfg = compose_root(overrides)
            if cfg.sweep.plan or cfg.sweep.retry_failed:
                raise ConfigError("sweep.plan and sweep.retry_failed are for sweeps: add -m")
            return None
    except Exception as error:  # Hydra, OmegaConf and antlr raise what they like
        reasons = [str(error).splitlines()[0]]
    raise ConfigError("\n".join(_problems(overrides, sweeping, trusted, reasons)))


def _problems(overrides: Sequence[str], sweeping: bool, trusted: Sequence[str], reasons: list[str]) -> list[str]:
    """Each override's own problem, else ``reasons``; and what is wrong with the rest, if that composes."""
    verdict = try_each(overrides, sweeping=sweeping)
    problems = verdict.problems or reasons
    if verdict.composes:
        try:
            check(compose_root(verdict.good), trusted)
        except ConfigError as error:
            problems += [problem for problem in str(error).splitlines() if problem not in problems]
    return problems
