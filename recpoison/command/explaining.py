"""What ``recpoison --help GROUP=OPTION`` says: read from the option's YAML file, and from the class that it names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

from omegaconf import OmegaConf

from recpoison.command.arguments import Arguments
from recpoison.command.checking import MISSING, TARGET, locate
from recpoison.command.config import BASES
from recpoison.command.docstrings import meanings, rule_of
from recpoison.command.help import GROUPS
from recpoison.command.partners import Company, company_of
from recpoison.errors import ConfigError
from recpoison.nearest import did_you_mean, nearest
from recpoison.paths import CONF_DIR, MEASURED
from recpoison.ranges import ranges_of

WIDTH = 80
_COMMENT = re.compile(r"^( *)(?:- )?([\w/ ]+):(?: [^#]*)?(?:#(.*))?$")


@dataclass(frozen=True)
class Setting:
    """A line of the help.

    Args:
        name: Dotted, such as ``attack.epsilon``.
        default: As YAML has it.
        allowed: Its range in words; empty where its field declares none.
        meaning: From the docstring, else from the YAML comment.
    """

    name: str
    default: str
    allowed: str
    meaning: str


def explain_option(line: Arguments) -> str:
    """The help of each option that a line names, in 80 columns.

    Args:
        line: The command line; ``--config-dir`` and ``--trust`` in it are honoured.

    Raises:
        ConfigError: If there is no such group or option, or its class cannot be imported.
    """
    folders = [CONF_DIR, *(Path(value) for name, value in line.flags if name == "--config-dir")]
    return "\n\n".join(_explained(word, folders, line.trusted) for word in line.overrides)


def _explained(word: str, folders: Sequence[Path], trusted: Sequence[str]) -> str:
    group, equals, option = word.partition("=")
    if group not in GROUPS or not equals:
        near = did_you_mean(nearest(group, GROUPS))
        raise ConfigError(
            f"--help {word}: name an option, such as attack=bim{near} (the groups are {', '.join(GROUPS)})"
        )
    files = {file.stem: file for folder in folders for file in sorted((folder / group).glob("*.yaml"))}
    if option not in files:
        near = did_you_mean(nearest(option, files))
        raise ConfigError(f"{word}: there is no such option{near} ({group} offers {', '.join(files)})")
    text = files[option].read_text(encoding="utf-8")
    node: Any = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    if not isinstance(node, dict):
        raise ConfigError(f"{files[option]} holds no settings: write NAME: VALUE")
    if group in BASES and TARGET in node:
        return _of_part(group, option, text, node, trusted)
    return _of_preset(group, option, text, node)


def _of_part(group: str, option: str, text: str, node: dict[str, Any], trusted: Sequence[str]) -> str:
    part = locate(node[TARGET], trusted)
    paragraphs = [f"{group}={option}: {_about(text)[0]}", *rule_of(part)]
    blocks = [fill(paragraph, WIDTH) for paragraph in paragraphs]
    settings = list(_settings(group, node, _comments(text), trusted))
    if settings:
        blocks.append("\n".join(["Settings", *(_printed(setting) for setting in settings)]))
    company = company_of(group, option, node, trusted)
    return "\n\n".join([*blocks, *_ending(company)])


def _of_preset(group: str, option: str, text: str, node: dict[str, Any]) -> str:
    blocks = [fill(f"{group}={option}: {_about(text)[0]}", WIDTH)]
    blocks += [fill(paragraph, WIDTH) for paragraph in _about(text)[1:]]
    comments = _comments(text)
    defaults = [entry for entry in node.pop("defaults", []) if entry != "_self_"]
    chosen = [
        one for entry in defaults for one in (entry.items() if isinstance(entry, dict) else [("builds on", entry)])
    ]
    rows = [f"  {str(name).removeprefix('override').strip().lstrip('/')}: {value}" for name, value in chosen]
    rows += [f"  {name} = {value}{_behind(comments, name)}" for name, value in _leaves(node, "")]
    if rows:
        wrapped = [fill(row, WIDTH, subsequent_indent=" " * 6, break_on_hyphens=False) for row in rows]
        blocks.append("\n".join(["What it chooses", *wrapped]))
    seconds = _measured(option) if group == "experiment" else {}
    if seconds:
        told = ", ".join(f"{stage} {cost:g} s" for stage, cost in seconds.items() if cost)
        blocks.append(fill(f"Costs: {told}; CPU time of one stage of each kind where we measured it.", WIDTH))
    return "\n\n".join([*blocks, f"Try: recpoison {group}={option}"])


def _ending(company: Company) -> list[str]:
    blocks = [fill(f"Works with: {company.fits}.", WIDTH, break_on_hyphens=False)] if company.fits else []
    return [*blocks, fill(f"Try: {company.command}", WIDTH, subsequent_indent="  ", break_on_hyphens=False)]


def _printed(setting: Setting) -> str:
    head = f"  {setting.name} = {setting.default}" + (f"  ({setting.allowed})" if setting.allowed else "")
    lines = [fill(head, WIDTH, subsequent_indent=" " * 6, break_on_hyphens=False)]
    if setting.meaning:
        lines.append(fill(setting.meaning, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6))
    return "\n".join(lines)


def _settings(
    path: str, node: Mapping[str, Any], comments: Mapping[str, str], trusted: Sequence[str], below: str = ""
) -> Iterator[Setting]:
    """The settings of a part and of the parts inside; a model inside is named and left to its own help."""
    part = locate(node[TARGET], trusted) if TARGET in node else None
    told = meanings(part) if part else {}
    ranges = ranges_of(part) if isinstance(part, type) else {}
    for key, value in node.items():
        name, inner = f"{path}.{key}", f"{below}.{key}" if below else str(key)
        if key == TARGET:
            continue
        if isinstance(value, Mapping) and ".models." in str(value.get(TARGET, "")):
            model = str(value[TARGET]).split(".")[-2]
            yield Setting(
                name, model, "", f"{told.get(str(key), '')} Its settings: recpoison --help model={model}".strip()
            )
        elif isinstance(value, Mapping) and value:
            yield from _settings(name, value, comments, trusted, inner)
        else:
            meaning = told.get(str(key)) or comments.get(inner, "")
            yield Setting(name, _as_yaml(value), str(ranges.get(str(key), "")), meaning)


def _about(text: str) -> list[str]:
    """The comment that a file begins with: its first sentence, then paragraphs."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @"):
            lines.append(line.removeprefix("#").strip())
    first, rest = (lines[0] if lines else ""), "\n".join(lines[1:])
    return [first, *(" ".join(paragraph.split()) for paragraph in rest.split("\n\n") if paragraph.strip())]


def _comments(text: str) -> dict[str, str]:
    """The comment behind each setting of a YAML file, by its dotted name in the file."""
    found: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        if not (match := _COMMENT.match(line)):
            continue
        indent = len(match[1])
        above = [(depth, name) for depth, name in above if depth < indent] + [(indent, match[2].strip())]
        if match[3]:
            found[".".join(name for _, name in above)] = match[3].strip()
    return found


def _behind(comments: Mapping[str, str], name: str) -> str:
    return f"  # {comments[name]}" if name in comments else ""


def _leaves(node: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for key, value in node.items():
        name = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, name)
        else:
            yield name, _as_yaml(value)


def _as_yaml(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if value == MISSING:
        return "(you give it)"
    return f"[{', '.join(map(_as_yaml, value))}]" if isinstance(value, list) else str(value)


def _measured(preset: str) -> Mapping[str, float]:
    """CPU seconds of one stage of each kind of a preset; nothing where nobody measured it."""
    kept: Any = OmegaConf.to_container(OmegaConf.load(MEASURED))
    return kept["presets"].get(preset, {}).get("seconds", {})
