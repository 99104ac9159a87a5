"""What the names on the page of an audit stand for, in the words of the YAML files that hold them."""

from __future__ import annotations

from collections.abc import Iterator

from recpoison.paths import CONF_DIR, first_comment
from recpoison.report.audit.findings import Audit


def glossary(audit: Audit) -> Iterator[str]:
    """A line for each victim and attack of ours; one of the user's own is not known here."""
    for name in sorted(audit.victims):
        if said := said_by("model", name):
            yield f"{name}: {said}"
    for name in audit.attacks:
        if said := said_by("setting", f"audit_{name}") or said_by("attack", name):
            yield f"{name}: {said.removeprefix('Audit: ').replace('audit_', '')}"


def said_by(group: str, name: str) -> str:
    """The first comment of an option's file; empty where there is no such file."""
    file = CONF_DIR / group / f"{name}.yaml"
    return first_comment(file) if file.is_file() else ""
