"""How a command ends, whatever went wrong: a sentence for the user's mistake, a traceback for ours, an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

from recpoison.errors import UserError


def answered(program: str, work: Callable[[], int | None], stopped: str = "stopped") -> int:
    """Do the work of a command.

    Args:
        program: The command's name.
        work: Gives the exit code; None is 0.
        stopped: What is said after Ctrl-C.

    Returns:
        The exit code: the work's, 2 for the user's mistake, 1 for ours, 130 after Ctrl-C.
    """
    try:
        code = work()
        sys.stdout.flush()
    except UserError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"{program}: {stopped}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        nobody_reads_on()
        return 0
    except Exception:
        traceback.print_exc()
        print(f"{program}: a bug in recpoison, not in what you typed", file=sys.stderr)
        return 1
    return code or 0


def nobody_reads_on() -> None:
    """Drop what is still to be printed: the reader, such as ``head``, has seen enough."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
