"""The configuration: where it lives, what its root looks like, whether it is sound, and how it becomes parts."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args, get_origin, get_type_hints

from hydra.core.config_store import ConfigStore
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from recpoison.command.agreement import agreement_problems
from recpoison.command.blame import raised_in, said_by
from recpoison.command.checking import TARGET, Checker, locate, shown, unknown_setting
from recpoison.command.declared import of_class
from recpoison.command.objective import objective_problems
from recpoison.command.shipped import options
from recpoison.errors import ConfigError, UserError
from recpoison.evaluation.subjects import PAIRED_TESTS
from recpoison.nearest import did_you_mean, nearest
from recpoison.trackers.base import TRACKERS, Tracker, is_installed

BASES = {
    "dataset": ("recpoison.data.dataset.Dataset", "recpoison.data.dataset.GraphDataset"),
    "model": ("recpoison.models.base.Model",),
    "attack": ("recpoison.attacks.base.Attack",),
    "defense": ("recpoison.defenses.base.Defense",),
    "evaluation": ("recpoison.evaluation.base.Evaluation",),
}
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
# What a constructor calls one of its settings, at the start of its sentence.
_SETTING = re.compile(r"\w+(\.\w+)+")


@dataclass
class Sweep:
    """How a sweep is gone through."""

    plan: bool = False
    retry_failed: bool = False
    skip_undefined: bool = False


@dataclass
class Root:
    """What may stand at the root: five groups and the everyday settings. Hydra refuses other names and wrong types."""

    dataset: Any = MISSING
    model: Any = MISSING
    attack: Any = MISSING
    defense: Any = MISSING
    evaluation: Any = MISSING
    seed: int = 0
    repeats: int = 1
    device: str = "auto"
    data_dir: str | None = None
    store_dir: str | None = "outputs/store"
    checkpoint_seconds: float | None = 120.0
    deterministic: bool = False
    threads: int | None = None
    workers: int | None = None
    jobs_per_gpu: int = 1
    paired_test: str = "t"
    objective: str | None = None
    trackers: list[Any] = field(default_factory=list)
    sweep: Sweep = field(default_factory=Sweep)


ConfigStore.instance().store(name="recpoison_schema", node=Root)


def check(
    cfg: DictConfig,
    trusted: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    known_sound: set[str] | None = None,
) -> None:
    """Look at everything in ``cfg`` before anything is loaded; imports the chosen parts, others only if two disagree.

    Args:
        cfg: The composed configuration.
        trusted: Packages besides ``recpoison`` that may be imported.
        labels: The chosen option of each group, for messages.
        known_sound: Parts that were found sound; they are not looked at again, and those found now are added.

    Raises:
        ConfigError: With all problems at once, one a line.
    """
    labels = {group: (labels or {}).get(group, group) for group in BASES}
    checker = Checker(trusted, list(settings(cfg)), set() if known_sound is None else known_sound)
    problems = root_problems(cfg)
    sound = []
    for group, bases in BASES.items():
        found = _group_problems(cfg, group, tuple(map(locate, bases)), checker)
        problems += found
        if not found and not OmegaConf.is_missing(cfg, group):
            sound.append(group)
    problems += agreement_problems(cfg, sound, labels, lambda target: of_class(locate(target, trusted)))
    problems += _tracker_problems(cfg, checker)
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))


def build(node: DictConfig, trusted: Sequence[str] = ()) -> Any:
    """The object that ``node`` describes, with lists as the tuples that its annotations ask for.

    This is the only place that calls Hydra's ``instantiate``.

    Args:
        node: A mapping with ``_target_``; nodes inside it are built too.
        trusted: Packages besides ``recpoison`` that may be imported.

    Raises:
        ConfigError: If a target is not trusted or does not import, or a constructor refuses its values.
    """
    for target in targets(OmegaConf.to_container(node, resolve=True)):
        locate(target, trusted)
    try:
        return _with_tuples(instantiate(node, _convert_="all"))
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        path, cause = node._get_full_key(None) or str(node[TARGET]), error.__cause__ or error
        place = raised_in(cause, trusted)
        raise ConfigError(f"{path}: {f'{place} raised {said_by(cause)}' if place else cause}") from error


def tracker_node(entry: Any) -> DictConfig:
    """What describes a tracker: an entry of ``trackers`` itself, or, for a word of ``TRACKERS``, a mapping."""
    return OmegaConf.create({TARGET: TRACKERS[entry]} if isinstance(entry, str) else entry)


def settings(cfg: DictConfig) -> dict[str, Any]:
    """Every dotted path of a configuration with its raw value, branches included; references are left unresolved."""
    return dict(_paths(OmegaConf.to_container(cfg, resolve=False)))


def _paths(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            here = f"{path}.{key}" if path else str(key)
            yield here, value
            yield from _paths(value, here)


def root_problems(cfg: DictConfig) -> list[str]:
    """What is wrong with the everyday settings, and values that nobody gave."""
    problems = [
        f"{path} has no value: give it as {path}=VALUE" for path, value in settings(cfg).items() if value == MISSING
    ]
    names = list(Root.__annotations__)
    problems += [unknown_setting(path, names) for path in settings(cfg) if "." not in path and path not in names]
    if cfg.seed < 0:
        problems.append(f"seed is {cfg.seed}: give 0 or more")
    if cfg.repeats < 1:
        problems.append(f"repeats is {cfg.repeats}: give 1 or more")
    if not _DEVICE.fullmatch(cfg.device):
        problems.append(f"device is {cfg.device!r}: choose auto, cpu, cuda or cuda:N")
    for name in ("threads", "workers"):
        if cfg[name] is not None and cfg[name] < 1:
            problems.append(f"{name} is {cfg[name]}: give 1 or more, or null")
    if cfg.jobs_per_gpu < 1:
        problems.append(f"jobs_per_gpu is {cfg.jobs_per_gpu}: give 1 or more")
    if cfg.paired_test not in PAIRED_TESTS:
        problems.append(f"paired_test is {cfg.paired_test!r}: choose one of {', '.join(PAIRED_TESTS)}")
    if cfg.objective is not None and isinstance(cfg.evaluation, DictConfig):
        problems += objective_problems(cfg.objective, OmegaConf.to_container(cfg.evaluation))  # type: ignore[arg-type]
    if cfg.checkpoint_seconds is not None and not cfg.checkpoint_seconds >= 0:
        problems.append(f"checkpoint_seconds is {cfg.checkpoint_seconds}: give 0 or more, or null")
    return problems


def _group_problems(cfg: DictConfig, group: str, bases: tuple[type, ...], checker: Checker) -> list[str]:
    if OmegaConf.is_missing(cfg, group):
        return []  # told as a missing value
    node = cfg[group]
    if not isinstance(node, DictConfig):
        return [f"{group} is {shown(node)}: choose an option, such as {group}={next(iter(options(group)), 'NAME')}"]
    try:
        plain = OmegaConf.to_container(node, resolve=True)
    except OmegaConfBaseException as error:
        return [f"{group}: {str(error).splitlines()[0]} in {getattr(error, 'full_key', None) or group}"]
    sign = repr((group, plain))
    if sign in checker.sound:
        return []
    missing = MISSING in settings(node).values()
    problems = checker.part(plain, group, bases) or ([] if missing else _range_problems(node, checker))
    if not problems and not missing:
        checker.sound.add(sign)
    return problems


def _tracker_problems(cfg: DictConfig, checker: Checker) -> list[str]:
    if not isinstance(cfg.trackers, ListConfig):
        return [f"trackers is {shown(cfg.trackers)}, but it must be a list, such as [tensorboard]"]
    try:
        plain = OmegaConf.to_container(cfg.trackers, resolve=True)
    except OmegaConfBaseException as error:
        return [f"trackers: {str(error).splitlines()[0]}"]
    entries = enumerate(plain if isinstance(plain, list) else [])
    return [text for i, entry in entries for text in _entry_problems(entry, f"trackers[{i}]", checker)]


def _entry_problems(entry: Any, path: str, checker: Checker) -> list[str]:
    if not isinstance(entry, dict) and str(entry) not in TRACKERS:
        return [unknown_tracker(entry)]
    node = tracker_node(entry)
    problems = checker.part(OmegaConf.to_container(node), path, (Tracker,)) or _range_problems(node, checker)
    if problems:
        return problems
    package = locate(node[TARGET], checker.trusted).package  # type: ignore[attr-defined]
    if is_installed(package):
        return []
    return [f"trackers has {package}, but the package {package} is not installed: pip install 'recpoison[{package}]'"]


def unknown_tracker(entry: Any) -> str:
    """The sentence about a tracker that does not exist."""
    near = did_you_mean(nearest(str(entry), TRACKERS))
    return f"trackers has {entry}: there is no such tracker{near} (trackers offers {', '.join(TRACKERS)})"


def _range_problems(node: DictConfig, checker: Checker) -> list[str]:
    """What constructors refuse, inner ones first: an outer one needs its parts."""
    inner = [problem for child in _inner(node) for problem in _range_problems(child, checker)]
    if inner or TARGET not in node:
        return inner
    try:
        build(node, checker.trusted)
    except UserError as error:
        return [_in_place(str(error), node)]
    return []


def _in_place(message: str, node: DictConfig) -> str:
    """``message`` of what ``node`` builds, its settings named by where they stand.

    A part does not know where that is: a trainer calls its epochs ``model.trainer.epochs`` under ``attack.surrogate``
    too. What it calls itself is what is left of its setting's name before the setting itself.
    """
    path, setting = node._get_full_key(None), _SETTING.match(message)
    if not path or setting is None:
        return message
    names = setting[0].split(".")
    for split in range(1, len(names)):
        if OmegaConf.select(node, ".".join(names[split:]), default=node) is not node:
            itself = ".".join(names[:split])
            return re.sub(rf"\b{re.escape(itself)}\.(?=\w)", lambda _: f"{path}.", message)
    return message


def _inner(node: DictConfig) -> Iterator[DictConfig]:
    for key in node:
        value = node[key]
        for child in value if isinstance(value, ListConfig) else [value]:
            if isinstance(child, DictConfig):
                yield child


def targets(node: Any) -> Iterator[Any]:
    """Every ``_target_`` below a plain value."""
    if isinstance(node, dict):
        if TARGET in node:
            yield node[TARGET]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from targets(child)


def _with_tuples(value: Any) -> Any:
    """Dataclasses below ``value`` with tuples where Hydra left lists, so that parts can be hashed and compared."""
    if isinstance(value, Mapping):
        return {key: _with_tuples(child) for key, child in value.items()}
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    hints = get_type_hints(type(value))
    changes = {}
    for item in dataclasses.fields(value):
        old = getattr(value, item.name)
        new = _as_annotated(old, hints[item.name]) if isinstance(old, list) else _with_tuples(old)
        if new is not old and item.init:
            changes[item.name] = new
    return dataclasses.replace(value, **changes) if changes else value


def _as_annotated(value: list[Any], hint: Any) -> Any:
    kinds = [get_origin(kind) or kind for kind in (hint, *get_args(hint))]
    children = [_with_tuples(child) for child in value]
    return children if list in kinds else tuple(children)
