"""What a command line asks for, or all that is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig

from recpoison.command.composed import options_of, settings_of
from recpoison.command.ending import raise_stop_behind
from recpoison.command.foreign import naming_problems, searchpath_problems
from recpoison.command.glance import glance
from recpoison.command.overrides import Job, Sweep, compose_root, compose_sweep, is_sweep
from recpoison.command.references import reference_problems
from recpoison.command.trying import misread, try_each
from recpoison.command.words import said_of
from recpoison.errors import ConfigError, UserError

_PRESETS = ("experiment", "setting", "victim", "hydra.mode")


def understand(
    overrides: Sequence[str], sweeping: bool, trusted: Sequence[str], runs: bool = True
) -> Sweep | DictConfig:
    """The sweep that a command line asks for, or the configuration of a single run, with the ``hydra`` node.

    Args:
        overrides: What was typed for Hydra.
        sweeping: Whether a flag asks for many runs; a preset may ask too.
        trusted: Packages besides ``recpoison`` that may be imported.
        runs: Whether a single run is to be done on data in files, rather than its settings shown.

    Raises:
        ConfigError: With one sentence for each problem that shows before a part is imported, and before any folder is
            made.
    """
    if problems := searchpath_problems(overrides, trusted):
        raise ConfigError("\n".join(problems))
    try:
        return _understood(overrides, sweeping, trusted, runs)
    except UserError:
        raise
    except Exception as error:  # Hydra, OmegaConf and antlr raise what they like, and at depth Python does
        raise_stop_behind(error)
        raise ConfigError(said_of(error)) from error


def _understood(overrides: Sequence[str], sweeping: bool, trusted: Sequence[str], runs: bool) -> Sweep | DictConfig:
    names_preset = any(text.lstrip("+").startswith(_PRESETS) for text in overrides)
    sweeping = sweeping or (names_preset and is_sweep(overrides))
    found: list[str] = []
    reasons = misread(overrides, sweeping=sweeping)
    try:
        if not reasons:
            sweep = compose_sweep(overrides) if sweeping else None
            cfg = sweep.cfg if sweep else compose_root(overrides, with_hydra=True)
            found = [*naming_problems(cfg, trusted), *_references(sweep.jobs if sweep else None, cfg)]
            if not found and not sweep and (cfg.sweep.plan or cfg.sweep.retry_failed):
                found = ["sweep.plan and sweep.retry_failed are for sweeps: add -m"]
            if not found and not sweep and runs:
                found = glance(settings_of(cfg), options_of(cfg.hydra))
            if not found:
                return cfg if sweep is None else sweep
    except Exception as error:
        raise_stop_behind(error)
        reasons = [said_of(error)]
    raise ConfigError("\n".join(found or _problems(overrides, sweeping, runs, reasons)))


def _references(jobs: Sequence[Job] | None, cfg: DictConfig) -> list[str]:
    """What is wrong with the references of a run, or of all jobs of a sweep."""
    cfgs = [job.cfg for job in jobs or ()] or [cfg]
    return list(dict.fromkeys(problem for each in cfgs for problem in reference_problems(each)))


def _problems(overrides: Sequence[str], sweeping: bool, runs: bool, reasons: list[str]) -> list[str]:
    """Each override's own problem, else ``reasons``; and what is wrong with the rest at a glance, if that composes."""
    verdict = try_each(overrides, sweeping=sweeping)
    problems = verdict.problems or reasons
    if runs and (cfg := verdict.rest) is not None:
        problems += [text for text in glance(settings_of(cfg), options_of(cfg.hydra)) if text not in problems]
    return problems
