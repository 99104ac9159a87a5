"""How a command ends, whatever went wrong: a sentence for the user's mistake, a traceback for ours, an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from recpoison.errors import OutputError, UserError


def answered(program: str, work: Callable[[], int | None], stopped: str = "stopped") -> int:
    """Do the work of a command.

    Args:
        program: The command's name.
        work: Gives the exit code; None is 0.
        stopped: What is said after Ctrl-C.

    Returns:
        The exit code: the work's, 2 for the user's mistake, 1 for ours, 130 after Ctrl-C.
    """
    with printing():
        return _answered(program, work, stopped)


def _answered(program: str, work: Callable[[], int | None], stopped: str) -> int:
    try:
        code = work()
        sys.stdout.flush()
    except UserError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"{program}: {stopped}", file=sys.stderr)
        return 130
    except OSError as error:
        if error.filename is None or isinstance(error, FileNotFoundError):
            return _of_ours(program)
        print(
            f"{program}: {error.filename} cannot be used ({error.strerror}): check its name and permissions",
            file=sys.stderr,
        )
        return UserError.exit_code
    except Exception:
        return _of_ours(program)
    return code or 0


def _of_ours(program: str) -> int:
    traceback.print_exc()
    print(f"{program}: a bug in recpoison, not in what you typed", file=sys.stderr)
    return 1


@contextmanager
def printing() -> Iterator[None]:
    """While the block prints, a reader who has gone, such as ``head``, is no error, and a full disk is a sentence."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Stream(before[0], told=True), _Stream(before[1], told=False)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


class _Stream:
    """A stream of text. Where nothing can be written any more, what is still to come is dropped.

    Args:
        stream: Where the text goes.
        told: Whether a failure is raised, but for that of a reader who has gone.
    """

    def __init__(self, stream: TextIO, told: bool) -> None:
        self._stream, self._told = stream, told

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write ``text``."""
        self._try(lambda: self._stream.write(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write all of them."""
        self._try(lambda: self._stream.writelines(lines))

    def flush(self) -> None:
        """Pass on what was written."""
        self._try(self._stream.flush)

    def _try(self, write: Callable[[], object]) -> None:
        try:
            write()
        except OSError as error:
            with suppress(OSError, ValueError):  # what the stream still holds must not fail again at the end
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            if self._told and not isinstance(error, BrokenPipeError):
                raise OutputError(
                    f"what is printed cannot be written ({error.strerror}): send it where there is room"
                ) from error
