"""What a class's docstring says: its paper and rule, and what each argument means."""

from __future__ import annotations

import inspect
import re
import sys

_SECTION = re.compile(r"^(Args|Raises|Returns|Example|Attributes|Yields):$")
_ARGUMENT = re.compile(r"^    (\w+): (.*)$")


def rule_of(part: type) -> list[str]:
    """Paragraphs: the first line of the module, where the paper stands, and the class's own words.

    Of the classes it builds on, the first paragraph of each that declares settings follows.
    """
    module = (getattr(sys.modules[part.__module__], "__doc__", None) or "").strip()
    own = _paragraphs(part)
    bases = [base for base in part.__mro__[1:] if "__annotations__" in vars(base) and _ours(base, part)]
    inherited = [words[0] for base in bases if (words := _paragraphs(base)) and _arguments(base)]
    return [plain(text) for text in [*([module.split("\n\n")[0]] if module else []), *own, *inherited]]


def meanings(part: type) -> dict[str, str]:
    """What each argument means; a class's own words win over those of the classes it builds on."""
    found: dict[str, str] = {}
    for base in reversed(part.__mro__):
        found |= {name: plain(text) for name, text in _arguments(base).items()}
    return found


def plain(text: str) -> str:
    """A paragraph in one line, without marks of code."""
    return " ".join(text.replace("``", "").split())


def _ours(base: type, part: type) -> bool:
    return base.__module__.split(".")[0] == part.__module__.split(".")[0] or base.__module__.startswith("recpoison.")


def _text(part: type) -> list[str]:
    """The lines of a class's own docstring; none where ``dataclass`` wrote it."""
    text = vars(part).get("__doc__") or ""
    return [] if text.startswith(f"{part.__name__}(") else inspect.cleandoc(text).splitlines()


def _paragraphs(part: type) -> list[str]:
    lines = _text(part)
    end = next((number for number, line in enumerate(lines) if _SECTION.match(line)), len(lines))
    return [paragraph for paragraph in "\n".join(lines[:end]).split("\n\n") if paragraph.strip()]


def _arguments(part: type) -> dict[str, str]:
    lines = _text(part)
    if "Args:" not in lines:
        return {}
    found: dict[str, str] = {}
    name = ""
    for line in lines[lines.index("Args:") + 1 :]:
        if _SECTION.match(line) or (line and not line.startswith(" ")):
            break
        if match := _ARGUMENT.match(line):
            name = match[1]
            found[name] = match[2]
        elif name:
            found[name] += f" {line.strip()}"
    return found
