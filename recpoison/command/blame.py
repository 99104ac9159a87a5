"""Whose an exception is: that of a package which the user trusts, or ours."""

from __future__ import annotations

import os
import traceback
from collections.abc import Sequence


def raised_in(error: BaseException, trusted: Sequence[str]) -> str | None:
    """Where ``error`` came out of a trusted package, as ``PACKAGE (FILE, line N)``; None where none had a part in it.

    What a trusted package calls with may break code of ours or of a library, so any of its lines on the way counts, and
    the last of them is named.

    Args:
        error: What was raised.
        trusted: Packages besides ``recpoison`` whose code ran.
    """
    found = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        name, file = frame.f_globals.get("__name__", ""), frame.f_code.co_filename
        package = next((one for one in trusted if name == one or name.startswith(f"{one}.")), None)
        if package is not None and not file.startswith("<"):  # what dataclasses write themselves is in no file
            relative = os.path.relpath(file)
            found = f"{package} ({file if relative.startswith('..') else relative}, line {line})"
    return found


def said_by(error: BaseException) -> str:
    """The type of an exception and the first line of what it says."""
    return f"{type(error).__name__}: {error}".splitlines()[0].removesuffix(": ")
