"""Which code this is, and what it stands on."""

from __future__ import annotations

import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("recpoison", "torch", "numpy", "scipy", "scikit-learn", "pandas", "numba", "hydra-core", "omegaconf")


def packages() -> dict[str, str | None]:
    """The versions of the packages that make the numbers; None for one that is not installed as a package."""
    return {name: _installed(name) for name in _PACKAGES}


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def commit() -> str | None:
    """The commit of the checkout that this package lies in, with ``+`` where files differ from it; None outside."""
    checkout = Path(__file__).resolve().parents[1]
    if not (checkout / ".git").exists():
        return None
    try:
        head = _git(checkout, "rev-parse", "--short=12", "HEAD")
        changed = _git(checkout, "status", "--porcelain", "--untracked-files=no", "--", "recpoison", "conf")
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+" if changed else "")


def _git(checkout: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(checkout), *words], capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()
