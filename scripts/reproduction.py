"""Write REPRODUCTION.md's tables again from recpoison/published/ours: ``python scripts/reproduction.py [--check]``.

The numbers come from ``recpoison-report TABLE PATH --keep``; the prose around the blocks stays as it is. With
``--check`` nothing is written, and the exit code is 1 where a block disagrees with its file.
"""

import sys
from pathlib import Path

from recpoison.report.reproduction import filled

FILE = Path(__file__).resolve().parents[1] / "REPRODUCTION.md"


def main(arguments: list[str]) -> int:
    """Write the file, or say whether it would change."""
    before = FILE.read_text(encoding="utf-8")
    after = filled(before)
    if "--check" in arguments:
        return int(before != after)
    FILE.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
