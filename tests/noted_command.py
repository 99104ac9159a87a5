"""``python noted_command.py LOG ...``: recpoison, noting in LOG each stage it begins to compute or has stored."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from recpoison.stages.store import Store
from recpoison.train_attack_eval import main

LOG = Path(sys.argv[1])


def note(*words: object) -> None:
    """One write a line: processes share the file."""
    descriptor = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, (" ".join(map(str, words)) + "\n").encode())
    os.close(descriptor)


def watch() -> None:
    """Have the store note what it does, and how long it takes beyond the stages themselves."""
    obtain, keep = Store.obtain, Store._keep

    def noted_obtain(self, stage, key, inputs, compute, *rest, **named):
        spent = [0.0]

        def noted_compute():
            note("compute", stage, key)
            start = time.perf_counter()
            try:
                return compute()
            finally:
                spent[0] = time.perf_counter() - start

        start = time.perf_counter()
        found = obtain(self, stage, key, inputs, noted_compute, *rest, **named)
        note("overhead", stage, time.perf_counter() - start - spent[0], spent[0])
        return found

    def noted_keep(self, entry, *rest):
        kept = keep(self, entry, *rest)
        note("kept", entry.stage, entry.key)
        return kept

    Store.obtain, Store._keep = noted_obtain, noted_keep


if __name__ == "__main__":
    watch()
    sys.exit(main(sys.argv[2:]))
