"""Train a recommender, attack it, defend it, and measure what happened.

``recpoison.run("dataset=ml_100k", "model=mf", "attack=average", repeats=3)``, and ``recpoison.load(FOLDER)`` later.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from recpoison.compiled import keep_compiled_code

if TYPE_CHECKING:
    from recpoison.api import Parts as Parts
    from recpoison.api import Result as Result
    from recpoison.api import load as load
    from recpoison.api import run as run

__version__ = "0.1.0"
_OFFERED = ("Parts", "Result", "load", "run")

keep_compiled_code()


def __getattr__(name: str) -> object:
    """What the package offers, imported when it is first asked for: that takes seconds."""
    if name not in _OFFERED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module("recpoison.api"), name)  # no import statement: descriptions.py would follow it
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_OFFERED})
